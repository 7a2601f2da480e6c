"""The engine of agents: runs a model of agents step by step behind the engine port."""

import copy
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from perdure.engines.agents.collectors import DataCollector, statistics_of
from perdure.engines.agents.model import Model
from perdure.engines.agents.outputs import parsed
from perdure.engines.agents.program_code import raised_at
from perdure.engines.agents.program_data import ProgramData
from perdure.engines.agents.saved_model import Constructed
from perdure.engines.agents.schedulers import SimultaneousScheduler
from perdure.engines.generators import Generators
from perdure.engines.numbers import finite
from perdure.engines.run_specs import RunSpecs
from perdure.engines.system_dynamics.points import overriding_points
from perdure.errors import (
    EngineFinished,
    EvaluationFailed,
    InvalidOverride,
    InvalidRunSpecs,
    InvalidState,
    PerdureError,
    Refused,
    message_of,
)
from perdure.state.codec import State

__all__ = ["SETTABLE", "AgentEngine", "Construct", "check_times", "drawing"]

SETTABLE = ("constants", "points", "properties")

Construct = Callable[[Mapping[str, Any]], Model]
"""Makes a model and configures it as a scenario's definition says."""

_global_generators = threading.RLock()


@contextmanager
def drawing(generators: Generators) -> Iterator[None]:
    """Let `random` and NumPy's legacy generator be a model's own; one model at a time, as they are global."""
    with _global_generators, generators:
        yield


def check_times(name: str, starttime: Any, stoptime: Any, dt: Any) -> RunSpecs:
    """Return run specs that agents can be stepped with.

    Raises
    ------
    InvalidRunSpecs
        If start or stop isn't a whole number, or 1 isn't a multiple of dt.
    """
    specs = RunSpecs(starttime, stoptime, dt, name=name)
    for what, time in (("starttime", specs.starttime), ("stoptime", specs.stoptime)):
        if not time.is_integer():
            raise InvalidRunSpecs(name=name, reason=f"agents run in whole rounds, and {what} is {time!r}")
    per_round = 1.0 / specs.dt
    if specs.dt > 1.0 or abs(per_round - round(per_round)) > 1e-9 * per_round:
        raise InvalidRunSpecs(
            name=name, reason=f"a round of agents lasts 1, which isn't a multiple of dt {specs.dt!r}"
        )
    return specs


class AgentEngine:
    """Steps a model of agents; implements `perdure.engines.base.Engine`.

    The first step is at the start time, the last one at the stop time. A step's outputs are those at its end.
    Random numbers of the model come from generators of its own, which are part of the state.

    Parameters
    ----------
    name
        The model's name.
    construct
        Makes the model.
    program
        What the program's modules and classes keep, if nothing else in this process computes models; it is
        saved with the model. Otherwise models that change it are refused.
    """

    waits: ClassVar[bool] = True  # for the global generators, which it has to itself meanwhile
    plain: ClassVar[bool] = True

    def __init__(self, name: str, construct: Construct, program: ProgramData | None = None) -> None:
        self._name = name
        self._program = program
        self._construct = construct
        self._model: Model | None = None
        self._specs = RunSpecs(0.0, 0.0, 1.0)
        self._steps = 0

    @property
    def time(self) -> float:
        """The time of the last outputs, in the model's unit; the start time before the first step."""
        return self._specs.time(max(0, self._steps - 1) * self._specs.multiple)

    @property
    def finished(self) -> bool:
        """Whether the run has reached its stop time, or the model has ended it."""
        return self._steps >= self._specs.answers or not self._running.scheduler.running

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Construct the model.

        Parameters
        ----------
        config
            ``starttime``, ``stoptime``, ``dt``, ``timestep`` between two outputs (dt), ``outputs``,
            ``definition``, the scenario's, with its agents and properties, ``constants``, ``points`` and
            ``properties`` that apply from the start, and ``seed`` and ``stream`` of the random draws.

        Raises
        ------
        InvalidRunSpecs
            If the times are wrong.
        InvalidOverride
            If the model has no such constant, points or property.
        EvaluationFailed
            If the model's code raises.
        """
        specs = check_times(self._name, config["starttime"], config["stoptime"], config["dt"])
        self._specs = RunSpecs(
            specs.starttime, specs.stoptime, specs.dt, timestep=config.get("timestep"), name=self._name
        )
        self._outputs = tuple((name, parsed(name)) for name in config["outputs"])
        stream = config.get("stream", "")
        self._generators = Generators(config.get("seed", 0), f"agents {stream}")
        self._steps = 0
        definition = copy.deepcopy(dict(config.get("definition", {})))
        definition["properties"] = {**definition.get("properties", {}), **config.get("properties", {})}
        definition.setdefault("agents", [])
        times = {"starttime": specs.starttime, "stoptime": specs.stoptime, "dt": specs.dt}
        definition["runspecs"] = {key: _whole(value) for key, value in times.items()}
        if self._program is not None:
            self._program.reset()
        with self._running_code(0):
            self._model = self._construct(definition)
        model = self._model
        model.scheduler = SimultaneousScheduler()
        model.scheduler.current_time = definition["runspecs"]["starttime"]
        model.draw_from(config.get("seed", 0), stream)
        self._constructed = Constructed(model, self._program)
        self._set({key: config[key] for key in ("constants", "points") if key in config})

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Raise what `step` would raise for these inputs; changes nothing.

        Raises
        ------
        InvalidOverride
            If the model has no such constant, points or property, or a value is wrong.
        """
        self._checked(inputs)

    def step(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs at the next time.

        Parameters
        ----------
        inputs
            ``constants``, name to finite number, ``points``, name to list of [x, y], and ``properties``, name
            to ``{"type": …, "value": …}``; all optional.

        Raises
        ------
        InvalidOverride
            If an input is refused; nothing has changed then.
        EngineFinished
            If the run is finished.
        EvaluationFailed
            If the model's code raises; the engine can't be used any more.
        """
        self._checked(inputs)
        if self.finished:
            raise EngineFinished(name=self._name, time=self.time)
        self._set(inputs)
        model, specs = self._running, self._specs
        last = self._steps * specs.multiple
        first = last - specs.multiple + 1 if self._steps else 0
        for n in range(first, last + 1):
            with self._running_code(n):
                self._advance(model, n)
            if not model.scheduler.running:
                break
        self._steps += 1
        with self._running_code(last):
            return self._answer(model)

    def run(self) -> None:
        """Run the model from its start as `Model.run` does: all steps of the last round are taken."""
        with self._running_code(0):
            self._running.run()

    @property
    def model(self) -> Model:
        """The model that is run."""
        return self._running

    def snapshot(self) -> State:
        """Return the state of the model, and of its generators.

        Raises
        ------
        NotSnapshotable
            If something can't be saved; names the agent and the attribute.
        """
        return {
            "steps": self._steps,
            "model": self._constructed.snapshot(),
            "generators": self._generators.snapshot(),
        }

    def restore(self, state: Any) -> None:
        """Go to a state that `snapshot` returned under the same config.

        Raises
        ------
        InvalidState
            If it isn't one.
        """
        try:
            steps, model, generators = state["steps"], state["model"], state["generators"]
        except (KeyError, TypeError) as error:
            raise InvalidState(name=self._name, reason=f"it isn't that of agents: {error}") from error
        with drawing(self._generators):
            self._constructed.restore(model)
        self._generators.restore(generators)
        self._steps = steps

    def close(self) -> None:
        """Free the model."""
        self._model = None

    @property
    def reusable(self) -> bool:
        """Whether nothing is left in its process; asked once it is closed."""
        return self._program is None or self._program.is_reset()

    def _advance(self, model: Model, n: int) -> None:
        """Run the step at a grid point."""
        scheduler = model.scheduler
        per_round = round(1 / model.dt)
        scheduler.current_round = int(model.starttime) + n // per_round
        scheduler.current_step = n % per_round
        time = scheduler.current_time = scheduler.current_round + scheduler.current_step * model.dt
        scheduler.progress = time / model.stoptime if model.stoptime else 1.0
        scheduler.advance(model, time, True)

    def _answer(self, model: Model) -> dict[str, Any]:
        time, collector = model.scheduler.current_time, model.data_collector
        statistics = None
        if type(collector) is DataCollector:
            statistics = collector.agent_statistics.get(time)
        if statistics is None and any(output is not None for _, output in self._outputs):
            statistics = statistics_of(model.agents)
        return {
            name: model.evaluate_equation(name, time)
            if output is None or name in model.elements
            else output.value(statistics or {}, model.agents)
            for name, output in self._outputs
        }

    def _set(self, inputs: Mapping[str, Any]) -> None:
        model = self._running
        constants, points, properties = self._checked(inputs)
        for name, number in constants.items():
            model.elements[name].equation = number
        for name, table in points.items():
            model.points[name] = table
        for name, value in properties.items():
            setattr(model, name, value)

    def _checked(
        self, inputs: Mapping[str, Any]
    ) -> tuple[dict[str, float], dict[str, list[list[float]]], dict[str, Any]]:
        """Return constants, points and properties, checked."""
        model = self._running
        constants: dict[str, float] = {}
        points: dict[str, list[list[float]]] = {}
        properties: dict[str, Any] = {}
        for kind, values in inputs.items():
            if kind not in SETTABLE:
                reason = f"a step takes {', '.join(SETTABLE)}"
                raise InvalidOverride.of(kind, values, reason, known=SETTABLE)
            if not isinstance(values, Mapping):
                raise InvalidOverride.of(kind, values, "it must be a mapping of names to values")
            for name, value in values.items():
                if kind == "constants":
                    if name not in model.overridable:
                        reason = "the model has no such constant"
                        raise InvalidOverride.of(name, value, reason, part=kind, known=model.overridable)
                    number = finite(value)
                    if number is None:
                        raise InvalidOverride.of(name, value, "a constant is a finite number", part=kind)
                    constants[name] = number
                elif kind == "points":
                    if name not in model.table_names:
                        reason = "the model has no points of that name"
                        raise InvalidOverride.of(name, value, reason, part=kind, known=model.table_names)
                    points[name] = [[x, y] for x, y in overriding_points(name, value)]
                else:
                    if name not in model.properties:
                        reason = "the model has no such property"
                        raise InvalidOverride.of(name, value, reason, part=kind, known=model.properties)
                    properties[name] = value["value"] if isinstance(value, Mapping) else value
        return constants, points, properties

    @contextmanager
    def _running_code(self, n: int) -> Iterator[None]:
        """Run code of the model, with its generators; raise `EvaluationFailed` for what it raises."""
        try:
            with drawing(self._generators):
                yield
        except PerdureError:
            raise
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {message_of(error)}".rstrip(".")
            if place := raised_at(error):
                reason = f"{reason} ({place})"
            raise EvaluationFailed(element=self._name, time=self._specs.time(n), reason=reason) from error

    @property
    def _running(self) -> Model:
        if self._model is None:
            raise Refused("The engine isn't initialised; call `initialize` first.")
        return self._model


def _whole(number: float) -> float:
    """Return a whole number as an integer, as agents expect times of whole steps."""
    return int(number) if math.isfinite(number) and number.is_integer() else number

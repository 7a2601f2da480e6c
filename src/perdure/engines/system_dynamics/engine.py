"""The system-dynamics engine: a model behind the engine port, and whole runs in one go.

Clients' data arrive here. Anything but a finite number for a known constant, or points for a known name, is
refused before anything changes; clients' data are never evaluated as code.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from perdure.engines.numbers import finite
from perdure.engines.run_specs import RunSpecs
from perdure.engines.system_dynamics.model import Model
from perdure.engines.system_dynamics.points import Points, overriding_points
from perdure.engines.system_dynamics.running.answers import Answers
from perdure.engines.system_dynamics.running.simulation import ModelSimulation
from perdure.engines.system_dynamics.running.state import restored
from perdure.engines.system_dynamics.spellings import by_own_names
from perdure.errors import InvalidOverride, InvalidRunSpecs, InvalidState, Refused, suggest
from perdure.state.codec import State

__all__ = ["SystemDynamicsEngine", "simulate", "validate_inputs"]

_CONFIG = (
    "starttime",
    "stoptime",
    "dt",
    "timestep",
    "method",
    "outputs",
    "constants",
    "points",
    "seed",
    "stream",
)
_SETTABLE = ("constants", "points")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class SystemDynamicsEngine:
    """Steps a system-dynamics model; implements `perdure.engines.base.Engine`.

    Parameters
    ----------
    model
        The model; it must not be changed while the engine runs it.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._simulation: ModelSimulation | None = None
        self._asked: dict[str, str] | None = None
        self._answers = Answers()

    @property
    def time(self) -> float:
        """The time of the last outputs, in the model's unit; the start time before the first step."""
        return self._running.time

    @property
    def finished(self) -> bool:
        """Whether the last step of the run was taken."""
        return self._running.finished

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Put the engine at its start.

        Parameters
        ----------
        config
            All optional: ``starttime``, ``stoptime``, ``dt`` (the model's), ``timestep`` from one output to
            the next, a multiple of dt (`Model.timestep`), ``method`` ``"euler"`` or ``"rk4"`` (the
            model's), ``outputs``, names of elements (all), ``constants`` and ``points``, overrides as in
            `step`, ``seed``, an integer of up to 64 bits (0), and ``stream``, a string that gives each
            scenario random draws of its own ("").

        Raises
        ------
        InvalidRunSpecs
            If the run specs are wrong, or a key isn't known.
        InvalidOverride
            If an override isn't a finite number or points.
        UnknownElement
            If an output isn't an element.
        ModelError
            If the model itself is wrong, or lacks an equation that an output needs.
        """
        self._simulation = _simulation(self._model, config, self._answers)
        self._asked = _asked(self._model, config)

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Raise what `step` would raise for these inputs; changes nothing.

        Raises
        ------
        InvalidOverride
            If an input is refused.
        """
        validate_inputs(self._model, inputs)

    def step(self, inputs: Mapping[str, Any]) -> dict[str, float]:
        """Return the outputs at the next time; those of the first step are at the start time.

        Parameters
        ----------
        inputs
            ``constants``, name to finite number, and ``points``, name to list of [x, y]; both optional.
            They apply from the time of this step's outputs until they are overridden again.

        Raises
        ------
        InvalidOverride
            If an input is refused; nothing has changed then.
        EngineFinished
            If the run is finished.
        EvaluationFailed
            If an element can't be evaluated; the engine can't be used any more.
        """
        if type(inputs) is not dict or inputs:
            constants, points = validate_inputs(self._model, inputs)
            answer = self._running.step(constants, points)
        else:
            answer = (self._simulation or self._running).step(_NOTHING, _NOTHING)  # as in most steps
        return answer if self._asked is None else {name: answer[own] for name, own in self._asked.items()}

    def take_answers(self) -> State:
        """Return, once, what impure functions returned during the last step, by name; None if nothing."""
        answers: dict[str, State] = {name: [*numbers] for name, numbers in self._answers.take().items()}
        return answers or None

    def give_answers(self, answers: State) -> None:
        """Let the next step use recorded values instead of calling impure functions.

        Raises
        ------
        InvalidState
            If they aren't what `take_answers` returned.
        """
        try:
            recorded = msgspec.convert({} if answers is None else answers, dict[str, list[float]])
        except msgspec.ValidationError as error:
            reason = f"the recorded answers aren't lists of floats: {error}"
            raise InvalidState(name=self._model.name, reason=reason) from error
        self._answers.give(recorded)

    def snapshot(self) -> State:
        """Return the state by names: step, stocks, delays, constants and points in force.

        ``step`` is the number of steps taken, ``stocks`` are those of the grid point after the last outputs.
        Names that begin with @ belong to hidden parts.
        """
        return self._running.snapshot()

    def restore(self, state: State) -> None:
        """Go to a state that `snapshot` returned under the same config.

        Raises
        ------
        InvalidState
            If it doesn't fit the model and the run specs; nothing has changed then.
        """
        restored(state, self._running, self._model.overridable, self._model.table_names)

    def close(self) -> None:
        """Free the run."""
        self._simulation = None

    @property
    def _running(self) -> ModelSimulation:
        if self._simulation is None:
            raise Refused("The engine isn't initialised; call `initialize` first.")
        return self._simulation


def simulate(model: Model, config: Mapping[str, Any]) -> tuple[list[float], dict[str, list[float]]]:
    """Run a model from start to stop in one loop; the values have the same bits as with single steps.

    Parameters
    ----------
    model
        The model.
    config
        As for `SystemDynamicsEngine.initialize`.

    Returns
    -------
    tuple
        The times, and for each output its values at them.
    """
    simulation = _simulation(model, config)
    times, columns = simulation.run()
    found = dict(zip(simulation.compiled.names.outputs, columns, strict=True))
    asked = _asked(model, config)
    return times, found if asked is None else {name: found[own] for name, own in asked.items()}


def _asked(model: Model, config: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the outputs that a config asks for, each with the model's name; None where that is the same."""
    asked = {name: model.spelled(name) for name in config.get("outputs", ())}
    return asked if any(name != own for name, own in asked.items()) else None


def validate_inputs(model: Model, inputs: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Points]]:
    """Return the constants and points of a step's inputs, checked.

    Raises
    ------
    InvalidOverride
        If a key, a constant or points aren't known, or a value isn't a finite number or points.
    """
    if not isinstance(inputs, Mapping):
        raise InvalidOverride.of("inputs", inputs, "it must be a mapping")
    for key in inputs:
        if key not in _SETTABLE:
            reason = f"a step takes {' and '.join(_SETTABLE)}"
            raise InvalidOverride.of(key, inputs[key], reason, known=_SETTABLE)
    constants = {
        name: _checked_constant(model, name, value)
        for name, value in _spelled(model, inputs, "constants").items()
    }
    points: dict[str, Points] = {}
    for name, value in _spelled(model, inputs, "points").items():
        if name not in model.table_names:
            reason = "the model has no points of that name"
            raise InvalidOverride.of(name, value, reason, part="points", known=model.table_names)
        points[name] = overriding_points(name, value)
    return constants, points


def _spelled(model: Model, inputs: Mapping[str, Any], key: str) -> Mapping[Any, Any]:
    """Return a part of the inputs by the names that the model has."""
    given = inputs.get(key, {})
    if not isinstance(given, Mapping):
        raise InvalidOverride.of(key, given, "it must be a mapping of names to values")
    return by_own_names(given, key, model.spelled)


def _array_of(cells: Sequence[str]) -> str:
    shown = ", ".join(cells[:3])
    return f"it is an array; set its cells, {shown}{' …' if len(cells) > 3 else ''}"


def _checked_constant(model: Model, name: object, value: object) -> float:
    element = model.elements.get(name) if isinstance(name, str) else None
    if element is None:
        cells = [cell for cell in model.overridable if cell.startswith(f"{name}[")]
        reason = _array_of(cells) if cells else "the model has no such constant"
        raise InvalidOverride.of(name, value, reason, part="constants", known=model.overridable)
    if element.arrayed:
        reason = f"it is an array; set its cells, {element.cell_names()}"
        raise InvalidOverride.of(name, value, reason, part="constants")
    if not element.overridable:
        formula = " with a formula" if element.kind == "converter" else ""
        reason = (
            f"it is a {element.kind}{formula}; only constants, converters that are a bare number, and points "
            "can be overridden"
        )
        raise InvalidOverride.of(name, value, reason, part="constants")
    number = finite(value)
    if number is None:
        raise InvalidOverride.of(name, value, "a constant is a finite number", part="constants")
    return number


def _simulation(model: Model, config: Mapping[str, Any], answers: Answers | None = None) -> ModelSimulation:
    """Return a simulation at its start, with the config checked."""

    def wrong(reason: str) -> InvalidRunSpecs:
        return InvalidRunSpecs(name=model.name, reason=reason)

    for key in config:
        if key not in _CONFIG:
            raise wrong(f"{key!r} is not known.{suggest(str(key), _CONFIG)}")
    dt = config.get("dt", model.dt)
    timestep = config.get("timestep")
    specs = RunSpecs(
        starttime=config.get("starttime", model.starttime),
        stoptime=config.get("stoptime", model.stoptime),
        dt=dt,
        timestep=model.timestep(dt) if timestep is None else timestep,
        method=config.get("method", model.method),
        name=model.name,
    )
    outputs = config.get("outputs", model.outputs)
    if not isinstance(outputs, list | tuple):
        raise wrong(f"outputs must be a list of names, not {outputs!r:.80}")
    own = [model.known(name, "The list of outputs") for name in outputs]
    seed, stream = config.get("seed", 0), config.get("stream", "")
    if isinstance(seed, bool) or not isinstance(seed, int) or not -(1 << 63) <= seed < 1 << 64:
        raise wrong(f"the seed must be an integer of up to 64 bits, not {seed!r:.80}")
    if not isinstance(stream, str):
        raise wrong(f"the stream must be a string, not {stream!r:.80}")
    overrides = {key: config[key] for key in _SETTABLE if key in config}
    constants, points = validate_inputs(model, overrides)
    return ModelSimulation(
        model,
        specs,
        list(dict.fromkeys(own)),
        seed=seed,
        stream=stream,
        constants=constants,
        points=points,
        answers=answers,
    )

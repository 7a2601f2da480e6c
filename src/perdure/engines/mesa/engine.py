"""The engine of Mesa's models: built anew and filled with all data that they had, so that they go on exactly.

Mesa 3 is the library of agent-based models at https://mesa.readthedocs.io. A model's class isn't changed for
this engine. Its state is the graph of its objects: `graph` takes it apart and makes it again.
"""

import gc
import importlib
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from perdure.engines.json_data import copied
from perdure.engines.mesa.function_caches import cached_functions, forget, remembered
from perdure.engines.mesa.graph import rebuilt, recorded
from perdure.engines.mesa.known_code import KnownCode, mesa_modules
from perdure.engines.mesa.outputs import outputs_of
from perdure.engines.model_class import ModelClass, identity_of, load_package
from perdure.engines.python_script.raised import definition
from perdure.errors import Invalid, NotSnapshotable, Refused, suggest
from perdure.state.codec import State

__all__ = ["MesaEngine"]

_SETTINGS = ("simulator",)
_COLLECTED_EVERY = 64  # steps


class MesaEngine:
    """Runs a Mesa model; implements `perdure.engines.base.Engine`, `Asking` and `Identified`.

    The first step builds the model; its inputs are arguments of the model's class. Each later one is a call
    of the model's ``step``; its inputs are attributes of the model, which are set before.

    Weak references, which Mesa's sets of agents consist of, show whether Python has removed unused objects.
    So that this is the same in each run, the garbage collector works after every 64th step, and only then.
    """

    isolated: ClassVar[bool] = True  # it replaces generators and clocks, and controls the garbage collector

    @classmethod
    def identify(cls, config: Mapping[str, Any]) -> State:
        """Return the config, a hash of each file of the model, and Mesa's version."""
        return identity_of(config, "mesa", "mesa", _SETTINGS)

    def __init__(self) -> None:
        self._class: ModelClass | None = None
        self._answers: State = None
        self._timestep = 1.0
        self._simulator_kind: str | None = None
        self._start: State = None  # of its generators
        self._model: Any = None
        self._reset()

    def _reset(self) -> None:
        """Drop the model."""
        if self._model is not None:
            _ids_of(self._model).pop(self._model, None)
        self._model = None
        self._simulator: Any = None
        self._begun: dict[str, Any] = {}
        self._steps = 0
        self._events = itertools.count()

    @property
    def time(self) -> float:
        """The number of the model's steps × the time step."""
        return self._steps * self._timestep

    @property
    def finished(self) -> bool:
        """Whether the model has set its attribute ``running`` to False."""
        return self._model is not None and not self._model.running

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Load the model's class.

        Parameters
        ----------
        config
            ``model``, the class as ``module:class``; ``folder``, the folder of its modules, by default the
            one that the module is in; ``arguments``, keyword arguments for the class; ``simulator``, the
            class of `mesa.experimental.devs` whose instance the class gets as the argument of that name, by
            default ``ABMSimulator``; ``name``; ``seed`` and ``timestep``.

        Raises
        ------
        MissingExtra
            If Mesa isn't installed.
        Invalid
            If the config names no class of models.
        ScriptFailed
            If its module can't be loaded.
        """
        mesa = load_package("mesa", "An engine of the kind 'mesa'")
        self._timestep = float(config["timestep"])
        self._class = ModelClass(config, _SETTINGS)
        self._class.part.clock.give(self._answers)
        made = self._class.made
        if not (isinstance(made, type) and issubclass(made, mesa.Model)):
            raise Invalid(f"{config['model']} is no class that is derived from mesa.Model.")
        self._simulator_kind = config.get("simulator", "ABMSimulator")
        self._start = self._class.part.generators.snapshot()
        gc.disable()

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Raise what `step` would raise for these inputs; changes nothing.

        Raises
        ------
        Invalid
            If the model has no such argument to begin with, or no such attribute later.
        """
        self._checked(inputs)

    def step(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Build the model, or set its attributes and call its ``step``; return its outputs.

        Raises
        ------
        Invalid
            If an input is refused; nothing has changed then.
        ScriptFailed
            If the model raises; the engine can't be used any more.
        """
        given = self._checked(inputs)
        part = self._loaded.part
        if self._model is None:
            with part.running("when the model was made"), self._counting():
                self._build(given)
                return self._outputs()
        with part.running(f"in step {self._steps + 1}"), self._counting():
            for name, value in given.items():
                setattr(self._model, name, value)
            part.at = definition(type(self._model).step)
            if self._simulator is None:
                self._model.step()
            else:
                self._simulator.run_for(self._ticks)
            self._steps += 1
            if self._steps % _COLLECTED_EVERY == 0:
                gc.collect()
            return self._outputs()

    def snapshot(self) -> State:
        """Return the state of the model: its objects, own modules and generators.

        Raises
        ------
        NotSnapshotable
            If something can't be restored as it is; the message names it.
        """
        if self._model is None:
            return None
        part = self._loaded.part
        state: dict[str, State] = {
            "begun": self._begun,
            "steps": self._steps,
            "modules": [*part.modules],
            "generators": part.generators.snapshot(),
            "graph": recorded(self._roots(), self._code, [*part.modules.values()]),
        }
        return state

    def restore(self, state: Any) -> None:
        """Build the model anew, and go to a state that `snapshot` returned under the same config."""
        if state is None:
            return
        part = self._loaded.part
        self._reset()
        part.generators.restore(self._start)
        former = remembered(cached_functions(mesa_modules()))
        with part.running("when the model was made again"), self._counting():
            self._build(state["begun"])
            for name in state["modules"]:
                importlib.import_module(name)
        forget(self._code.caches, former)  # what belongs to this model, which is only needed for its code
        roots = rebuilt(state["graph"], self._code)
        _ids_of(self._model).pop(self._model, None)
        self._model, self._simulator = roots["model"], roots["simulator"]
        self._events = roots["events"]
        if roots["ids"] is not None:
            _ids_of(self._model)[self._model] = roots["ids"]
        self._steps = state["steps"]
        part.generators.restore(state["generators"])
        part.clock.take()

    def give_answers(self, answers: State) -> None:
        """Let the model read these values from clocks in its next step."""
        if self._class is None:
            self._answers = answers
        else:
            self._class.part.clock.give(answers)

    def take_answers(self) -> State:
        """Return the model's readings of clocks since the last call."""
        return None if self._class is None else self._class.part.clock.take()

    def close(self) -> None:
        """Drop the model."""
        if self._class is not None:
            self._class = None
            self._reset()
            gc.enable()

    def _build(self, inputs: Mapping[str, Any]) -> None:
        """Make the model, and note the code that exists then."""
        model_class = self._loaded
        if model_class.takes("simulator"):
            self._simulator = self._new_simulator()
        self._code = KnownCode(lambda: model_class.part.modules)
        self._begun = {**inputs}
        self._model = model_class.make(inputs, {"simulator": self._simulator})
        if self._simulator is not None and self._simulator.model is None:
            self._simulator.setup(self._model)
        with suppress(NotSnapshotable):  # each savepoint reports it
            recorded(self._roots(), self._code, [*model_class.part.modules.values()])
        self._code.settle()

    def _new_simulator(self) -> Any:
        from mesa.experimental import devs

        kind = getattr(devs, str(self._simulator_kind), None)
        if not (isinstance(kind, type) and hasattr(kind, "run_for")):
            raise Invalid(f"mesa.experimental.devs has no simulator {self._simulator_kind!r}.")
        return kind()

    def _outputs(self) -> dict[str, Any]:
        return outputs_of(self._model, self._loaded.name)

    @property
    def _ticks(self) -> float:
        """The length of a step for the simulator, which counts whole steps or measures time."""
        return 1 if self._simulator.time_unit is int else self._timestep

    def _roots(self) -> dict[str, Any]:
        return {
            "model": self._model,
            "simulator": self._simulator,
            "ids": _ids_of(self._model).get(self._model),
            "events": self._events,
        }

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Let the events of this model be numbered by themselves."""
        numbered = _numbered_events()
        if numbered is None:
            yield
            return
        former = numbered._ids
        numbered._ids = self._events
        try:
            yield
        finally:
            numbered._ids = former

    def _checked(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        model_class = self._loaded
        if self._model is None:
            model_class.check(inputs)
        else:
            public = [name for name in vars(self._model) if not name.startswith("_")]
            for name in inputs:
                if name.startswith("_") or not hasattr(self._model, name):
                    raise Invalid(
                        f"The model of the engine {model_class.name!r} has no attribute {name!r}."
                        f"{suggest(name, public)}"
                    )
        return {name: copied(data, name, model_class.name) for name, data in inputs.items()}

    @property
    def _loaded(self) -> ModelClass:
        if self._class is None:
            raise Refused("The engine isn't initialised; call `initialize` first.")
        return self._class


def _numbered_events() -> Any:
    """Return the class that numbers its events by a counter of its own; some versions of Mesa have none."""
    try:
        devs = importlib.import_module("mesa.experimental.devs")
    except ModuleNotFoundError:
        return None
    events = getattr(devs, "SimulationEvent", None)
    return events if hasattr(events, "_ids") else None


def _ids_of(model: Any) -> Any:
    """Return the counters of agents by model, which some versions of Mesa keep in the class of agents."""
    from mesa import Agent

    return getattr(Agent, "_ids", {})

"""The engine of SimPy's models: an environment with processes, which goes on from its inputs.

SimPy is the library of discrete-event simulation at https://simpy.readthedocs.io. Its processes are
generators, which Python can't save. So the state of such a model is what it was given since its start: a
restore makes the model anew and gives it that again.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from perdure.engines.json_data import copied
from perdure.engines.model_class import ModelClass, identity_of, load_package
from perdure.engines.python_script.raised import definition
from perdure.errors import Invalid, NotSnapshotable, Refused, suggest
from perdure.state.codec import State

__all__ = ["SimPyEngine"]

_SIMPLE = (bool, int, float, str, np.number, np.bool_)


class SimPyEngine:
    """Runs a SimPy model; implements `perdure.engines.base.Engine`, `Asking` and `Identified`.

    A model is made by a class or function with the parameter ``env``, which gets a `simpy.Environment`, or
    that makes one and keeps it in the attribute ``env``. What it returns, an object or a dict, is the model.

    The first step makes the model; its inputs are arguments of the class or function. Each later one runs the
    environment for one time step; its inputs are attributes, or items, of the model, which are set before.
    Events at the very end of a step belong to the next one, as in SimPy's ``run(until=…)``.
    """

    isolated: ClassVar[bool] = True  # it replaces generators and clocks of its process

    @classmethod
    def identify(cls, config: Mapping[str, Any]) -> State:
        """Return the config, a hash of each file of the model, and SimPy's version."""
        return identity_of(config, "simpy", "simpy")

    def __init__(self) -> None:
        self._class: ModelClass | None = None
        self._answers: State = None
        self._timestep = 1.0
        self._model: Any = None
        self._env: Any = None
        self._start = 0.0
        self._steps = 0

    @property
    def time(self) -> float:
        """Simulation time reached, in the environment's unit."""
        return self._start + self._steps * self._timestep

    @property
    def finished(self) -> bool:
        """Whether no event is left that could happen."""
        if self._env is None:
            return False
        # What ended the last run is left there, with a priority that nothing else has.
        return all(priority < 0 for _, priority, *_ in self._env._queue[:2])

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Load the class or function that makes the model.

        Parameters
        ----------
        config
            ``model``, the class or function as ``module:name``; ``folder``, the folder of its modules, by
            default the one that the module is in; ``arguments``, keyword arguments for it; ``name``; ``seed``
            and ``timestep``.

        Raises
        ------
        MissingExtra
            If SimPy isn't installed.
        Invalid
            If the config names no class or function.
        ScriptFailed
            If its module can't be loaded.
        """
        load_package("simpy", "An engine of the kind 'simpy'")
        self._timestep = float(config["timestep"])
        self._class = ModelClass(config)
        self._class.part.clock.give(self._answers)

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Raise what `step` would raise for these inputs; changes nothing.

        Raises
        ------
        Invalid
            If the model has no such argument to begin with, or no such attribute or item later.
        """
        self._checked(inputs)

    def step(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Make the model, or set its attributes and run its environment; return its outputs.

        Raises
        ------
        Invalid
            If an input is refused; nothing has changed then.
        ScriptFailed
            If the model raises; the engine can't be used any more.
        """
        given = self._checked(inputs)
        part = self._loaded.part
        if self._env is None:
            with part.running("when the model was made"):
                self._build(given)
                return self._outputs()
        end = self._start + (self._steps + 1) * self._timestep
        with part.running(f"on the way to {end:g}"):
            for name, value in given.items():
                if isinstance(self._model, dict):
                    self._model[name] = value
                else:
                    setattr(self._model, name, value)
            part.at = definition(self._loaded.made)
            self._env.run(until=end)
            self._steps += 1
            return self._outputs()

    def snapshot(self) -> State:
        """Return None before the first step.

        Raises
        ------
        NotSnapshotable
            After that: processes are generators.
        """
        if self._env is None:
            return None
        raise NotSnapshotable(
            what=f"the engine {self._loaded.name!r}",
            reason="SimPy's processes are generators, which Python can't save",
        )

    def restore(self, state: State) -> None:
        """Stay at the start: there is no other state."""

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
        """Drop the model and its processes."""
        if self._class is not None:
            with self._class.part.running("when its processes were ended"):
                self._model = self._env = None
            self._class = None

    def _build(self, inputs: Mapping[str, Any]) -> None:
        import simpy

        env = simpy.Environment() if self._loaded.takes("env") else None
        self._model = self._loaded.make(inputs, {"env": env})
        env = getattr(self._model, "env", env)
        if not isinstance(env, simpy.Environment) or isinstance(env, simpy.RealtimeEnvironment):
            raise Invalid(
                f"The model of the engine {self._loaded.name!r} needs a simpy.Environment, as its parameter "
                f"or its attribute `env`, which is {env!r:.80}."
            )
        self._env, self._start = env, float(env.now)

    def _outputs(self) -> dict[str, Any]:
        """Return what the model's method ``outputs`` returns, else its public numbers and texts."""
        name = self._loaded.name
        asked = getattr(self._model, "outputs", None)
        if callable(asked):
            self._loaded.part.at = definition(asked)
            outputs: dict[str, Any] = copied(asked(), "outputs", name)
            return outputs
        found = self._model if isinstance(self._model, dict) else vars(self._model or object)
        public = {key: value for key, value in found.items() if not key.startswith("_")}
        return {key: copied(value, key, name) for key, value in public.items() if isinstance(value, _SIMPLE)}

    def _checked(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        name = self._loaded.name
        if self._env is None:
            self._loaded.check(inputs)
        else:
            there = self._model if isinstance(self._model, dict) else getattr(self._model, "__dict__", {})
            public = [key for key in there if not key.startswith("_") and key != "env"]
            for port in inputs:
                if port not in public:
                    raise Invalid(
                        f"The model of the engine {name!r} has no attribute {port!r}.{suggest(port, public)}"
                    )
        return {port: copied(data, port, name) for port, data in inputs.items()}

    @property
    def _loaded(self) -> ModelClass:
        if self._class is None:
            raise Refused("The engine isn't initialised; call `initialize` first.")
        return self._class

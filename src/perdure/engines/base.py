"""The engine port: what a simulator must answer so that a run on it can be resumed exactly.

The law of engines, checked by `perdure.testing.engines.EngineConformance`: snapshot at any step, restore into
a fresh engine, go on, and every later output is bit-identical, random draws included.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from perdure.state.codec import State

__all__ = ["Asking", "Engine", "Modular", "Observable", "State"]


@runtime_checkable
class Engine(Protocol):
    """A simulator that advances in steps and whose whole state is data.

    A step may raise `perdure.errors.PerdureError`; the engine is then dropped, never used again, and the
    caller restores a fresh one from the last state that was committed.
    """

    @property
    def time(self) -> float:
        """Simulation time of the last answer, in the model's own unit; the start time before the first."""
        ...

    @property
    def finished(self) -> bool:
        """Whether nothing is left to step."""
        ...

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Put the engine at its start; `config` is plain data, and the same config gives the same run."""
        ...

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Raise what `step` would raise for these inputs; changes nothing."""
        ...

    def step(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Advance by ``config["timestep"]``: inputs and outputs map port names to data."""
        ...

    def snapshot(self) -> State:
        """Return everything a fresh engine needs to go on exactly; raise `NotSnapshotable` if it can't."""
        ...

    def restore(self, state: State) -> None:
        """Go to the state that `snapshot` returned, on an engine initialised with the same config."""
        ...

    def close(self) -> None:
        """Free what the engine holds; it isn't used afterwards."""
        ...


@runtime_checkable
class Asking(Protocol):
    """What asks for what can't be computed again, such as a clock or the modeller's own generator.

    What it is answered belongs to the inputs of its start, or of a step, and is recorded with them.
    """

    def take_answers(self) -> State:
        """Return, once, what it was answered at its start or in its last step; None if it asked nothing."""
        ...

    def give_answers(self, answers: State) -> None:
        """Give it what `take_answers` returned, so that it asks for nothing when it does the same again.

        It is called before `initialize`, or before a step. Whatever the engine asks for besides, it is
        answered anew: a caller that needs it exactly compares what `take_answers` returns then.
        """
        ...


@runtime_checkable
class Observable(Protocol):
    """An engine that can tell its outputs before it is stepped; another's first step answers its start."""

    def outputs(self) -> Mapping[str, Any]:
        """Return the outputs as they are now; changes nothing."""
        ...


@runtime_checkable
class Modular(Protocol):
    """An engine whose code has modules of its own, which aren't in `sys.modules`."""

    @property
    def modules(self) -> Mapping[str, ModuleType]:
        """These modules, by name."""
        ...

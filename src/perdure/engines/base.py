"""The engine port: what a simulator must implement so that a run on it can be resumed exactly.

The law of engines, checked by `perdure.testing.engines.EngineConformance`: snapshot at any step, restore into
a fresh engine, and continue: every later output is bit-identical, random draws included.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from perdure.state.codec import State

__all__ = ["Asking", "Engine", "Identified", "Modular", "Observable", "Replayable", "State", "Visible"]


@runtime_checkable
class Engine(Protocol):
    """A simulator that advances in steps and whose whole state is data.

    A class with ``isolated = True`` needs its own process, because it may crash or changes shared state of
    its process. Sessions always isolate it; experiments do so if their configuration says so.

    A class with ``waits = True`` may wait in a step until another engine of its process has finished one.
    Sessions never step it in the event loop.

    A class with ``plain = True`` returns outputs that are State and that it doesn't change later. In a
    process of its own they are sent as they are; those of others are copied, and must be JSON.

    An engine may have an attribute ``reusable``, read after `close`: whether another one may be made in its
    process.

    A step may raise `perdure.errors.PerdureError`; the caller then drops the engine and restores a fresh one
    from the last committed state.
    """

    @property
    def time(self) -> float:
        """Simulation time of the last outputs, in the model's own unit; the start time before the first."""
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
        """Return all that a fresh engine needs to continue exactly; raise `NotSnapshotable` if it can't."""
        ...

    def restore(self, state: State) -> None:
        """Go to the state that `snapshot` returned, on an engine initialised with the same config.

        `snapshot` then returns an equal state, bit for bit, with its dicts in the same order.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds; it isn't used afterwards."""
        ...


@runtime_checkable
class Asking(Protocol):
    """An engine that asks for values that can't be computed again, such as a clock's.

    The answers are recorded with the inputs of its start, or of a step.
    """

    def take_answers(self) -> State:
        """Return, once, the answers of its start or its last step; None if it asked nothing."""
        ...

    def give_answers(self, answers: State) -> None:
        """Provide what `take_answers` returned, so that a repeated start or step gets the same answers.

        Called before `initialize`, or before a step. Further questions are answered anew: a caller that needs
        an exact repetition compares what `take_answers` returns afterwards.
        """
        ...


@runtime_checkable
class Replayable(Protocol):
    """An engine that repeats its inputs in a restore where its snapshot can't hold its state."""

    @property
    def refusal(self) -> str | None:
        """Why the last snapshot couldn't hold the state; None if it could, or there was none."""
        ...


@runtime_checkable
class Observable(Protocol):
    """An engine whose outputs can be read before its first step; the first step of others returns them."""

    def outputs(self) -> Mapping[str, Any]:
        """Return the outputs as they are now; changes nothing."""
        ...


@runtime_checkable
class Visible(Protocol):
    """An engine with a scene, of which another process can draw a picture."""

    def scene(self) -> State:
        """Return a copy of what a picture shows; raise `NotSnapshotable` if there is none.

        It changes nothing.
        """
        ...


@runtime_checkable
class Identified(Protocol):
    """An engine whose class names further code and data, besides its own module, that compute a run."""

    @classmethod
    def identify(cls, config: Mapping[str, Any]) -> State:
        """Return plain data that differ whenever a run with this config may have other numbers."""
        ...


@runtime_checkable
class Modular(Protocol):
    """An engine whose code has its own modules, which aren't in `sys.modules`."""

    @property
    def modules(self) -> Mapping[str, ModuleType]:
        """These modules, by name."""
        ...

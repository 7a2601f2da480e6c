"""The keeper: the port through which a simulation is kept, steered and watched from outside.

In a run's process it is the `RunContext`; a simulation knows nothing else of the world.
"""

import threading
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from perdure.run import Entry
from perdure.state.savepoint import Savepoint

__all__ = ["Control", "Keeper", "control_of"]


class Control(StrEnum):
    """What is wanted of a simulation."""

    RUNNING = "running"
    PAUSED = "paused"
    PREEMPTED = "preempted"  # it saves and ends, since another process goes on with it
    STOPPING = "stopping"


class Keeper(Protocol):
    """Keeps a simulation. `progress`, `write_line` and `print_line` are called from any thread."""

    def append(self, entries: Sequence[Entry], savepoint: Savepoint) -> None:
        """Make entries and a savepoint durable, all or nothing; return when they are."""
        ...

    def arrived(self) -> None:
        """Take note that a simulation that goes on has come as far, and its files are, as at its savepoint.

        What was printed so far is to be dropped: it has said that before.
        """
        ...

    @property
    def stopping(self) -> bool:
        """Whether an end is wanted."""
        ...

    @property
    def preempted(self) -> bool:
        """Whether the worker is about to end."""
        ...

    @property
    def pausing(self) -> bool:
        """Whether a pause is wanted."""
        ...

    def hold(self) -> object:
        """Return when something else than a pause is wanted."""
        ...

    @property
    def watched(self) -> threading.Event:
        """Set while somebody wants to see the simulation; looked at between any two steps."""
        ...

    def show(self, view: bytes) -> None:
        """Take what somebody sees, who then has to ask again: `watched` is cleared."""
        ...

    def progress(self, report: Mapping[str, Any]) -> None:
        """Take a report of how far it got; the latest counts."""
        ...

    def write_line(self, text: str, level: str) -> None:
        """Take a line of the script's log."""
        ...

    def print_line(self, text: str, level: str) -> bool:
        """Take a line that was printed, as it is; return whether that can be done now."""
        ...


def control_of(keeper: Keeper) -> Control:
    """Return what a simulation should do next; never waits, since it is called before each step."""
    if keeper.stopping:
        return Control.STOPPING
    if keeper.preempted:
        return Control.PREEMPTED
    return Control.PAUSED if keeper.pausing else Control.RUNNING

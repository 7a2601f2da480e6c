"""The entity: one stateful part of a run. It decides when its state goes into savepoints."""

from collections.abc import Callable
from typing import Any

from perdure.state.codec import State, encode
from perdure.state.grid import Schedule, next_savepoint
from perdure.state.savepoint import Savepoint

__all__ = ["Entity", "Save"]

Save = Callable[[str, int, bytes], Savepoint | None]
"""Takes an entity's id, a timestamp and its encoded state; returns the savepoint that this completed."""


class Entity:
    """One stateful part of a run.

    Parameters
    ----------
    id
        Its name within the run.
    state
        Its state at `timestamp`.
    timestamp
        Where it starts; its first savepoint lies after it.
    schedule
        Distance between savepoints; None never saves.
    save
        Receives encoded states: `RunState.save`, or the state store's method.
    """

    def __init__(self, id: str, state: Any, timestamp: int, schedule: Schedule, save: Save) -> None:
        self.id = id
        self.state = state
        self._schedule = schedule
        self._save = save
        self.next_savepoint = None if schedule is None else next_savepoint(schedule, timestamp)

    def update_state(self, state: Any) -> None:
        """Set the state; a later acknowledgement saves it."""
        self.state = state

    def ack_processed_time(
        self, timestamp: int, transform: Callable[[Any], State] | None = None
    ) -> Savepoint | None:
        """Confirm that everything before `timestamp` was processed.

        Call it *before* processing what happens then.

        At or past the next savepoint the state is encoded at once, so that a savepoint never aliases live
        state. `transform` converts the live state into plain data; it is called only then. If it fails,
        nothing is saved, and a later acknowledgement tries again.

        Returns
        -------
        Savepoint or None
            The savepoint that this completed.
        """
        if self._schedule is None or self.next_savepoint is None or timestamp < self.next_savepoint:
            return None
        state = encode(self.state if transform is None else transform(self.state))
        completed = self._save(self.id, timestamp, state)
        self.next_savepoint = next_savepoint(self._schedule, timestamp)
        return completed

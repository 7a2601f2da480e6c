"""The run state: which savepoints are open, which entities each of them lacks, and when one is complete.

It does no input or output and reads no clock: it receives saves and returns the savepoint that each of them
completes. Its caller publishes that savepoint. The semantics are those of the state store of Altworx Runbox
(seed 002).
"""

from collections.abc import Iterable, Mapping

from perdure.errors import Invalid, UnknownEntity
from perdure.state.grid import Schedule, next_savepoint, previous_savepoint
from perdure.state.savepoint import Savepoint

__all__ = ["MAX_OPEN", "RunState"]

MAX_OPEN = 64


class RunState:
    """The open savepoints of one run.

    Parameters
    ----------
    schedule
        Distance between savepoints, in the run's integer time; None never saves.
    start
        Timestamp at which the run starts or was loaded; savepoints lie after it.
    entities
        Ids of the stateful parts.
    max_open
        Maximum number of open savepoints, at least 2. Beyond it the oldest stay open, so that a slow entity
        can complete them, and the last one is replaced by that of the newest grid point.
    """

    def __init__(
        self, schedule: Schedule, start: int, entities: Iterable[str], *, max_open: int = MAX_OPEN
    ) -> None:
        if schedule is not None and schedule < 1:
            raise Invalid(f"A savepoint schedule is a positive integer or None, not {schedule}.")
        self.schedule = schedule
        self._max_open = max(2, max_open)
        self._joined: dict[str, int] = dict.fromkeys(entities, start)
        self._seen: dict[str, int] = dict(self._joined)
        self._frozen: dict[str, tuple[int, bytes]] = {}
        self._open: dict[int, dict[str, bytes]] = {}
        if schedule is not None:
            self._open[next_savepoint(schedule, start)] = {}

    @property
    def open(self) -> tuple[int, ...]:
        """Timestamps of the savepoints that still lack an entity, ascending."""
        return tuple(self._open)

    @property
    def entities(self) -> tuple[str, ...]:
        """Ids of the entities that take part, without those that left."""
        return tuple(self._joined)

    def save(self, entity: str, timestamp: int, state: bytes) -> Savepoint | None:
        """Fill every open savepoint at or before `timestamp` that still lacks the entity.

        The first write wins. Returns the newest of the savepoints that this completes, or None.
        """
        if entity not in self._joined:
            raise UnknownEntity(entity=entity)
        self._seen[entity] = max(self._seen[entity], timestamp)
        self._extend(timestamp)
        for at, states in self._open.items():
            if self._joined[entity] < at <= timestamp:
                states.setdefault(entity, state)
        return self._complete()

    def join(self, entity: str, timestamp: int) -> None:
        """Add an entity: it counts for savepoints after `timestamp`.

        The id of an entity that left can't be used again, so that a savepoint never mixes the two.
        """
        if entity in self._joined or entity in self._frozen:
            raise Invalid(f"The entity id {entity!r} is taken in this run; join with another.")
        self._joined[entity] = timestamp
        self._seen[entity] = timestamp

    def leave(self, entity: str, timestamp: int, state: bytes) -> Savepoint | None:
        """Remove an entity and freeze its last state. Returns the savepoint that this completes, or None."""
        if entity not in self._joined:
            raise UnknownEntity(entity=entity)
        self._extend(timestamp)
        self._frozen[entity] = (self._joined.pop(entity), state)
        del self._seen[entity]
        return self._complete(None if self._joined else timestamp)

    def silent(self, limit: int) -> Mapping[str, int]:
        """Return the entities more than `limit` savepoints behind the foremost, with their last timestamp."""
        if self.schedule is None or not self._seen:
            return {}
        foremost = max(self._seen.values())
        return {name: at for name, at in self._seen.items() if foremost - at > limit * self.schedule}

    def _extend(self, timestamp: int) -> None:
        """Open the savepoints up to `timestamp`; at most `max_open` are open."""
        if self.schedule is None:
            return
        newest = previous_savepoint(self.schedule, timestamp)
        at = next(reversed(self._open)) + self.schedule
        while at <= newest and len(self._open) < self._max_open - 1:
            self._open[at] = {}
            at += self.schedule
        if at <= newest:
            if len(self._open) == self._max_open:
                self._open.popitem()
            self._open[newest] = {}

    def _complete(self, until: int | None = None) -> Savepoint | None:
        """Close the complete savepoints and return the newest of them.

        When the last entity has left, savepoints after `until` stay incomplete, since no entity reaches them.
        """
        newest: Savepoint | None = None
        for at, states in list(self._open.items()):
            if until is not None and at > until:
                break
            if any(joined < at and entity not in states for entity, joined in self._joined.items()):
                continue
            frozen = {name: state for name, (joined, state) in self._frozen.items() if joined < at}
            newest = Savepoint(timestamp=at, entities=frozen | states)
            del self._open[at]
        if newest is not None and not self._open and self.schedule is not None:
            self._open[newest.timestamp + self.schedule] = {}
        return newest

"""The state store: combines run state and storage, with the interface of seed 002.

It is for runs that have savepoints only. Drivers that keep a step log use `RunState` directly and commit
savepoints together with the log.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from perdure.errors import CorruptBlob, NewerSchema, NoSavepoint, PerdureError
from perdure.state.codec import State, decode, encode
from perdure.state.entity import Entity
from perdure.state.grid import Schedule
from perdure.state.run_state import RunState
from perdure.state.savepoint import Savepoint

__all__ = ["StateStore", "Storage", "newest_intact"]

SILENCE_LIMIT = 8  # savepoints that an entity may lag behind the foremost one before it is reported

EntityStates = Mapping[str, State]

log = structlog.get_logger(__name__)


class Storage(Protocol):
    """Keeps the savepoints of one run. Every call returns when its effect is durable."""

    def initialize(self) -> None:
        """Create the entry of the run; does nothing if it exists."""
        ...

    def initialized(self) -> bool:
        """Return whether the run has an entry."""
        ...

    def publish(self, savepoint: Savepoint) -> None:
        """Keep a savepoint and delete those that retention no longer keeps, in one transaction."""
        ...

    def timestamps(self) -> Sequence[int]:
        """Return the timestamps of all kept savepoints, ascending."""
        ...

    def load(self, timestamp: int) -> Savepoint:
        """Return a savepoint; raise `CorruptBlob` or `NewerSchema` if it can't be read."""
        ...

    def delete(self) -> None:
        """Delete the run and its savepoints."""
        ...


def newest_intact(
    run_id: str, timestamps: Sequence[int], load: Callable[[int], Savepoint]
) -> tuple[Savepoint, list[int]]:
    """Return the newest readable savepoint, and the timestamps of newer ones that are damaged.

    A savepoint that a newer version of Perdure wrote counts as damaged, since this version can't read it.

    Raises
    ------
    NoSavepoint
        If none is intact.
    """
    damaged: list[int] = []
    for timestamp in sorted(timestamps, reverse=True):
        try:
            return load(timestamp), damaged
        except (CorruptBlob, NewerSchema) as error:
            log.error(
                "savepoint_damaged", run=run_id, timestamp=timestamp, code=error.code, reason=str(error)
            )
            damaged.append(timestamp)
    raise NoSavepoint(run=run_id)


class StateStore:
    """The state of one run, collected into savepoints.

    Parameters
    ----------
    run_id
        The run.
    schedule
        Distance between savepoints in the run's integer time; None never saves.
    storage
        Where its savepoints are kept.
    """

    def __init__(self, run_id: str, schedule: Schedule, storage: Storage) -> None:
        self.run_id = run_id
        self._schedule = schedule
        self._storage = storage
        self._run_state: RunState | None = None
        self._silent: frozenset[str] = frozenset()

    @property
    def open(self) -> tuple[int, ...]:
        """Timestamps of the savepoints that still lack an entity, ascending."""
        return self._live().open

    def initialized(self) -> bool:
        """Return whether this or another process has initialised the run."""
        return self._storage.initialized()

    def init_run_state(self, timestamp: int, entity_states: EntityStates) -> list[Entity]:
        """Begin a new run at `timestamp` with these entities, and return them."""
        self._storage.initialize()
        return self._begin(timestamp, entity_states)

    def load_run_state(
        self,
        update_fn: Callable[[EntityStates], EntityStates] | None = None,
        *,
        timestamp: int | None = None,
    ) -> tuple[int, list[Entity]]:
        """Load the newest intact savepoint, or the one at `timestamp`.

        Parameters
        ----------
        update_fn
            Upgrades the states (entity id to state) to a new version of the program; its result is committed
            at once.
        timestamp
            Load exactly this savepoint.

        Returns
        -------
        (int, list of Entity)
            The savepoint's timestamp, and the entities with their states in it.

        Raises
        ------
        NoSavepoint
            If the run has no intact savepoint.
        """
        self._storage.initialize()
        if timestamp is None:
            savepoint, _ = newest_intact(self.run_id, self._storage.timestamps(), self._storage.load)
        else:
            savepoint = self._storage.load(timestamp)
        states: EntityStates = {name: decode(blob) for name, blob in savepoint.entities.items()}
        if update_fn is not None:
            states = update_fn(states)
            encoded = {name: encode(state) for name, state in states.items()}
            self._storage.publish(Savepoint(timestamp=savepoint.timestamp, entities=encoded))
        return savepoint.timestamp, self._begin(savepoint.timestamp, states)

    def save(self, entity: str, timestamp: int, state: bytes) -> Savepoint | None:
        """Save an entity's encoded state; a savepoint that this completes is durable on return."""
        completed = self._live().save(entity, timestamp, state)
        self._publish(completed)
        self._report_silence()
        return completed

    def join(self, entity: str, timestamp: int, state: State) -> Entity:
        """Add an entity that takes part from `timestamp` on, and return it."""
        self._live().join(entity, timestamp)
        return Entity(entity, state, timestamp, self._schedule, self.save)

    def leave(self, entity: Entity, timestamp: int) -> Savepoint | None:
        """Remove an entity and freeze its last state."""
        completed = self._live().leave(entity.id, timestamp, encode(entity.state))
        self._publish(completed)
        return completed

    def delete_run(self) -> None:
        """Delete the run and all its savepoints."""
        self._storage.delete()
        self._run_state = None

    def _begin(self, timestamp: int, states: Mapping[str, Any]) -> list[Entity]:
        self._run_state = RunState(self._schedule, timestamp, states)
        return [Entity(name, state, timestamp, self._schedule, self.save) for name, state in states.items()]

    def _live(self) -> RunState:
        if self._run_state is None:
            raise PerdureError(f"The run {self.run_id!r} is not live: call init_run_state or load_run_state.")
        return self._run_state

    def _publish(self, savepoint: Savepoint | None) -> None:
        if savepoint is not None:
            self._storage.publish(savepoint)

    def _report_silence(self) -> None:
        silent = self._live().silent(SILENCE_LIMIT)
        for name in silent.keys() - self._silent:
            log.warning("entity_silent", run=self.run_id, entity=name, last_timestamp=silent[name])
        self._silent = frozenset(silent)

"""Savepoints of one run in any store: the newest one, and the storage port of `perdure.state.state_store`."""

import contextlib
from collections.abc import Sequence

from perdure.errors import RunExists, RunNotFound
from perdure.run import Run
from perdure.state.savepoint import Savepoint
from perdure.state.state_store import newest_intact
from perdure.stores.base import Store
from perdure.stores.commands import CreateRun, DeleteRun, PutSavepoint, Unleased, encoded

__all__ = ["SavepointStorage", "newest_savepoint"]


def newest_savepoint(store: Store, run_id: str, since: int = 0) -> Savepoint:
    """Return the newest intact savepoint of a run, of those at this position or later.

    Raises
    ------
    NoSavepoint
        If there is none.
    """
    timestamps = [info.timestamp for info in store.savepoints(run_id) if info.position >= since]
    savepoint, _ = newest_intact(run_id, timestamps, lambda timestamp: store.savepoint(run_id, timestamp))
    return savepoint


class SavepointStorage:
    """The savepoints of one run; every call returns when its effect is durable.

    Parameters
    ----------
    store
        Where they are kept.
    run
        The run to be created if the store holds none with its id.
    """

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run

    def initialize(self) -> None:
        """Create the run; does nothing if it exists."""
        if not self.initialized():
            with contextlib.suppress(RunExists):
                self._store.submit(CreateRun(self._run)).result()

    def initialized(self) -> bool:
        """Return whether the store holds the run."""
        try:
            self._store.run(self._run.id)
        except RunNotFound:
            return False
        return True

    def publish(self, savepoint: Savepoint) -> None:
        """Keep a savepoint and delete those that retention no longer keeps, in one transaction."""
        guard = Unleased.of(self._store.run(self._run.id))
        self._store.submit(PutSavepoint(self._run.id, guard, encoded(savepoint))).result()

    def timestamps(self) -> Sequence[int]:
        """Return the timestamps of all kept savepoints, ascending."""
        return [info.timestamp for info in self._store.savepoints(self._run.id)]

    def load(self, timestamp: int) -> Savepoint:
        """Return a savepoint; raise `CorruptBlob` or `NewerSchema` if it can't be read."""
        return self._store.savepoint(self._run.id, timestamp)

    def delete(self) -> None:
        """Delete the run; does nothing if there is none."""
        with contextlib.suppress(RunNotFound):
            self._store.submit(DeleteRun(self._run.id)).result()

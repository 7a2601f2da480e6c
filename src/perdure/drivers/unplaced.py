"""What takes the executor's place where nothing is worked on: in a command that opens a store by itself."""

from perdure.execution.work import bring_unplaced
from perdure.lifecycle import Wanted
from perdure.stores.base import Store
from perdure.stores.queue import Queued

__all__ = ["Unplaced"]


class Unplaced:
    """An `Executor` that starts nothing: runs wait for a server.

    Parameters
    ----------
    store
        Where runs are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def submit(self, run_id: str) -> None:
        """Leave a run to the server that opens the store next, but pause it if that is wanted."""
        await bring_unplaced(self._store, run_id)

    def needs(self, queued: Queued) -> bool:
        """Return whether a run has to be submitted: only if it is wanted paused."""
        return queued.wanted is Wanted.PAUSED

    async def cancel(self, run_id: str) -> None:
        """Bring a run to its end that is wanted stopped."""
        await bring_unplaced(self._store, run_id)

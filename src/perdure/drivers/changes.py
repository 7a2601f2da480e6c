"""Changes of a run, for whoever waits for something to become so, or follows it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from perdure.lifecycle import RunState
from perdure.stores.base import Committed, Store

__all__ = ["Changes", "changes_of"]


class Changes:
    """An event that is set when a run changes, and the states that it went through; for one event loop."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._changed.set()
        self._states: list[RunState] = []

    def put(self, commit: Committed) -> None:
        """Take note of a change."""
        if not commit.deleted and self._states[-1:] != [commit.state]:
            self._states.append(commit.state)
        self._changed.set()

    async def wait(self) -> None:
        """Return when there was a change since it was cleared."""
        await self._changed.wait()

    def clear(self) -> list[RunState]:
        """Begin anew; return the states that changes since the last time led to, each once in a row."""
        self._changed.clear()
        states, self._states = self._states, []
        return states


@contextmanager
def changes_of(store: Store, run_id: str) -> Iterator[Changes]:
    """Yield changes that are set now, and again after every change of a run until the block ends.

    Who waits for one clears it, and then looks: so no change is missed, though several may be seen as one.
    """
    loop = asyncio.get_running_loop()
    changes = Changes()

    def tell(commit: Committed) -> None:
        if commit.run_id == run_id:
            with suppress(RuntimeError):  # the loop is closing
                loop.call_soon_threadsafe(changes.put, commit)

    unwatch = store.watch(tell)
    try:
        yield changes
    finally:
        unwatch()

"""Changes of a run: an event that is set after each commit, for whoever waits for something to become so."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from perdure.stores.base import Committed, Store

__all__ = ["changes_of"]


@contextmanager
def changes_of(store: Store, run_id: str) -> Iterator[asyncio.Event]:
    """Yield an event that is set now, and again after every change of a run until the block ends.

    Who waits for it clears it, and then looks: so no change is missed, though several may be seen as one.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    changed.set()

    def tell(commit: Committed) -> None:
        if commit.run_id == run_id:
            with suppress(RuntimeError):  # the loop is closing
                loop.call_soon_threadsafe(changed.set)

    unwatch = store.watch(tell)
    try:
        yield changed
    finally:
        unwatch()

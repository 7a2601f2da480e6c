"""Changes of a run: an event that is set after each commit, for whoever waits for something to become so."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

from perdure.errors import RunNotFound
from perdure.lifecycle import FINAL
from perdure.run import Run
from perdure.stores.base import Committed, Store

__all__ = ["changes_of", "views_of"]


class View(Protocol):
    """Where a run stands, as its driver tells it."""

    @property
    def run(self) -> Run:
        """What the store holds of it."""
        ...


V = TypeVar("V", bound=View)


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


async def views_of(
    store: Store, run_id: str, look: Callable[[], Awaitable[V]], told: Callable[[V], object]
) -> AsyncGenerator[V | None, None]:
    """Yield where a run stands, now and when that changed, until it ends; None last if it is deleted.

    A reader that is slow misses what lies between, and gets the latest.

    Parameters
    ----------
    look
        Returns where it stands.
    told
        Returns what of that is worth to be told: the same again isn't.
    """
    seen: V | None = None
    with changes_of(store, run_id) as changed:
        while seen is None or seen.run.state not in FINAL:
            await changed.wait()
            changed.clear()
            try:
                view = await look()
            except RunNotFound:
                if seen is None:
                    raise
                yield None
                return
            if seen is None or told(view) != told(seen):
                seen = view
                yield view

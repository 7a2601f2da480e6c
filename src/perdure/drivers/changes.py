"""Changes of a run, for whoever waits for something to become so, or follows it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, Self, TypeVar

from perdure.errors import RunNotFound
from perdure.lifecycle import FINAL, RunState
from perdure.run import Run
from perdure.stores.base import Committed, Store

__all__ = ["Changes", "changes_of", "views_of"]


class View(Protocol):
    """Where a run stands, as its driver tells it."""

    @property
    def run(self) -> Run:
        """What the store holds of it."""
        ...

    def in_state(self, state: RunState) -> Self:
        """Return it as it was when its run came to a state."""
        ...


V = TypeVar("V", bound=View)


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

    @property
    def new(self) -> bool:
        """Whether there was a change since it was cleared."""
        return self._changed.is_set()

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


async def views_of(
    store: Store, run_id: str, look: Callable[[], Awaitable[V]], told: Callable[[V], object]
) -> AsyncGenerator[V | None, None]:
    """Yield where a run stands, now and when that changed, until it ends; None last if it is deleted.

    No state is left out, however short it was and however slow the reader is; of the rest that lies between,
    it gets the latest.

    Parameters
    ----------
    look
        Returns where it stands.
    told
        Returns what of that is worth to be told: the same again isn't.
    """
    with changes_of(store, run_id) as changed:
        seen: V | None = None
        while seen is None or changed.new:  # what it went through before it was looked at is no news
            changed.clear()
            seen = await look()
        yield seen
        while seen.run.state not in FINAL:
            await changed.wait()
            states = changed.clear()
            view: V | None = None
            with suppress(RunNotFound):
                view = await look()
            for state in states:
                if state is not seen.run.state:
                    seen = view if view is not None and state is view.run.state else seen.in_state(state)
                    yield seen
            if view is None:
                yield None
                return
            # A state that is newer than these comes with the change that led to it.
            if view.run.state is seen.run.state and told(view) != told(seen):
                seen = view
                yield view

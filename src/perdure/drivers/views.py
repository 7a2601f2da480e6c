"""Views of a run as it changes, and notice of runs that have ended."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Protocol, Self, TypeVar

import structlog
from msgspec.structs import replace

from perdure.errors import PerdureError, RunNotFound, StoreUnavailable
from perdure.lifecycle import FINAL, RunStatus
from perdure.run import Run
from perdure.stores.base import Store
from perdure.stores.commands import Committed
from perdure.stores.feed import Feed, Hint, Subscription

__all__ = ["ended_runs", "positions_of", "views_of"]

AGAIN = 1.0  # seconds until a store is read again that couldn't be

log = structlog.get_logger(__name__)


class View(Protocol):
    """Where a run stands, as its driver reports it."""

    @property
    def run(self) -> Run:
        """What the store holds of it."""
        ...

    def in_state(self, state: RunStatus) -> Self:
        """Return it as it was when its run came to a state."""
        ...


V = TypeVar("V", bound=View)


async def views_of(
    feed: Feed, run_id: str, look: Callable[[], Awaitable[V]], told: Callable[[V], object]
) -> AsyncGenerator[V | None, None]:
    """Yield where a run stands, now and when that changed, until it ends; None last if it is deleted.

    No state that a commit of this process led to is left out, however short it was and however slow the
    reader is; of the rest that lies between, it gets the latest.

    Parameters
    ----------
    look
        Returns where it stands.
    told
        Returns what of that is worth reporting: the same again isn't.
    """
    with feed.subscribe(run_id) as changes:
        seen: V | None = None
        while seen is None or changes.pending:  # what it went through before it was looked at is no news
            changes.take()
            seen = await look()
        yield seen
        polled = False  # whether there may be a state that no commit of this process led to
        while seen.run.state not in FINAL:
            await changes.wait()
            hints = changes.take()
            polled = polled or any(hint.state is None for hint in hints)
            view: V | None = None
            with suppress(RunNotFound):
                view = await look()
            for hint in hints:
                state = hint.state
                if state is not None and state is not seen.run.state:
                    seen = view if view is not None and state is view.run.state else seen.in_state(state)
                    yield seen
            if view is None:
                yield None
                return
            if view.run.state is not seen.run.state:
                await asyncio.sleep(0)  # what was notified before it was looked arrives
                if changes.pending or not polled:
                    continue  # the hints of the states up to this one come first
            polled = False
            if told(view) != told(seen):
                seen = view
                yield view


async def positions_of(
    feed: Feed, run_id: str, read: Callable[[], Awaitable[Run]]
) -> AsyncGenerator[Committed, None]:
    """Yield the state and the position of a run, now and when they changed, until it ends or is deleted.

    Parameters
    ----------
    read
        Returns the run. A commit of this process with a later step needs no reading.
    """
    with feed.subscribe(run_id) as changes:
        stands = _stands(await read())
        yield stands
        while stands.state not in FINAL:
            await changes.wait()
            for hint in changes.take():
                former, stands = stands, await _after(stands, hint, read)
                if stands != former:
                    yield stands
                if stands.deleted or stands.state in FINAL:
                    return


async def _after(stands: Committed, hint: Hint, read: Callable[[], Awaitable[Run]]) -> Committed:
    if hint.state is not None and hint.position > stands.position:
        return Committed(stands.run_id, hint.state, hint.position)
    if hint.state is stands.state:
        return stands
    try:
        return _stands(await read())
    except RunNotFound:
        return replace(stands, deleted=True)


def _stands(run: Run) -> Committed:
    return Committed(run.id, run.state, run.position)


async def ended_runs(store: Store, changes: Subscription) -> AsyncIterator[str]:
    """Yield each of the subscribed runs when it has ended, and unsubscribe from it; without end itself.

    One that is deleted is unsubscribed from, too.
    """
    while True:
        await changes.wait()
        for hint in changes.take():
            if hint.run_id not in changes:
                continue  # it was reported already
            state = hint.state
            if state is None:
                try:
                    state = (await asyncio.to_thread(store.run, hint.run_id)).state
                except StoreUnavailable:
                    await asyncio.sleep(AGAIN)
                    changes.notify(Hint(hint.run_id))
                    continue
                except PerdureError as error:
                    if not isinstance(error, RunNotFound):
                        log.error("end_not_noticed", run=hint.run_id, reason=str(error))
                    changes.discard(hint.run_id)
                    continue
            if state in FINAL:
                changes.discard(hint.run_id)
                yield hint.run_id

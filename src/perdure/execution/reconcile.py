"""Reconciling: runs that should be worked on, and that nobody works on, are submitted again.

So nothing depends on a message that may be lost, be it the submission of a new run or the word that a worker
ended.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from perdure.errors import Damaged, NotExecuted, RunNotFound
from perdure.execution.executor import Executor
from perdure.lifecycle import RunState, Wanted
from perdure.stores.base import Store
from perdure.supervision import keep_going

__all__ = ["reconcile", "reconciling"]

EVERY = 5.0  # seconds

log = structlog.get_logger(__name__)


async def reconcile(store: Store, executor: Executor) -> None:
    """Submit each unfinished run that nobody holds a lease of, in the order of creation; a paused one waits.

    What the executor knows already costs no read of the store. A run that is damaged keeps none of the others
    waiting.
    """
    for queued in await asyncio.to_thread(store.unleased):
        if queued.wanted is Wanted.STARTED and not executor.needs(queued):
            continue  # nearly all of a long queue
        # A new one may have to be prepared; one that was going on hadn't heard of it yet.
        if queued.wanted is Wanted.PAUSED and queued.state not in (RunState.CREATED, RunState.STARTED):
            continue
        try:
            if queued.wanted.ends:
                await executor.cancel(queued.run_id)
            else:
                await executor.submit(queued.run_id)
        except (NotExecuted, RunNotFound):  # of a kind that waits for another server; deleted meanwhile
            pass
        except Damaged as error:
            log.error("run_damaged", run=queued.run_id, reason=str(error))


@asynccontextmanager
async def reconciling(store: Store, executor: Executor, *, every: float = EVERY) -> AsyncIterator[None]:
    """Reconcile again and again, first at once, in a task that ends with the block.

    Parameters
    ----------
    store, executor
        Both are open for as long as the block lasts.
    every
        Seconds between two times.
    """
    task = asyncio.create_task(keep_going("reconcile", lambda: _keep(store, executor, every)))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep(store: Store, executor: Executor, every: float) -> None:
    while True:
        try:
            await reconcile(store, executor)
        except Exception as error:  # the next time may be better, and without one nothing is ever recovered
            log.warning("reconcile_failed", error=str(error), exc_info=error)
        await asyncio.sleep(every)

"""The executor of commands that open a store by themselves: nothing is worked on."""

import asyncio
from collections.abc import Collection

import structlog

from perdure.errors import CorruptBlob, RunNotFound
from perdure.execution.traces import forget_trace
from perdure.observability import Metrics
from perdure.stores.base import Store
from perdure.stores.commands import Settle
from perdure.stores.queue import QueueGroup

__all__ = ["Unplaced", "settle", "settle_group"]

log = structlog.get_logger(__name__)


class Unplaced:
    """An `Executor` that starts nothing: runs wait for a worker.

    Parameters
    ----------
    store
        Where runs are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def submit(self, run_id: str) -> None:
        """Leave a run to a later worker, but pause or end it if its desired state asks for that."""
        await settle(self._store, run_id)

    async def cancel(self, run_id: str) -> None:
        """End a run whose desired state is stopped."""
        await settle(self._store, run_id)


async def settle(
    store: Store, run_id: str, metrics: Metrics | None = None, *, interrupted: bool = False
) -> None:
    """Bring a run that nothing works on to the end or the pause that its desired state asks for.

    See `Settle`.

    Raises `CorruptBlob` if its execution is damaged.
    """
    run = await asyncio.wrap_future(store.submit(Settle(run_id, interrupted)))
    if isinstance(run, CorruptBlob):
        raise run
    if run is None or run.outcome is None:
        return
    await forget_trace(store, run_id)
    if metrics is not None:
        metrics.count_end(run.kind, run.outcome.value)


async def settle_group(
    store: Store,
    group: QueueGroup,
    metrics: Metrics,
    *,
    interrupted: bool = False,
    besides: Collection[str] = (),
) -> None:
    """Settle the runs of a group that nothing works on, besides those that the caller works on."""
    for run_id in await asyncio.to_thread(store.unleased, group):
        if run_id in besides:  # the renewal of the lease is late
            continue
        try:
            await settle(store, run_id, metrics, interrupted=interrupted)
        except RunNotFound:  # deleted meanwhile
            pass
        except CorruptBlob as error:
            log.error("run_damaged", run=run_id, reason=str(error))

"""The executor of servers with a broker: wakes the workers of other processes by messages."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress

import structlog

from perdure.errors import NotExecuted, PerdureError
from perdure.execution.announcer import Announcer
from perdure.execution.unplaced import settle, settle_group
from perdure.lifecycle import DesiredState, RunStatus
from perdure.observability import Metrics
from perdure.stores.base import Store
from perdure.stores.queue import QueueGroup
from perdure.supervision import keep_going

__all__ = ["CeleryExecutor"]

EVERY = 2.0  # seconds between two looks at the queue

log = structlog.get_logger(__name__)


class CeleryExecutor:
    """An `Executor` that publishes to a broker which runs wait, and works on none itself.

    Every two seconds it looks at the queue in the store: it offers again what waits, for example since its
    worker has died, and brings runs without a worker to the end or the pause that is desired. The caller
    opens and closes it.

    Parameters
    ----------
    store
        Where runs are kept; it stays the caller's.
    url
        The broker: a Redis or a RabbitMQ.
    kinds
        The kinds of runs that workers work on.
    metrics
        Where ends are counted, and where it shows whether the broker answers.
    every
        Seconds between two looks at the queue.

    Raises
    ------
    MissingExtra
        If Celery isn't installed.
    Invalid
        If the URL isn't that of a broker.
    """

    def __init__(
        self,
        store: Store,
        url: str,
        kinds: Collection[str],
        *,
        metrics: Metrics | None = None,
        every: float = EVERY,
    ) -> None:
        self._store = store
        self._kinds = frozenset(kinds)
        self._metrics = metrics or Metrics()
        self._every = every
        self._announcer = Announcer(url, self._metrics)
        self._looking: asyncio.Task[None] | None = None

    @property
    def broker_lost(self) -> str | None:
        """Why the broker can't be used now; None if it can."""
        return self._announcer.lost

    async def __aenter__(self) -> "CeleryExecutor":
        self._looking = asyncio.create_task(keep_going("offers", self._keep_looking))  # cancelled by `aclose`
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the thread that publishes."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        await asyncio.to_thread(self._announcer.close)

    async def submit(self, run_id: str) -> None:
        """Have a run worked on, or have it paused or ended if no worker has it."""
        execution = await asyncio.to_thread(self._store.execution, run_id)
        if execution.kind not in self._kinds:
            raise NotExecuted(run=run_id, kind=execution.kind)
        if execution.desired is not DesiredState.STARTED:
            await settle(self._store, run_id, self._metrics)
        if not execution.desired.ends and not execution.leased(self._store.clock()):
            run = await asyncio.to_thread(self._store.run, run_id)
            self._announcer.announce(execution.kind, run_id, run.tags)

    async def cancel(self, run_id: str) -> None:
        """End a run that no worker has; a worker ends its runs itself."""
        await settle(self._store, run_id, self._metrics)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.look()
            except PerdureError as error:
                log.warning("look_failed", error=str(error))

    async def look(self) -> None:
        """Offer again what waits, and settle the runs that nothing works on any more."""
        groups = await asyncio.to_thread(self._store.waiting_groups)
        for group in groups:
            if group.settles:
                await settle_group(self._store, group, self._metrics)
        for kind in self._kinds:
            offered = [group for group in groups if group.kind == kind and _may_begin(group)]
            self._announcer.offer(kind, await asyncio.to_thread(self._first_of_each, offered))

    def _first_of_each(self, groups: Sequence[QueueGroup]) -> dict[str, Collection[str]]:
        """Return the next run of each group with its tags."""
        found: dict[str, Collection[str]] = {}
        for run_id in (it for group in groups for it in self._store.unleased(group, 1)):
            with suppress(PerdureError):  # deleted meanwhile, or damaged
                found[run_id] = self._store.run(run_id).tags
        return found


def _may_begin(group: QueueGroup) -> bool:
    """Return whether there may be work for the runs of a group; what their workers do decides."""
    begun = group.desired is DesiredState.STARTED
    return begun or (group.desired is DesiredState.PAUSED and group.state is RunStatus.CREATED)

"""The work on one run under one lease: an attempt at it, and what becomes of the run afterwards."""

import asyncio
from contextlib import suppress

import structlog

from perdure.errors import PerdureError, VersionConflict
from perdure.execution.attempt import Attempt
from perdure.execution.place import Place
from perdure.execution.verdict import Again, Finish, Unbegun
from perdure.lifecycle import FINAL
from perdure.run import Change, Execution
from perdure.stores import commands
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, Release
from perdure.stores.feed import Hint, Subscription

__all__ = ["Work"]

log = structlog.get_logger(__name__)


class Work:
    """Works on a run under its lease.

    Parameters
    ----------
    store
        Where the run is kept.
    place
        Where the work is done.
    execution
        That of the run, which is leased.
    """

    def __init__(self, store: Store, place: Place, execution: Execution) -> None:
        self._store, self._place = store, place
        self._execution, self._run_id = execution, execution.run_id
        self._changes: Subscription | None = None  # while it works

    def look(self) -> None:
        """Look at what is wanted of the run."""
        if self._changes is not None:
            self._changes.notify(Hint(self._run_id))

    async def run(self) -> None:
        """Attempt the run once.

        When it is cancelled, the child is ended and the lease given back: the run waits to be claimed again.
        What fails for other reasons, as when no process can be started now, waits until the lease has ended.
        """
        try:
            with self._place.feed.subscribe(self._run_id) as changes:
                self._changes = changes
                await self._attempt(changes)
        except (PerdureError, OSError) as error:
            log.warning("work_left", run=self._run_id, error=str(error))

    async def _attempt(self, changes: Subscription) -> None:
        attempt = Attempt(self._store, self._place, self._execution, changes)
        token = self._execution.fence
        try:
            verdict = await attempt.run()
        except asyncio.CancelledError:
            await self._give_back(Release(self._run_id, token, seconds=attempt.seconds))
            raise
        match verdict:
            case Finish(change, result):
                await asyncio.wrap_future(
                    self._store.submit(
                        commands.Finish(self._run_id, token, change, result=result, seconds=attempt.seconds)
                    )
                )
                self._count(change)
            case Again(deaths):
                await self._give_back(Release(self._run_id, token, seconds=attempt.seconds, deaths=deaths))
            case Unbegun(end):
                await self._give_back(Release(self._run_id, token, unbegun=True))
                if end is not None:
                    await self._change(end)

    async def _change(self, change: Change) -> None:
        """Change the record of a run that nobody works on, unless it is final."""
        while True:
            run = await asyncio.to_thread(self._store.run, self._run_id)
            if run.state in FINAL:
                return
            with suppress(VersionConflict):
                await asyncio.wrap_future(self._store.submit(ChangeRun(self._run_id, run.version, change)))
                self._count(change)
                return

    async def _give_back(self, release: Release) -> None:
        await asyncio.wrap_future(self._store.submit(release))

    def _count(self, change: Change) -> None:
        if change.outcome is not None:
            self._place.metrics.count_end(self._execution.kind, change.outcome.value)

"""The work on one run: attempts at it until it is final, or another's, or to be left for later."""

import asyncio
from contextlib import suppress

import structlog

from perdure.errors import LeaseHeld, PerdureError, RunFinished, VersionConflict
from perdure.execution.attempt import Attempt
from perdure.execution.place import Place
from perdure.execution.verdict import Again, Finish, Unbegun, requested
from perdure.lifecycle import FINAL, RunState, Wanted
from perdure.observability import Metrics
from perdure.run import Change, Execution
from perdure.stores import commands
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, Lease, Release, Want
from perdure.stores.feed import Hint, Subscription

__all__ = ["Work", "bring_unplaced"]

log = structlog.get_logger(__name__)


class Work:
    """Works on a run that is nobody's.

    Parameters
    ----------
    store
        Where the run is kept.
    place
        Where the work is done.
    run_id
        Which run.

    Attributes
    ----------
    asked
        Whether somebody asked for it since it last looked at what there is to do.
    """

    def __init__(self, store: Store, place: Place, run_id: str) -> None:
        self._store, self._place, self._run_id = store, place, run_id
        self._changes: Subscription | None = None  # while it works
        self.asked = False

    def look(self) -> None:
        """Look at what is wanted of the run."""
        self.asked = True
        if self._changes is not None:
            self._changes.notify(Hint(self._run_id))

    async def run(self) -> None:
        """Work on the run for as long as there is something to do here.

        When it is cancelled, the child is ended and the lease given back: the run waits to be taken up again.
        """
        try:
            with self._place.feed.subscribe(self._run_id) as changes:
                self._changes = changes
                while await self._work_once(changes):
                    pass
        except (PerdureError, OSError) as error:  # also when no process can be started now
            log.warning("work_left", run=self._run_id, error=str(error))

    async def _work_once(self, changes: Subscription) -> bool:
        """Lease the run, prepare an attempt and make it; return whether the run is to be attempted again."""
        self.asked = False
        before = await asyncio.to_thread(self._store.execution, self._run_id)
        run = await asyncio.to_thread(self._store.run, self._run_id)
        body = self._place.bodies[run.kind]
        if before.wanted is not Wanted.STARTED:
            await bring_unplaced(self._store, self._run_id, self._place.metrics)
        if not body.is_due(run, before) or before.leased(self._store.clock()):
            return False
        if run.state is RunState.STARTED and not body.resumes:
            await self._pause_interrupted()
            return False
        try:
            execution = await asyncio.wrap_future(
                self._store.submit(Lease(self._run_id, self._place.holder, self._place.lease_seconds))
            )
        except (LeaseHeld, RunFinished):
            return False
        if execution.wanted is not before.wanted:  # since a moment ago
            await self._unlease(execution)
            return True
        attempt = Attempt(self._store, self._place, execution, changes)
        try:
            verdict = await attempt.run()
        except BaseException:
            await self._give_back(attempt, execution.fence)
            raise
        match verdict:
            case Finish(change, result):
                await asyncio.wrap_future(
                    self._store.submit(
                        commands.Finish(
                            self._run_id, execution.fence, change, result=result, seconds=attempt.seconds
                        )
                    )
                )
                _count(self._place.metrics, run.kind, change)
            case Again(deaths):
                await self._give_back(attempt, execution.fence, deaths)
                return True
            case Unbegun(end):
                await self._unlease(execution)
                if end is not None:
                    await self._change(end)
                return end is None
        return False

    async def _pause_interrupted(self) -> None:
        """Let a run whose work was broken off wait for its owner to start it again."""
        await asyncio.wrap_future(self._store.submit(Want(self._run_id, Wanted.PAUSED)))
        await self._change(Change(state=RunState.PAUSED))

    async def _change(self, change: Change) -> None:
        """Change the record of a run that nobody works on, unless it is final."""
        while True:
            run = await asyncio.to_thread(self._store.run, self._run_id)
            if run.state in FINAL:
                return
            with suppress(VersionConflict):
                await asyncio.wrap_future(self._store.submit(ChangeRun(self._run_id, run.version, change)))
                _count(self._place.metrics, run.kind, change)
                return

    async def _unlease(self, execution: Execution) -> None:
        """Give a lease back under which nothing was written."""
        await asyncio.wrap_future(self._store.submit(Release(self._run_id, execution.fence, unbegun=True)))

    async def _give_back(self, attempt: Attempt, fence: int, deaths: int | None = None) -> None:
        await asyncio.wrap_future(
            self._store.submit(Release(self._run_id, fence, seconds=attempt.seconds, deaths=deaths))
        )


async def bring_unplaced(store: Store, run_id: str, metrics: Metrics | None = None) -> None:
    """Bring a run that nobody works on to its end, or to the pause, that is wanted of it."""
    while True:
        execution = await asyncio.to_thread(store.execution, run_id)
        run = await asyncio.to_thread(store.run, run_id)
        if execution.leased(store.clock()) or run.state in FINAL:
            return
        if execution.wanted.ends:
            change = requested(execution.wanted).change
        elif execution.wanted is Wanted.PAUSED and run.state is RunState.STARTED:
            change = Change(state=RunState.PAUSED)
        else:
            return
        # Whoever leases it in between makes it a new version.
        with suppress(VersionConflict):
            await asyncio.wrap_future(store.submit(ChangeRun(run_id, run.version, change)))
            _count(metrics, run.kind, change)


def _count(metrics: Metrics | None, kind: str, change: Change) -> None:
    if metrics is not None and change.outcome is not None:
        metrics.count_end(kind, change.outcome.value)

"""The local executor: runs are worked on in guarded child processes of this machine."""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import structlog

from perdure.errors import NotExecuted, RunNotFound, StoreUnavailable
from perdure.execution.body import Body
from perdure.execution.isolation import Isolation
from perdure.execution.lanes import Lane, Lanes
from perdure.execution.place import Place
from perdure.execution.scratch import Scratch
from perdure.execution.sweep import NOBODY, adopt_orphans, sweep
from perdure.execution.work import Work, bring_unplaced
from perdure.lifecycle import Wanted
from perdure.observability import Metrics
from perdure.stores.base import Store
from perdure.stores.feed import Feed
from perdure.stores.queue import Queued

__all__ = ["LocalExecutor"]

LEASE = 5.0  # seconds; it is renewed every second
SHORT = 10.0  # seconds: the longest time-out of a run in the short lane

log = structlog.get_logger(__name__)


class LocalExecutor:
    """An `Executor` that works on a run in a child process of its own, several at a time.

    Each kind of run has slots of its own. Runs wait by owner, and owners take turns. Those with a time-out of
    ten seconds or less may use one slot more than the others: they never wait behind long ones. Whoever opens
    it closes it.

    Parameters
    ----------
    store
        Where runs are kept; it stays the caller's.
    bodies
        For each kind of run what works on it.
    identity
        A name of the store that no other open store on this machine has, of letters, digits and ``-``. What
        an executor of that name left running is ended when this one opens.
    isolation
        Gives each owner's children a user id of their own; without it they have that of this process.
    metrics
        Where attempts and ends are counted.
    feed
        Notifies of changes of the runs that are worked on; by default one of its own.

    Examples
    --------
    >>> async def serve(store: Store) -> None:
    ...     bodies = {"task": Body(path="perdure.testing.bodies:run")}
    ...     async with LocalExecutor(store, bodies, identity="example") as executor:
    ...         await executor.submit("some-run")
    """

    def __init__(
        self,
        store: Store,
        bodies: Mapping[str, Body],
        *,
        identity: str,
        isolation: Isolation | None = None,
        metrics: Metrics | None = None,
        feed: Feed | None = None,
    ) -> None:
        self._store = store
        self._place = Place(
            bodies=dict(bodies),
            holder=f"{socket.gethostname()}:{os.getpid()}",
            identity=identity,
            lease_seconds=LEASE,
            scratch=Scratch(identity),
            metrics=metrics or Metrics(),
            feed=feed or Feed(store),
            isolation=isolation,
        )
        self._rooms = {kind: _Room(body.slots or _cores()) for kind, body in bodies.items()}
        self._working: dict[str, tuple[Work, asyncio.Task[None]]] = {}
        self._resubmitting: set[asyncio.Task[None]] = set()
        self._closing = False

    async def open(self) -> None:
        """End what a killed server left, and be ready for runs."""
        adopt_orphans()
        isolation = self._place.isolation
        ids = NOBODY if isolation is None else isolation.ids
        left = await asyncio.to_thread(sweep, self._place.identity, ids=ids)
        await asyncio.to_thread(self._place.scratch.open)
        if isolation is not None:
            await asyncio.to_thread(isolation.open)
        if left:
            log.info("processes_swept", count=left)

    async def aclose(self) -> None:
        """End all children and give their leases back: the runs go on with the next executor."""
        self._closing = True
        tasks = [task for _, task in self._working.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._resubmitting, return_exceptions=True)

    async def __aenter__(self) -> "LocalExecutor":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def submit(self, run_id: str) -> None:
        """See to it that a run is worked on, or that who works on it looks at what is wanted of it."""
        execution = await asyncio.to_thread(self._store.execution, run_id)
        if execution.kind not in self._place.bodies:
            raise NotExecuted(run=run_id, kind=execution.kind)
        run = await asyncio.to_thread(self._store.run, run_id)
        if run_id in self._working:
            self._working[run_id][0].look()
        elif self._place.bodies[run.kind].is_due(run, execution):
            short = execution.timeout is not None and execution.timeout <= SHORT
            room = self._rooms[run.kind]
            room.lanes.push(run_id, execution.owner, Lane.SHORT if short else Lane.LONG)
            self._dispatch(room)
        else:
            await bring_unplaced(self._store, run_id, self._place.metrics)

    def needs(self, queued: Queued) -> bool:
        """Return whether a run, as it was found in the queue, has to be submitted.

        One that waits here, or of whose kind all wait, needs nothing more as long as it is wanted started.
        """
        room = self._rooms.get(queued.kind)
        if room is None:
            return False
        if queued.wanted is not Wanted.STARTED:
            return True
        return queued.run_id not in room.lanes and not self._place.bodies[queued.kind].waits

    async def cancel(self, run_id: str) -> None:
        """See to it that a run that is wanted stopped ends at once; one that waits never starts."""
        if run_id in self._working:
            self._working[run_id][0].look()
            return
        for room in self._rooms.values():
            room.lanes.remove(run_id)
        await bring_unplaced(self._store, run_id, self._place.metrics)

    def _dispatch(self, room: "_Room") -> None:
        """Give a kind's free slots to those whose turn it is, the slot for short runs first."""
        for slot, lanes in ((Lane.SHORT, (Lane.SHORT,)), (Lane.LONG, tuple(Lane))):
            while room.free[slot] and not self._closing and (run_id := room.lanes.take(*lanes)):
                room.free[slot] -= 1
                work = Work(self._store, self._place, run_id)
                task = asyncio.create_task(work.run(), name=f"perdure-run-{run_id}")  # cancelled by `aclose`
                self._working[run_id] = work, task
                task.add_done_callback(partial(self._done, run_id, room, slot))

    def _done(self, run_id: str, room: "_Room", slot: Lane, task: asyncio.Task[None]) -> None:
        work, _ = self._working.pop(run_id)
        room.free[slot] += 1
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work_failed", run=run_id, exc_info=error)
        if work.asked and not self._closing:
            # It was asked to go on just as it had found nothing to do.
            again = asyncio.create_task(self._resubmit(run_id))
            self._resubmitting.add(again)  # awaited by `aclose`
            again.add_done_callback(self._resubmitting.discard)
        self._dispatch(room)

    async def _resubmit(self, run_id: str) -> None:
        with suppress(RunNotFound, StoreUnavailable):  # it is reconciled when the store is back
            await self.submit(run_id)


class _Room:
    """Where the runs of one kind wait, and the slots in which they are worked on."""

    def __init__(self, slots: int) -> None:
        self.lanes = Lanes()
        self.free = {Lane.SHORT: 1, Lane.LONG: slots}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

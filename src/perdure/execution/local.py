"""The local executor: claims runs from the store, and works on them in guarded child processes."""

import asyncio
import os
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import anyio.to_thread
import structlog

from perdure.errors import CorruptBlob, NotExecuted, PerdureError
from perdure.execution.attempt import SAVING
from perdure.execution.body import Body
from perdure.execution.isolation import Isolation
from perdure.execution.presence import EVERY as ANNOUNCE
from perdure.execution.presence import MAX_RUNS, Announcement, Presence
from perdure.execution.scratch import Scratch
from perdure.execution.sweep import NOBODY, adopt_orphans, sweep
from perdure.execution.unplaced import settle, settle_group
from perdure.execution.work import Work
from perdure.execution.worker_configuration import WorkerConfiguration
from perdure.lifecycle import DesiredState
from perdure.observability import Metrics
from perdure.run import Execution
from perdure.stores.base import Store
from perdure.stores.commands import Claim, Release
from perdure.stores.feed import Feed
from perdure.stores.queue import ANY_TAG, QueueGroup
from perdure.supervision import keep_going

__all__ = ["LocalExecutor"]

LEASE = 5.0  # seconds; it is renewed every second
EVERY = 2.0  # seconds between two polls, for example for leases that have ended
EVERY_SHARED = 0.5  # the same for a store that other processes use: they give leases back, too
CLOSING = SAVING + 0.5  # seconds after which what is still worked on is killed and given back
AT_ONCE = 0.1  # seconds in which `Body.lacks` usually returns; slower answers delay only their own runs

log = structlog.get_logger(__name__)


class LocalExecutor:
    """An `Executor` that works on each run in a child process of its own, several at a time.

    It claims runs from the store, so that any number of executors can share a store. Each kind of run has its
    own slots, and one more for short runs, so that these never wait behind long ones. The caller opens and
    closes it.

    Parameters
    ----------
    store
        Where runs are kept; it stays the caller's.
    bodies
        The body of each kind of run.
    identity
        A name of the store that no other open store on this machine has, of letters, digits and ``-``.
        Opening the executor ends processes that an earlier executor with this name left.
    tags
        Only runs with one of these tags are worked on; without tags, all runs.
    isolation
        Gives each owner's children a user id of their own; without it they have that of this process.
    metrics
        Where attempts and ends are counted.
    feed
        Notifies of changes of runs; by default the executor makes its own.
    every
        Seconds between two polls of the queue.

    Attributes
    ----------
    slots
        How many runs of each kind it works on at a time, besides a short one.
    begun
        How many attempts it has begun.

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
        tags: Collection[str] = (),
        isolation: Isolation | None = None,
        metrics: Metrics | None = None,
        feed: Feed | None = None,
        every: float | None = None,
    ) -> None:
        self._store = store
        self._configuration = WorkerConfiguration(
            bodies=dict(bodies),
            holder=f"{socket.gethostname()}:{os.getpid()}",
            identity=identity,
            lease_seconds=LEASE,
            scratch=Scratch(identity),
            metrics=metrics or Metrics(),
            feed=feed or Feed(store),
            isolation=isolation,
        )
        self._tags = frozenset(tags) or {ANY_TAG}
        self._every = every or (EVERY_SHARED if store.shared else EVERY)
        self.slots = {kind: body.slots or _cores() for kind, body in bodies.items()}
        self._slots = [
            slots
            for kind, number in self.slots.items()
            for slots in (_Slots(kind, 1, short=True), _Slots(kind, number, short=False))
        ]
        self._lacks: dict[tuple[str, str], _Lack] = {}  # by kind and needs
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}  # cancelled by `aclose`
        self._working: dict[str, tuple[Work, asyncio.Task[None]]] = {}
        self.begun = 0
        self._looking = asyncio.Lock()
        self._changed = asyncio.Event()
        self._woken = asyncio.Event()
        self._claiming: asyncio.Task[None] | None = None
        self._closing = False
        self._close_at = 0.0
        self._announcement = Announcement(store, identity) if store.shared else None
        self._announce_at = 0.0

    async def open(self) -> None:
        """End processes that a killed worker left, and prepare to start."""
        adopt_orphans()
        isolation = self._configuration.isolation
        ids = NOBODY if isolation is None else isolation.ids
        left = await asyncio.to_thread(sweep, self._configuration.identity, ids=ids)
        await asyncio.to_thread(self._configuration.scratch.open)
        if isolation is not None:
            await asyncio.to_thread(isolation.open)
        if left:
            log.info("processes_swept", count=left)

    def start(self) -> None:
        """Claim runs from now on, until the executor is closed."""
        self._show_slots()
        self._claiming = asyncio.create_task(keep_going("claims", self._keep_claiming))

    def preempt(self) -> None:
        """Claim no more runs, and begin to give back those that are worked on; `aclose` waits for that.

        Each body that can is given the time for a savepoint. Other executors resume the runs.
        """
        if not self._closing:
            self._closing = True
            self._woken.set()
            self._close_at = time.monotonic() + CLOSING
            for work, _ in self._working.values():
                work.preempt()

    async def aclose(self) -> None:
        """Preempt all runs, and return when nothing is left of their children."""
        self.preempt()
        if self._claiming is not None:
            await asyncio.wait({self._claiming})
        working = [task for _, task in self._working.values()]
        if working:
            await asyncio.wait(working, timeout=max(self._close_at - time.monotonic(), 0.0))
        tasks = [*self._asking.values(), *working]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._announcement is not None:
            with suppress(PerdureError):  # it ends by itself
                await asyncio.to_thread(self._announcement.withdraw)

    async def __aenter__(self) -> "LocalExecutor":
        await self.open()
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def submit(self, run_id: str) -> None:
        """Have a run worked on, or have its worker read the run's desired state again."""
        if run_id in self._working:
            self._working[run_id][0].look()
        execution = await asyncio.to_thread(self._store.execution, run_id)
        if execution.kind not in self._configuration.bodies:
            raise NotExecuted(run=run_id, kind=execution.kind)
        if execution.desired is not DesiredState.STARTED:  # its worker may be giving it up at this moment
            await settle(self._store, run_id, self._configuration.metrics)
        if run_id not in self._working:  # the end of its work wakes by itself
            self._woken.set()

    async def cancel(self, run_id: str) -> None:
        """Have a run whose desired state is stopped end at once; a waiting run never starts."""
        if run_id in self._working:
            self._working[run_id][0].look()
        await settle(self._store, run_id, self._configuration.metrics)

    def working(self, kind: str) -> Collection[str]:
        """Return the ids of the runs of a kind that are worked on, those claimed first first."""
        return [run_id for run_id, (work, _) in self._working.items() if work.kind == kind]

    def is_full(self, kind: str) -> bool:
        """Return whether no slot of a kind is free, other than that of short runs."""
        return not any(slots.free for slots in self._slots if slots.kind == kind and not slots.short)

    async def until_ended(self, run_id: str) -> None:
        """Wait while a run is worked on."""
        if run_id in self._working:
            await asyncio.wait({self._working[run_id][1]})

    async def until_changed(self, seconds: float) -> None:
        """Wait until the work on a run begins or ends, for some seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    # Claiming -----------------------------------------------------------------------------------------------

    async def _keep_claiming(self) -> None:
        """Look for work on each wake-up and periodically, until the executor is closed."""
        while not self._closing:
            self._woken.clear()
            try:
                await self.look()
                await self._announce()
            except Exception as error:  # the next try may succeed; without one nothing would be claimed
                log.warning("claim_failed", error=str(error), exc_info=error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._woken.wait()

    async def look(self) -> None:
        """Settle runs that nothing works on any more, and fill the free slots."""
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        groups = await self._waiting()
        for group in groups:
            body = self._configuration.bodies.get(group.kind)
            interrupted = body is not None and not body.waits and body.is_interrupted(group)
            if interrupted or group.settles:
                metrics = self._configuration.metrics
                await settle_group(
                    self._store, group, metrics, interrupted=interrupted, besides=self._working.keys()
                )
        for slots in self._slots:
            while slots.free and not self._closing and (claimable := self._claimable(slots, groups)):
                if not await self._claim(slots, claimable):  # a later look finds what can't be claimed yet
                    break
                groups = await self._waiting()

    async def _announce(self) -> None:
        """Let others know what this worker lacks, if they share the store."""
        now = time.monotonic()
        if self._announcement is None or self._closing or now < self._announce_at:
            return
        self._announce_at = now + ANNOUNCE  # also if it fails
        await asyncio.to_thread(self._announcement.put, self._presence())

    def _presence(self) -> Presence:
        """Return what this worker can work on, and what it works on."""
        bodies = self._configuration.bodies
        lacks: dict[str, dict[str, str]] = {kind: {} for kind, body in bodies.items() if not body.waits}
        for (kind, needs), lack in self._lacks.items():
            if lack.what:
                lacks[kind][needs] = lack.what
        busy = {kind: len(self.working(kind)) for kind in self.slots}
        return Presence(lacks, sorted(self._tags), self.slots, busy, [*self._working][:MAX_RUNS])

    async def _waiting(self) -> Sequence[QueueGroup]:
        """Return the groups of the queue in which a run has no lease, after asking what they lack."""
        groups = await asyncio.to_thread(self._store.waiting_groups, self._tags)
        bodies = self._configuration.bodies
        claimed = [group for group in groups if group.kind in bodies and bodies[group.kind].claims(group)]
        needed = {(group.kind, group.needs) for group in claimed}
        self._lacks = {place: lack for place, lack in self._lacks.items() if place in needed}
        now = time.monotonic()
        for place in needed - self._asking.keys():
            known = self._lacks.get(place)
            if known is None or (known.what and now - known.asked >= self._every):
                self._asking[place] = asyncio.create_task(self._ask(*place))
        if self._asking:  # most answers come at once; a slow one must not delay other runs
            await asyncio.wait(self._asking.values(), timeout=AT_ONCE)
        return groups

    async def _ask(self, kind: str, needs: str) -> None:
        """Ask what this process lacks for runs with these needs; the answer may change later."""
        lacks, asked = self._configuration.bodies[kind].lacks, time.monotonic()
        try:
            what = await anyio.to_thread.run_sync(lacks, needs, abandon_on_cancel=True)
        except Exception as error:  # an error of other people's code, or unreadable needs
            what = f"What they need can't be determined: {type(error).__name__}: {error}"
        finally:
            del self._asking[kind, needs]
        former = self._lacks.get((kind, needs))
        self._lacks[kind, needs] = _Lack(what, asked)
        if former is None or former.what != what:
            self._announce_at = 0.0
            if what:
                log.warning("runs_left_to_others", kind=kind, needs=needs, lacks=what)
            self._woken.set()

    def _claimable(self, slots: "_Slots", groups: Sequence[QueueGroup]) -> list[QueueGroup]:
        """Return the groups from which runs may be claimed for these slots."""
        return [
            group
            for group in groups
            if slots.fit(group)
            and self._configuration.bodies[group.kind].claims(group)
            and self._lacks.get((group.kind, group.needs), _UNKNOWN).what == ""
        ]

    async def _claim(self, slots: "_Slots", groups: Sequence[QueueGroup]) -> bool:
        """Claim the next run and begin to work on it; return whether the queue had one to claim.

        It has none if another executor was quicker, or if the run is locked or still worked on here.
        """
        configuration = self._configuration
        claimed = await asyncio.wrap_future(
            self._store.submit(
                Claim(configuration.holder, configuration.lease_seconds, groups, tuple(self._working))
            )
        )
        match claimed:
            case CorruptBlob():
                log.error("run_damaged", reason=str(claimed))
            case Execution():
                if self._closing:
                    release = Release(claimed.run_id, claimed.fence, unbegun=True)
                    await asyncio.wrap_future(self._store.submit(release))
                else:
                    self._begin(slots, claimed)
        return claimed is not None

    def _begin(self, slots: "_Slots", execution: Execution) -> None:
        slots.free -= 1
        run_id = execution.run_id
        work = Work(self._store, self._configuration, execution)
        task = asyncio.create_task(work.run(), name=f"perdure-run-{run_id}")  # cancelled by `aclose`
        self._working[run_id] = work, task
        self.begun += 1
        self._change()

        def end(task: asyncio.Task[None]) -> None:
            del self._working[run_id]
            slots.free += 1
            self._change()
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("work_failed", run=run_id, exc_info=error)
            self._woken.set()

        task.add_done_callback(end)

    def _show_slots(self) -> None:
        """Show how many slots are taken and free, unless the announcements of all workers do."""
        if self._announcement is None:
            for kind, tag, state, number in self._presence().count():
                self._configuration.metrics.worker_slots.labels(kind, tag, state).set(number)

    def _change(self) -> None:
        """Wake everybody who waits for a change."""
        self._show_slots()
        self._changed.set()
        self._changed = asyncio.Event()


class _Lack(NamedTuple):
    """What this process lacks for some runs: empty for nothing, None for unknown.

    And the time of the question.
    """

    what: str | None
    asked: float


_UNKNOWN = _Lack(None, 0.0)


class _Slots:
    """The free slots of one kind of run, either for short runs or for all."""

    def __init__(self, kind: str, free: int, *, short: bool) -> None:
        self.kind, self.free, self.short = kind, free, short

    def fit(self, group: QueueGroup) -> bool:
        """Return whether the slots are for the runs of a group."""
        return group.kind == self.kind and (group.short or not self.short)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

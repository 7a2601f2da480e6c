"""The attempt: one child at work on a run under one lease, and what it says put down in the store."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import structlog
from msgspec.structs import replace

from perdure.errors import (
    Damaged,
    Fenced,
    NotFound,
    PerdureError,
    RunFinished,
    RunNotFound,
    StoreUnavailable,
    TooMany,
    VersionConflict,
)
from perdure.execution.body import Provision
from perdure.execution.briefing import newest_savepoint, parts
from perdure.execution.end import How
from perdure.execution.guard import Clock
from perdure.execution.guarded_process import GuardedProcess
from perdure.execution.isolation import User
from perdure.execution.messages import (
    Append,
    Arrived,
    Beat,
    Done,
    Failure,
    Garbled,
    Line,
    Log,
    Pause,
    Paused,
    Result,
    Resume,
    Start,
    Stop,
    ToChild,
    framed,
    receive,
)
from perdure.execution.place import Place
from perdure.execution.progress_slot import ProgressSlot
from perdure.execution.reporter import Reporter
from perdure.execution.sweep import NOBODY
from perdure.execution.verdict import (
    Finish,
    Leave,
    Unbegun,
    Verdict,
    failed,
    judge,
    pipe_lost,
    timed_out,
)
from perdure.lifecycle import FINAL, RunState, Wanted
from perdure.run import Change, Execution
from perdure.state.savepoint import Savepoint
from perdure.stores import commands
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, CutLines, Leased, Renew, encoded
from perdure.stores.feed import Subscription

__all__ = ["Attempt"]

T = TypeVar("T")

REPORT = 0.1  # seconds between two reports
RENEW = 1.0  # seconds between two renewals of the lease: as much running time a killed server forgets
GRACE = 0.15  # seconds in which a body may stop or pause by itself
LEAVING = 2.0  # seconds in which a process has to end that has said its last
HANGING_UP = 10.0  # seconds in which its guard has to report the end of a process whose pipe has closed
SILENT = 10.0  # seconds without a sign of life after which it is noted
FLOOD = 20_000  # messages within a second; entries and lines aren't counted: who sends them is made to wait

log = structlog.get_logger(__name__)


class Attempt:
    """Works on a run once.

    Parameters
    ----------
    store
        Where the run is kept.
    place
        Where the work is done.
    execution
        The run's, with the lease that the attempt writes under, and renews.
    changes
        The hints about the run.
    """

    def __init__(self, store: Store, place: Place, execution: Execution, changes: Subscription) -> None:
        self._store, self._place = store, place
        self._run_id, self._fence = execution.run_id, execution.fence
        self._execution = execution
        self._body, self._provision = place.bodies[execution.kind], Provision()
        self._changes = changes
        self._deaths = execution.deaths
        self._clock = Clock()
        self._cut: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()  # set when nothing more can come from the child
        self._position = 0
        self._said: Result | Failure | None = None
        self._heard = time.monotonic()
        self._obeyed = execution.wanted
        self._ending: Wanted | None = None
        self._pauses = int(execution.wanted is Wanted.PAUSED)
        self._paused = asyncio.Event()
        self._frozen = False
        self._arrived = self._settled = False

    @property
    def seconds(self) -> float:
        """Running time of the run, this attempt included."""
        return self._execution.seconds + self._clock.seconds

    async def run(self) -> Verdict:
        """Work until the child has ended and nothing of it is left; return what becomes of the run.

        When it is cancelled the child is ended too.
        """
        renewing = self._helping(self._renew())
        try:
            return await self._attempt()
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _attempt(self) -> Verdict:
        timeouts = [most for most in (self._execution.timeout, self._body.limits.seconds) if most is not None]
        left = min(timeouts) - self._execution.seconds if timeouts else None
        if left is not None and left <= 0:
            return timed_out()
        if (unprepared := await self._prepare()) is not None:
            return unprepared
        self._place.metrics.attempts.labels(self._execution.kind).inc()
        savepoint = await self._guarded(self._cut_lines())
        if (verdict := self._verdict()) is not None:
            return verdict
        async with self._as_user() as user, self._scratch(user) as scratch:
            return self._verdict() or await self._start(savepoint, left, user, scratch)

    async def _start(
        self, savepoint: Savepoint | None, left: float | None, user: User | None, scratch: Path | None
    ) -> Verdict:
        """Start the child, which has so much time left, and work until nothing of it is left."""
        slot = ProgressSlot.create()
        try:
            process = await GuardedProcess.start(
                "perdure.execution.child",
                [self._run_id],
                identity=self._place.identity,
                limits=replace(self._body.limits, seconds=left),
                shared=slot.file,
                environment={
                    **self._provision.environment,
                    **({} if scratch is None else {"TMPDIR": str(scratch)}),
                },
                user=user,
                ids=NOBODY if self._place.isolation is None else self._place.isolation.ids,
                folders=(*self._provision.folders, *(() if scratch is None else (scratch,))),
            )
            self._clock = Clock()
            muted = self._body.replays and savepoint is not None
            reporter = Reporter(self._store, self._run_id, self._fence, slot, process.outputs, muted=muted)
            briefing = self._helping(self._brief(process, savepoint))
            del savepoint  # it may be large: who briefs lets go of it when the child is told
            try:
                return await self._supervise(process, reporter, briefing)
            finally:
                await process.aclose()
        finally:
            slot.close()

    async def _prepare(self) -> Verdict | None:
        """Prepare the attempt; return a verdict if it can't be, or as soon as it isn't wanted any more."""
        if self._body.provide is None:
            return None
        run = await asyncio.to_thread(self._store.run, self._run_id)
        called_off = threading.Event()
        preparing = asyncio.ensure_future(
            anyio.to_thread.run_sync(
                self._body.provide,
                run,
                self._execution,
                called_off.is_set,
                abandon_on_cancel=True,
                # A thread of its own, since it may take long: the slots bound how many there are.
                limiter=anyio.CapacityLimiter(1),
            )
        )
        unwanted = self._helping(self._until_unwanted())
        try:
            first: list[asyncio.Future[Any]] = [preparing, unwanted, self._cut]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if (verdict := self._verdict()) is not None:
                return verdict
            if unwanted.done():
                return Unbegun()
            self._provision = preparing.result()
            if (computed_by := self._provision.computed_by) != self._execution.computed_by:
                report = commands.Report(self._run_id, self._fence, computed_by=computed_by)
                await asyncio.wrap_future(self._store.submit(report))
        except (NotFound, Damaged, TooMany) as error:  # which no further attempt mends
            return Unbegun(failed(f"{error.code}: {error}").change)
        except (PerdureError, OSError) as error:
            log.warning("run_not_prepared", run=self._run_id, reason=str(error))
            return Leave()
        finally:
            called_off.set()
            for task in (preparing, unwanted):
                task.cancel()
            # Which doesn't wait for the thread.
            await asyncio.gather(preparing, unwanted, return_exceptions=True)
        return None

    async def _until_unwanted(self) -> None:
        """Return when the attempt isn't wanted as it was when it was begun."""
        while True:
            execution = await asyncio.to_thread(self._store.execution, self._run_id)
            if execution.wanted is not self._execution.wanted:
                return
            await self._changes.wait()
            self._changes.take()

    @asynccontextmanager
    async def _as_user(self) -> AsyncIterator[User | None]:
        """Yield who the child runs as; None is this process's user. Its home is removed at the end."""
        isolation = self._place.isolation
        if isolation is None:
            yield None
            return
        user = await self._guarded(asyncio.to_thread(isolation.user, self._execution.owner))
        try:
            yield user
        finally:
            if user is not None:
                await asyncio.to_thread(isolation.leave, user)

    @asynccontextmanager
    async def _scratch(self, user: User | None) -> AsyncIterator[Path | None]:
        """Yield a folder for temporary files, removed at the end; None if they are in the user's home."""
        if user is not None:
            yield None
            return
        folder = await asyncio.to_thread(self._place.scratch.make, self._run_id)
        try:
            yield folder
        finally:
            await asyncio.to_thread(self._place.scratch.remove, folder)

    async def _supervise(
        self, process: GuardedProcess, reporter: Reporter, briefing: asyncio.Task[None]
    ) -> Verdict:
        listening = self._helping(self._listen(process, reporter))
        helping = [
            listening,
            *(self._helping(reporter.copy(level)) for level in process.outputs),
            briefing,
            self._helping(self._obey(process, reporter)),
            self._helping(self._prepared(process, reporter)),
        ]
        keeping = self._helping(self._keep(reporter))
        try:
            over: list[asyncio.Future[Any]] = [process.ended, self._cut]
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            end = await process.kill()
            self._clock.hold()
            # All of it is gone: what it said that is on its way still is taken at once, and written together.
            reporter.hurry()
            await asyncio.wait([listening], timeout=LEAVING)
            said = self._said
            verdict = self._verdict() or judge(end, said, self._deaths, ending=self._ending)
            await reporter.finish(
                said.traceback if isinstance(said, Failure) else "",
                explained=said is not None or self._ending is not None or end.how is How.ORDER,
                final=isinstance(verdict, Finish),
            )
            self._over.set()
            await keeping
        finally:
            for task in (*helping, keeping):
                task.cancel()
            await asyncio.gather(*helping, keeping, return_exceptions=True)
        return self._verdict() or verdict

    # What goes on beside the child --------------------------------------------------------------------------

    def _helping(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T | None]:
        """Do work beside the child; `_supervise` cancels and awaits it."""
        return asyncio.create_task(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do work and return what it does; None, and the attempt is cut short, if it can't be done."""
        try:
            return await work
        except (Fenced, RunFinished, RunNotFound, StoreUnavailable) as error:
            log.warning("attempt_cut", run=self._run_id, error=str(error))
            self._cut_short(Leave())
        except Garbled as error:
            self._cut_short(failed(f"Its process was ended, since {error}."))
        except Exception as error:
            log.exception("attempt_failed", run=self._run_id)
            self._cut_short(failed(f"The work on it failed in the server: {type(error).__name__}: {error}"))
        return None

    def _cut_short(self, verdict: Verdict | None) -> None:
        """End the child; without a verdict, what is known by then decides."""
        if not self._cut.done():
            self._cut.set_result(verdict)

    def _verdict(self) -> Verdict | None:
        """Return what it was cut short with, if it was."""
        return self._cut.result() if self._cut.done() else None

    async def _cut_lines(self) -> Savepoint | None:
        """Return where the child begins, and forget the lines after that: they are said again."""
        savepoint = await asyncio.to_thread(newest_savepoint, self._store, self._run_id)
        timestamp = None if savepoint is None else savepoint.timestamp
        await asyncio.wrap_future(self._store.submit(CutLines(self._run_id, self._fence, timestamp)))
        return savepoint

    async def _brief(self, process: GuardedProcess, savepoint: Savepoint | None) -> None:
        """Tell the child what it needs to begin."""
        run = await asyncio.to_thread(self._store.run, self._run_id)
        self._position = run.position
        start = Start(
            path=_absolute(sys.path),
            body=self._body.path,
            run_id=run.id,
            spec=run.spec,
            attempt=self._execution.attempt,
            seconds=self._execution.seconds,
            position=run.position,
            savepoint=savepoint,
            paused=self._execution.wanted is Wanted.PAUSED,
            given=self._provision.given,
        )
        _, writer = process.channel
        try:
            _send(process, start)
            read = 0
            while read < run.position:
                steps = await asyncio.to_thread(self._store.steps, run.id, read)
                for part in parts(steps):
                    _send(process, Log(part))
                    await writer.drain()
                read += len(steps)
        except ConnectionError:
            return  # it ended before it had begun, which its guard tells

    async def _renew(self) -> None:
        """Renew the lease again and again, whatever else is slow."""
        while True:
            await asyncio.sleep(RENEW)
            await asyncio.wrap_future(
                self._store.submit(Renew(self._run_id, self._fence, self._place.lease_seconds))
            )

    async def _keep(self, reporter: Reporter) -> None:
        """Report what is new until all is over, and note it when the child falls silent."""
        renewed, silent = time.monotonic(), False
        while not await _within(self._over.wait(), REPORT):
            now = time.monotonic()
            if now - renewed < RENEW:
                await reporter.write()
                continue
            renewed = now
            await reporter.write(self.seconds)
            if silent != (now - self._heard > SILENT and self._obeyed is Wanted.STARTED):
                silent = not silent
                log.info("child_silent" if silent else "child_heard_again", run=self._run_id)
        await reporter.write(self.seconds)

    async def _listen(self, process: GuardedProcess, reporter: Reporter) -> None:
        """Do what the child asks for, one thing after the other: while it is done, the child waits."""
        reader, _ = process.channel
        second, unanswered = 0.0, 0
        while self._said is None:
            try:
                message = await receive(reader)
            except EOFError:
                break
            self._heard = time.monotonic()
            match message:
                case Append():
                    await self._append(process, reporter, message)
                    continue
                case Arrived(number):
                    await reporter.drain()
                    if not self._arrived:
                        await asyncio.to_thread(self._provision.arrived)
                        self._arrived = True
                    reporter.unmute()
                    _send(process, Done(number))
                case Line(level, text):
                    await reporter.add(text, level)
                    continue
                case Paused(number):
                    if number == self._pauses:
                        self._paused.set()
                case Result() | Failure():
                    self._said = message
                case Beat():
                    pass
            if self._heard - second > 1.0:
                second, unanswered = self._heard, 0
            unanswered += 1
            if unanswered > FLOOD:
                raise Garbled(f"it sent more than {FLOOD} messages in a second")
        patience = HANGING_UP if self._said is None else LEAVING
        if not await _within(asyncio.shield(process.ended), patience):
            self._cut_short(None if self._said else pipe_lost())

    async def _append(self, process: GuardedProcess, reporter: Reporter, message: Append) -> None:
        """Make durable what the child sent, and tell it."""
        entries, savepoint = message.entries, message.savepoint
        if savepoint is not None:
            # What it said before is not said again by an attempt that goes on from here.
            await reporter.drain()
            await reporter.write()
            if not self._settled:
                await asyncio.to_thread(self._provision.settled)
                self._settled = True
        appended = await asyncio.wrap_future(
            self._store.submit(
                commands.Append(
                    self._run_id, Leased(self._fence), self._position, entries, encoded(savepoint)
                )
            )
        )
        if not appended.replayed:
            self._position += len(entries)
            if savepoint is not None:
                self._deaths = 0
        _send(process, Done(message.number))

    # What is wanted -----------------------------------------------------------------------------------------

    async def _obey(self, process: GuardedProcess, reporter: Reporter) -> None:
        """Bring the run where it is wanted, whenever that may have changed."""
        while True:
            execution = await asyncio.to_thread(self._store.execution, self._run_id)
            if execution.wanted is not self._obeyed:
                await self._bring(process, reporter, execution.wanted)
            if self._obeyed.ends:
                return
            # A hint with a state is a commit of this process. Most of those the run wrote itself; after the
            # others the executor calls `Work.look`.
            while all(hint.state is not None for hint in self._changes.take()):
                await self._changes.wait()

    async def _prepared(self, process: GuardedProcess, reporter: Reporter) -> None:
        """Put down that a run which began paused has prepared itself, and stands still."""
        if self._obeyed is Wanted.PAUSED:
            await self._paused.wait()
            process.hold_clock()
            self._clock.hold()
            await reporter.write()
            await self._mark(RunState.PAUSED)

    async def _bring(self, process: GuardedProcess, reporter: Reporter, wanted: Wanted) -> None:
        frozen, self._obeyed = self._frozen, wanted
        match wanted:
            case Wanted.STOPPED | Wanted.COMPLETED | Wanted.FAILED:
                self._ending = wanted if self._said is None else None
                _send(process, Stop())
                reporter.hurry()
                if not frozen:
                    await _within(asyncio.shield(process.ended), GRACE)
                self._cut_short(None)
            case Wanted.PAUSED:
                self._pauses += 1
                self._paused.clear()
                _send(process, Pause(self._pauses))
                reporter.hurry()
                self._frozen = not await _within(self._paused.wait(), GRACE)
                self._clock.hold()
                if self._frozen:
                    await process.freeze()
                else:
                    process.hold_clock()
                    reporter.take_time()  # what it goes on doing in threads is made to wait again
                await reporter.drain()
                await reporter.write()  # who sees that it is paused sees all that it said before
                await self._mark(RunState.PAUSED)
            case Wanted.STARTED:
                self._frozen = False
                reporter.take_time()
                process.go_on()
                self._clock.go_on()
                _send(process, Resume())
                await self._mark(RunState.STARTED)

    async def _mark(self, state: RunState) -> None:
        """Put down in the run's record that it is paused, or goes on."""
        while True:
            run = await asyncio.to_thread(self._store.run, self._run_id)
            if run.state in FINAL or run.state is state:
                return
            with suppress(VersionConflict):  # another change came between: look again
                await asyncio.wrap_future(
                    self._store.submit(ChangeRun(self._run_id, run.version, Change(state=state)))
                )


def _absolute(places: Iterable[str]) -> list[str]:
    """Return paths as they are seen from any folder: a child may work in another one."""
    return [str(Path(place).absolute()) for place in places]


def _send(process: GuardedProcess, message: ToChild) -> None:
    """Send a message to the child, which may be gone; what doesn't fit into the pipe yet waits in memory."""
    _, writer = process.channel
    if not writer.is_closing():
        writer.write(framed(message))


async def _within(work: Awaitable[object], seconds: float) -> bool:
    """Wait so long at most; return whether it was done by then."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True

"""The work on one run under one lease: an actor that makes one attempt.

Everything that happens is an event in its inbox: a message of the child, its end, a change of the desired
state, or the end of a job. One loop takes the events one after the other, and passes them to the `Attempt`,
which owns all state and decides what to do next. Slow work is a job beside the loop, which ends with an
event. So decisions are made in one place, and slow work doesn't delay them.
"""

import asyncio
import itertools
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio.to_thread
import structlog

from perdure import tracing
from perdure.errors import NoSavepoint, PerdureError, VersionConflict
from perdure.execution.attempt import Action, Attempt, Event, Happened
from perdure.execution.body import Provision
from perdure.execution.conclusion import Again, Conclusion, Finish, Leave, Unbegun, timed_out
from perdure.execution.conversation import Conversation
from perdure.execution.guard import Clock
from perdure.execution.guarded_process import GuardedProcess
from perdure.execution.launch import launch
from perdure.execution.messages import Failure, Garbled, Pause, Preempt, Resume, Start, Stop
from perdure.execution.reporter import Reporter
from perdure.execution.traces import attempt_span, forget_trace
from perdure.execution.unplaced import settle
from perdure.execution.views import Viewing, forget_views
from perdure.execution.worker_configuration import WorkerConfiguration
from perdure.lifecycle import FINAL, DesiredState, RunStatus
from perdure.run import Change, Execution, Run
from perdure.state.savepoint import Savepoint
from perdure.stores import commands
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, Command, CutLines, Release, Renew, Report
from perdure.stores.feed import Hint
from perdure.stores.savepoints import newest_savepoint

__all__ = ["Work"]

P = ParamSpec("P")
R = TypeVar("R")

REPORT = 0.1  # seconds between two reports
RENEW = 1.0  # seconds between two renewals of the lease; a killed server loses that much running time
BACKLOG = 100  # events in the inbox; beyond it senders wait

log = structlog.get_logger(__name__)


class Work:
    """Works on a run under its lease.

    Parameters
    ----------
    store
        Where the run is kept.
    configuration
        The worker's configuration.
    execution
        The run's execution, which is leased.
    """

    _process: GuardedProcess  # these three exist from the child's start on
    _reporter: Reporter
    _conversation: Conversation

    def __init__(self, store: Store, configuration: WorkerConfiguration, execution: Execution) -> None:
        self._store, self._configuration, self._execution = store, configuration, execution
        self._run_id, self._token = execution.run_id, execution.fence
        self._body = configuration.bodies[execution.kind]
        self._changes = configuration.feed.subscribe(execution.run_id)  # closed by `run`
        self._opened = AsyncExitStack()  # resources of the attempt, closed by `_attempt`
        self._inbox: asyncio.Queue[Event] = asyncio.Queue(BACKLOG)
        self._jobs: set[asyncio.Task[None]] = set()  # cancelled and awaited by `_act`
        self._clock = Clock()  # of the child's running time
        self._clock.hold()

    @property
    def kind(self) -> str:
        """The kind of the run."""
        return self._execution.kind

    def look(self) -> None:
        """Read the desired state of the run again."""
        self._changes.notify(Hint(self._run_id))

    def preempt(self) -> None:
        """Have the run saved, as far as its body can, and given back within about three seconds."""
        self._begin(asyncio.sleep, 0, Happened.PREEMPTED)

    async def run(self) -> None:
        """Make one attempt at the run.

        On cancellation the child is killed and the lease given back: the run waits to be taken again. If the
        attempt is impossible now, the run waits until the lease has ended.
        """
        try:
            with self._changes:
                async with attempt_span(self._store, self._execution):
                    await self._conclude(await self._attempt())
        except (PerdureError, OSError) as error:
            log.warning("work_left", run=self._run_id, error=str(error))

    async def _attempt(self) -> Conclusion:
        """Return what becomes of the run, when nothing is left of the child."""
        attempt = Attempt(self._execution)
        try:
            async with self._opened:
                return timed_out() if self._left == 0 else await self._act(attempt)
        except asyncio.CancelledError:
            unbegun = not attempt.has_child
            await self._submit(Release(self._run_id, self._token, self._seconds, unbegun=unbegun))
            raise

    async def _act(self, attempt: Attempt) -> Conclusion:
        """Handle events until it is decided what becomes of the run."""
        for work in (self._renew, self._watch, self._start):
            self._begin(work)
        try:
            while attempt.conclusion is None:
                event = await self._next(attempt.deadline)
                for action in attempt.handle(event, time.monotonic()):
                    self._do(action, attempt)
            if attempt.has_child and not isinstance(attempt.conclusion, Leave):
                await self._reporter.finish(
                    attempt.said.traceback if isinstance(attempt.said, Failure) else "",
                    explained=attempt.explained,
                    final=isinstance(attempt.conclusion, Finish),
                )
                await self._reporter.write(self._seconds)
            return attempt.conclusion
        finally:
            jobs = tuple(self._jobs)
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def _next(self, deadline: float) -> Event:
        """Take an event from the inbox; None at the deadline."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if deadline == math.inf else deadline - time.monotonic()):
                return await self._inbox.get()
        return None

    def _do(self, action: Action, attempt: Attempt) -> None:
        """Carry out an action of the attempt; slow ones become jobs."""
        match action:
            case Action.LISTEN:
                self._begin(self._conversation.send_log)
                self._begin(self._conversation.listen, self._inbox.put, attempt.heard)
                self._begin(asyncio.shield, self._process.ended)
                self._begin(self._report, attempt)
                if self._body.shows:
                    self._begin(Viewing(self._store, self._execution, self._conversation).run)
                for level in self._process.outputs:
                    self._begin(self._reporter.copy, level)
            case Action.PAUSE:
                self._conversation.send(Pause(attempt.pause))
                self._reporter.hurry()
            case Action.HALT | Action.FREEZE:
                self._begin(self._halt, freeze=action is Action.FREEZE)
            case Action.GO_ON:
                self._begin(self._go_on)
            case Action.PREEMPT:
                self._conversation.send(Preempt())
                self._reporter.hurry()
            case Action.STOP:
                self._conversation.send(Stop())
                self._reporter.hurry()
            case Action.KILL:
                self._begin(self._process.kill)
            case Action.FLUSH:
                self._clock.hold()
                self._reporter.hurry()

    async def _conclude(self, conclusion: Conclusion) -> None:
        """End the run, or give the lease back."""
        match conclusion:
            case Finish(change, result):
                await self._submit(commands.Finish(self._run_id, self._token, change, result, self._seconds))
                await self._count(change)
            case Again(crashes):
                await self._submit(Release(self._run_id, self._token, self._seconds, crashes))
            case Leave(unbegun=True):
                renewal = Renew(self._run_id, self._token, self._configuration.lease_seconds, unbegun=True)
                if (await self._submit(renewal)).desired is not DesiredState.STARTED:
                    await settle(self._store, self._run_id, self._configuration.metrics)
            case Unbegun(None):
                await self._submit(Release(self._run_id, self._token, unbegun=True))
            case Unbegun(Change() as end):
                await self._submit(commands.Finish(self._run_id, self._token, end, unbegun=True))
                await self._count(end)

    # Jobs ---------------------------------------------------------------------------------------------------

    def _begin(self, work: Callable[P, Awaitable[Event]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Start a job beside the loop; its result, or its error, is an event."""
        # The job calls `work` itself: one that is cancelled before it starts leaves no coroutine unawaited.
        job = asyncio.create_task(self._done(partial(work, *args, **kwargs)))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _done(self, work: Callable[[], Awaitable[Event]]) -> None:
        try:
            event = await work()
        except Exception as error:
            expected = isinstance(error, PerdureError | OSError | Garbled)
            log.warning("attempt_failed", run=self._run_id, error=str(error), exc_info=not expected)
            event = error
        if event is not None:
            await self._inbox.put(event)

    async def _renew(self) -> None:
        """Renew the lease periodically, whatever else is slow."""
        due = time.monotonic() + RENEW
        while True:
            await asyncio.sleep(due - time.monotonic())
            due = time.monotonic() + RENEW  # from now: a slow commit must not let the lease end
            await self._submit(Renew(self._run_id, self._token, self._configuration.lease_seconds))
            self.look()  # in case a hint was lost

    async def _watch(self) -> None:
        """Read the desired state of the run whenever it may have changed."""
        while True:
            execution = await asyncio.to_thread(self._store.execution, self._run_id)
            await self._inbox.put(execution.desired)
            # A hint with a state comes from a commit of this process. Most of these are the run's own; after
            # the others the executor calls `look`.
            while all(hint.state is not None for hint in self._changes.take()):
                await self._changes.wait()

    async def _provide(self, run: Run) -> Provision:
        if self._body.provide is None:
            return Provision()
        cancelled = threading.Event()
        try:
            return await anyio.to_thread.run_sync(
                self._body.provide,
                run,
                self._execution,
                cancelled.is_set,
                abandon_on_cancel=True,
                # A thread of its own, since it may take long; the slots limit their number.
                limiter=anyio.CapacityLimiter(1),
            )
        finally:
            cancelled.set()

    async def _start(self) -> Event:
        """Prepare the attempt, start the child and send it its assignment."""
        run = await asyncio.to_thread(self._store.run, self._run_id)
        provision = await self._provide(run)
        if (computed_by := provision.computed_by) != self._execution.computed_by:
            await self._submit(Report(self._run_id, self._token, computed_by=computed_by))
        savepoint = await asyncio.to_thread(self._newest_savepoint)
        begin = None if savepoint is None else savepoint.timestamp
        await self._submit(CutLines(self._run_id, self._token, begin))  # the child repeats the lines after it
        self._process, slot = await launch(
            self._configuration, self._execution, provision, self._left, self._opened
        )
        self._configuration.metrics.attempts.labels(self._execution.kind).inc()
        self._clock.go_on()
        outputs, muted = self._process.outputs, self._body.replays and savepoint is not None
        self._reporter = Reporter(self._store, self._run_id, self._token, slot, outputs, muted=muted)
        self._conversation = Conversation(
            self._store, self._execution, run.position, self._process.channel, self._reporter, provision
        )
        self._conversation.send(
            Start(
                path=_absolute(sys.path),
                body=self._body.path,
                run_id=run.id,
                spec=run.spec,
                attempt=self._execution.attempt,
                seconds=self._execution.seconds,
                position=run.position,
                savepoint=savepoint,
                paused=self._execution.desired is DesiredState.PAUSED,
                given=provision.given,
                trace=tracing.current(),
            )
        )
        return Happened.STARTED

    async def _report(self, attempt: Attempt) -> None:
        """Write lines and progress periodically.

        Less often the running time and whether the child is silent.
        """
        silent = False
        for number in itertools.count(1):
            await asyncio.sleep(REPORT)
            if number % round(RENEW / REPORT):
                await self._reporter.write()
                continue
            await self._reporter.write(self._seconds)
            if silent is not attempt.is_silent(time.monotonic()):
                silent = not silent
                log.info("child_silent" if silent else "child_heard_again", run=self._run_id)

    async def _halt(self, *, freeze: bool) -> Event:
        self._clock.hold()
        if freeze:
            await self._process.freeze()
        else:
            self._process.hold_clock()
            self._reporter.take_time()  # threads that go on printing wait again
        await self._reporter.drain()
        await self._reporter.write()  # all output before the pause is stored before the state is
        await self._change(Change(state=RunStatus.PAUSED))
        return Happened.MOVED

    async def _go_on(self) -> Event:
        self._reporter.take_time()
        self._process.go_on()
        self._clock.go_on()
        self._conversation.send(Resume())
        await self._change(Change(state=RunStatus.STARTED))
        return Happened.MOVED

    # The store ----------------------------------------------------------------------------------------------

    @property
    def _seconds(self) -> float:
        """Running time of the run, this attempt included."""
        return self._execution.seconds + self._clock.seconds

    @property
    def _left(self) -> float | None:
        """Remaining running time of the run; None is no limit."""
        limits = [it for it in (self._execution.timeout, self._body.limits.seconds) if it is not None]
        return max(min(limits) - self._execution.seconds, 0.0) if limits else None

    def _newest_savepoint(self) -> Savepoint | None:
        with suppress(NoSavepoint):
            return newest_savepoint(self._store, self._run_id)
        return None

    async def _submit(self, command: Command[R]) -> R:
        return await asyncio.wrap_future(self._store.submit(command))

    async def _change(self, change: Change) -> None:
        """Change the record of the run, unless its state is final or has been reached."""
        while True:
            run = await asyncio.to_thread(self._store.run, self._run_id)
            if run.state in FINAL or run.state is change.state:
                return
            with suppress(VersionConflict):  # another change came first: try again
                await self._submit(ChangeRun(self._run_id, run.version, change))
                return

    async def _count(self, change: Change) -> None:
        await forget_trace(self._store, self._run_id)
        if self._body.shows:
            await forget_views(self._store, self._run_id)
        if change.outcome is not None:
            self._configuration.metrics.count_end(self._execution.kind, change.outcome.value)


def _absolute(places: Iterable[str]) -> list[str]:
    """Return absolute paths, since a child may work in another folder."""
    return [str(Path(place).absolute()) for place in places]

"""Stepping: the steps of one session, exactly once each, while the caller holds the run's lock.

Steps are computed ahead of their commits by at most a window, never answered ahead of them. After anything
goes wrong the live session is dropped, so that memory never runs ahead of the store.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from perdure import tracing
from perdure.drivers.live_session import LiveSession, Stepped
from perdure.drivers.live_sessions import LiveSessions
from perdure.drivers.run_access import find_run
from perdure.drivers.session_limits import check_step_limits
from perdure.drivers.session_requests import Answer, Owner, StepRequest, StepRows
from perdure.drivers.session_spec import KIND, SessionSpec
from perdure.drivers.step_inputs import Inputs, settings_to_inputs
from perdure.drivers.threads import Threads
from perdure.errors import (
    EngineCrashed,
    Fenced,
    KeyReused,
    PerdureError,
    PositionConflict,
    RunFinished,
    RunNotFound,
    ServerClosing,
)
from perdure.lifecycle import FINAL, Outcome, RunStatus
from perdure.run import Change, Entry, Key, Run, Step
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.chain import Chain
from perdure.stores.commands import Append, Appended, Touch, Unleased, encoded

__all__ = ["MAX_CRASHES", "Stepping"]

WINDOW = 64  # steps of one request that may wait for their commit at once
WINDOW_SECONDS = 0.05  # about how long a window may be computed, so that others get their turn
MAX_OVERTAKEN = 50  # times in a row that other servers may get ahead of a request
STAGGER_SECONDS = 0.2  # longest pause before the next attempt then
MAX_CRASHES = 2  # times in a row that an engine may crash in the same step; then the request fails

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Stepping:
    """Takes steps of sessions.

    Parameters
    ----------
    store
        Where steps are committed.
    live
        The sessions in memory.
    threads
        Where long work is done.
    settings
        The limits of a request.
    closing
        Set when requests for many steps are to end early.
    """

    def __init__(
        self,
        store: Store,
        live: LiveSessions,
        threads: Threads,
        settings: Settings,
        closing: asyncio.Event,
    ) -> None:
        self._store = store
        self._live = live
        self._threads = threads
        self._settings = settings
        self._closing = closing

    async def find(self, owner: Owner, run_id: str) -> Run:
        """Return the run of a session; see `Sessions.run`."""
        return await self._threads.read(lambda: find_run(self._store, owner, run_id, KIND))

    async def touch(self, owner: Owner, run_id: str, *, current: bool = False) -> LiveSession:
        """Return a session that can be stepped, restored if it isn't in memory.

        What is in memory may be behind the store: another server may have stepped or changed the session. The
        commit of a step finds that out. The store is asked now with `current`, and if another server was
        ahead at the last step.
        """
        live = self._live.get(run_id)
        if live is not None and owner is not None and live.owner != owner:
            raise RunNotFound(run=run_id)
        if live is not None and not current and not live.overtaken:
            return live
        while True:
            run = await self.find(owner, run_id)
            if live is not None and run.state not in FINAL and await self._caught_up(live, run):
                return live
            self._live.drop(run_id)
            if run.state in FINAL:
                raise RunFinished(run=run_id, state=run.state.value)
            live = await self._restored(run)
            if live is not None:
                self._live.keep(live)
                return live

    async def _caught_up(self, live: LiveSession, run: Run) -> bool:
        """Take in a live session the steps that other servers took; return whether it stands with its run.

        One that is further behind than the distance between two savepoints is rather restored.
        """
        if live.guard != Unleased.of(run) or not 0 <= run.position - live.position <= live.spec.every:
            return False
        live.overtaken = live.position < run.position
        if live.overtaken:
            try:
                await self._compute(live)(lambda: self._live.catch_up(live, run.position))
            except PerdureError as error:  # restoring it may succeed, or says what is wrong
                log.info("session_not_caught_up", run=run.id, reason=str(error))
                return False
        return True

    async def _restored(self, run: Run) -> LiveSession | None:
        """Return a session as it stood when its run was read; None if it was changed while it was restored.

        Then savepoints may be gone that it began from, or be of another model.
        """
        spec = await self._threads.read(lambda: SessionSpec.from_blob(run.spec))
        if self._live.numerics.others and not self._live.numerics.are(spec.numerics):
            await self._take_over(run, spec)
            return None
        crashes = 0
        while True:
            try:
                return await self._threads.compute(lambda: self._live.restore(run, spec, run.position))
            except PerdureError as error:
                now = await self.find(run.owner, run.id)
                if (now.position, Unleased.of(now)) != (run.position, Unleased.of(run)):
                    return None
                crashes += 1
                if not isinstance(error, EngineCrashed) or crashes > MAX_CRASHES:
                    raise

    async def _take_over(self, run: Run, spec: SessionSpec) -> None:
        """Let a session that a host with other numerics has computed be computed by this one from now on."""

        def take_over() -> Future[Appended]:
            with closing(self._live.restore(run, spec, run.position)) as live:
                savepoint = live.savepoint(milestone=True)
            spec_here = spec.taken_over(self._live.numerics.fingerprint, run.position)
            change = Change(spec=spec_here.to_blob())
            guard = Unleased.of(run)
            return self._store.submit(Append(run.id, guard, run.position, [], encoded(savepoint), change))

        with suppress(Fenced, PositionConflict):  # another server has stepped or changed it
            await asyncio.wrap_future(await self._threads.compute(take_over))
            log.warning("session_with_other_numerics", run=run.id, numerics=spec.numerics)

    async def step(self, owner: Owner, run_id: str, request: StepRequest, key: Key | None) -> Answer:
        """Take the steps of a request; see `Sessions.step`."""
        try:
            recorded: list[Step] = []
            if key is not None and request.steps > 1:
                recorded = await self._recorded(owner, run_id, key, request.steps)
            if len(recorded) == request.steps:
                return await self._recorded_answer(owner, run_id, recorded)
            live = await self.touch(owner, run_id)
            if key is not None and live.last_keyed is not None and live.last_keyed[0].text == key.text:
                await self.find(owner, run_id)  # it may have been deleted elsewhere
                return _repeated(live, *live.last_keyed, key)
            return await self._advance(live, request, key, recorded)
        except PerdureError:
            if key is None:
                raise
            # Whatever is wrong now, a request that was answered before gets the same answer again.
            recorded = await self._recorded(owner, run_id, key, request.steps)
            answered = await self._recorded_answer(owner, run_id, recorded)
            if len(recorded) < request.steps and not answered.finished:
                raise
            return answered

    async def _advance(
        self, live: LiveSession, request: StepRequest, key: Key | None, recorded: list[Step]
    ) -> Answer:
        """Take the steps that aren't recorded yet.

        If another server has stepped or changed the session meanwhile, go on from where it stands now, unless
        the client expects it elsewhere. If the process of an engine has died, restore the session, and take
        the step that it was in once more: that wasn't handed to the store.
        """
        done = [StepRows.of(step) for step in recorded]
        overtaken = crashes = 0
        while True:
            live = await self._at_expected(live, request, done)
            before = len(done)
            try:
                return await self._advance_from(live, request, key, done)
            except EngineCrashed as error:
                self._live.drop(live.run_id)
                if self._closing.is_set():
                    closed = ServerClosing()
                    _note_taken(closed, done)
                    raise closed from error
                crashes = 1 if len(done) > before else crashes + 1
                log.warning("engine_crashed", run=live.run_id, crashes=crashes, reason=str(error))
                if crashes > MAX_CRASHES:
                    raise _given_up(live, crashes, error, done) from error
            except (Fenced, PositionConflict):
                overtaken = 0 if len(done) > before else overtaken + 1
                if overtaken == MAX_OVERTAKEN:
                    raise
            # A server that is ahead now would be ahead at the next attempt too, so wait a random time.
            await asyncio.sleep(STAGGER_SECONDS * secrets.randbelow(100) / 100 if overtaken > 1 else 0)
            try:
                live = await self.touch(live.owner, live.run_id)
                live.overtaken = overtaken > 0
            except RunFinished as error:
                if done and error.values["state"] == RunStatus.COMPLETED:
                    return Answer(live.run_id, live.spec, done, finished=True)
                _note_taken(error, done)
                raise
            except PerdureError as error:
                _note_taken(error, done)
                raise

    async def _at_expected(
        self, live: LiveSession, request: StepRequest, done: list[StepRows]
    ) -> LiveSession:
        """Return the session where the client expects it; raise `PositionConflict` if it isn't there."""
        if request.expected is None or live.position + 1 == request.expected + len(done):
            return live
        live = await self.touch(live.owner, live.run_id, current=True)
        if live.position + 1 != request.expected + len(done):
            error = PositionConflict(run=live.run_id, expected=request.expected, position=live.position)
            _note_taken(error, done)
            raise error
        return live

    async def _advance_from(
        self, live: LiveSession, request: StepRequest, key: Key | None, done: list[StepRows]
    ) -> Answer:
        """Take the steps that aren't done, a window at a time, and wait for each window's commits.

        Every step that is committed is added to `done`, also if a later one fails.
        """
        check_step_limits(self._settings, request.steps, live.values_per_step)
        # The settings of a request are logged with its first step and stay in force.
        inputs = [] if done else settings_to_inputs(live.spec, request.settings)
        if inputs and not live.quick:
            await self._compute(live)(partial(live.check, inputs))
        else:
            live.check(inputs)
        live.last_keyed = None
        chain = Chain() if request.steps > 1 else None
        try:
            while len(done) < request.steps and not (live.finished and done):
                if self._closing.is_set() and done:
                    raise ServerClosing
                # One step first, to learn how long it takes.
                most = max(1, min(WINDOW, int(WINDOW_SECONDS / live.seconds_per_step)))
                count = min(most, request.steps - len(done))
                given = [] if done else inputs
                submit = partial(self._submit, live, given, count, key, len(done), chain, request.touch)
                inline = count == 1 and live.quick
                taken, failure = submit() if inline else await self._compute(live)(submit)
                commits = [asyncio.wrap_future(future) for _, future in taken]
                with tracing.span("commit", run=live.run_id, steps=len(commits)):
                    if len(commits) > 1:
                        # Every outcome is known before any is acted on; the first that is an error counts.
                        await asyncio.gather(*commits, return_exceptions=True)
                    for (stepped, _), commit in zip(taken, commits, strict=True):
                        appended = await commit
                        if appended.replayed:
                            # The key was recorded: the engines took a step that the log doesn't hold.
                            self._live.drop(live.run_id)
                            if request.steps > 1:
                                return await self.step(live.owner, live.run_id, request, key)
                            return await self._recorded_answer(live.owner, live.run_id, list(appended.steps))
                        done.append(StepRows(stepped.position, stepped.rows))
                        if key is not None and request.steps == 1:
                            live.last_keyed = key, stepped
                if failure is not None:
                    raise failure
        except BaseException as error:
            self._live.drop(live.run_id)
            _note_taken(error, done)
            raise
        if live.finished:
            self._live.drop(live.run_id)
        return Answer(live.run_id, live.spec, done, live.finished)

    def _compute(self, live: LiveSession) -> Callable[[Callable[[], T]], Awaitable[T]]:
        """Return where a session is stepped: one that hangs in its process must not keep others waiting."""
        return self._threads.wait if live.processes else self._threads.compute

    def _submit(
        self,
        live: LiveSession,
        inputs: Inputs,
        count: int,
        key: Key | None,
        ordinal: int,
        chain: Chain | None,
        touch: Callable[[], Touch] | None,
    ) -> tuple[list[tuple[Stepped, Future[Appended]]], Exception | None]:
        """Step up to `count` times and hand each step to the store; an error ends it and is returned."""
        taken: list[tuple[Stepped, Future[Appended]]] = []
        try:
            for number in range(count):
                stepped = live.step(inputs if number == 0 else [])
                entry = Entry(
                    inputs=stepped.inputs,
                    outputs=stepped.outputs,
                    key=None if key is None else msgspec.structs.replace(key, ordinal=ordinal + number),
                )
                change = None
                if live.finished:
                    change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED)
                elif stepped.position == 1:
                    change = Change(state=RunStatus.STARTED)
                position = stepped.position - 1
                future = self._store.submit(
                    Append(
                        live.run_id,
                        live.guard,
                        position,
                        [entry],
                        encoded(stepped.savepoint),
                        change,
                        None if touch is None else touch(),
                    ),
                    chain,
                )
                taken.append((stepped, future))
                if live.finished:
                    break
        except Exception as error:  # the steps before it are with the store, so their outcome comes first
            return taken, error
        return taken, None

    async def _recorded(self, owner: Owner, run_id: str, key: Key, count: int) -> list[Step]:
        """Return the recorded steps of a request, from its first up to the first that is missing."""

        def look_up() -> list[Step]:
            steps = []
            for ordinal in range(count):
                step = self._store.step_by_key(run_id, msgspec.structs.replace(key, ordinal=ordinal))
                if step is None:
                    break
                steps.append(step)
            return steps

        await self.find(owner, run_id)
        return await self._threads.read(look_up)

    async def _recorded_answer(self, owner: Owner, run_id: str, steps: list[Step]) -> Answer:
        run = await self.find(owner, run_id)
        return Answer(
            run_id,
            SessionSpec.from_blob(run.spec),
            [StepRows.of(step) for step in steps],
            # As it was answered then: a run that ended otherwise, or later, wasn't finished by these.
            finished=run.state is RunStatus.COMPLETED
            and steps[-1:] != []
            and steps[-1].position == run.position,
            replayed=True,
        )


def _given_up(live: LiveSession, crashes: int, error: EngineCrashed, done: list[StepRows]) -> EngineCrashed:
    """Return what a request ends with whose engine has crashed too often."""
    step, engine, reason = live.position + 1, error.values["engine"], error.values["reason"]
    given_up = EngineCrashed(
        f"The process of the engine {engine!r} has ended {crashes} times in a row in step {step} of the run "
        f"{live.run_id!r}: {reason}. The steps before it are durable. Look into the server's log for the "
        "cause, then repeat the request.",
        **error.values,
    )
    _note_taken(given_up, done)
    return given_up


def _note_taken(error: BaseException, done: list[StepRows]) -> None:
    """Say with the error of a request how many of its steps were taken, if any was."""
    if done and isinstance(error, PerdureError):
        error.values["steps_taken"] = len(done)


def _repeated(live: LiveSession, key: Key, stepped: Stepped, again: Key) -> Answer:
    """Return the answer to the last request once more."""
    if again.body_hash != key.body_hash:
        raise KeyReused(key=key.text)
    return Answer(live.run_id, live.spec, [StepRows(stepped.position, stepped.rows)], False, replayed=True)

"""Sessions: runs that a client advances, one acknowledged step after another.

A lock serialises the steps of a run. It is held until the outcome of the commit is known, even if the client
disconnects. A session that isn't in memory is restored on request; memory never runs ahead of the store.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from functools import partial

import msgspec
import structlog

from perdure import tracing
from perdure.drivers.examination import Finding, examine
from perdure.drivers.forking import Forking
from perdure.drivers.live_session import LiveSession
from perdure.drivers.live_sessions import LiveSessions
from perdure.drivers.locks import RunLocks
from perdure.drivers.new_session import new_session_spec
from perdure.drivers.session_limits import check_forks, check_step_limits
from perdure.drivers.session_pages import read_settings, read_step_log
from perdure.drivers.session_parts import session_parts
from perdure.drivers.session_requests import (
    Answer,
    ForkSession,
    NewSession,
    Owner,
    SessionView,
    SettingsPage,
    StepLogPage,
    StepRequest,
    Upgraded,
)
from perdure.drivers.session_spec import KIND, SessionSpec
from perdure.drivers.stepping import MAX_CRASHES, Stepping
from perdure.drivers.threads import Threads
from perdure.drivers.uninterrupted import Uninterrupted, uninterrupted
from perdure.drivers.upgrade import upgrade_session
from perdure.drivers.views import positions_of
from perdure.errors import EngineCrashed, Fenced, PerdureError, PositionConflict, VersionConflict
from perdure.lifecycle import Outcome, RunStatus, check
from perdure.numerics import Numerics
from perdure.observability import Metrics
from perdure.run import NO_LABEL, Change, Key, Label, LabelChange, Run, new_run, new_run_id
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores.base import Store
from perdure.stores.commands import (
    ChangeRun,
    Committed,
    Created,
    CreateRun,
    DeleteRun,
    Fork,
    ForkRuns,
    MarkSavepoint,
    PutSavepoint,
    Unleased,
    encoded,
)
from perdure.stores.feed import Feed
from perdure.stores.quota import Quota

__all__ = ["Sessions"]

LEAVING = 3.0  # seconds that steps have when the server closes, before processes they wait for are killed

log = structlog.get_logger(__name__)


class Sessions:
    """The driver of sessions.

    Parameters
    ----------
    store
        Where runs are kept; its opener closes it.
    catalogue
        The models and scenarios of sessions.
    settings
        Limits and the savepoint schedule.
    metrics
        Where steps and sessions are counted.
    feed
        Notifies of changes; by default, the driver has one of its own.

    Attributes
    ----------
    closing
        Set it to end requests for many steps and event streams early; `aclose` does this too.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: Settings,
        metrics: Metrics,
        feed: Feed | None = None,
    ) -> None:
        self.store = store
        self._feed = feed or Feed(store)
        self.catalogue = catalogue
        self._settings = settings
        self._quota = Quota(unfinished=settings.max_runs, ended=settings.max_ended_runs)
        self._metrics = metrics
        self._locks = RunLocks()
        self._numerics = Numerics(others=settings.other_numerics)
        self._live = LiveSessions(
            store,
            catalogue,
            metrics,
            self._locks,
            settings.max_live_sessions,
            settings.max_engine_processes,
            self._numerics,
        )
        self._uninterrupted = Uninterrupted()
        self._threads = Threads()
        self.closing = asyncio.Event()
        self._stepping = Stepping(store, self._live, self._threads, settings, self.closing)

    # Making and ending --------------------------------------------------------------------------------------

    @uninterrupted
    async def create(
        self, owner: str, request: NewSession, key: Key | None = None, label: Label = NO_LABEL
    ) -> Created:
        """Create a session; it is durable when this returns."""
        if (made := await self.made(owner, key)) is not None:
            return made
        run_id = new_run_id()

        def start() -> tuple[LiveSession, Run, Savepoint]:
            self.store.check_quota(owner, self._quota)
            # Decoded from what is stored, it shares nothing with the request, whose lists may change.
            spec = new_session_spec(request, self.catalogue, self._settings, self._numerics)
            spec = SessionSpec.from_blob(spec.to_blob())
            check_step_limits(self._settings, 1, sum(len(part.outputs) for part in spec.scenarios))
            live = self._live.start(run_id, owner, spec)
            run = new_run(run_id, KIND, owner, spec.to_blob(), label)
            try:
                return live, run, live.savepoint()
            except BaseException:
                live.close()
                raise

        live, run, savepoint = await self._threads.compute(start)
        kept = False
        try:
            created = await asyncio.wrap_future(
                self.store.submit(CreateRun(run, encoded(savepoint), key, quota=self._quota))
            )
            if not created.replayed:
                live.guard = Unleased.of(created.run)
                self._live.keep(live)
                kept = True
        finally:
            if not kept:
                self._live.discard(live)
        return created

    async def made(self, owner: str, key: Key | None) -> Created | None:
        """Return the session that was created with a key, whatever is configured now; None if there is none.

        Raises
        ------
        KeyReused
            If the key was used for another request.
        """
        if key is None:
            return None
        run = await self._threads.read(lambda: self.store.run_by_key(owner, key))
        return None if run is None else Created(run, replayed=True)

    async def fork(self, owner: Owner, run_id: str, position: int | None, key: Key | None = None) -> Created:
        """Create a session that begins with the first `position` steps of another one, by default all."""
        (created,) = await self.forks(owner, run_id, [ForkSession(step=position)], key)
        return created

    @uninterrupted
    async def forks(
        self,
        owner: Owner,
        run_id: str,
        requests: Sequence[ForkSession],
        key: Key | None = None,
        labels: Sequence[LabelChange] = (),
    ) -> list[Created]:
        """Create sessions that begin as copies of another one, all of them or none.

        The key of each has its index, from 0, as the ordinal. Each has no name and the tags of the other
        session, unless the label change at its index says otherwise.
        """
        maker = (await self.run(owner, run_id)).owner if owner is None else owner
        if key is not None and (made := await self._all_made(maker, key, len(requests))):
            return made
        check_forks(self._settings, len(requests))
        parent = await self.run(owner, run_id)
        forking = Forking(self.store, self._live, parent, self._settings)

        def prepare() -> list[Fork]:
            self.store.check_quota(parent.owner, self._quota)
            return forking.prepare(requests, key, labels)

        forks = await self._threads.compute(prepare)
        return await asyncio.wrap_future(self.store.submit(ForkRuns(forks, quota=self._quota)))

    @uninterrupted
    async def stop(
        self,
        owner: Owner,
        run_id: str,
        outcome: Outcome = Outcome.TERMINATED,
        reason: str = "stopped by its owner",
    ) -> Run:
        """End a session; its results stay readable."""
        change = Change(state=RunStatus.STOPPED, outcome=outcome, reason=reason)
        # Without the lock: a step may take long, and is fenced by the change.
        run = await self.run(owner, run_id)
        try:
            while True:
                check(KIND, run.state, RunStatus.STOPPED)
                with suppress(VersionConflict):  # its name or tags have changed meanwhile
                    return await asyncio.wrap_future(
                        self.store.submit(ChangeRun(run_id, run.version, change))
                    )
                run = await self.run(owner, run_id)
        finally:
            self._live.give_up(run_id)  # even if another server has ended the run

    @uninterrupted
    async def delete(self, owner: Owner, run_id: str) -> None:
        """Delete a session with its results."""
        await self.run(owner, run_id)
        await asyncio.wrap_future(self.store.submit(DeleteRun(run_id)))
        self._live.give_up(run_id)

    @uninterrupted
    async def upgrade(self, owner: Owner, run_id: str) -> Upgraded:
        """Bring a session to the current versions of its models, by their upgrade functions."""
        async with self._locks.hold(run_id):
            while True:
                run = await self.run(owner, run_id)
                self._live.drop(run_id)
                upgrade = partial(upgrade_session, self.store, run, self.catalogue)
                append, replayed = await self._threads.compute(upgrade)
                try:
                    await asyncio.wrap_future(append)
                except (Fenced, PositionConflict):  # another server has stepped or changed it
                    if self.store.unavailable is not None:
                        raise
                else:
                    return Upgraded(await self.run(owner, run_id), replayed)

    @uninterrupted
    async def examine(self, owner: Owner, run_id: str, *, repair: bool) -> list[Finding]:
        """Check all checksums of a session; with `repair`, restore damaged parts by replay."""
        async with self._locks.hold(run_id):
            run = await self.run(owner, run_id)

            def begin(savepoint: Savepoint | None) -> LiveSession:
                return self._live.begin(run, SessionSpec.from_blob(run.spec), savepoint)

            return await self._threads.compute(lambda: examine(self.store, run, begin, repair=repair))

    # Stepping -----------------------------------------------------------------------------------------------

    @uninterrupted
    async def step(self, owner: Owner, run_id: str, request: StepRequest, key: Key | None = None) -> Answer:
        """Take steps; they are durable when this returns.

        If the key was used for the same request, return the recorded results, and take the steps that are
        missing because the request was interrupted.

        Raises
        ------
        PositionConflict
            If the next step isn't the expected one.
        RunFinished
            If all steps have been taken.
        InvalidOverride, ScenarioNotFound, LimitExceeded
            If the request is wrong; nothing has changed.
        EvaluationFailed
            If the model can't be evaluated; the steps before that one stay.
        ModelChanged, OtherNumerics, ReplayMismatch, NoSavepoint
            If the session can't be restored exactly.
        """
        begun = time.perf_counter()
        with tracing.span("step", run=run_id, steps=request.steps):
            async with self._locks.hold(run_id):
                answer = await self._stepping.step(owner, run_id, request, key)
        if answer.replayed:
            self._metrics.replayed_answers.inc()
        else:
            self._metrics.steps.inc(len(answer.steps))
            self._metrics.step_seconds.observe(time.perf_counter() - begun)
        return answer

    # Reading ------------------------------------------------------------------------------------------------

    async def run(self, owner: Owner, run_id: str) -> Run:
        """Return the run of a session.

        Raises
        ------
        RunNotFound
            If there is none, or it is another owner's.
        WrongKind
            If it is a run of another kind.
        """
        return await self._stepping.find(owner, run_id)

    def view_of(self, run: Run) -> SessionView:
        """Return a session with its spec, and how each of its parts would resume; blocking."""
        spec = SessionSpec.from_blob(run.spec)
        return SessionView(run, spec, session_parts(self.store, run.id, spec))

    async def log(self, owner: Owner, run_id: str, after: int, limit: int) -> StepLogPage:
        """Return a page of the step log: the inputs and outputs of each step."""
        run, max_values = await self.run(owner, run_id), self._settings.max_values_per_request
        return await self._threads.read(lambda: read_step_log(self.store, run, after, limit, max_values))

    async def settings(self, owner: Owner, run_id: str, after: int, limit: int) -> SettingsPage:
        """Return the steps that had inputs, with these; a page may be short, or even empty."""
        run = await self.run(owner, run_id)
        return await self._threads.read(lambda: read_settings(self.store, run, after, limit))

    async def savepoints(self, owner: Owner, run_id: str) -> Sequence[SavepointInfo]:
        """Return the savepoints that are kept, ascending."""
        await self.run(owner, run_id)
        return await self._threads.read(lambda: self.store.savepoints(run_id))

    @uninterrupted
    async def take_savepoint(
        self, owner: Owner, run_id: str, name: str | None, pinned: bool
    ) -> SavepointInfo:
        """Take a savepoint of a session at its current step."""
        run = await self.run(owner, run_id)
        async with self._locks.hold(run.id):
            crashes = 0
            while True:
                live = await self._stepping.touch(run.owner, run.id, current=True)
                try:
                    return await self._save_here(live, name, pinned)
                except EngineCrashed:
                    self._live.drop(run.id)
                    crashes += 1
                    if crashes > MAX_CRASHES:
                        raise
                except Fenced:  # another server has changed it
                    if self.store.unavailable is not None:
                        raise

    async def mark_savepoint(
        self, owner: Owner, run_id: str, timestamp: int, name: str | None, pinned: bool
    ) -> SavepointInfo:
        """Name or pin a savepoint, or undo that."""
        await self.run(owner, run_id)
        return await asyncio.wrap_future(
            self.store.submit(MarkSavepoint(run_id, timestamp, name=name, pinned=pinned))
        )

    def events(self, owner: Owner, run_id: str) -> AsyncGenerator[Committed, None]:
        """Yield the state and position of a session, now and after each change, until its end or deletion."""
        return positions_of(self._feed, run_id, lambda: self.run(owner, run_id))

    async def aclose(self) -> None:
        """Wait for pending requests, then save every live session at its current step.

        Steps that still wait for the processes of engines after a while are interrupted.
        """
        self.closing.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING):
                await self._uninterrupted.wait()
        for live in self._live:
            if live.run_id in self._locks:
                live.interrupt()
        await self._uninterrupted.wait()
        for live in self._live:
            with suppress(PerdureError):
                if self.store.unavailable is None:
                    await self._save_here(live, None, False)
            self._live.drop(live.run_id)
        await self._live.aclose()

    # The work -----------------------------------------------------------------------------------------------

    async def _all_made(self, owner: str, key: Key, count: int) -> list[Created]:
        """Return the runs that were created with a key, one for each ordinal; none if one is missing."""
        found: list[Created] = []
        while len(found) < count:
            made = await self.made(owner, msgspec.structs.replace(key, ordinal=len(found)))
            if made is None:
                return []
            found.append(made)
        return found

    async def _save_here(self, live: LiveSession, name: str | None, pinned: bool) -> SavepointInfo:
        savepoint = await self._threads.compute(live.savepoint)
        return await asyncio.wrap_future(
            self.store.submit(PutSavepoint(live.run_id, live.guard, encoded(savepoint), name, pinned))
        )

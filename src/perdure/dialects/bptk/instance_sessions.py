"""The sessions of instances: what BPTK's routes do with instances and their sessions, without HTTP."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

import anyio
from msgspec.structs import replace

from perdure.clock import SteadyClock, steady
from perdure.dialects.bptk.external_state.mirror import Mirror
from perdure.dialects.bptk.instance import Instance
from perdure.dialects.bptk.instances import Instances
from perdure.dialects.bptk.overrides import Overrides, known_overrides
from perdure.dialects.bptk.session_log import SessionLog
from perdure.dialects.bptk.stream import Stream
from perdure.drivers.session_requests import Answer, NewSession, Owner, StepRequest
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.sessions import Sessions
from perdure.errors import (
    InstanceLocked,
    NoSession,
    RunFinished,
    RunNotFound,
    ScenarioNotFound,
    Unavailable,
)
from perdure.lifecycle import FINAL, Outcome, RunStatus
from perdure.observability import Metrics
from perdure.run import Key, Run
from perdure.scenarios import Scenario
from perdure.settings import Settings
from perdure.stores.commands import Touch

__all__ = ["InstanceSessions"]

STREAMED_AT_ONCE = 16  # steps of a stream that share commits; with an adapter each is saved by itself
BULK_AT_ONCE = 2  # whole runs, which take a processor each
READ_AT_ONCE = 4  # long sessions that are written down


class InstanceSessions:
    """The instances of one server, and their sessions.

    Parameters
    ----------
    sessions
        The driver of their sessions; its store keeps their records.
    settings
        The limits.
    metrics
        Where instances are counted.
    mirror
        Where instances are written through to; None leaves them in the store alone.
    durable
        Whether the store itself outlives the process, and the runs of sessions that have ended stay readable.
    closing
        Set when the server closes, so that streams end.
    clock
        The clock for timeouts.

    Attributes
    ----------
    bulk, reading
        The threads in which whole runs are computed, and long sessions written down: theirs alone, so that
        they keep no step waiting.
    """

    def __init__(
        self,
        sessions: Sessions,
        settings: Settings,
        metrics: Metrics,
        *,
        mirror: Mirror | None = None,
        durable: bool = True,
        closing: asyncio.Event | None = None,
        clock: SteadyClock = steady,
    ) -> None:
        self.sessions = sessions
        self.settings = settings
        self._closing = closing or asyncio.Event()
        self.saves = durable or mirror is not None
        self.bulk = anyio.CapacityLimiter(BULK_AT_ONCE)
        self.reading = anyio.CapacityLimiter(READ_AT_ONCE)
        self._durable = durable
        self._streamed_at_once = STREAMED_AT_ONCE if mirror is None else 1
        self._instances = Instances(
            sessions,
            metrics,
            limit=settings.max_instances,
            mirror=mirror,
            keep_runs=durable,
            clock=clock,
        )
        self._streams: dict[str, Stream] = {}
        self._scenarios: dict[str, list[Scenario]] = {}

    async def open(self) -> None:
        """Learn which instances there are, and begin to watch their timeouts."""
        await self._instances.open()

    async def aclose(self) -> None:
        """End what watches timeouts, and wait for what is under way; closes the mirror too."""
        await self._instances.aclose()

    # Instances ----------------------------------------------------------------------------------------------

    async def start(
        self, owner: str, count: int, lasting: dict[str, int | float], key: Key | None = None
    ) -> list[str]:
        """Start instances with a checked timeout; durable when it returns, and once only for a key.

        If one can't be started, none is; but under a key they stay, and the same request starts the rest.

        Raises
        ------
        TooMany
            If the owner would have more than `max_instances`.
        KeyReused
            If another request had the key.
        """
        return await self._instances.start(owner, count, lasting, key)

    async def keep_alive(self, owner: Owner, instance_id: str) -> None:
        """Restart an instance's timeout."""
        await self._instances.on(owner, instance_id, self._instances.keep_alive)

    async def stop(self, owner: Owner, instance_id: str) -> None:
        """Forget an instance and end its session; harmless if there is none."""
        if await self._instances.stop(owner, instance_id, "its instance was stopped"):
            self._streams.pop(instance_id, None)

    async def own(self, owner: Owner) -> list[Instance]:
        """Return the caller's instances that are in the store and haven't timed out."""
        return await self._instances.own(owner)

    async def current_run(self, instance: Instance) -> Run | None:
        """Return the run of an instance's session, or None."""
        if instance.run is not None:
            with suppress(RunNotFound):
                return await self.sessions.run(instance.owner, instance.run)
        return None

    # Sessions -----------------------------------------------------------------------------------------------

    async def begin_session(
        self, owner: Owner, instance_id: str, request: Callable[[], NewSession], key: Key | None = None
    ) -> None:
        """Give an instance a new session in place of the one it has; once only for a key.

        Parameters
        ----------
        request
            Makes the request from what is served now; not called for a key whose session there is.
        """

        async def begin(instance: Instance) -> None:
            created = await self.sessions.made(instance.owner, key)
            if created is None:
                created = await self.sessions.create(instance.owner, request(), key)
            run = created.run
            if created.replayed and (run.id == instance.run or run.state in FINAL):
                return  # this very request began it, whatever became of it since
            try:
                former = await self._instances.change(instance.id, run.id)
            except BaseException:
                kept = await self._instances.get(instance.id)
                if kept is None or kept.run != run.id:
                    begun = replace(instance, run=run.id)
                    await self._instances.end_run(begun, Outcome.TERMINATED, "it could not be begun")
                raise
            if former.run != run.id:  # which the same request has just begun at another server
                await self._leave(former, "another session was begun")

        await self._instances.on(owner, instance_id, begin)

    async def end_session(self, owner: Owner, instance_id: str) -> None:
        """End an instance's session; harmless if it has none."""

        async def end(instance: Instance) -> None:
            if instance.run is not None:
                await self._leave(await self._instances.change(instance.id, None), "ended by its owner")

        await self._instances.on(owner, instance_id, end)

    async def step(
        self, owner: Owner, instance_id: str, overrides: Overrides, request: StepRequest, key: Key | None
    ) -> Answer | None:
        """Take steps; durable when it returns. None means that nothing was left to step.

        Raises
        ------
        InstanceNotFound, InstanceLocked, NoSession
            If there is nothing that can be stepped now.
        PerdureError
            As `Sessions.step`.
        """

        async def step(instance: Instance, touch: Callable[[], Touch]) -> Answer | None:
            if instance.id in self._streams:
                raise InstanceLocked
            return await self._step(instance, overrides, replace(request, touch=touch), key)

        return await self._instances.advance(owner, instance_id, step)

    async def stream(
        self,
        owner: Owner,
        instance_id: str,
        overrides: Overrides,
        expected: int | None = None,
        key: Key | None = None,
    ) -> AsyncGenerator[Answer, None]:
        """Take steps up to the end of the session, and yield them once they are durable.

        Meanwhile nobody else can step the instance on this server. It ends early if the session is ended or
        replaced, and breaks off with `PositionConflict` if another server has stepped it. Of a stream that
        was broken off and is repeated under its key, the recorded steps come first.
        """
        begun: Stream | None = None
        answered = False

        async def advance(instance: Instance, touch: Callable[[], Touch]) -> Answer | None:
            nonlocal begun
            if self._streams.get(instance.id) is not begun:
                if begun is None:
                    raise InstanceLocked
                return None
            if begun is None or (not answered and begun.run != instance.run):
                begun = self._streams[instance.id] = Stream(
                    self.sessions,
                    run=instance.run,
                    overrides=overrides,
                    expected=expected,
                    key=key,
                    at_once=self._streamed_at_once,
                )
            if begun.run != instance.run:
                return None
            if (recorded := await begun.repeated(instance)) is not None:
                return recorded
            request, request_key = begun.next(touch)
            return await self._step(instance, begun.overrides, request, request_key)

        try:
            while (answer := await self._instances.advance(owner, instance_id, advance)) is not None:
                answered = True
                if begun is not None:
                    begun.follow(answer)
                yield answer
                if answer.finished:
                    return
                if self._closing.is_set():
                    raise Unavailable("The server is closing; the session continues when it runs again.")
        finally:
            if begun is not None and self._streams.get(instance_id) is begun:
                del self._streams[instance_id]

    async def log(self, owner: Owner, instance_id: str, *, touch: bool = True) -> SessionLog | None:
        """Return the log of an instance's session as it stands; None without a session.

        Parameters
        ----------
        touch
            Whether to restart the instance's timeout.
        """

        async def read(instance: Instance) -> SessionLog | None:
            run = await self.current_run(instance)
            if run is None:
                return None
            lasting = self._durable
            return await asyncio.to_thread(SessionLog, self.sessions.store, run, lasting=lasting)

        return await self._instances.on(owner, instance_id, read, touch=touch)

    # External state -----------------------------------------------------------------------------------------

    async def save_state(self, owner: Owner) -> list[Instance]:
        """Write all of the caller's instances to the adapter, if there is one, and return them."""
        instances = await self.own(owner)
        await self._instances.save_all(instances)
        return instances

    async def load_state(self) -> None:
        """Read all instances that the adapter holds, if there is one."""
        await self._instances.load_all()

    # The work, under the instance's lock --------------------------------------------------------------------

    async def _leave(self, instance: Instance, reason: str) -> None:
        """End the session that an instance had; a stream of it ends too."""
        self._streams.pop(instance.id, None)
        if instance.run is not None:
            self._scenarios.pop(instance.run, None)
        await self._instances.end_run(instance, Outcome.TERMINATED, reason)

    async def _step(
        self, instance: Instance, overrides: Overrides, request: StepRequest, key: Key | None
    ) -> Answer | None:
        if instance.run is None:
            raise NoSession
        try:
            if overrides:
                scenarios = await self._scenarios_of(instance.owner, instance.run)
                request = replace(request, settings=known_overrides(overrides, scenarios))
            return await self.sessions.step(instance.owner, instance.run, request, key)
        except RunNotFound:  # it was deleted through the native API
            raise NoSession from None
        except RunFinished as error:
            if error.values["state"] != RunStatus.COMPLETED.value:
                raise
            return None

    async def _scenarios_of(self, owner: str, run_id: str) -> list[Scenario]:
        """Return the scenarios of a session that are still in the catalogue."""
        known = self._scenarios.get(run_id)
        if known is None:
            run = await self.sessions.run(owner, run_id)
            spec = await asyncio.to_thread(SessionSpec.from_blob, run.spec)
            known = []
            for part in spec.scenarios:
                with suppress(ScenarioNotFound):
                    known.append(self.sessions.catalogue.scenario(part.manager, part.scenario))
            if len(self._scenarios) >= self.settings.max_live_sessions:
                self._scenarios.clear()
            self._scenarios[run_id] = known
        return known

"""The sessions in memory: which there are, how they come back from the store, and which go first.

What is in memory is only a copy: dropping a session loses nothing, it is restored when it is next touched.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from perdure.drivers.live_session import LiveSession
from perdure.drivers.locks import RunLocks
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.engines.base import Engine
from perdure.errors import ModelChanged, OtherNumerics, ScenarioNotFound
from perdure.execution.spare_processes import spares
from perdure.numerics import Numerics
from perdure.observability import Metrics
from perdure.run import Run
from perdure.scenarios import Catalogue, Scenario
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Store
from perdure.stores.commands import Unleased

__all__ = ["LiveSessions"]

CLOSING = 8  # sessions at once

log = structlog.get_logger(__name__)


class LiveSessions:
    """The sessions in memory; beyond a limit, the one that was idle longest goes.

    Parameters
    ----------
    store
        Where sessions are restored from.
    catalogue
        Whose models their engines run.
    metrics
        What is counted.
    locks
        The locks of runs: a session whose lock is held is not sent away.
    limit
        How many are kept.
    most_processes
        How many processes their engines may be together, those of sessions in use aside.
    numerics
        The arithmetic of this process.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        metrics: Metrics,
        locks: RunLocks,
        limit: int,
        most_processes: int,
        numerics: Numerics,
    ) -> None:
        self.numerics = numerics
        self._store = store
        self._catalogue = catalogue
        self._metrics = metrics
        self._locks = locks
        self._limit = limit
        self._most_processes = most_processes
        self._processes = 0
        # Threads that wait for engines to end; they end in `aclose`.
        self._closing = ThreadPoolExecutor(CLOSING, "perdure-closes-engines")
        self._sessions: OrderedDict[str, LiveSession] = OrderedDict()

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(list(self._sessions.values()))

    def get(self, run_id: str) -> LiveSession | None:
        """Return a session that is in memory, and count it as used now."""
        live = self._sessions.get(run_id)
        if live is not None:
            self._sessions.move_to_end(run_id)
        return live

    def keep(self, live: LiveSession) -> None:
        """Hold a session in memory."""
        self._sessions[live.run_id] = live
        self._processes += live.processes
        if live.processes:
            spares.open(self)
        for run_id, each in list(self._sessions.items()):
            crowded = self._processes > self._most_processes and each.processes > 0
            if len(self._sessions) <= self._limit and self._processes <= self._most_processes:
                break
            if run_id not in self._locks and (crowded or len(self._sessions) > self._limit):
                self.drop(run_id)
        self._metrics.live_sessions.set(len(self._sessions))

    def drop(self, run_id: str) -> None:
        """Let go of a session; harmless if it isn't in memory."""
        live = self._sessions.pop(run_id, None)
        if live is not None:
            self._processes -= live.processes
            self.discard(live)
        self._metrics.live_sessions.set(len(self._sessions))

    def give_up(self, run_id: str) -> None:
        """Let go of a session that takes no more steps; if it is in a step at the moment, interrupt that."""
        if run_id not in self._locks:
            self.drop(run_id)
        elif (live := self._sessions.get(run_id)) is not None:
            live.interrupt()  # who holds the lock drops it

    def discard(self, live: LiveSession) -> None:
        """Close a session that isn't held; nothing waits for the end of its processes."""
        if live.processes:
            self._closing.submit(live.close)
        else:
            live.close()

    async def aclose(self) -> None:
        """Wait until the processes of all sessions that were dropped have ended, and the spare ones."""
        await asyncio.to_thread(self._closing.shutdown)
        await asyncio.to_thread(spares.close, self)

    def start(self, run_id: str, owner: str, spec: SessionSpec) -> LiveSession:
        """Start a session at position 0; it isn't held yet. Blocks while it computes."""
        return LiveSession.begin(run_id, owner, spec, partial(self._make_engine, run_id), None)

    def begin(self, run: Run, spec: SessionSpec, savepoint: Savepoint | None) -> LiveSession:
        """Return a session as it stood at a savepoint, or at its start; it isn't held yet.

        Raises
        ------
        ModelChanged
            If a model isn't the one the session was made with.
        OtherNumerics
            If this host computes otherwise.
        """
        if not self.numerics.are(spec.numerics):
            raise self._other_numerics(run, spec)
        live = LiveSession.begin(run.id, run.owner, spec, partial(self._make_engine, run.id), savepoint)
        live.guard = Unleased.of(run)
        return live

    def restore(self, run: Run, spec: SessionSpec, position: int) -> LiveSession:
        """Return a session as it stood at a position; it isn't held yet. Blocks while it reads and replays.

        On a host that computes otherwise, and goes on all the same, it is only about what it was.

        Raises
        ------
        ModelChanged
            If a model isn't the one the session was made with.
        OtherNumerics
            If this host computes otherwise, and doesn't go on.
        NoSavepoint, ReplayMismatch, CorruptBlob, NewerSchema
            If what is stored doesn't lead there.
        """
        if self.numerics.differ(spec.numerics):
            raise self._other_numerics(run, spec)
        live, damaged, replayed = LiveSession.restore(
            self._store,
            run.id,
            run.owner,
            spec,
            partial(self._make_engine, run.id),
            position,
            exactly=self.numerics.are(spec.numerics),
        )
        live.guard = Unleased.of(run)
        self._metrics.restores.inc()
        self._metrics.replayed_steps.inc(replayed)
        self._metrics.damaged_savepoints.inc(len(damaged))
        log.info("session_restored", run=run.id, position=position, replayed=replayed, damaged=len(damaged))
        return live

    def catch_up(self, live: LiveSession, position: int) -> None:
        """Take the logged steps up to a position in a live session too. Blocks while it reads and replays.

        After an error the session must be dropped. Raises as `restore` does.
        """
        behind = position - live.position
        live.replay(self._store, position, compare=self.numerics.are(live.spec.numerics))
        self._metrics.replayed_steps.inc(behind)

    def scenario(self, run_id: str, part: ScenarioSpec) -> Scenario:
        """Return the scenario of a session's part; raise `ModelChanged` if it isn't as it was."""
        try:
            known = self._catalogue.scenario(part.manager, part.scenario)
        except ScenarioNotFound as error:
            raise ModelChanged(f"The run {run_id!r} can't go on. {error}", run=run_id) from error
        if known.fingerprint != part.fingerprint:
            raise ModelChanged(model=part.model, run=run_id)
        return known

    def _other_numerics(self, run: Run, spec: SessionSpec) -> OtherNumerics:
        return OtherNumerics(run=run.id, numerics=spec.numerics, here=self.numerics.fingerprint)

    def _make_engine(self, run_id: str, part: ScenarioSpec) -> Engine:
        return self.scenario(run_id, part).start(part.config)

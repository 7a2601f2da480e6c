"""The sessions in memory: which there are, how they come back from the store, and which go first.

What is in memory is only a copy: dropping a session loses nothing, it is restored when it is next touched.
"""

from collections import OrderedDict
from collections.abc import Iterator
from functools import partial

import structlog

from perdure.drivers.live_session import LiveSession
from perdure.drivers.locks import RunLocks
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.engines.base import Engine
from perdure.errors import ModelChanged, ScenarioNotFound
from perdure.observability import Metrics
from perdure.run import Run
from perdure.scenarios import Catalogue
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Store
from perdure.stores.commands import Unleased

__all__ = ["LiveSessions"]

log = structlog.get_logger(__name__)


class LiveSessions:
    """At most `limit` sessions in memory; beyond it, the one that was idle longest goes.

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
    """

    def __init__(
        self, store: Store, catalogue: Catalogue, metrics: Metrics, locks: RunLocks, limit: int
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._metrics = metrics
        self._locks = locks
        self._limit = limit
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
        idle = (run_id for run_id in list(self._sessions) if run_id not in self._locks)
        while len(self._sessions) > self._limit and (oldest := next(idle, None)):
            self.drop(oldest)
        self._metrics.live_sessions.set(len(self._sessions))

    def drop(self, run_id: str) -> None:
        """Let go of a session; harmless if it isn't in memory."""
        live = self._sessions.pop(run_id, None)
        if live is not None:
            live.close()
        self._metrics.live_sessions.set(len(self._sessions))

    def start(self, run_id: str, owner: str, spec: SessionSpec) -> LiveSession:
        """Start a session at position 0; it isn't held yet. Blocks while it computes."""
        return LiveSession.start(run_id, owner, spec, partial(self._make_engine, run_id))

    def begin(self, run: Run, spec: SessionSpec, savepoint: Savepoint | None) -> LiveSession:
        """Return a session as it stood at a savepoint, or at its start; it isn't held yet.

        Raises
        ------
        ModelChanged
            If a model isn't the one the session was made with.
        """
        live = LiveSession.begin(run.id, run.owner, spec, partial(self._make_engine, run.id), savepoint)
        live.guard = Unleased.of(run)
        return live

    def restore(self, run: Run, spec: SessionSpec, position: int) -> LiveSession:
        """Return a session as it stood at a position; it isn't held yet. Blocks while it reads and replays.

        Raises
        ------
        ModelChanged
            If a model isn't the one the session was made with.
        NoSavepoint, ReplayMismatch, CorruptBlob, NewerSchema
            If what is stored doesn't lead there.
        """
        live, damaged, replayed = LiveSession.restore(
            self._store,
            run.id,
            run.owner,
            spec,
            partial(self._make_engine, run.id),
            position,
        )
        live.guard = Unleased.of(run)
        self._metrics.restores.inc()
        self._metrics.replayed_steps.inc(replayed)
        self._metrics.damaged_savepoints.inc(len(damaged))
        log.info("session_restored", run=run.id, position=position, replayed=replayed, damaged=len(damaged))
        return live

    def _make_engine(self, run_id: str, scenario: ScenarioSpec) -> Engine:
        try:
            known = self._catalogue.scenario(scenario.manager, scenario.scenario)
        except ScenarioNotFound as error:
            raise ModelChanged(f"The run {run_id!r} can't go on. {error}", run=run_id) from error
        if known.fingerprint != scenario.fingerprint:
            raise ModelChanged(model=scenario.model, run=run_id)
        engine = known.engine()
        engine.initialize(scenario.config)
        return engine

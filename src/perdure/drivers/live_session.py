"""The live session: the engines of one session in memory, stepped, saved and replayed.

It does no input or output but reading the log it replays, and is used by one thread at a time, the holder
of the run's lock.
"""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import msgspec
import structlog

from perdure.drivers.kept_parts import KEPT
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.drivers.step_inputs import Answers, Inputs, decode_inputs, encode_inputs
from perdure.engines.base import Asking, Engine, Replayable, State
from perdure.errors import (
    CorruptBlob,
    EngineCrashed,
    InvalidOverride,
    NoSavepoint,
    PerdureError,
    ReplayMismatch,
    RunFinished,
)
from perdure.execution.isolated_engine import IsolatedEngine
from perdure.run import Key
from perdure.state.codec import decode, encode, pack, same
from perdure.state.entity import Entity
from perdure.state.run_state import RunState
from perdure.state.savepoint import Savepoint
from perdure.state.state_store import newest_intact
from perdure.stores.base import Store
from perdure.stores.commands import Unleased

__all__ = ["LiveSession", "MakeEngine", "Row", "Stepped"]

MakeEngine = Callable[[ScenarioSpec], Engine]
"""Returns a fresh engine, initialised with the spec's config; or raises `ModelChanged`."""

Row = list[Any]
"""What one scenario answers: the time, then its outputs in the spec's order; None for one its model lost."""

REPLAY_PAGE = 1000  # steps read from the log at once
QUICK_SECONDS = 0.001  # a step that takes longer leaves the event loop

log = structlog.get_logger(__name__)


class Stepped(msgspec.Struct, frozen=True):
    """One step taken: its number, its log entry's two blobs, the rows, and the savepoint it completed."""

    position: int
    inputs: bytes | None
    outputs: bytes
    rows: list[Row | None]
    savepoint: Savepoint | None


class LiveSession:
    """The engines of a session, all at the same position of its step log."""

    def __init__(
        self, run_id: str, owner: str, spec: SessionSpec, engines: list[Engine], position: int
    ) -> None:
        self.run_id = run_id
        self.owner = owner
        self.spec = spec
        self.position = position
        self.guard = Unleased(0)  # of its steps: what the run was when it was read
        self.overtaken = False  # whether another server was ahead of it at the last step
        self.seconds_per_step = float("inf")  # not measured yet
        self.last_keyed: tuple[Key, Stepped] | None = None  # what a client repeats, it repeats soon
        self._engines = engines
        self.processes = sum(isinstance(engine, IsolatedEngine) for engine in engines)
        self._waits = any(getattr(engine, "waits", False) for engine in engines)
        self._asking = [engine if isinstance(engine, Asking) else None for engine in engines]
        timestamp = 0 if position == 0 else position + 1
        entities = [scenario.entity for scenario in spec.scenarios]
        self._run_state = RunState(spec.every, timestamp, entities)
        self._entities = [
            Entity(name, engine, timestamp, spec.every, self._run_state.save)
            for name, engine in zip(entities, engines, strict=True)
        ]
        self._replayable = {
            name: engine
            for name, engine in zip(entities, engines, strict=True)
            if isinstance(engine, Replayable)
        }
        self._finished = [False] * len(engines)
        self._leave_finished()

    @classmethod
    def begin(
        cls, run_id: str, owner: str, spec: SessionSpec, make_engine: MakeEngine, savepoint: Savepoint | None
    ) -> "LiveSession":
        """Return the session as it stood at a savepoint, or with None where its spec leads: at position 0."""
        engines: list[Engine] = []
        try:
            for scenario in spec.scenarios:
                engines.append(make_engine(scenario))
                if savepoint is not None:
                    engines[-1].restore(decode(savepoint.entities[scenario.entity]))
            return cls(run_id, owner, spec, engines, 0 if savepoint is None else savepoint.position)
        except BaseException:
            _close(run_id, engines)
            raise

    @classmethod
    def restore(
        cls,
        store: Store,
        run_id: str,
        owner: str,
        spec: SessionSpec,
        make_engine: MakeEngine,
        position: int,
        *,
        exactly: bool = True,
    ) -> tuple["LiveSession", list[int], int]:
        """Return the session at a position: the newest intact savepoint before it, and replay.

        At least one logged step is taken again, so that a model that answers otherwise now is found out: a
        savepoint at the position itself is compared with the state that replay leads to. If `exactly` is
        False, as little as possible is taken again, and nothing is compared.

        Returns
        -------
        (LiveSession, list of int, int)
            The session, the timestamps of damaged savepoints that were passed over, and how many steps were
            replayed.

        Raises
        ------
        NoSavepoint
            If no savepoint at or before the position is intact, and the spec doesn't lead there.
        ReplayMismatch
            If a replayed step gave other numbers than the log holds, or replay another state than a savepoint
            does.
        """
        damaged: list[int] = []

        def newest(timestamps: list[int]) -> Savepoint | None:
            try:
                found, passed = newest_intact(run_id, timestamps, lambda at: store.savepoint(run_id, at))
            except NoSavepoint:
                found, passed = None, timestamps
            damaged.extend(passed)
            return found

        usable = [info for info in store.savepoints(run_id) if spec.base <= info.position <= position]
        reached = newest([info.timestamp for info in usable if info.position == position])
        begun = newest([info.timestamp for info in usable if info.position < position])
        if begun is None and spec.base > 0:
            # What leads there is gone, or was computed by a former model.
            if reached is None:
                raise NoSavepoint(run=run_id)
            begun, reached = reached, None
        if not exactly and reached is not None:
            begun, reached = reached, None
        session = cls.begin(run_id, owner, spec, make_engine, begun)
        first = session.position
        try:
            session.replay(store, position, compare=exactly)
            if reached is not None:
                session.confirm(reached)
        except BaseException:
            session.close()
            raise
        return session, damaged, position - first

    @property
    def quick(self) -> bool:
        """Whether a step takes so little time that nothing has to wait for it, and can't be longer."""
        return self.seconds_per_step < QUICK_SECONDS and not self.processes and not self._waits

    @property
    def finished(self) -> bool:
        """Whether no scenario has anything left to step."""
        return all(self._finished)

    @property
    def values_per_step(self) -> int:
        """How many values a step answers with."""
        return sum(len(scenario.outputs) for scenario in self.spec.scenarios)

    def check(self, inputs: Inputs) -> None:
        """Raise if a step would refuse the inputs, those of finished scenarios included; changes nothing."""
        for index, given in inputs:
            try:
                self._engines[index].validate(given)
            except InvalidOverride as error:
                if "name" not in error.values:  # an engine raised it in words of its own
                    raise
                scenario = self.spec.scenarios[index]
                part = error.values.get("part")  # constants or points, if it is about a name among them
                place = ("settings", scenario.manager, scenario.scenario, part, error.values["name"])
                where = ".".join(str(name) for name in place if name is not None)
                raise InvalidOverride(**{**error.values, "where": where}) from error

    def step(self, inputs: Inputs, recorded: Answers | None = None, *, exactly: bool = True) -> Stepped:
        """Step every scenario that isn't finished; after any error the session must be dropped.

        Parameters
        ----------
        recorded
            What its engines were answered when the step was logged; None to let them ask.
        exactly
            Whether they must ask for just that.
        """
        if self.finished:
            raise RunFinished(run=self.run_id, state="completed")
        begun = perf_counter()
        given = dict(inputs)
        position = self.position + 1
        rows: list[Row | None] = []
        answers: dict[int, State] = {}
        for index, (engine, scenario) in enumerate(zip(self._engines, self.spec.scenarios, strict=True)):
            if self._finished[index]:
                rows.append(None)
            else:
                logged = None if recorded is None else recorded.get(index)
                asking = self._asking[index]
                if logged is not None and asking is not None:
                    asking.give_answers(logged)
                answer = engine.step(given.get(index, {}))
                asked = None if asking is None else asking.take_answers()
                if recorded is not None and exactly and pack(asked) != pack(logged):
                    place = f"scenario {scenario.scenario!r}: its functions were called otherwise than logged"
                    raise ReplayMismatch(run=self.run_id, step=position, place=place)
                if asked is not None:
                    answers[index] = asked
                rows.append([engine.time, *map(answer.get, scenario.outputs)])
        self.position = position
        savepoint = self._acknowledge()
        stepped = Stepped(
            position=position,
            inputs=encode_inputs(inputs, answers),
            outputs=encode([*rows]),
            rows=rows,
            savepoint=savepoint,
        )
        self.seconds_per_step = perf_counter() - begun
        return stepped

    def savepoint(self, *, milestone: bool = False) -> Savepoint:
        """Take a savepoint here and now, on the grid or off it."""
        states = {entity.id: encode(_snapshot(entity.state)) for entity in self._entities}
        return Savepoint(
            timestamp=0 if self.position == 0 else self.position + 1,
            position=self.position,
            entities=states | self._kept(),
            milestone=milestone or self.position == 0,
        )

    def replay(self, store: Store, position: int, *, compare: bool = True) -> None:
        """Take the logged steps up to a position again, and compare what they answer with the log."""
        while self.position < position:
            steps = store.steps(self.run_id, self.position, min(REPLAY_PAGE, position - self.position))
            if not steps:
                raise ReplayMismatch(
                    f"The log of the run {self.run_id!r} ends at step {self.position}, though {position} "
                    "were acknowledged."
                )
            for step in steps:
                self._replay_step(step.position, step.inputs, step.outputs, compare)

    def confirm(self, savepoint: Savepoint) -> None:
        """Compare the state with a savepoint of this position; raise `ReplayMismatch` if they differ."""
        for scenario, entity in zip(self.spec.scenarios, self._entities, strict=True):
            try:
                then = decode(savepoint.entities[scenario.entity])
            except CorruptBlob:
                continue  # what the log leads to is right
            if encode(_sorted(then)) != encode(_sorted(entity.state.snapshot())):
                place = f"scenario {scenario.scenario!r}: another state than its savepoint holds"
                raise ReplayMismatch(run=self.run_id, step=self.position, place=place)

    def interrupt(self) -> None:
        """Kill the processes of engines, from any thread; a step that needs them raises `EngineCrashed`."""
        for engine in self._engines:
            if isinstance(engine, IsolatedEngine):
                engine.interrupt()

    def close(self) -> None:
        """Free the engines, and end their processes; harmless when done twice."""
        _close(self.run_id, self._engines)

    def _replay_step(self, position: int, inputs: bytes | None, outputs: bytes, compare: bool) -> None:
        try:
            given = decode_inputs(inputs)
            taken = self.step(given.inputs, given.answers, exactly=compare)
        except (CorruptBlob, EngineCrashed):
            raise
        except PerdureError as error:
            if not compare:
                raise
            raise ReplayMismatch(run=self.run_id, step=position, place=f"all: {error}") from error
        if not compare:
            return
        try:
            equal = same(taken.outputs, outputs)
        except CorruptBlob as error:
            # The inputs are intact, so the numbers are known again; `perdure doctor` writes them back.
            log.error("step_corrupt", run=self.run_id, step=position, reason=str(error))
            return
        if not equal:
            raise ReplayMismatch(run=self.run_id, step=position, place=self._difference(taken.rows, outputs))

    def _difference(self, rows: list[Row | None], outputs: bytes) -> str:
        for scenario, now, then in zip(self.spec.scenarios, rows, decode(outputs), strict=False):
            if repr(now) != repr(then):
                return f"scenario {scenario.scenario!r}: {then} acknowledged, {now} now"
        return "an unknown place"

    def _acknowledge(self) -> Savepoint | None:
        """Let every entity acknowledge that the step is processed, and answer with what this completed."""
        completed: Savepoint | None = None
        for index, entity in enumerate(self._entities):
            if not self._finished[index]:
                completed = entity.ack_processed_time(self.position + 1, _snapshot) or completed
        completed = self._leave_finished() or completed
        if self.finished:
            return self.savepoint()  # the last one, on the grid or off it: what forks of the end start from
        if completed is None:
            # An early one, so that it is known from the start whether engines are saved or replayed.
            return self.savepoint() if self.position == 1 and self._replayable else None
        ordinal = completed.timestamp // self.spec.every
        return msgspec.structs.replace(
            completed,
            position=self.position,
            entities={**completed.entities, **self._kept()},
            milestone=ordinal % self.spec.milestone == 0,
        )

    def _kept(self) -> dict[str, bytes]:
        """Return the entity that says how engines are kept in the savepoint that was just taken."""
        if not self._replayable or self.position == 0:  # an engine isn't asked for its state at the start
            return {}
        refusals: dict[str, State] = {name: engine.refusal for name, engine in self._replayable.items()}
        return {KEPT: encode(refusals)}

    def _leave_finished(self) -> Savepoint | None:
        completed: Savepoint | None = None
        for index, engine in enumerate(self._engines):
            if engine.finished and not self._finished[index]:
                self._finished[index] = True
                state = encode(_snapshot(engine))
                completed = (
                    self._run_state.leave(self._entities[index].id, self.position + 1, state) or completed
                )
        return completed


def _close(run_id: str, engines: Iterable[Engine]) -> None:
    """Close engines, each whatever the others raise."""
    for engine in engines:
        try:
            engine.close()
        except PerdureError as error:  # what it answered is durable without it
            log.warning("engine_not_closed", run=run_id, reason=str(error))


def _snapshot(engine: Engine) -> State:
    """Return the state of an engine, for a savepoint: encoded, if its process has done that."""
    return engine.encoded() if isinstance(engine, IsolatedEngine) else engine.snapshot()


def _sorted(state: Any) -> Any:
    """Return a state with its names in order: storages such as JSONB don't keep that of overrides."""
    if isinstance(state, dict):
        return {name: _sorted(state[name]) for name in sorted(state)}
    return state

"""Sessions on engines of any kind: in processes of their own or not, saved or replayed, killed, forked."""

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.any_engines import Dying, Reading, Refusing, Sealed, Stuck, Summing
from tests.support.engine_models import catalogue_with, engine_processes, new, summing
from tests.support.small import sessions_on

from perdure.drivers.kept_parts import KEPT
from perdure.drivers.session_requests import ForkSession, StepRequest
from perdure.drivers.sessions import Sessions
from perdure.errors import (
    EngineCrashed,
    EvaluationFailed,
    Invalid,
    InvalidOverride,
    ModelChanged,
    Refused,
    ScriptFailed,
)
from perdure.execution.isolated_engine import IsolatedEngine
from perdure.run import Key
from perdure.scenarios import Catalogue, EngineModel, engine_model
from perdure.state.codec import encode
from perdure.stores.base import Store
from perdure.stores.commands import PutSavepoint, Unleased, encoded
from perdure.stores.sqlite import SqliteStore

STEP = StepRequest()
SLOWER = {"sum": {"base": {"constants": {"rate": 0.5}}}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(SqliteStore(tmp_path / "s.db")) as opened:
        yield opened


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def setting(**values: Any) -> dict[str, Any]:
    return {"sum": {"base": {"inputs": values}}}


def dying(folder: Path, deaths: int, **given: Any) -> EngineModel:
    """Return a model whose engine dies in its fourth step, so many times."""
    file = folder / "deaths"
    file.write_text(str(deaths))
    config = {"dies_at": 4, "deaths": str(file)} | given.pop("config", {})
    return summing(Dying, config=config, **given)


async def totals(sessions: Sessions, run_id: str) -> list[Any]:
    """Return what the log says, step by step; each step is in it once."""
    log = await sessions.log("me", run_id, 0, 1000)
    assert [given.step.position for given in log.steps] == [*range(1, len(log.steps) + 1)]
    return [None if (row := given.step.rows[0]) is None else row[1] for given in log.steps]


def test_an_engine_that_dies_in_a_step_is_restored_and_the_step_taken_once(
    store: Store, tmp_path: Path
) -> None:
    async def work() -> None:
        sessions = sessions_on(store, catalogue_with(dying(tmp_path, 2)))
        async with aclosing(sessions):
            run_id = (await sessions.create("me", new())).run.id
            first = await sessions.step("me", run_id, StepRequest(steps=2, settings=setting(rate=2.0)))
            assert [step.rows[0] for step in first.steps] == [[0.0, 0.0], [1.0, 2.0]]
            again = StepRequest(steps=4, settings=setting(rate=3.0))
            answer = await sessions.step("me", run_id, again, Key("k", b"1"))
            assert [step.rows[0] for step in answer.steps] == [
                [2.0, 5.0],
                [3.0, 8.0],
                [4.0, 11.0],
                [5.0, 14.0],
            ]
            assert await totals(sessions, run_id) == [0.0, 2.0, 5.0, 8.0, 11.0, 14.0]
            assert (tmp_path / "deaths").read_text() == "0"
            assert (await sessions.step("me", run_id, again, Key("k", b"1"))).replayed
        assert engine_processes() == []

    run(work())


def test_an_engine_that_dies_at_each_step_ends_in_an_error_and_what_was_taken_stays(
    store: Store, tmp_path: Path
) -> None:
    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue_with(dying(tmp_path, 1000)))) as sessions:
            run_id = (await sessions.create("me", new())).run.id
            with pytest.raises(
                EngineCrashed, match=r"has ended 3 times in a row in step 4 .* by SIGKILL"
            ) as raised:
                await sessions.step("me", run_id, StepRequest(steps=6))
            assert raised.value.values["steps_taken"] == 3
            assert (tmp_path / "deaths").read_text() == "997"
            assert await totals(sessions, run_id) == [0.0, 1.0, 2.0]
            (tmp_path / "deaths").write_text("0")
            await sessions.step("me", run_id, STEP)
            assert await totals(sessions, run_id) == [0.0, 1.0, 2.0, 3.0]

    run(work())


def test_an_engine_that_was_killed_between_steps_is_restored_also_for_a_savepoint(
    store: Store, tmp_path: Path
) -> None:
    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue_with(dying(tmp_path, 0)))) as sessions:
            run_id = (await sessions.create("me", new())).run.id
            for method in ("step", "check", "savepoint"):
                await sessions.step("me", run_id, STEP)
                (pid,) = engine_processes()
                os.kill(pid, signal.SIGKILL)
                if method == "check":
                    with pytest.raises(InvalidOverride, match=r"'settings\.sum\.base\.inputs\.rat'"):
                        await sessions.step("me", run_id, StepRequest(settings=setting(rat=2.0)))
                elif method == "savepoint":
                    assert (await sessions.take_savepoint("me", run_id, "here", True)).position == 5
                await sessions.step("me", run_id, STEP)
            assert await totals(sessions, run_id) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]

    run(work())


def test_an_engine_that_hangs_is_killed_at_its_timeout_and_restored(store: Store, tmp_path: Path) -> None:
    async def work() -> None:
        model = dying(tmp_path, 1, timeout=0.3, config={"hangs": True})
        async with aclosing(sessions_on(store, catalogue_with(model))) as sessions:
            run_id = (await sessions.create("me", new())).run.id
            await sessions.step("me", run_id, StepRequest(steps=5))
            assert await totals(sessions, run_id) == [0.0, 1.0, 2.0, 3.0, 4.0]

    run(work())


def test_an_engine_that_hangs_at_its_start_or_in_a_snapshot_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = catalogue_with(summing()).scenario("sum", "base").config(["total"], seed=1)
    monkeypatch.setattr(engine_model, "_PATIENCE", 0.001)
    with pytest.raises(EngineCrashed, match=r"took longer than 0\.001 s \(the timeout of the model 'sum'\)"):
        summing(Stuck, timeout=0.001).make_engine().initialize(config)
    engine = summing(Stuck, timeout=None).make_engine()
    assert isinstance(engine, IsolatedEngine)
    with closing(engine):
        engine.initialize(config)
        engine.step({})
        engine._patience = 0.1
        with pytest.raises(EngineCrashed, match=r"took longer than 0\.1 s"):
            engine.snapshot()
    assert engine_processes() == []


@pytest.mark.parametrize("isolated", [False, True])
def test_an_engine_may_refuse_inputs_by_errors_of_its_own(store: Store, isolated: bool) -> None:
    async def work() -> None:
        catalogue = catalogue_with(summing(Refusing, isolated=isolated))
        async with aclosing(sessions_on(store, catalogue)) as sessions:
            run_id = (await sessions.create("me", new())).run.id
            with pytest.raises(Invalid, match=r"^The rate 3\.0 is odd\.$"):
                await sessions.step("me", run_id, StepRequest(settings=setting(rate=3.0)))
            with pytest.raises(InvalidOverride, match=r"^A rate of 5 is too much\.$"):
                await sessions.step("me", run_id, StepRequest(settings=setting(rate=5.0)))
            await sessions.step("me", run_id, STEP)
            assert await totals(sessions, run_id) == [0.0]

    run(work())


def test_idle_sessions_give_up_their_processes_and_go_on_exactly(store: Store, tmp_path: Path) -> None:
    async def work() -> None:
        catalogue = catalogue_with(dying(tmp_path, 0))
        async with aclosing(sessions_on(store, catalogue, max_engine_processes=1)) as sessions:
            runs = [(await sessions.create("me", new())).run.id for _ in range(2)]
            for _ in range(2):
                for run_id in runs:
                    await sessions.step("me", run_id, STEP)
            assert [await totals(sessions, run_id) for run_id in runs] == [[0.0, 1.0]] * 2
            assert sum(live.processes for live in sessions._live) == 1
        assert engine_processes() == []

    run(work())


@pytest.mark.parametrize("engine", [Summing, Sealed, Reading])
def test_a_session_is_restored_forked_and_examined_whatever_its_engine_can_save(
    store: Store, engine: Any
) -> None:
    async def work() -> None:
        catalogue = catalogue_with(summing(engine, stoptime=200.0))
        outputs = ["total", "passed"] if engine is Reading else ["total"]
        if engine is Reading:
            catalogue = catalogue_with(summing(engine, stoptime=200.0, outputs=outputs))
        first = sessions_on(store, catalogue, savepoint_every=10)
        run_id = (await first.create("me", new(outputs=outputs))).run.id
        await first.step("me", run_id, StepRequest(steps=15, settings=setting(rate=2.0)))
        await first.step("me", run_id, StepRequest(steps=10, settings=SLOWER))
        undisturbed = await totals(first, run_id)
        assert undisturbed[14:16] == [28.0, 28.5]
        # As after a crash: nothing of the first is left in memory.
        second = sessions_on(store, catalogue, savepoint_every=10)
        await second.step("me", run_id, StepRequest(steps=5))
        assert await totals(second, run_id) == [*undisturbed, 33.5, 34.0, 34.5, 35.0, 35.5]
        fork = (await second.fork("me", run_id, 15)).run.id
        await second.step("me", fork, StepRequest(settings=SLOWER))
        assert await totals(second, fork) == undisturbed[:16]
        assert await second.examine("me", run_id, repair=False) == []
        assert await second.examine("me", fork, repair=False) == []
        for each in (first, second):
            await each.aclose()

    run(work())


async def parts(sessions: Sessions, run_id: str) -> Any:
    """Return what a session's record says of its parts."""
    return sessions.view_of(await sessions.run("me", run_id)).parts


SEALED = {"sum/base": {"kept": "replayed", "reason": "The state of the engine can't be taken: it is sealed."}}
SAVED = {"sum/base": {"kept": "saved", "reason": None}}


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(("engine", "expected"), [(Summing, SAVED), (Sealed, SEALED)])
def test_a_session_says_whether_its_engines_are_saved_or_replayed_and_why(
    store: Store, engine: Any, expected: Any, isolated: bool
) -> None:
    async def work() -> None:
        first = sessions_on(store, catalogue_with(summing(engine, isolated=isolated, stoptime=20.0)))
        run_id = (await first.create("me", new())).run.id
        assert await parts(first, run_id) == {}
        await first.step("me", run_id, STEP)
        assert await parts(first, run_id) == expected
        # Another server says the same from the store alone: it doesn't even have the model.
        other = sessions_on(store, Catalogue())
        assert await parts(other, run_id) == expected
        await first.step("me", run_id, StepRequest(steps=2))
        forks = [(await first.fork("me", run_id, step)).run.id for step in (2, 0)]
        assert [await parts(first, fork) for fork in forks] == [expected, {}]
        await first.step("me", run_id, StepRequest(steps=100))
        assert (await parts(other, run_id), (await other.run("me", run_id)).position) == (expected, 21)
        for each in (first, other):
            await each.aclose()

    run(work())


@pytest.mark.parametrize("engine", [Summing, Sealed])
def test_a_session_that_was_saved_without_or_with_other_reasons_goes_on(store: Store, engine: Any) -> None:
    async def work() -> None:
        catalogue = catalogue_with(summing(engine))
        for kept in ({}, {KEPT: encode({"sum/base": "It was sealed."})}):
            first = sessions_on(store, catalogue)
            run_id = (await first.create("me", new())).run.id
            await first.step("me", run_id, StepRequest(steps=3))
            await first.aclose()  # it saves the session here
            stored = await first.run("me", run_id)
            for info in store.savepoints(run_id):
                saved = store.savepoint(run_id, info.timestamp)
                states = {name: state for name, state in saved.entities.items() if name != KEPT}
                former = msgspec.structs.replace(saved, entities=states | kept)
                store.submit(PutSavepoint(run_id, Unleased.of(stored), encoded(former))).result()
            async with aclosing(sessions_on(store, catalogue)) as second:
                assert (await parts(second, run_id)).keys() == ({"sum/base"} if kept else set())
                assert await second.examine("me", run_id, repair=False) == []
                await second.step("me", run_id, STEP)
                assert await totals(second, run_id) == [0.0, 1.0, 2.0, 3.0]

    run(work())


def test_a_damaged_savepoint_hides_no_session(store: Store) -> None:
    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue_with(summing(Sealed)))) as sessions:
            run_id = (await sessions.create("me", new())).run.id
            await sessions.step("me", run_id, STEP)
            stored, (*_, newest) = await sessions.run("me", run_id), store.savepoints(run_id)
            saved = store.savepoint(run_id, newest.timestamp)
            damaged = msgspec.structs.replace(saved, entities={**saved.entities, KEPT: b"damaged"})
            store.submit(PutSavepoint(run_id, Unleased.of(stored), encoded(damaged))).result()
            assert await parts(sessions, run_id) == {}

    run(work())


def test_an_ended_session_goes_on_in_a_fork_that_stops_later(store: Store) -> None:
    async def work() -> None:
        for engine in (Summing, Sealed):
            async with aclosing(
                sessions_on(store, catalogue_with(summing(engine, stoptime=3.0)))
            ) as sessions:
                run_id = (await sessions.create("me", new())).run.id
                assert (await sessions.step("me", run_id, StepRequest(steps=9))).finished
                (fork,) = await sessions.forks("me", run_id, [ForkSession(stoptime=5.0)])
                await sessions.step("me", fork.run.id, StepRequest(steps=9))
                assert await totals(sessions, fork.run.id) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]

    run(work())


def test_a_fork_with_another_seed_begins_anew_or_is_refused(store: Store) -> None:
    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue_with(summing()))) as sessions:
            run_id = (await sessions.create("me", new())).run.id
            await sessions.step("me", run_id, STEP)
            with pytest.raises(Refused, match=r"generators in its state\. Fork it at step 0"):
                await sessions.forks("me", run_id, [ForkSession(seed=7)])
            (fork,) = await sessions.forks("me", run_id, [ForkSession(step=0, seed=7)])
            await sessions.step("me", fork.run.id, STEP)

    run(work())


def test_what_an_engine_raises_leaves_the_steps_before(store: Store) -> None:
    async def work() -> None:
        async with aclosing(sessions_on(store, catalogue_with(summing()))) as sessions:
            run_id = (await sessions.create("me", new())).run.id
            await sessions.step("me", run_id, STEP)
            with pytest.raises(EvaluationFailed, match=r"'sum' can't be evaluated at t=1\.0: TypeError"):
                await sessions.step("me", run_id, StepRequest(settings=setting(rate=[1.0])))
            await sessions.step("me", run_id, STEP)
            assert await totals(sessions, run_id) == [0.0, 1.0]

    run(work())


def test_another_version_of_a_model_is_found_out_and_upgraded_by_its_function(store: Store) -> None:
    async def work() -> None:
        former = catalogue_with(summing(config={"begin": 1.0}))
        async with aclosing(sessions_on(store, former)) as sessions:
            run_id = (await sessions.create("me", new())).run.id
            await sessions.step("me", run_id, StepRequest(steps=3))

        def upgrade(state: Any, fingerprint: str) -> Any:
            assert fingerprint == former.manager("sum").fingerprint
            return {**state, "total": state["total"] * 10}

        later = catalogue_with(summing(config={"begin": 2.0}, upgrade=upgrade))
        async with aclosing(sessions_on(store, later)) as sessions:
            with pytest.raises(ModelChanged):
                await sessions.step("me", run_id, STEP)
            assert (await sessions.upgrade("me", run_id)).replayed == 0
            await sessions.step("me", run_id, STEP)
            assert await totals(sessions, run_id) == [1.0, 2.0, 3.0, 31.0]

    run(work())


SCRIPT = """
import random
from nrp_core.engines.python_json import EngineScript
class Script(EngineScript):
    def initialize(self):
        self._registerDataPack("drawn")
        {first}
    def runLoop(self, timestep_ns):
        self._setDataPack("drawn", random.random())
"""


def scripted(folder: Path, first: str = "pass") -> Catalogue:
    folder.mkdir(exist_ok=True)
    (folder / "draw.py").write_text(SCRIPT.replace("{first}", first))
    config = {"folder": str(folder), "script": "draw.py"}
    return catalogue_with(summing("python_json", config=config, inputs={}, outputs=["drawn"]))


def test_a_script_that_was_edited_since_it_was_registered_is_not_run(store: Store, tmp_path: Path) -> None:
    async def work() -> None:
        catalogue = scripted(tmp_path / "scripts")
        async with aclosing(sessions_on(store, catalogue)) as sessions:
            run_id = (await sessions.create("me", new(outputs=["drawn"]))).run.id
            await sessions.step("me", run_id, StepRequest(steps=3))
            drawn = await totals(sessions, run_id)
            assert drawn[0] is None and drawn[1] != drawn[2]
            other = (await sessions.create("me", new(outputs=["drawn"], seed=2))).run.id
            await sessions.step("me", other, StepRequest(steps=3))
            assert drawn[1] not in await totals(sessions, other)
            former = (tmp_path / "scripts" / "draw.py").read_text()
            (tmp_path / "scripts" / "draw.py").write_text(former.replace("random()", "gauss(0, 1)"))
            with pytest.raises(ModelChanged, match="has changed since it was registered"):
                await sessions.create("me", new(outputs=["drawn"]))
        async with aclosing(sessions_on(store, catalogue)) as sessions:
            with pytest.raises(ModelChanged):
                await sessions.step("me", run_id, STEP)

    run(work())


def test_what_cannot_be_started_is_an_error_and_leaves_no_process(store: Store, tmp_path: Path) -> None:
    async def work() -> None:
        async with aclosing(sessions_on(store, scripted(tmp_path / "scripts", "1 / 0"))) as sessions:
            with pytest.raises(ScriptFailed, match=r"at draw\.py, line 7: ZeroDivisionError"):
                await sessions.create("me", new(outputs=["drawn"]))
            assert engine_processes() == []

    run(work())

"""Sessions: exactly once, in order, within limits, and nothing wrong after an error."""

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.support.small import NEW, STEP, bath, catalogue_of, numbers, sessions_on, settings

from perdure.drivers.labels import relabel
from perdure.drivers.session_requests import NewSession, Owner, StepRequest
from perdure.engines.system_dynamics import Model
from perdure.errors import (
    EndedRunsExceeded,
    EvaluationFailed,
    InvalidOverride,
    InvalidRunSpecs,
    InvalidScenario,
    KeyReused,
    LimitExceeded,
    ModelChanged,
    ModelUnchanged,
    OutputNotFound,
    PositionConflict,
    QuotaExceeded,
    ReplayMismatch,
    RunFinished,
    RunNotFound,
    ScenarioNotFound,
    ServerClosing,
    StepNotFound,
    StoreUnavailable,
    TriggerRefused,
    UpgradeRefused,
)
from perdure.lifecycle import RunStatus
from perdure.run import Entry, Key, Label, LabelChange, Run, Step
from perdure.state.codec import decode, encode
from perdure.stores.base import Store
from perdure.stores.commands import Append, RepairStep, Unleased
from perdure.stores.memory import MemoryStore
from perdure.stores.run_list import RunFilter
from perdure.stores.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.db")
    yield opened
    opened.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_the_first_step_answers_the_start_and_settings_stay_in_force(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        first = await sessions.step("me", run_id, STEP)
        assert numbers(first.steps) == [[0.0, 5.0, 2.0]]
        second = await sessions.step("me", run_id, StepRequest(settings=settings(tap=3.0, leak=0.0)))
        assert numbers(second.steps) == [[1.0, 6.5, 3.0]]
        third = await sessions.step("me", run_id, STEP)
        assert numbers(third.steps) == [[2.0, 9.5, 3.0]]
        assert (await sessions.run("me", run_id)).state is RunStatus.STARTED

    run(work())


def test_a_session_that_gets_a_name_while_it_is_stopped_is_stopped_and_has_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW, label=Label(tags=("p",)))).run.id
        read, names = sessions.run, iter(["first", "second"])

        async def read_and_name(owner: Owner, run_id: str) -> Run:
            found = await read(owner, run_id)
            for name in names:
                await relabel(store, owner, run_id, LabelChange(name=name))
                break
            return found

        monkeypatch.setattr(sessions, "run", read_and_name)
        stopped = await sessions.stop("me", run_id)
        assert (stopped.state, stopped.name, stopped.tags) == (RunStatus.STOPPED, "second", ("p",))

    run(work())


def test_names_given_twice_count_once(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        twice = NewSession(scenarios={"bath": ["base", "base"]}, outputs=["water", "water", "inflow"])
        run_id = (await sessions.create("me", twice)).run.id
        answer = await sessions.step("me", run_id, STEP)
        assert answer.steps[0].rows == [[0.0, 5.0, 2.0]]
        assert answer.spec.scenarios[0].outputs == ["water", "inflow"]

    run(work())


def test_forty_concurrent_steps_are_forty_distinct_steps_without_a_gap(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        answers = await asyncio.gather(*(sessions.step("me", run_id, STEP) for _ in range(40)))
        assert sorted(answer.steps[0].position for answer in answers) == list(range(1, 41))
        log = await sessions.log("me", run_id, 0, 100)
        assert [given.step.position for given in log.steps] == list(range(1, 41))
        assert {repr(answer.steps[0]) for answer in answers} == {repr(given.step) for given in log.steps}

    run(work())


def test_a_repeated_key_gets_the_recorded_answer_and_another_body_is_refused(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        request = StepRequest(settings=settings(tap=9.0))
        first = await sessions.step("me", run_id, request, Key("k", b"body"))
        await sessions.step("me", run_id, STEP)
        for again in (sessions, sessions_on(store)):
            repeated = await again.step("me", run_id, request, Key("k", b"body"))
            assert repeated.replayed
            assert repeated.steps == first.steps
        with pytest.raises(KeyReused):
            await sessions.step("me", run_id, STEP, Key("k", b"other"))
        assert (await sessions.run("me", run_id)).position == 2
        assert (await sessions.step("me", run_id, STEP)).steps[0].position == 3

    run(work())


def test_a_many_step_request_that_was_interrupted_is_completed_by_its_key(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        reference = (await sessions.create("me", NEW)).run.id
        whole = await sessions.step("me", reference, StepRequest(settings=settings(tap=4.0), steps=30))

        run_id = (await sessions.create("me", NEW)).run.id
        half = StepRequest(settings=settings(tap=4.0), steps=12)
        await sessions.step("me", run_id, half, Key("k", b"body"))  # the server died after 12 of 30
        request = StepRequest(settings=settings(tap=4.0), steps=30, expected=1)
        answer = await sessions_on(store).step("me", run_id, request, Key("k", b"body"))
        assert answer.steps == whole.steps
        assert (await sessions.run("me", run_id)).position == 30

    run(work())


def test_the_answer_to_the_last_step_is_repeated_after_the_session_ended(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store, catalogue_of(bath(stoptime=4.0)))
        run_id = (await sessions.create("me", NEW)).run.id
        request = StepRequest(steps=100)
        last = await sessions.step("me", run_id, request, Key("k", b"body"))
        assert last.finished
        assert len(last.steps) == 5
        again = await sessions.step("me", run_id, request, Key("k", b"body"))
        assert again.replayed
        assert again.finished
        assert again.steps == last.steps
        with pytest.raises(RunFinished, match="completed"):
            await sessions.step("me", run_id, STEP)

    run(work())


def test_an_unexpected_position_is_a_conflict_and_changes_nothing(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, StepRequest(expected=1))
        for expected in (1, 3):
            with pytest.raises(PositionConflict):
                await sessions.step("me", run_id, StepRequest(expected=expected))
        assert (await sessions.run("me", run_id)).position == 1

    run(work())


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (settings(tap=float("nan")), InvalidOverride),
        (settings(tap=float("inf")), InvalidOverride),
        ({"bath": {"base": {"constants": {"tap": "__import__('os').system('true')"}}}}, InvalidOverride),
        ({"bath": {"base": {"constants": {"tap": None}}}}, InvalidOverride),
        (settings(tab=1.0), InvalidOverride),
        ({"bath": {"base": {"points": {"curve": [[0, 1]]}}}}, InvalidOverride),
        ({"bath": {"bass": {"constants": {"tap": 1.0}}}}, ScenarioNotFound),
        ({"boat": {"base": {"constants": {"tap": 1.0}}}}, ScenarioNotFound),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_and_change_nothing(store: Store, given: Any, error: type) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        untouched = (await sessions.create("me", NEW)).run.id
        for _ in range(3):
            with pytest.raises(error):
                await sessions.step("me", run_id, StepRequest(settings=given))
            one = await sessions.step("me", run_id, STEP)
            other = await sessions.step("me", untouched, STEP)
            assert one.steps == other.steps

    run(work())


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (NewSession(scenarios={}), InvalidScenario),
        (NewSession(scenarios={"bad": ["base"]}), ScenarioNotFound),
        (NewSession(scenarios={"bath": ["bass"]}), ScenarioNotFound),
        (NewSession(scenarios={"bath": ["base"]}, outputs=["wather"]), OutputNotFound),
        (NewSession(scenarios={"bath": ["base"]}, dt=1e-12), InvalidRunSpecs),
        (NewSession(scenarios={"bath": ["base"]}, dt=0.0), InvalidRunSpecs),
        (NewSession(scenarios={"bath": ["base"]}, dt=float("nan")), InvalidRunSpecs),
    ],
    ids=str,
)
def test_wrong_sessions_are_refused_and_leave_no_run(store: Store, request_: NewSession, error: type) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        with pytest.raises(error):
            await sessions.create("me", request_)
        assert sessions.store.runs(RunFilter(owner="me")) == []

    run(work())


def test_limits_name_the_setting_that_raises_them(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store, max_steps_per_request=10, max_values_per_request=12, max_runs=2)
        run_id = (await sessions.create("me", NEW)).run.id
        with pytest.raises(LimitExceeded, match="PERDURE_MAX_STEPS_PER_REQUEST"):
            await sessions.step("me", run_id, StepRequest(steps=1_000_000_000))
        with pytest.raises(LimitExceeded, match="PERDURE_MAX_VALUES_PER_REQUEST"):
            await sessions.step("me", run_id, StepRequest(steps=7))
        await sessions.create("me", NEW, Key("k", b"body"))
        with pytest.raises(QuotaExceeded, match="PERDURE_MAX_RUNS"):
            await sessions.create("me", NEW)
        # The one that was made is still answered, and others have quotas of their own.
        assert (await sessions.create("me", NEW, Key("k", b"body"))).replayed
        await sessions.create("you", NEW)
        await sessions.stop("me", run_id)
        await sessions.create("me", NEW)

    run(work())


def test_ended_runs_are_limited_for_requests_that_all_passed_the_look_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        sessions = sessions_on(store, max_ended_runs=1)
        first, second = [(await sessions.create("me", NEW)).run.id for _ in range(2)]
        # What a request sees that looks while the first one's end isn't committed yet:
        monkeypatch.setattr(store, "check_quota", lambda owner, quota: None)
        await sessions.stop("me", first)
        with pytest.raises(EndedRunsExceeded, match="perdure runs delete"):
            await sessions.create("me", NEW)
        with pytest.raises(EndedRunsExceeded, match="perdure runs delete"):
            await sessions.fork("me", second, None)
        await sessions.delete("me", first)
        await sessions.create("me", NEW)

    run(work())


def test_too_many_scenarios_and_too_long_runs_are_refused(store: Store) -> None:
    async def work() -> None:
        few = sessions_on(store, catalogue_of(bath(), other={}), max_scenarios=1)
        with pytest.raises(LimitExceeded, match="PERDURE_MAX_SCENARIOS"):
            await few.create("me", NewSession(scenarios={"bath": ["base", "other"]}))
        short = sessions_on(store, max_run_steps=999)
        with pytest.raises(LimitExceeded, match="PERDURE_MAX_RUN_STEPS"):
            await short.create("me", NEW)

    run(work())


def test_a_step_that_cannot_be_evaluated_keeps_those_before_it(store: Store) -> None:
    def dividing() -> Model:
        model = Model(starttime=0.0, stoptime=20.0, dt=1.0, name="dividing")
        level = model.stock("water")
        level.initial_value = 5.0
        change = model.biflow("change")
        change.equation = 1.0 / level - 1.0 / level - 1.0
        level.equation = change
        return model

    async def work() -> None:
        sessions = sessions_on(store, catalogue_of(dividing()))
        run_id = (await sessions.create("me", NewSession(scenarios={"bath": ["base"]}))).run.id
        for taken in (5, 0):
            with pytest.raises(EvaluationFailed, match=r"'change'.*t=5") as failed:
                await sessions.step("me", run_id, StepRequest(steps=10))
            assert failed.value.values.get("steps_taken", 0) == taken
            assert (await sessions.run("me", run_id)).position == 5

    run(work())


def test_runs_belong_to_their_owner(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        for restored in (sessions, sessions_on(store)):
            with pytest.raises(RunNotFound):
                await restored.step("you", run_id, STEP)
            with pytest.raises(RunNotFound):
                await restored.log("you", run_id, 0, 10)
            with pytest.raises(RunNotFound):
                await restored.fork("you", run_id, None)
            with pytest.raises(RunNotFound):
                await restored.delete("you", run_id)
        assert [found.id for found in sessions.store.runs()] == [run_id]
        assert sessions.store.runs(RunFilter(owner="you")) == []
        await sessions.step(None, run_id, STEP)

    run(work())


def test_a_stopped_session_takes_no_step_and_stays_readable(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, STEP)
        stopped = await sessions.stop("me", run_id)
        assert stopped.state is RunStatus.STOPPED
        with pytest.raises(RunFinished, match="stopped"):
            await sessions.step("me", run_id, STEP)
        with pytest.raises(TriggerRefused, match="stopped"):
            await sessions.stop("me", run_id)
        assert len((await sessions.log("me", run_id, 0, 10)).steps) == 1
        fork = (await sessions.fork("me", run_id, None)).run.id
        assert (await sessions.step("me", fork, STEP)).steps[0].position == 2
        await sessions.delete("me", run_id)
        with pytest.raises(RunNotFound):
            await sessions.run("me", run_id)
        assert (await sessions.step("me", fork, STEP)).steps[0].position == 3
        with pytest.raises(StepNotFound):
            await sessions.fork("me", fork, 9)

    run(work())


def test_sessions_beyond_the_memory_limit_go_on_from_the_store(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store, max_live_sessions=2)
        ids = [(await sessions.create("me", NEW)).run.id for _ in range(5)]
        rounds = [[(await sessions.step("me", run_id, STEP)).steps for run_id in ids] for _ in range(4)]
        for steps in rounds:
            assert all(step == steps[0] for step in steps)

    run(work())


def test_memory_never_runs_ahead_of_a_store_that_refuses(store: Store) -> None:
    class Refusing(MemoryStore):
        refuse = False

        def submit(self, command: Any, chain: Any = None) -> Any:
            if not self.refuse:
                return super().submit(command, chain)
            failed: Future[Any] = Future()
            failed.set_exception(StoreUnavailable(reason="the disk is full"))
            return failed

    async def work() -> None:
        refusing = Refusing()
        sessions = sessions_on(refusing)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, STEP)
        refusing.refuse = True
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="disk is full"):
                await sessions.step("me", run_id, StepRequest(settings=settings(tap=50.0)))
        refusing.refuse = False
        assert numbers((await sessions.step("me", run_id, STEP)).steps) == [[1.0, 6.5, 2.0]]

    run(work())


def test_a_caller_that_goes_away_in_the_middle_loses_and_doubles_nothing(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        for number in range(1, 30):
            task = asyncio.create_task(sessions.step("me", run_id, StepRequest(expected=number)))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # What it asked for is either done wholly or was never begun; the next caller sees which.
            with suppress(PositionConflict):
                await sessions.step("me", run_id, StepRequest(expected=number))
        log = await sessions.log("me", run_id, 0, 100)
        assert [given.step.position for given in log.steps] == list(range(1, 30))
        await sessions.aclose()

    run(work())


def test_where_a_session_stands_is_told_after_every_commit_until_it_ends(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        events = sessions.events("me", run_id)
        assert (await anext(events)).position == 0
        await sessions.step("me", run_id, STEP)
        assert (await anext(events)).position == 1
        await sessions.step("me", run_id, StepRequest(steps=5))
        latest = await anext(events)
        while latest.position < 6:
            latest = await anext(events)
        await sessions.stop("me", run_id)
        assert [event.state async for event in events] == [RunStatus.STOPPED]
        with pytest.raises(RunNotFound):
            await anext(sessions.events("you", run_id))

    run(work())


def test_savepoints_are_taken_named_and_pinned_and_outlive_retention(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store, savepoint_every=5)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, StepRequest(steps=7))
        taken = await sessions.take_savepoint("me", run_id, "before the storm", False)
        assert (taken.timestamp, taken.position, taken.name) == (8, 7, "before the storm")
        pinned = await sessions.mark_savepoint("me", run_id, 5, None, True)
        assert pinned.pinned
        await sessions.step("me", run_id, StepRequest(steps=300))
        kept = [info.timestamp for info in await sessions.savepoints("me", run_id)]
        assert kept[:3] == [0, 5, 8]
        assert kept[-3:] == [295, 300, 305]
        assert kept[3:-3] == [50, 100, 150, 200, 250]  # milestones

    run(work())


def test_closing_saves_every_live_session_where_it_stands(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, StepRequest(steps=7))
        await sessions.aclose()
        assert [info.position for info in store.savepoints(run_id)] == [0, 7]

    run(work())


def test_a_changed_model_is_refused_and_the_log_stays_readable(store: Store) -> None:
    async def work() -> None:
        run_id = (await sessions_on(store).create("me", NEW)).run.id
        await sessions_on(store).step("me", run_id, StepRequest(steps=3), Key("k", b""))
        changed = sessions_on(store, catalogue_of(bath(drain=0.2)))
        with pytest.raises(ModelChanged, match=f"perdure runs upgrade {run_id}"):
            await changed.step("me", run_id, STEP)
        with pytest.raises(ModelChanged):
            await changed.fork("me", run_id, 1)
        assert len((await changed.log("me", run_id, 0, 10)).steps) == 3
        # An answer that was given is given again, whatever became of the model.
        assert (await changed.step("me", run_id, StepRequest(steps=3), Key("k", b""))).replayed
        gone = sessions_on(store, catalogue_of(bath(), other={}))
        gone.catalogue.managers["bath"].scenarios.pop("base")
        with pytest.raises(ModelChanged, match="no scenario"):
            await gone.step("me", run_id, STEP)

    run(work())


def test_an_upgrade_goes_on_from_the_upgraded_state(store: Store) -> None:
    def upgraded() -> Model:
        model = bath(drain=0.2)

        def upgrade(state: dict[str, Any], former: str) -> dict[str, Any]:
            assert former == bath().fingerprint()
            state["stocks"]["water"] += 1000.0
            return state

        model.upgrade = upgrade
        return model

    async def work() -> None:
        first = sessions_on(store)
        run_id = (await first.create("me", NEW)).run.id
        before = (await first.step("me", run_id, StepRequest(steps=4))).steps
        await first.aclose()

        without = sessions_on(store, catalogue_of(bath(drain=0.2)))
        with pytest.raises(UpgradeRefused, match="no upgrade function"):
            await without.upgrade("me", run_id)
        with pytest.raises(ModelUnchanged, match="made with"):
            await first.upgrade("me", run_id)

        sessions = sessions_on(store, catalogue_of(upgraded()))
        assert (await sessions.upgrade("me", run_id)).replayed == 0
        answer = await sessions.step("me", run_id, StepRequest(steps=2))
        assert answer.steps[0].rows[0][1] > 1000.0
        # What was answered stays; from the upgrade on every resume is exact again, before it there is none.
        log = await sessions.log("me", run_id, 0, 10)
        assert [given.step for given in log.steps] == before + answer.steps
        resumed = sessions_on(store, catalogue_of(upgraded()))
        fork = (await resumed.fork("me", run_id, 4)).run.id
        assert (await resumed.step("me", fork, StepRequest(steps=2))).steps == answer.steps
        with pytest.raises(ModelChanged, match="upgraded at step 4"):
            await resumed.fork("me", run_id, 3)
        await resumed.stop("me", run_id)
        with pytest.raises(UpgradeRefused, match="stopped"):
            await sessions_on(store, catalogue_of(bath(drain=0.3))).upgrade("me", run_id)

    run(work())


def test_an_upgrade_after_a_crash_takes_the_steps_after_the_savepoint_again(store: Store) -> None:
    async def work() -> None:
        model = bath(drain=0.2)
        model.upgrade = lambda state, former: state
        run_id = (await sessions_on(store).create("me", NEW)).run.id
        await sessions_on(store).step("me", run_id, StepRequest(steps=4))
        sessions = sessions_on(store, catalogue_of(model))
        assert (await sessions.upgrade("me", run_id)).replayed == 4
        assert (await sessions.step("me", run_id, STEP)).steps[0].position == 5

    run(work())


def test_an_upgrade_function_whose_state_does_not_fit_changes_nothing(store: Store) -> None:
    async def work() -> None:
        model = bath(drain=0.2)
        model.upgrade = lambda state, former: {"wrong": 1}
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, StepRequest(steps=4))
        with pytest.raises(UpgradeRefused):
            await sessions_on(store, catalogue_of(model)).upgrade("me", run_id)
        assert (await sessions_on(store).step("me", run_id, STEP)).steps[0].position == 5

    run(work())


def test_an_upgrade_may_rename_what_the_session_answers_and_sets(store: Store) -> None:
    def renamed() -> Model:
        model = Model(starttime=0.0, stoptime=1000.0, dt=1.0, name="bath")
        level, inflow, faucet = model.stock("bath_water"), model.flow("inflow"), model.constant("faucet")
        level.initial_value = 0.0
        level.equation = inflow
        inflow.equation = faucet * 1.0
        faucet.equation = 2.0

        def upgrade(state: dict[str, Any], former: str) -> dict[str, Any]:
            state["stocks"] = {"bath_water": state["stocks"]["water"]}
            state["constants"] = {"faucet": state["constants"]["tap"]}
            return state

        model.upgrade = upgrade
        return model

    async def work() -> None:
        first = sessions_on(store, catalogue_of(bath(), tuned={"constants": {"tap": 7.0, "leak": 0.0}}))
        every = NewSession(
            scenarios={"bath": ["tuned"]}
        )  # all elements, as the documentation's example has it
        run_id = (await first.create("me", every)).run.id
        before = (await first.step("me", run_id, StepRequest(steps=4))).steps
        await first.aclose()
        sessions = sessions_on(store, catalogue_of(renamed(), tuned={}))
        await sessions.upgrade("me", run_id)
        answer = await sessions.step("me", run_id, STEP)
        columns = answer.spec.scenarios[0].outputs
        row = dict(zip(columns, answer.steps[0].rows[0][1:], strict=True))
        assert row == {"inflow": 7.0, "leak": None, "outflow": None, "tap": None, "water": None}
        resumed = sessions_on(store, catalogue_of(renamed(), tuned={}))
        log = await resumed.log("me", run_id, 0, 10)
        assert [given.step for given in log.steps] == before + answer.steps
        assert (await resumed.step("me", run_id, STEP)).steps[0].position == 6

    run(work())


def test_an_upgrade_function_that_fails_is_named_with_its_error(store: Store) -> None:
    async def work() -> None:
        model = bath(drain=0.2)
        model.upgrade = lambda state, former: state["nothing"]
        run_id = (await sessions_on(store).create("me", NEW)).run.id
        with pytest.raises(UpgradeRefused, match="KeyError"):
            await sessions_on(store, catalogue_of(model)).upgrade("me", run_id)

    run(work())


def test_a_creation_is_answered_again_whatever_has_changed_since(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        key, forking = Key("k", b"body"), Key("f", b"body")
        made = await sessions.create("me", NEW, key)
        fork = await sessions.fork("me", made.run.id, None, forking)
        await sessions.delete("me", made.run.id)
        again = sessions_on(store, catalogue_of(bath(drain=0.2)))
        again.catalogue.managers["bath"].scenarios.pop("base")
        repeated = await again.fork("me", made.run.id, None, forking)
        assert repeated.replayed
        assert repeated.run.id == fork.run.id
        with pytest.raises(ScenarioNotFound):
            await again.create("me", NEW, key)  # its run was deleted, and its key with it
        with pytest.raises(KeyReused):
            await again.fork("me", made.run.id, None, Key("f", b"other"))
        kept = await sessions.create("me", NEW, Key("c", b"body"))
        assert (await again.create("me", NEW, Key("c", b"body"))).run.id == kept.run.id

    run(work())


def test_an_answer_given_again_says_what_it_said(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        key = Key("k", b"body")
        first = await sessions.step("me", run_id, STEP, key)
        restores = sessions._metrics.restores._value.get()
        for _ in range(3):
            again = await sessions.step("me", run_id, STEP, key)
            assert again.replayed
            assert (again.steps, again.finished) == (first.steps, False)
        with pytest.raises(KeyReused):
            await sessions.step("me", run_id, STEP, Key("k", b"other"))
        with pytest.raises(InvalidOverride):
            await sessions.step("me", run_id, StepRequest(settings=settings(tap=float("nan"))))
        # None of this cost the session its place in memory.
        assert sessions._metrics.restores._value.get() == restores
        await sessions.stop("me", run_id)
        stopped = await sessions.step("me", run_id, STEP, key)
        assert (stopped.steps, stopped.finished) == (first.steps, False)

    run(work())


def test_settings_of_a_scenario_that_has_finished_are_checked_too(store: Store) -> None:
    async def work() -> None:
        catalogue = catalogue_of(bath(), short={"runspecs": {"stoptime": 1.0}})
        sessions = sessions_on(store, catalogue)
        both = NewSession(scenarios={"bath": ["base", "short"]}, outputs=["water"])
        run_id = (await sessions.create("me", both)).run.id
        await sessions.step("me", run_id, StepRequest(steps=4))
        wrong = {"bath": {"short": {"constants": {"nonsense": 1.0}}}}
        with pytest.raises(InvalidOverride, match="nonsense"):
            await sessions.step("me", run_id, StepRequest(settings=wrong))
        right = {"bath": {"short": {"constants": {"tap": 1.0}}}}
        assert (await sessions.step("me", run_id, StepRequest(settings=right))).steps[0].rows[1] is None

    run(work())


def test_a_finished_session_has_its_last_savepoint_where_it_ended(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store, catalogue_of(bath(stoptime=12.0)), savepoint_every=5)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, StepRequest(steps=100))
        kept = [(info.timestamp, info.position) for info in await sessions.savepoints("me", run_id)]
        assert kept == [(0, 0), (5, 4), (10, 9), (14, 13)]

    run(work())


def test_steps_that_are_committed_here_are_reported_without_a_read() -> None:
    class Counting(MemoryStore):
        reads = 0

        def run(self, run_id: str) -> Run:
            self.reads += 1
            return super().run(run_id)

    async def work() -> None:
        store = Counting()
        run_id = (await sessions_on(store).create("me", NEW)).run.id
        events = sessions_on(store).events("me", run_id)
        await anext(events)
        before, guard = store.reads, Unleased(0)
        for position in range(3):
            entry = Entry(inputs=None, outputs=b"")
            await asyncio.wrap_future(store.submit(Append(run_id, guard, position, [entry])))
            assert (await anext(events)).position == position + 1
        assert store.reads == before

    run(work())


def test_a_request_for_many_steps_ends_early_when_the_server_closes(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        request, key = StepRequest(steps=900), Key("k", b"body")
        asked = asyncio.create_task(sessions.step("me", run_id, request, key))
        events = sessions.events("me", run_id)
        while (await anext(events)).position == 0:
            pass
        await sessions.aclose()
        try:
            await asked
        except ServerClosing as error:
            assert error.values["steps_taken"] == (await sessions.run("me", run_id)).position
        answer = await sessions_on(store).step("me", run_id, request, key)
        assert [step.position for step in answer.steps] == list(range(1, 901))

    run(work())


def test_a_session_that_no_request_may_step_is_not_made(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store, max_values_per_request=1)
        with pytest.raises(LimitExceeded, match="PERDURE_MAX_VALUES_PER_REQUEST"):
            await sessions.create("me", NEW)

    run(work())


def test_numbers_that_differ_on_replay_are_an_error_and_never_silent(store: Store) -> None:
    async def work() -> None:
        run_id = (await sessions_on(store).create("me", NEW)).run.id
        await sessions_on(store).step("me", run_id, StepRequest(steps=4))
        step = store.steps(run_id, 2, 1)[0]
        rows = decode(step.outputs)
        rows[0][1] += 1e-12
        store.submit(RepairStep(run_id, Step(position=3, inputs=None, outputs=encode(rows)))).result()
        with pytest.raises(ReplayMismatch, match="step 3"):
            await sessions_on(store).step("me", run_id, STEP)
        assert (await sessions_on(store).run("me", run_id)).position == 4

    run(work())


def damage(blob: bytes) -> bytes:
    return blob[:-1] + bytes([blob[-1] ^ 1])


def test_the_doctor_finds_every_damage_and_repairs_what_replay_can(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    async def work() -> None:
        store = SqliteStore(path)
        sessions = sessions_on(store, savepoint_every=5)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, StepRequest(settings=settings(tap=3.0), steps=33))
        assert await sessions.examine("me", run_id, repair=True) == []
        await sessions.take_savepoint("me", run_id, "kept", True)
        whole = await sessions.log("me", run_id, 0, 100)
        before = await sessions.savepoints("me", run_id)
        await sessions.aclose()

        connection = apsw.Connection(str(path))
        for table, column, key, damaged in (
            ("savepoints", "blob", "timestamp", (0, 30, 34)),
            ("steps", "outputs", "position", (1, 20)),
        ):
            for place in damaged:
                ((blob,),) = connection.execute(f"SELECT {column} FROM {table} WHERE {key} = {place}")
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = {place}", (damage(blob),))
        connection.close()

        sessions = sessions_on(store, savepoint_every=5)
        places = {"savepoint 0", "savepoint 30", "savepoint 34", "step 1, outputs", "step 20, outputs"}
        reported = await sessions.examine("me", run_id, repair=False)
        assert {finding.place for finding in reported} == places
        assert not any(finding.repaired for finding in reported)
        mended = await sessions.examine("me", run_id, repair=True)
        assert {finding.place for finding in mended if finding.repaired} == places
        assert await sessions.examine("me", run_id, repair=True) == []
        assert (await sessions.log("me", run_id, 0, 100)).steps == whole.steps
        after = await sessions.savepoints("me", run_id)
        assert [(i.timestamp, i.name, i.pinned) for i in after] == [
            (i.timestamp, i.name, i.pinned) for i in before
        ]
        await sessions.aclose()
        store.close()

    run(work())


def test_the_doctor_reports_damaged_inputs_as_what_they_are(store: Store) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, StepRequest(settings=settings(tap=3.0), steps=3))
        await sessions.aclose()
        first = store.steps(run_id, 0, 1)[0]
        assert first.inputs is not None
        broken = Step(position=1, inputs=damage(first.inputs), outputs=damage(first.outputs))
        store.submit(RepairStep(run_id, broken)).result()
        findings = await sessions_on(store).examine("me", run_id, repair=True)
        assert [(f.place, f.repaired) for f in findings] == [
            ("step 1, inputs", False),
            ("step 1, outputs", False),
        ]
        assert "can't be repaired" in findings[1].problem

    run(work())

"""Forks with another seed or stop time: one state goes on into many futures, and an ended session goes on."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.small import bath, catalogue_of, sessions_on

from perdure.drivers.session_requests import ForkSession, NewSession, StepRequest
from perdure.drivers.sessions import Sessions
from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics import functions as sd
from perdure.errors import Invalid, LimitExceeded, QuotaExceeded, Refused, RunFinished
from perdure.lifecycle import RunStatus
from perdure.run import Key
from perdure.scenarios import Catalogue
from perdure.stores.base import Store
from perdure.stores.memory import MemoryStore

NOISY = NewSession(scenarios={"noisy": ["base"]}, outputs=["s", "f", "late"], seed=1)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def noisy(stoptime: float = 1000.0, **scenarios: dict[str, Any]) -> Catalogue:
    """Return a model with random draws and a delay, whose numbers don't depend on its stop time."""
    model = Model(starttime=0.0, stoptime=stoptime, dt=0.5, name="noisy")
    stock, flow, late, rate = (
        model.stock("s"),
        model.flow("f"),
        model.converter("late"),
        model.constant("rate"),
    )
    stock.initial_value = 5.0
    stock.equation = flow
    flow.equation = sd.random() * rate
    late.equation = sd.delay(model, stock, 1.0, 0.0)
    rate.equation = 2.0
    catalogue = Catalogue()
    catalogue.register_model(model, scenario_manager="noisy", scenario={"base": {}, **scenarios})
    return catalogue


async def rows(sessions: Sessions, run_id: str) -> list[Any]:
    log = await sessions.log("me", run_id, 0, 1000)
    return [given.step.rows for given in log.steps]


async def stepped(sessions: Sessions, request: NewSession, steps: int) -> str:
    run_id: str = (await sessions.create("me", request)).run.id
    if steps:
        await sessions.step("me", run_id, StepRequest(steps=steps))
    return run_id


async def forked(sessions: Sessions, run_id: str, *forks: ForkSession) -> list[str]:
    return [created.run.id for created in await sessions.forks("me", run_id, forks)]


def test_one_state_goes_on_into_another_future_for_each_seed() -> None:
    async def work(store: Store) -> None:
        sessions = sessions_on(store, noisy(), savepoint_every=4)
        parent = await stepped(sessions, NOISY, 10)
        seeds = [7, 8, 7, 1, None]
        forks = await forked(sessions, parent, *(ForkSession(seed=seed) for seed in seeds))
        await sessions.step("me", parent, StepRequest(steps=10))
        for place, fork in enumerate(forks):
            await sessions.step("me", fork, StepRequest(steps=3))
            # Restored from the store, whether it takes over at the fork or later, it goes on alike.
            again = sessions_on(store, noisy())
            await again.step("me", fork, StepRequest(steps=7))
            assert await again.examine("me", fork, repair=False) == []
            assert (await again.run("me", fork)).parent_position == 10, place
        theirs = await rows(sessions, parent)
        first, second, third, same, plain = [await rows(sessions, fork) for fork in forks]
        assert first[:10] == second[:10] == theirs[:10]
        # The state at the fork is the parent's: the stock that follows it was computed before.
        assert first[10][0][1] == second[10][0][1] == theirs[10][0][1]
        assert first[11:] != second[11:] != theirs[11:] != first[11:]
        assert first == third
        assert same == plain == theirs

    run(work(MemoryStore()))


def test_a_fork_before_the_first_step_is_a_session_of_that_seed() -> None:
    async def work(store: Store) -> None:
        sessions = sessions_on(store, noisy())
        parent = await stepped(sessions, NOISY, 3)
        (fork,) = await forked(sessions, parent, ForkSession(step=0, seed=5, stoptime=3.0))
        alike = await stepped(
            sessions, NewSession(scenarios=NOISY.scenarios, outputs=NOISY.outputs, seed=5), 7
        )
        await sessions.step("me", fork, StepRequest(steps=7))
        assert await rows(sessions, fork) == await rows(sessions, alike)
        assert (await sessions.run("me", fork)).state is RunStatus.COMPLETED

    run(work(MemoryStore()))


@settings(max_examples=25)
@given(
    steps=st.integers(1, 6),
    multiple=st.sampled_from([1, 2]),
    more=st.integers(1, 6),
    back=st.integers(0, 3),
    every=st.integers(1, 4),
)
def test_with_a_later_stop_time_it_goes_on_as_if_it_had_been_that_from_the_start(
    steps: int, multiple: int, more: int, back: int, every: int
) -> None:
    stop, later = 0.5 * multiple * (steps - 1), 0.5 * multiple * (steps - 1 + more)

    async def work(store: Store) -> None:
        request = NewSession(scenarios=NOISY.scenarios, seed=1, dt=0.5 * multiple)
        whole = sessions_on(MemoryStore(), noisy(later))
        reference = await rows(whole, await stepped(whole, request, steps + more))
        sessions = sessions_on(store, noisy(stop), savepoint_every=every)
        parent = await stepped(sessions, request, steps)
        assert (await sessions.run("me", parent)).state is RunStatus.COMPLETED
        at = max(0, steps - back)
        (fork,) = await forked(sessions, parent, ForkSession(step=at, stoptime=later))
        assert (await sessions.run("me", fork)).state in (RunStatus.STARTED, RunStatus.CREATED)
        again = sessions_on(store, noisy(stop))
        answer = await again.step("me", fork, StepRequest(steps=steps + more - at))
        assert answer.finished
        assert await rows(again, fork) == reference
        assert await again.examine("me", fork, repair=False) == []
        # And once more, from the end of the fork.
        (further,) = await forked(again, fork, ForkSession(stoptime=later + 5.0, seed=9))
        await again.step("me", further, StepRequest())
        assert (await rows(again, further))[:-1] == reference

    run(work(MemoryStore()))


def test_scenarios_that_ended_before_catch_up_with_the_others() -> None:
    async def work(store: Store) -> None:
        short = {"runspecs": {"stoptime": 2.0}, "constants": {"rate": 3.0}}
        catalogue = noisy(6.0, short=short)
        request = NewSession(scenarios={"noisy": ["base", "short"]}, seed=1)
        sessions = sessions_on(store, catalogue)
        parent = await stepped(sessions, request, 9)
        assert (await rows(sessions, parent))[8][1] is None
        (fork,) = await forked(sessions, parent, ForkSession(stoptime=8.0))
        answer = await sessions.step("me", fork, StepRequest(steps=100))
        assert [row and row[0] for row in answer.steps[0].rows] == [4.5, 4.5]
        assert (answer.finished, answer.steps[-1].position) == (True, 17)
        whole = sessions_on(MemoryStore(), noisy(8.0, short={"constants": {"rate": 3.0}}))
        reference = await rows(whole, await stepped(whole, request, 17))
        assert (await rows(sessions, fork))[9:] == reference[9:]

    run(work(MemoryStore()))


def test_a_fork_that_can_not_go_on_is_refused_with_what_to_do() -> None:
    async def work(store: Store) -> None:
        sessions = sessions_on(store, catalogue_of(bath(stoptime=5.0)), max_run_steps=50)
        parent = await stepped(sessions, NewSession(scenarios={"bath": ["base"]}, seed=1), 6)
        for fork in (ForkSession(seed=2), ForkSession(stoptime=5.0), ForkSession(seed=1)):
            with pytest.raises(RunFinished, match="earlier step, or with a later stop time"):
                await forked(sessions, parent, fork)
        with pytest.raises(Invalid, match=r"has answered the time 5.0 by step 6; .* can't stop at 3.0"):
            await forked(sessions, parent, ForkSession(stoptime=3.0))
        with pytest.raises(Invalid, match="seed is a whole number"):
            await forked(sessions, parent, ForkSession(step=2, seed=-1))
        for stoptime in (float("inf"), float("nan"), -1.0):
            with pytest.raises(Invalid):
                await forked(sessions, parent, ForkSession(step=0, stoptime=stoptime))
        with pytest.raises(LimitExceeded, match=r"PERDURE_MAX_RUN_STEPS"):
            await forked(sessions, parent, ForkSession(stoptime=100.0))
        (fork,) = await forked(sessions, parent, ForkSession(step=4, seed=2))
        await sessions.step("me", fork, StepRequest(steps=2))
        with pytest.raises(Refused, match=f"forked at step 4.*fork the run '{parent}'"):
            await forked(sessions, fork, ForkSession(step=3))
        assert len(store.runs()) == 2

    run(work(MemoryStore()))


def test_many_forks_are_made_together_or_not_at_all() -> None:
    async def work(store: Store) -> None:
        sessions = sessions_on(store, noisy(), max_runs=4, max_forks_per_request=4)
        parent = await stepped(sessions, NOISY, 2)
        with pytest.raises(QuotaExceeded):
            await forked(sessions, parent, *(ForkSession(seed=seed) for seed in range(4)))
        with pytest.raises(LimitExceeded, match="at most 4, not 5"):
            await forked(sessions, parent, *(ForkSession(seed=seed) for seed in range(5)))
        with pytest.raises(Invalid):
            await forked(sessions, parent, ForkSession(seed=1), ForkSession(seed=-1))
        assert len(store.runs()) == 1
        requests, key = [ForkSession(seed=seed) for seed in range(3)], Key("k", b"body")
        made = await sessions.forks("me", parent, requests, key)
        assert [created.replayed for created in made] == [False] * 3
        # Repeated it makes nothing, though the owner's runs are as many as may be and the model is gone.
        again = await sessions_on(store, Catalogue(), max_runs=4).forks("me", parent, requests, key)
        assert [created.replayed for created in again] == [True] * 3
        assert [created.run.id for created in again] == [created.run.id for created in made]
        assert [created.run.id for created in await sessions.forks(None, parent, requests, key)] == [
            created.run.id for created in made
        ]

    run(work(MemoryStore()))

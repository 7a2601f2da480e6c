"""Functions that answer otherwise each time: logged and replayed if declared, and found out if not."""

import asyncio
import random
from collections.abc import Coroutine, Iterator
from email.utils import make_msgid
from pathlib import Path
from typing import Any

import pytest
from tests.support.small import catalogue_of, sessions_on, settings

from perdure.drivers.session_requests import NewSession, StepRequest
from perdure.drivers.sessions import Sessions
from perdure.engines.system_dynamics import Model
from perdure.errors import ReplayMismatch
from perdure.run import Key
from perdure.scenarios import Catalogue
from perdure.stores.base import Store
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore

NEW = NewSession(scenarios={"bath": ["base", "other"]}, outputs=["water", "noise"], seed=1)
EVERY = 5


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def draws(model: Any, at: float, scale: float) -> float:
    return random.random() * scale


def hidden_draws(model: Any, at: float, scale: float) -> float:
    # A library's function that draws a number, which inspection doesn't know.
    drawn = int(make_msgid(domain="x").split(".")[2].partition("@")[0])
    return drawn % 1_000_003 / 1_000_003 * scale


def noisy(fn: Any = draws, *, impure: bool = True, drain: float = 0.1) -> Model:
    model = Model(starttime=0.0, stoptime=1000.0, dt=0.5, name="bath")
    water, noise, tap = model.stock("water"), model.converter("noise"), model.constant("tap")
    model.stock("unseen").equation = noise * 1.0
    model.converter("plain").equation = tap * 1.0
    water.initial_value = 5.0
    water.equation = noise - water * drain
    noise.equation = model.function("fn", fn, impure=impure)(tap)
    tap.equation = 2.0
    model.upgrade = lambda state, former: state
    return model


def models(fn: Any = draws, **how: Any) -> Catalogue:
    return catalogue_of(noisy(fn, **how), other={"constants": {"tap": 7.0}})


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.db")
    yield made
    made.close()


def on(store: Store, catalogue: Catalogue | None = None) -> Sessions:
    return sessions_on(store, catalogue or models(), savepoint_every=EVERY)


async def rows(sessions: Sessions, run_id: str) -> list[Any]:
    return [given.step.rows for given in (await sessions.log("me", run_id, 0, 1000)).steps]


def test_declared_answers_are_replayed_by_resume_fork_and_doctor(store: Store) -> None:
    async def work() -> None:
        sessions = on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, StepRequest(steps=3))
        await sessions.step("me", run_id, StepRequest(steps=9, settings=settings(tap=3.0)))
        acknowledged = await rows(sessions, run_id)
        for orderly in (False, True, True):
            if orderly:
                await sessions.aclose()
            sessions = on(store)
            await sessions.step("me", run_id, StepRequest())
            acknowledged = [*acknowledged, (await rows(sessions, run_id))[-1]]
            assert await rows(sessions, run_id) == acknowledged
        assert await sessions.examine("me", run_id, repair=True) == []
        for position in (0, 1, 4, 7, 13, 15):
            fork = (await sessions.fork("me", run_id, position)).run.id
            assert await rows(sessions, fork) == acknowledged[:position]
            await sessions.step("me", fork, StepRequest(steps=2))
            again = on(store)
            await again.step("me", fork, StepRequest())
            assert (await rows(again, fork))[:position] == acknowledged[:position]
        log = await sessions.log("me", run_id, 0, 1000)
        assert [given.inputs for given in log.steps if given.inputs] == [[(0, {"constants": {"tap": 3.0}})]]

    run(work())


def test_a_repeated_request_gets_the_recorded_answers(store: Store) -> None:
    async def work() -> None:
        key = Key("key", b"hash", 0)
        sessions = on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        first = await sessions.step("me", run_id, StepRequest(steps=7), key)
        again = await on(store).step("me", run_id, StepRequest(steps=7), key)
        assert again.replayed
        assert [step.rows for step in again.steps] == [step.rows for step in first.steps]

    run(work())


def test_an_upgraded_model_takes_the_logged_answers_too(store: Store) -> None:
    async def work() -> None:
        sessions = on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, StepRequest(steps=EVERY + 3))
        logged = [row[2] for row, _ in await rows(sessions, run_id)]
        upgraded = on(store, models(drain=0.0))
        made = await upgraded.upgrade("me", run_id)
        assert made.replayed > 0
        answer = await upgraded.step("me", run_id, StepRequest())
        # Without a drain, water grows by just what was answered since the savepoint.
        savepoint = (await upgraded.savepoints("me", run_id))[1]
        water = [row[1] for row, _ in await rows(upgraded, run_id)]
        position = savepoint.position
        after = [draw * 0.5 for draw in logged[position:]]
        row = answer.steps[0].rows[0]
        assert row is not None
        assert row[1] == pytest.approx(water[position] + sum(after[: len(logged) - position]), rel=1e-9)

    run(work())


@pytest.mark.parametrize("outputs", [["noise"], ["plain"]], ids=["seen", "in the state alone"])
@pytest.mark.parametrize("steps", [1, EVERY - 1, EVERY, EVERY + 1, 3 * EVERY])
def test_what_inspection_does_not_see_is_a_mismatch_after_an_orderly_restart(
    store: Store, steps: int, outputs: list[str]
) -> None:
    async def work() -> None:
        new = NewSession(scenarios={"bath": ["base"]}, outputs=outputs, seed=1)
        sessions = on(store, models(hidden_draws, impure=False))
        run_id = (await sessions.create("me", new)).run.id
        await sessions.step("me", run_id, StepRequest(steps=steps))
        await sessions.aclose()
        with pytest.raises(ReplayMismatch):
            await on(store, models(hidden_draws, impure=False)).step("me", run_id, StepRequest())

    run(work())


def test_every_restore_takes_a_logged_step_again_and_never_many(store: Store) -> None:
    async def work() -> None:
        sessions = on(store)
        run_id = (await sessions.create("me", NEW)).run.id
        await sessions.step("me", run_id, StepRequest(steps=40 * EVERY + 2))

        def replayed(sessions: Sessions) -> float:
            return sessions._metrics.replayed_steps._value.get()

        for steps in (1, 1, 3, 1, EVERY, 2):
            await sessions.aclose()
            sessions = on(store)
            await sessions.step("me", run_id, StepRequest(steps=steps))
            assert 1 <= replayed(sessions) <= EVERY
        fork = (await sessions.fork("me", run_id, 38 * EVERY + 4)).run.id
        sessions = on(store)
        await sessions.step("me", fork, StepRequest())
        assert 1 <= replayed(sessions) <= 10 * EVERY

    run(work())

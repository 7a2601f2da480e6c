"""Resume and fork give exactly the numbers of a run that never stopped, at every step."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest
import structlog
from tests.support.models import NAMES, OUTPUTS, catalogue, settings_of

from perdure.drivers.session_requests import NewSession, StepRequest, StepRows
from perdure.drivers.sessions import Sessions
from perdure.lifecycle import Outcome, RunStatus
from perdure.observability import Metrics
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore

STEPS = 121  # the longest scenario: 0 to 30 by 0.25
SETTINGS = Settings(savepoint_every=7, savepoint_keep=2, savepoint_milestone=4)
REQUEST = NewSession(scenarios=NAMES, outputs=OUTPUTS, seed=11, dt=0.25)

OpenSessions = Callable[[Store], Sessions]


@pytest.fixture(scope="module")
def models() -> Catalogue:
    return catalogue()


@pytest.fixture(scope="module")
def fresh(models: Catalogue) -> OpenSessions:
    """Returns sessions with an empty memory, as a server has that was just started."""
    return lambda store: Sessions(store, models, SETTINGS, Metrics())


@pytest.fixture(scope="module")
def uninterrupted(fresh: OpenSessions) -> list[StepRows]:
    """All steps of a session that was never interrupted."""

    async def work() -> list[StepRows]:
        sessions = fresh(MemoryStore())
        made = await sessions.create("me", REQUEST)
        return [await step(sessions, made.run.id, number) for number in range(1, STEPS + 1)]

    return asyncio.run(work())


async def step(sessions: Sessions, run_id: str, number: int) -> StepRows:
    answer = await sessions.step("me", run_id, StepRequest(settings=settings_of(number), expected=number))
    (taken,) = answer.steps
    return taken


@asynccontextmanager
async def stored(path: Path) -> AsyncIterator[Store]:
    store = SqliteStore(path, keep=SETTINGS.savepoint_keep)
    try:
        yield store
    finally:
        store.close()


def same(one: list[StepRows], other: list[StepRows]) -> bool:
    """Compare bit by bit: repr of a float is exact, and NaN equals itself."""
    return repr(one) == repr(other)


async def resumed_at_every_step(
    store: Store, fresh: OpenSessions, before_each: Callable[[str], Awaitable[None]]
) -> tuple[str, list[StepRows]]:
    made = await fresh(store).create("me", REQUEST)
    taken = []
    for number in range(1, STEPS + 1):
        await before_each(made.run.id)
        taken.append(await step(fresh(store), made.run.id, number))
    return made.run.id, taken


def test_a_session_resumed_at_every_step_equals_the_uninterrupted_one(
    tmp_path: Path, fresh: OpenSessions, uninterrupted: list[StepRows]
) -> None:
    async def nothing(_: str) -> None:
        return

    async def work() -> None:
        async with stored(tmp_path / "s.db") as store:
            run_id, taken = await resumed_at_every_step(store, fresh, nothing)
            assert same(taken, uninterrupted)
            log = await fresh(store).log("me", run_id, 0, STEPS)
            assert same([given.step for given in log.steps], uninterrupted)
            assert log.run.state is RunStatus.COMPLETED
            assert log.run.outcome is Outcome.SUCCEEDED

    asyncio.run(work())


def test_it_does_so_with_the_newest_savepoint_corrupted_before_every_step(
    tmp_path: Path, fresh: OpenSessions, uninterrupted: list[StepRows]
) -> None:
    path = tmp_path / "s.db"

    async def corrupt(run_id: str) -> None:
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(5_000)
        ((run, timestamp, blob),) = connection.execute(
            "SELECT run, timestamp, blob FROM savepoints ORDER BY timestamp DESC LIMIT 1"
        )
        place = timestamp % len(blob)
        damaged = blob[:place] + bytes([blob[place] ^ 0x10]) + blob[place + 1 :]
        connection.execute(
            "UPDATE savepoints SET blob = ? WHERE run = ? AND timestamp = ?", (damaged, run, timestamp)
        )
        connection.close()

    async def work() -> None:
        async with stored(path) as store:
            with structlog.testing.capture_logs() as logs:
                _, taken = await resumed_at_every_step(store, fresh, corrupt)
            assert same(taken, uninterrupted)
            assert sum(line["event"] == "savepoint_damaged" for line in logs) >= STEPS - 10

    asyncio.run(work())


def test_a_fork_at_every_step_goes_on_like_the_uninterrupted_one_and_shares_nothing(
    tmp_path: Path, fresh: OpenSessions, uninterrupted: list[StepRows]
) -> None:
    async def work() -> None:
        async with stored(tmp_path / "s.db") as store:
            parent = (await fresh(store).create("me", REQUEST)).run.id
            sessions = fresh(store)
            for number in range(1, STEPS + 1):
                await step(sessions, parent, number)
            for position in range(STEPS):
                fork = (await sessions.fork("me", parent, position)).run
                assert fork.parent == parent
                assert fork.position == position
                for number in range(position + 1, min(position + 9, STEPS + 1)):
                    assert same([await step(sessions, fork.id, number)], [uninterrupted[number - 1]])
                log = await sessions.log("me", fork.id, 0, position + 1)
                assert same([given.step for given in log.steps], uninterrupted[: position + 1])
                # What the fork does differently its parent never sees.
                await sessions.delete("me", fork.id)
            log = await sessions.log("me", parent, 0, STEPS)
            assert same([given.step for given in log.steps], uninterrupted)

    asyncio.run(work())


def test_a_fork_that_does_otherwise_leaves_its_parent_alone(
    fresh: OpenSessions, uninterrupted: list[StepRows]
) -> None:
    async def work() -> None:
        sessions = fresh(MemoryStore())
        parent = (await sessions.create("me", REQUEST)).run.id
        for number in range(1, 21):
            await step(sessions, parent, number)
        fork = (await sessions.fork("me", parent, 20)).run.id
        other = {"every thing/1": {"1": {"constants": {"rate": 0.9}, "points": {"curve": [[0.0, 9.0]]}}}}
        answer = await sessions.step("me", fork, StepRequest(settings=other, steps=2))
        assert not same(answer.steps, uninterrupted[20:22])
        assert same([await step(sessions, parent, 21)], [uninterrupted[20]])

    asyncio.run(work())


def test_a_scenario_has_the_same_numbers_alone_and_among_others(
    fresh: OpenSessions, uninterrupted: list[StepRows]
) -> None:
    async def work() -> None:
        sessions = fresh(MemoryStore())
        alone = NewSession(scenarios={"every thing/1": ["a/b"]}, outputs=OUTPUTS, seed=11, dt=0.25)
        run_id = (await sessions.create("me", alone)).run.id
        for number in range(1, 49):
            mine = {
                manager: {"a/b": scenarios["a/b"]}
                for manager, scenarios in settings_of(number).items()
                if "a/b" in scenarios
            }
            answer = await sessions.step("me", run_id, StepRequest(settings=mine))
            assert repr(answer.steps[0].rows[0]) == repr(uninterrupted[number - 1].rows[1])

    asyncio.run(work())


def test_many_steps_in_one_request_equal_single_steps(fresh: OpenSessions, tmp_path: Path) -> None:
    async def work() -> None:
        async with stored(tmp_path / "s.db") as store:
            sessions = fresh(store)
            one = (await sessions.create("me", REQUEST)).run.id
            many = (await sessions.create("me", REQUEST)).run.id
            single = [(await sessions.step("me", one, StepRequest())).steps[0] for _ in range(STEPS)]
            answer = await sessions.step("me", many, StepRequest(steps=5_000))
            assert same(answer.steps, single)
            assert answer.finished

    asyncio.run(work())

"""The wall clock is set forwards, as NTP does after a boot: nothing that is in use expires by that."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.bptk_dialect import HOURS, begun, dialect_on, stepped

from perdure.clock import SteadyClock
from perdure.dialects.bptk.external_state import FileAdapter
from perdure.dialects.bptk.instance_sessions import InstanceSessions
from perdure.errors import InstanceNotFound
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore

SCRIPT = """
import asyncio, sys, time
from pathlib import Path

ahead, real = 0.0, time.time
time.time = lambda: real() + ahead  # before anything takes hold of it

from tests.support.bptk_dialect import NEW, LASTING
from tests.support.small import bath, catalogue_of
from perdure.drivers.session_requests import StepRequest
from perdure.dialects.bptk.instance_sessions import InstanceSessions
from perdure.dialects.bptk.external_state import FileAdapter, Mirror
from perdure.drivers.sessions import Sessions
from perdure.observability import Metrics
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

folder = Path(sys.argv[1])

async def run(externalize):
    global ahead
    settings, metrics = Settings(), Metrics()
    sessions = Sessions(MemoryStore(), catalogue_of(bath()), settings, metrics)
    mirror = Mirror(FileAdapter(True, folder), sessions, shared=externalize)
    made = InstanceSessions(sessions, settings, metrics, mirror=mirror, durable=False)
    await made.open()
    (instance,) = await made.start("local", 1, LASTING)
    await made.begin_session("local", instance, lambda: NEW)
    assert await made.step("local", instance, {}, StepRequest(), None) is not None
    ahead += 13 * 3600
    await made._instances.sweep()
    assert {path.stem for path in folder.glob("*.json")} == {instance}, "the file is gone"
    answer = await made.step("local", instance, {}, StepRequest(), None)
    assert answer is not None and answer.steps[0].position == 2
    await made.stop("local", instance)
    await made.aclose()
    await sessions.aclose()

asyncio.run(run(False))
asyncio.run(run(True))
"""


def test_a_forward_step_of_the_wall_clock_expires_no_instance(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=root, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


class Hands:
    """A wall clock and a monotonic one, as a test sets them."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_800_000_000.0, 10.0

    def clock(self) -> SteadyClock:
        """Return the clock of a process that starts now."""
        return SteadyClock(lambda: self.wall, lambda: self.monotonic)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


async def swept(dialect: InstanceSessions) -> None:
    await dialect._instances._rows.look()
    await dialect._instances._copies.look_elsewhere()
    await dialect._instances.sweep()


@pytest.mark.parametrize("hours", [-13, 13, 1000])
def test_a_timeout_is_as_long_as_it_is_whatever_the_wall_clock_does(hours: int) -> None:
    async def run() -> None:
        hands = Hands()
        async with dialect_on(MemoryStore(), hands.clock()) as dialect:
            instance = await begun(dialect, "ada", hours=12)
            hands.passes(6 * HOURS)
            hands.wall += hours * HOURS
            hands.passes(5.9 * HOURS)
            await swept(dialect)
            assert await stepped(dialect, instance) == [0.0]
            hands.passes(12.1 * HOURS)
            await swept(dialect)
            with pytest.raises(InstanceNotFound):
                await stepped(dialect, instance)

    asyncio.run(run())


@pytest.mark.parametrize("minutes", [30, 720])
def test_after_a_start_with_a_clock_far_ahead_nothing_is_swept_at_once(tmp_path: Path, minutes: int) -> None:
    hands = Hands()

    async def first() -> str:
        store = SqliteStore(tmp_path / "perdure.db")
        async with dialect_on(store, hands.clock()) as dialect:
            instance = await begun(dialect, "ada", minutes=minutes)
        store.close()
        return instance

    async def second(instance: str) -> None:
        store = SqliteStore(tmp_path / "perdure.db")
        async with dialect_on(store, hands.clock()) as dialect:
            hands.passes(29 * 60)
            await swept(dialect)
            assert await stepped(dialect, instance) == [0.0]
            hands.passes(minutes * 60 - 1)  # it was used since, so its timeout began anew
            await swept(dialect)
            assert await stepped(dialect, instance) == [1.0]
            hands.passes(minutes * 60 + 1)
            await swept(dialect)
            assert await dialect.own("ada") == []
        store.close()

    instance = asyncio.run(first())
    hands.wall += 13 * HOURS
    asyncio.run(second(instance))


def test_a_timeout_goes_on_over_a_restart_after_the_wall_clock_was_set(tmp_path: Path) -> None:
    """What is written is by the wall clock of then, so that the next process knows how long ago it was."""
    hands = Hands()

    async def first() -> str:
        store = SqliteStore(tmp_path / "perdure.db")
        async with dialect_on(store, hands.clock()) as dialect:
            hands.wall += 1000 * HOURS
            instance = await begun(dialect, "ada", hours=12)
        store.close()
        return instance

    async def second(instance: str) -> None:
        store = SqliteStore(tmp_path / "perdure.db")
        async with dialect_on(store, hands.clock()) as dialect:
            hands.passes(11.1 * HOURS)  # with the tenth that may have been served and not written
            await swept(dialect)
            assert [one.id for one in await dialect.own("ada")] == [instance]
            hands.passes(0.2 * HOURS)
            await swept(dialect)
            assert await dialect.own("ada") == []
        store.close()

    instance = asyncio.run(first())
    hands.passes(2 * HOURS)
    asyncio.run(second(instance))


def test_what_only_the_adapter_holds_is_not_swept_at_once_either(tmp_path: Path) -> None:
    hands = Hands()

    async def run() -> None:
        async with dialect_on(
            MemoryStore(), hands.clock(), adapter=FileAdapter(True, tmp_path), externalize=True
        ) as first:
            instance = await begun(first, "local", minutes=30)
        hands.wall += 13 * HOURS
        async with dialect_on(
            MemoryStore(), hands.clock(), adapter=FileAdapter(True, tmp_path), externalize=True
        ) as second:
            hands.passes(29 * 60)
            await swept(second)
            assert await stepped(second, instance, "local") == [0.0]

    asyncio.run(run())

"""Instances that nobody asks for are expired in the background, wherever they are; nobody waits for it."""

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from tests.support.adapters import FaultyAdapter
from tests.support.bptk_dialect import HOURS, LASTING, Clock, begun, clock_behind, dialect_on, stepped

from perdure.clock import SteadyClock
from perdure.dialects.bptk import expiry
from perdure.dialects.bptk.external_state import FileAdapter, InstanceState
from perdure.dialects.bptk.instance_sessions import InstanceSessions
from perdure.dialects.bptk.timeouts import checked_timeout
from perdure.errors import CorruptBlob, InstanceNotFound, TooMany
from perdure.stores.memory import MemoryStore
from perdure.web.auth import LOCAL

pytestmark = pytest.mark.usefixtures("no_background")


@pytest.fixture
def clock() -> Clock:
    return clock_behind()


async def swept(dialect: InstanceSessions, *, listing: bool = True) -> None:
    """Do what is done in the background."""
    if listing:
        await dialect._instances._rows.look()
        await dialect._instances._copies.look_elsewhere()
    await dialect._instances.sweep()


def files(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.json")}


class Traced(FileAdapter):
    """Tells what is done with instances, and in which order."""

    def __init__(self, folder: Path) -> None:
        super().__init__(True, folder)
        self.did: list[str] = []

    def _lock_instance(self, instance_id: str) -> Callable[[], None]:
        unlock = super()._lock_instance(instance_id)
        self.did.append("lock")

        def traced() -> None:
            self.did.append("unlock")
            unlock()

        return traced

    def _load_instance(self, instance_id: str) -> InstanceState | None:
        self.did.append("load")
        return super()._load_instance(instance_id)

    def delete_instance(self, instance_id: str) -> None:
        self.did.append("delete")
        super().delete_instance(instance_id)


class Seconds(FileAdapter):
    """Lists times in whole seconds, as many a column of a database holds them, and loads them so unless not.

    Attributes
    ----------
    exact
        Whether what it loads has the exact time.
    """

    def __init__(self, folder: Path, exact: bool) -> None:
        super().__init__(True, folder)
        self.exact = exact

    def _load_instance(self, instance_id: str) -> InstanceState | None:
        found = super()._load_instance(instance_id)
        return found if found is None or self.exact else coarse(found)

    def _load_state(self) -> list[InstanceState]:
        return [coarse(found) for found in super()._load_state()]


def coarse(found: InstanceState) -> InstanceState:
    """Return an instance with its time in whole seconds."""
    time = found.time
    if isinstance(time, str):
        time = datetime.datetime.fromisoformat(time)
    found.time = time.replace(microsecond=0)
    return found


ADAPTERS: list[Any] = [
    pytest.param(lambda folder: FileAdapter(True, folder), id="microseconds"),
    pytest.param(lambda folder: Seconds(folder, exact=False), id="seconds"),
    pytest.param(lambda folder: Seconds(folder, exact=True), id="seconds in lists only"),
]


@pytest.mark.parametrize("session", [True, False])
@pytest.mark.parametrize(
    ("adapter", "late"),
    [
        pytest.param(*ADAPTERS[0].values, HOURS + 300.0, id="microseconds"),  # a list may be that late
        pytest.param(*ADAPTERS[1].values, HOURS + 300.0, id="seconds"),
        pytest.param(
            *ADAPTERS[2].values, 2 * HOURS + 300.0, id="seconds in lists only"
        ),  # may be another use
    ],
)
def test_what_nobody_uses_expires_however_exactly_the_adapter_keeps_times(
    tmp_path: Path, clock: Clock, adapter: Callable[[Path], FileAdapter], late: float, session: bool
) -> None:
    async def run() -> None:
        async with (
            dialect_on(MemoryStore(), clock, adapter=adapter(tmp_path), externalize=True) as one,
            dialect_on(MemoryStore(), clock, adapter=adapter(tmp_path), externalize=True) as other,
        ):
            for _ in range(20):
                clock.now += 0.123456789
                if session:
                    await stepped(one, await begun(one, LOCAL, hours=1), LOCAL)
                else:
                    await one.start(LOCAL, 1, checked_timeout({"hours": 1}))
            started = clock.now
            while clock.now < started + late - 300.0:
                await swept(other)
                assert len(files(tmp_path)) == 20 or clock.now >= started + HOURS - 3.0
                clock.now += 300.0
            clock.now = started + late
            await swept(other)
            assert files(tmp_path) == set()

    asyncio.run(run())


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("days", [-1, 1])
def test_what_another_server_has_just_used_stays_when_the_wall_clock_is_set(
    tmp_path: Path, adapter: Callable[[Path], FileAdapter], listed: bool, days: int
) -> None:
    wall, monotonic = clock_behind().now - 48 * HOURS, 10.0

    def steady() -> SteadyClock:
        return SteadyClock(lambda: wall, lambda: monotonic)

    async def run() -> None:
        nonlocal wall, monotonic
        async with (
            dialect_on(MemoryStore(), steady(), adapter=adapter(tmp_path), externalize=True) as one,
            dialect_on(MemoryStore(), steady(), adapter=adapter(tmp_path), externalize=True) as two,
        ):
            instance = await begun(one, LOCAL, seconds=240)
            await swept(two)
            wall, monotonic = wall + 230, monotonic + 230
            await stepped(one, instance, LOCAL)
            wall, monotonic = wall + 6 + days * 24 * HOURS, monotonic + 6
            await swept(two, listing=listed)
            wall, monotonic = wall + 5, monotonic + 5
            await swept(two, listing=False)
            assert files(tmp_path) == {instance}
            for _ in range(3):  # and when nobody uses it, it isn't kept for ever
                wall, monotonic = wall + 240, monotonic + 240
                await swept(two)
            assert files(tmp_path) == set()

    asyncio.run(run())


def test_what_an_adapter_lists_wrongly_keeps_nothing_from_being_expired(clock: Clock) -> None:
    async def run() -> None:
        adapter = FaultyAdapter()
        async with dialect_on(MemoryStore(), clock, adapter=adapter, externalize=True) as dialect:
            await begun(dialect, LOCAL, hours=0.5)

            async def damaged(*, check: bool) -> Any:
                raise CorruptBlob(reason="it is no list")

            dialect._instances._copies._mirror.survey = damaged
            clock.now += HOURS
            with structlog.testing.capture_logs() as logs:
                await swept(dialect)
            assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
                "external_state_not_listed"
            ]
            assert adapter.held == {}

    asyncio.run(run())


@pytest.mark.parametrize("failing", ["look", "look elsewhere", "both"])
def test_a_look_that_fails_is_not_repeated_at_once_and_keeps_no_other_work_away(
    monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(expiry, "SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(expiry, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(expiry, "LIST_SECONDS", 0.01)
    monkeypatch.setattr(expiry, "LOOK_SHARE", 1e12)
    done: list[str] = []

    async def run() -> None:
        enough = asyncio.Event()

        def work(name: str) -> Callable[[], Any]:
            async def working() -> None:
                done.append(name)
                if done.count("sweep") > 20 and {"look", "look elsewhere"} <= set(done):
                    enough.set()
                if failing in (name, "both") and name != "sweep":
                    raise RuntimeError(name)

            return working

        sweeping = expiry.Expiry(work("sweep"), work("look"), work("look elsewhere"))
        with structlog.testing.capture_logs() as logs:
            sweeping.start()
            async with asyncio.timeout(60):
                await enough.wait()
            await sweeping.aclose()
        assert done.count("look") == done.count("look elsewhere") == 1
        assert [entry["event"] for entry in logs] == ["sweep_failed"] * (1 + (failing == "both"))

    asyncio.run(run())


def test_what_nobody_asks_for_is_expired_by_the_next_server_too(tmp_path: Path, clock: Clock) -> None:
    async def run() -> None:
        async with dialect_on(
            MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), externalize=True
        ) as first:
            short, long = await begun(first, LOCAL, hours=0.5), await begun(first, LOCAL, hours=12)
        adapter = Traced(tmp_path)
        async with dialect_on(MemoryStore(), clock, adapter=adapter, externalize=True) as second:
            await swept(second)
            assert files(tmp_path) == {short, long}
            clock.now += 0.6 * HOURS
            adapter.did.clear()
            await swept(second, listing=False)  # it learnt of them when it started
            assert adapter.did == ["lock", "load", "delete", "unlock"]
            assert files(tmp_path) == {long}
            assert await stepped(second, long, LOCAL) == [0.0]

    asyncio.run(run())


def test_an_instance_that_another_server_keeps_alive_is_not_lost(tmp_path: Path, clock: Clock) -> None:
    async def run() -> None:
        async with (
            dialect_on(MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), externalize=True) as one,
            dialect_on(MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), externalize=True) as two,
        ):
            instance = await begun(one, LOCAL, hours=0.5)
            await swept(two)
            clock.now += 0.4 * HOURS
            await stepped(one, instance, LOCAL)
            clock.now += 0.2 * HOURS
            for _ in range(3):
                await swept(two, listing=False)  # its list is of before that step
            assert await stepped(one, instance, LOCAL) == [1.0]
            await swept(two)
            clock.now += 0.5 * HOURS
            await swept(two, listing=False)
            assert files(tmp_path) == set()
            with pytest.raises(InstanceNotFound):
                await stepped(one, instance, LOCAL)
            await swept(one, listing=False)  # somebody else has expired it

    asyncio.run(run())


def test_the_background_lists_now_and_then_and_expires_what_is_due(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watched(FileAdapter):
        listed: Callable[[int], Any]
        deleted: Callable[[], Any]

        def _load_state(self) -> list[InstanceState]:
            found = super()._load_state()
            self.listed(len(found))
            return found

        def delete_instance(self, instance_id: str) -> None:
            super().delete_instance(instance_id)
            self.deleted()

    monkeypatch.setattr(expiry, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(expiry, "LIST_SECONDS", 0.0)
    monkeypatch.setattr(expiry, "LOOK_SHARE", 0.0)

    async def run() -> None:
        adapter, loop, gone = Watched(True, tmp_path), asyncio.get_running_loop(), asyncio.Event()
        lists: asyncio.Queue[int] = asyncio.Queue()
        adapter.listed = lambda count: loop.call_soon_threadsafe(lists.put_nowait, count)
        adapter.deleted = lambda: loop.call_soon_threadsafe(gone.set)
        async with (
            dialect_on(MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), externalize=True) as other,
            dialect_on(MemoryStore(), clock, adapter=adapter, externalize=True),
        ):
            await begun(other, LOCAL, hours=0.5)
            other._instances._expiry._task.cancel()
            for _ in range(2):  # when it lists again, it knows what it had listed before
                while not await lists.get():
                    pass
            clock.now += HOURS
            await asyncio.wait_for(gone.wait(), timeout=240)
        assert files(tmp_path) == set()

    asyncio.run(run())


def test_after_a_start_without_a_list_what_only_the_adapter_holds_is_expired_later(clock: Clock) -> None:
    async def run() -> None:
        adapter = FaultyAdapter()
        async with dialect_on(MemoryStore(), clock, adapter=adapter) as dialect:
            await begun(dialect, LOCAL, hours=0.5)
        adapter.fail_listing = True
        async with dialect_on(MemoryStore(), clock, adapter=adapter) as dialect:
            await swept(dialect)
            adapter.fail_listing = False
            await swept(dialect)
            assert len(dialect._instances._rows.watch) == 0  # it isn't brought in for that
            clock.now += HOURS
            await swept(dialect)
            assert adapter.held == {}
            adapter.calls.clear()
            await begun(dialect, LOCAL)
            for _ in range(3):
                await swept(dialect)
            assert "list" not in adapter.calls  # it knows them all by now

    asyncio.run(run())


def test_an_owner_has_so_many_instances_on_several_servers_too(tmp_path: Path, clock: Clock) -> None:
    async def run() -> None:
        shared: dict[str, Any] = {"externalize": True, "max_instances": 3}
        async with (
            dialect_on(MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), **shared) as one,
            dialect_on(MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), **shared) as two,
        ):
            first, _ = await one.start(LOCAL, 2, LASTING)
            with pytest.raises(TooMany):
                await one.start(LOCAL, 2, LASTING)
            await two.load_state()
            with pytest.raises(TooMany, match=r"there are 2, and 2 more"):
                await two.start(LOCAL, 2, LASTING)
            await two.start(LOCAL, 1, LASTING)
            await swept(one)
            with pytest.raises(TooMany, match=r"there are 3, and 1 more"):
                await one.start(LOCAL, 1, LASTING)
            await two.stop(LOCAL, first)
            (last,) = await two.start(LOCAL, 1, LASTING)
            with pytest.raises(TooMany):
                await two.start(LOCAL, 1, LASTING)
            await one.stop(LOCAL, last)
            await one.stop(LOCAL, first)  # it learns that there is none
            assert len(await one.start(LOCAL, 1, LASTING)) == 1
        async with dialect_on(MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), **shared) as three:
            with pytest.raises(TooMany, match=r"there are 3, and 1 more"):
                await three.start(LOCAL, 1, LASTING)

    asyncio.run(run())


def test_what_changes_while_a_list_is_made_is_counted_right(clock: Clock) -> None:
    async def run() -> None:
        adapter = FaultyAdapter()
        shared: dict[str, Any] = {"externalize": True, "max_instances": 4}
        async with dialect_on(MemoryStore(), clock, adapter=adapter, **shared) as dialect:
            old, _ = await dialect.start(LOCAL, 2, LASTING)
            survey = dialect._instances._copies._mirror.survey

            async def slow(*, check: bool) -> Any:
                listed = await survey(check=check)
                await dialect.stop(LOCAL, old)
                await dialect.start(LOCAL, 2, LASTING)
                return listed

            dialect._instances._copies._mirror.survey = slow
            await swept(dialect)
            assert dialect._instances._rows.watch.elsewhere(LOCAL) == len(adapter.held) == 3

    asyncio.run(run())


@pytest.mark.parametrize("externalize", [False, True])
def test_an_instance_that_can_not_be_deleted_is_tried_again_ever_more_rarely(
    clock: Clock, externalize: bool
) -> None:
    class Undeletable(FaultyAdapter):
        def delete_instance(self, instance_id: str) -> None:
            super().delete_instance(instance_id)
            raise OSError("no connection")

    async def run() -> None:
        adapter = Undeletable()
        async with dialect_on(MemoryStore(), clock, adapter=adapter, externalize=externalize) as dialect:
            await begun(dialect, LOCAL, minutes=1)
            held = dict(adapter.held)
            with structlog.testing.capture_logs() as lines:
                for _ in range(660):
                    clock.now += 1.0
                    adapter.held = dict(held)
                    await swept(dialect, listing=False)
            tried = adapter.calls.count("delete")
            assert 7 < tried < 20  # after 1, 2, 4 … 64 seconds, then every 64
            assert len([line for line in lines if line["event"] == "instance_not_expired"]) == tried

    asyncio.run(run())


def test_starting_and_metrics_leave_the_expiry_of_others_to_the_background(clock: Clock) -> None:
    async def run() -> None:
        adapter = FaultyAdapter()
        async with dialect_on(MemoryStore(), clock, adapter=adapter, max_instances=2) as dialect:
            await dialect.start(LOCAL, 2, LASTING)
            clock.now += 12 * HOURS
            assert await dialect.own(LOCAL) == []
            started = await dialect.start(LOCAL, 2, LASTING)
            assert "delete" not in adapter.calls
            assert len(adapter.held) == 4
            await swept(dialect)
            assert adapter.held.keys() == set(started)

    asyncio.run(run())

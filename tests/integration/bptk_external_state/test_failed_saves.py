"""What a save that fails leaves in memory, and what it doesn't."""

import asyncio

import pytest
from tests.support.adapters import FaultyAdapter
from tests.support.bptk_dialect import HOURS, NEW, Clock, begun, clock_behind, dialect_on, stepped

from perdure.dialects.bptk.instance_sessions import InstanceSessions
from perdure.errors import ExternalStateUnavailable, InstanceNotFound
from perdure.lifecycle import RunStatus
from perdure.run import Change, Key
from perdure.stores.commands import ChangeRun
from perdure.stores.memory import MemoryStore
from perdure.web.auth import LOCAL

pytestmark = pytest.mark.usefixtures("no_background")


@pytest.fixture
def clock() -> Clock:
    return clock_behind()


async def run_of(dialect: InstanceSessions) -> str:
    (instance,) = await dialect.own(LOCAL)
    assert instance.run is not None
    return instance.run


def test_a_session_is_read_on_while_its_adapter_is_down(clock: Clock) -> None:
    async def body() -> None:
        adapter = FaultyAdapter(True)
        async with dialect_on(MemoryStore(), clock, adapter=adapter) as dialect:
            instance = await begun(dialect, LOCAL, hours=10)
            await stepped(dialect, instance, LOCAL)
            adapter.fail_before = adapter.fail_loading = True
            for _ in range(3):
                clock.now += 2 * HOURS
                assert (await dialect.log(LOCAL, instance)).position == 1
            with pytest.raises(ExternalStateUnavailable):
                await dialect.keep_alive(LOCAL, instance)  # which promises that the time is written
            assert (await dialect.log(LOCAL, instance)).position == 1
            adapter.fail_before = adapter.fail_loading = False
            assert len(await stepped(dialect, instance, LOCAL)) == 1
            assert (await dialect.log(LOCAL, instance)).position == 2

    asyncio.run(body())


def test_a_time_that_could_not_be_saved_is_saved_a_tenth_of_the_timeout_later(clock: Clock) -> None:
    async def body() -> None:
        adapter = FaultyAdapter(True)
        async with dialect_on(MemoryStore(), clock, adapter=adapter) as dialect:
            instance = await begun(dialect, LOCAL, hours=10)
            adapter.calls.clear()
            adapter.fail_before = True
            clock.now += 2 * HOURS
            await dialect.log(LOCAL, instance)
            adapter.fail_before = False
            clock.now += 0.9 * HOURS
            await dialect.log(LOCAL, instance)
            assert adapter.calls == ["save"]
            clock.now += 0.2 * HOURS
            await dialect.log(LOCAL, instance)
            assert adapter.calls == ["save", "save"]
        clock.now += 9.5 * HOURS
        async with dialect_on(MemoryStore(), clock, adapter=adapter) as dialect:
            assert len(await stepped(dialect, instance, LOCAL)) == 1
            clock.now += 10 * HOURS
            with pytest.raises(InstanceNotFound):
                await dialect.log(LOCAL, instance)

    asyncio.run(body())


@pytest.mark.parametrize("failure", ["fail_before", "fail_after"])
def test_a_session_keeps_its_name_and_tags_when_a_save_fails(clock: Clock, failure: str) -> None:
    async def body() -> None:
        adapter, store = FaultyAdapter(True), MemoryStore()
        async with dialect_on(store, clock, adapter=adapter) as dialect:
            instance = await begun(dialect, LOCAL)
            await stepped(dialect, instance, LOCAL)
            run = store.run(await run_of(dialect))
            label = Change(name="my run", tags=("keep", "this"))
            store.submit(ChangeRun(run.id, run.version, label)).result()
            for _ in range(2):
                setattr(adapter, failure, True)
                with pytest.raises(ExternalStateUnavailable):
                    await stepped(dialect, instance, LOCAL)
                with pytest.raises(ExternalStateUnavailable):
                    adapter.fail_loading = True
                    await dialect.log(LOCAL, instance)
                adapter.fail_loading = False
                setattr(adapter, failure, False)
                await stepped(dialect, instance, LOCAL)
                kept = store.run(run.id)
                assert (kept.name, kept.tags) == ("my run", ("keep", "this"))

    asyncio.run(body())


@pytest.mark.parametrize("key", [None, Key("again", b"1")])
@pytest.mark.parametrize("failure", ["fail_before", "fail_after"])
def test_a_begin_that_could_not_be_saved_leaves_no_run_behind(
    clock: Clock, failure: str, key: Key | None
) -> None:
    async def body() -> None:
        adapter, store = FaultyAdapter(True), MemoryStore()
        async with dialect_on(store, clock, adapter=adapter) as dialect:
            instance = await begun(dialect, LOCAL)
            await stepped(dialect, instance, LOCAL)
            setattr(adapter, failure, True)
            with pytest.raises(ExternalStateUnavailable):
                await dialect.begin_session(LOCAL, instance, lambda: NEW, key)
            assert store.runs() == []
            setattr(adapter, failure, False)
            await dialect.begin_session(LOCAL, instance, lambda: NEW, key)
            assert await stepped(dialect, instance, LOCAL) == [0.0]
            unfinished = [run.id for run in store.runs() if run.state != RunStatus.STOPPED]
            assert unfinished == [await run_of(dialect)]

    asyncio.run(body())

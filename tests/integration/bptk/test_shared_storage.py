"""Instances whose state is wholly outside: two servers on one folder, and timeouts that go by use."""

import asyncio
from pathlib import Path

import pytest
from tests.support.adapters import FaultyAdapter
from tests.support.bptk_dialect import Clock, begun, clock_behind, dialect_on, stepped

from perdure.dialects.bptk.external_state import FileAdapter
from perdure.dialects.bptk.instance import DIALECT
from perdure.errors import ExternalStateUnavailable, InstanceNotFound, PositionConflict
from perdure.stores.memory import MemoryStore
from perdure.web.auth import LOCAL


@pytest.fixture
def clock() -> Clock:
    return clock_behind()


def test_load_state_on_one_server_takes_no_step_of_another_back(tmp_path: Path, clock: Clock) -> None:
    async def work() -> None:
        async with (
            dialect_on(MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), externalize=True) as one,
            dialect_on(MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), externalize=True) as two,
        ):
            instance = await begun(one, LOCAL)
            for first in range(0, 12, 3):
                assert await stepped(one, instance, LOCAL) == [float(first)]
                await one.load_state()
                assert await stepped(two, instance, LOCAL) == [first + 1.0]
                assert await stepped(one, instance, LOCAL) == [first + 2.0]

    asyncio.run(work())


@pytest.mark.parametrize("externalize", [False, True])
def test_an_instance_that_is_only_read_does_not_time_out(
    tmp_path: Path, clock: Clock, externalize: bool
) -> None:
    async def work() -> None:
        adapter = FileAdapter(True, tmp_path)
        async with dialect_on(MemoryStore(), clock, adapter=adapter, externalize=externalize) as dialect:
            instance = await begun(dialect, LOCAL, seconds=10)
            await stepped(dialect, instance, LOCAL)
            for _ in range(5):
                clock.now += 6.0
                await dialect.log(LOCAL, instance)
        # Another server counts on from the last time it was asked for.
        clock.now += 6.0
        adapter = FileAdapter(True, tmp_path)
        async with dialect_on(MemoryStore(), clock, adapter=adapter, externalize=externalize) as dialect:
            await stepped(dialect, instance, LOCAL)
            clock.now += 10.0
            with pytest.raises(InstanceNotFound):
                await stepped(dialect, instance, LOCAL)

    asyncio.run(work())


def test_a_request_longer_than_the_timeout_does_not_end_its_own_session(clock: Clock) -> None:
    async def work() -> None:
        async with dialect_on(MemoryStore(), clock) as dialect:
            instance = await begun(dialect, LOCAL, seconds=10)

            async def slow(_: object) -> None:
                clock.now += 60.0

            await dialect._instances.on(LOCAL, instance, slow)
            assert await stepped(dialect, instance, LOCAL) == [0.0]

    asyncio.run(work())


def test_a_stream_ends_with_an_error_when_another_server_steps_in_between(
    tmp_path: Path, clock: Clock
) -> None:
    async def work() -> None:
        async with (
            dialect_on(MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), externalize=True) as one,
            dialect_on(MemoryStore(), clock, adapter=FileAdapter(True, tmp_path), externalize=True) as two,
        ):
            instance = await begun(one, LOCAL)
            stream = one.stream(LOCAL, instance, {})
            taken = [(await anext(stream)).steps[0].position for _ in range(3)]
            assert await stepped(two, instance, LOCAL) == [3.0]
            with pytest.raises(PositionConflict, match=r"Step 4 was expected next, but .* has 4 steps"):
                await anext(stream)
            assert taken == [1, 2, 3]
            assert await stepped(one, instance, LOCAL) == [4.0]  # it is free again

    asyncio.run(work())


def test_the_adapters_list_is_asked_for_at_the_start_and_by_load_state_and_forgotten(clock: Clock) -> None:
    async def work() -> None:
        adapter = FaultyAdapter()
        async with dialect_on(MemoryStore(), clock, adapter=adapter, externalize=True) as dialect:
            await begun(dialect, LOCAL)
        adapter.calls.clear()
        store = MemoryStore()
        async with dialect_on(store, clock, adapter=adapter, externalize=True) as dialect:
            assert adapter.calls.count("list") == 1
            await dialect.load_state()
            assert adapter.calls.count("list") == 2
            assert dialect._instances._rows.watch.elsewhere(LOCAL) == 1
            assert store.runs() == store.documents(DIALECT) == await dialect.own(LOCAL) == []
            adapter.fail_listing = True
            with pytest.raises(ExternalStateUnavailable):
                await dialect.load_state()
        async with dialect_on(MemoryStore(), clock, adapter=adapter, externalize=True) as dialect:
            (instance,) = adapter.held  # it starts all the same
            assert await stepped(dialect, instance, LOCAL) == [0.0]

    asyncio.run(work())

"""Instances whose state is wholly outside: two servers on one folder, and timeouts that go by use."""

import asyncio
import time
from pathlib import Path

import pytest
from tests.support.bptk_dialect import Clock, begun, dialect_on, stepped

from perdure.dialects.bptk.external_state import FileAdapter
from perdure.errors import InstanceNotFound
from perdure.stores.memory import MemoryStore
from perdure.web.auth import LOCAL


@pytest.fixture
def clock() -> Clock:
    """A clock behind the real one: what adapters hold is never taken to be of the future."""
    made = Clock()
    made.now = time.time() - 3600.0
    return made


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
                await dialect.results(LOCAL, instance)
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

            await dialect._keeper.on(LOCAL, instance, slow)
            assert await stepped(dialect, instance, LOCAL) == [0.0]

    asyncio.run(work())

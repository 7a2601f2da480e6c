"""Two servers on one store: each serves, steps, counts and expires the same instances."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bptk_dialect import HOURS, LASTING, NEW, Clock, begun, dialect_on, stepped
from tests.support.small import bath, catalogue_of

from perdure.clock import SteadyClock
from perdure.dialects.bptk.instance import DIALECT
from perdure.dialects.bptk.instance_sessions import InstanceSessions
from perdure.drivers.session_requests import StepRequest
from perdure.errors import (
    InstanceNotFound,
    KeyReused,
    NoSession,
    PositionConflict,
    TooMany,
)
from perdure.lifecycle import Outcome, RunStatus
from perdure.run import Key
from perdure.stores.commands import DeleteDocument, PutDocument, Touch
from perdure.stores.memory import MemoryStore

pytestmark = pytest.mark.usefixtures("no_background")

KEY = Key("monday", b"1")


@asynccontextmanager
async def both(
    store: MemoryStore, one: Callable[[], float], two: Callable[[], float] | None = None, **limits: Any
) -> AsyncIterator[tuple[InstanceSessions, InstanceSessions]]:
    """Yield two dialects on one store, each with sessions and a clock of its own."""
    async with dialect_on(store, one, **limits) as first, dialect_on(store, two or one, **limits) as second:
        yield first, second


async def swept(*dialects: InstanceSessions, look: bool = True) -> None:
    """Do what each does in the background."""
    for dialect in dialects:
        if look:
            await dialect._instances._rows.look()
        await dialect._instances.sweep()


async def rows(dialect: InstanceSessions, instance: str) -> list[Any]:
    """Return all that an instance's session answered."""
    log = await dialect.log("ada", instance)
    assert log is not None
    return [(step.position, step.outputs) for page in log.pages() for step in page]


def test_an_instance_is_stepped_at_both_in_turn_with_the_numbers_of_the_undisturbed_run() -> None:
    async def run() -> None:
        clock = Clock()
        async with dialect_on(MemoryStore(), clock) as alone:
            calm = await begun(alone)
            await stepped(alone, calm, steps=30)
            numbers = await rows(alone, calm)
        async with both(MemoryStore(), clock) as dialects:
            instance = await begun(dialects[0])
            for number in range(30):
                assert await stepped(dialects[number % 2], instance) == [float(number)]
            assert await rows(dialects[0], instance) == await rows(dialects[1], instance) == numbers

    asyncio.run(run())


def test_requests_at_both_at_once_take_every_step_once() -> None:
    async def run() -> None:
        async with both(MemoryStore(), Clock()) as dialects:
            instance = await begun(dialects[0])
            taken = await asyncio.gather(*(stepped(dialects[n % 2], instance, steps=3) for n in range(8)))
            assert sorted(time for times in taken for time in times) == [float(n) for n in range(24)]

    asyncio.run(run())


def test_an_instance_that_is_stopped_at_one_is_gone_at_the_other() -> None:
    async def run() -> None:
        store = MemoryStore()
        async with both(store, Clock()) as (one, two):
            instance = await begun(one)
            await stepped(one, instance)
            await stepped(two, instance)
            await two.stop("ada", instance)
            assert await two.own("ada") == await one.own("ada") == []
            for refused in (
                stepped(one, instance),
                one.log("ada", instance),
                one.keep_alive("ada", instance),
            ):
                with pytest.raises(InstanceNotFound):
                    await refused
            (ended,) = store.runs()
            assert (ended.state, ended.outcome, ended.position) == (RunStatus.STOPPED, Outcome.TERMINATED, 2)

    asyncio.run(run())


def test_a_session_that_is_begun_or_ended_at_one_is_seen_by_the_other() -> None:
    async def run() -> None:
        async with both(MemoryStore(), Clock()) as (one, two):
            (instance,) = await one.start("ada", 1, LASTING)
            with pytest.raises(NoSession):
                await stepped(two, instance)
            await one.begin_session("ada", instance, lambda: NEW)
            assert await stepped(two, instance) == [0.0]
            assert await stepped(one, instance) == [1.0]
            await two.begin_session("ada", instance, lambda: NEW)
            assert await stepped(one, instance) == [0.0]
            await one.end_session("ada", instance)
            with pytest.raises(NoSession):
                await stepped(two, instance)
            assert await two.log("ada", instance) is None

    asyncio.run(run())


def test_a_key_of_a_former_session_is_not_answered_by_a_server_that_has_not_heard_of_the_new_one() -> None:
    async def run() -> None:
        async with both(MemoryStore(), Clock()) as (one, two):
            instance = await begun(one)
            first = await one.step("ada", instance, {}, StepRequest(), KEY)
            assert first is not None
            await two.begin_session("ada", instance, lambda: NEW)
            again = await one.step("ada", instance, {}, StepRequest(), KEY)
            assert again is not None
            assert not again.replayed
            assert again.run_id != first.run_id
            repeated = await two.step("ada", instance, {}, StepRequest(), KEY)
            assert repeated is not None
            assert repeated.replayed

    asyncio.run(run())


def test_a_stream_ends_when_its_session_is_replaced_at_the_other() -> None:
    async def run() -> None:
        async with both(MemoryStore(), Clock()) as (one, two):
            instance = await begun(one)
            async with aclosing(one.stream("ada", instance, {})) as stream:
                await anext(stream)
                await two.begin_session("ada", instance, lambda: NEW)
                assert [answer async for answer in stream] == []
            assert await stepped(one, instance) == [0.0]
            async with aclosing(two.stream("ada", instance, {})) as stream:
                assert (await anext(stream)).steps[0].position == 2
                await stepped(one, instance)
                with pytest.raises(PositionConflict):
                    await anext(stream)

    asyncio.run(run())


def test_a_quota_holds_across_both() -> None:
    async def run() -> None:
        clock = Clock()
        async with both(MemoryStore(), clock, max_instances=3) as (one, two):
            first, _ = await one.start("ada", 2, LASTING)
            with pytest.raises(TooMany, match="there are 2, and 2 more"):
                await two.start("ada", 2, LASTING)
            several = (dialect.start("ada", 1, LASTING) for dialect in (one, two, one, two))
            outcomes = await asyncio.gather(*several, return_exceptions=True)
            assert sum(isinstance(outcome, TooMany) for outcome in outcomes) == 3
            await two.stop("ada", first)
            assert len(await one.start("ada", 1, LASTING)) == 1
            await swept(one, two)
            clock.now += 13.3 * HOURS
            assert len(await two.start("ada", 3, LASTING)) == 3  # the others have timed out
            await swept(one, two)
            assert len(await one.own("ada")) == 3

    asyncio.run(run())


def test_a_key_starts_once_whichever_serves_it() -> None:
    async def run() -> None:
        store = MemoryStore()
        async with both(store, Clock(), max_instances=5) as (one, two):
            several = await asyncio.gather(*(d.start("ada", 5, LASTING, KEY) for d in (one, two, one, two)))
            assert several.count(several[0]) == 4
            assert len(store.documents(DIALECT)) == 5
            with pytest.raises(KeyReused):
                await two.start("ada", 2, LASTING, Key("monday", b"2"))
            await one.stop("ada", several[0][3])
            assert await two.start("ada", 5, LASTING, KEY) == several[0]  # the one that is missing
            assert len(store.documents(DIALECT)) == 5

    asyncio.run(run())


def test_the_session_of_a_key_is_begun_once_whichever_serves_it() -> None:
    async def run() -> None:
        store = MemoryStore()
        async with both(store, Clock()) as (one, two):
            (instance,) = await one.start("ada", 1, LASTING)
            await asyncio.gather(*(d.begin_session("ada", instance, lambda: NEW, KEY) for d in (one, two)))
            await stepped(one, instance)
            await two.begin_session("ada", instance, lambda: NEW, KEY)
            assert await stepped(two, instance) == [1.0]
            assert [run.position for run in store.runs()] == [2]

    asyncio.run(run())


def test_a_request_goes_on_when_another_server_changes_the_instance_in_between() -> None:
    class Overtaken(MemoryStore):
        armed = False

        def submit(self, command: Any, chain: Any = None) -> Any:
            if self.armed and isinstance(command, Touch):
                self.armed = False
                kept = self.document(command.dialect, command.id)
                assert kept is not None
                super().submit(PutDocument(command.dialect, command.id, kept.blob, kept.version)).result()
            return super().submit(command, chain)

    async def run() -> None:
        store = Overtaken()
        async with dialect_on(store, Clock()) as dialect:
            instance = await begun(dialect)
            store.armed = True
            await dialect.keep_alive("ada", instance)
            assert not store.armed
            assert await stepped(dialect, instance) == [0.0]

    asyncio.run(run())


# Expiry -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["step", "keep-alive", "read", "begin", "end"])
def test_what_the_other_has_just_served_is_not_expired(use: str) -> None:
    async def served(dialect: InstanceSessions, instance: str) -> None:
        match use:
            case "step":
                await stepped(dialect, instance)
            case "keep-alive":
                await dialect.keep_alive("ada", instance)
            case "read":
                await dialect.log("ada", instance)
            case "begin":
                await dialect.begin_session("ada", instance, lambda: NEW)
            case "end":
                await dialect.end_session("ada", instance)

    async def run() -> None:
        clock, store = Clock(), MemoryStore()
        async with both(store, clock) as (one, two):
            instance = await begun(one, minutes=1)
            clock.now += 50
            await served(two, instance)
            clock.now += 10
            await swept(one, two, look=False)  # at one, its time seems up
            clock.now += 49
            await swept(one, two)
            assert [found.id for found in await one.own("ada")] == [instance]
            assert await one.current_run((await one.own("ada"))[0]) is None or use != "end"
            clock.now += 1
            await swept(two)
            assert store.documents(DIALECT) == []

    asyncio.run(run())


def test_what_nobody_used_is_expired_by_whichever_looks_also_when_the_other_is_gone() -> None:
    async def run() -> None:
        clock, store = Clock(), MemoryStore()
        async with dialect_on(store, clock) as one:
            async with dialect_on(store, clock) as two:
                instance = await begun(two, minutes=30)
                await stepped(two, instance)
                await swept(one)
            clock.now += 33 * 60 - 1  # a tenth more, since two may have served it without writing that
            await swept(one)
            assert len(store.documents(DIALECT)) == 1
            clock.now += 1
            await swept(one)
            assert store.documents(DIALECT) == []
            assert store.runs()[0].outcome == Outcome.EXPIRED
            with pytest.raises(InstanceNotFound):
                await stepped(one, instance)

    asyncio.run(run())


def test_the_other_counts_in_a_use_that_is_not_written() -> None:
    async def run() -> None:
        clock, store = Clock(), MemoryStore()
        async with both(store, clock) as (one, two):
            instance = await begun(one, minutes=10)
            await swept(two)
            clock.now += 10
            await stepped(one, instance)
            await swept(two)
            clock.now += 50
            await one.log("ada", instance)  # within a tenth of the timeout
            assert store.uses(DIALECT)[instance].accessed == clock.now - 50
            clock.now += 599
            await swept(two)
            assert await stepped(two, instance) == [1.0]

    asyncio.run(run())


def test_a_server_that_has_just_started_counts_in_a_use_that_is_not_written() -> None:
    async def run() -> None:
        clock, store = Clock(), MemoryStore()
        async with dialect_on(store, clock) as one:
            instance = await begun(one, hours=10)
            clock.now += 0.9 * HOURS
            await one.log("ada", instance)
            assert store.uses(DIALECT)[instance].accessed == clock.now - 0.9 * HOURS
            clock.now += 7.1 * HOURS
            async with dialect_on(store, clock) as two:
                clock.now += 2.85 * HOURS
                await swept(two)
                assert await stepped(two, instance) == [0.0]

    asyncio.run(run())


def test_a_use_after_that_of_another_server_is_written() -> None:
    async def run() -> None:
        clock, store = Clock(), MemoryStore()
        async with both(store, clock) as (one, two):
            instance = await begun(one, minutes=10)
            await swept(two)
            clock.now += 10
            await stepped(one, instance)
            clock.now += 500
            await two.log("ada", instance)
            assert store.uses(DIALECT)[instance].accessed == clock.now

    asyncio.run(run())


def test_a_server_that_closes_writes_the_uses_that_it_has_not_written() -> None:
    async def run() -> None:
        clock, store = Clock(), MemoryStore()
        async with dialect_on(store, clock) as one:
            instance = await begun(one, hours=10)
            clock.now += 60
            await one.log("ada", instance)
        assert store.uses(DIALECT)[instance].accessed == clock.now

    asyncio.run(run())


def test_a_step_after_another_server_expired_the_instance_is_refused_and_takes_nothing() -> None:
    async def run() -> None:
        clock, other = Clock(), Clock()
        store = MemoryStore()
        async with both(store, clock, other) as (one, two):
            instance = await begun(one, minutes=10)
            await stepped(one, instance)
            await swept(two)
            other.now += 661  # two's time has passed, and one's hasn't
            await swept(two)
            with pytest.raises(InstanceNotFound):
                await stepped(one, instance)
            assert [run.position for run in store.runs()] == [1]

    asyncio.run(run())


class Hands:
    """The wall clock of two hosts, each with a monotonic clock, as a test sets them."""

    def __init__(self) -> None:
        self.wall = [1_800_000_000.0, 1_800_000_000.0]
        self.monotonic = 10.0

    def clock(self, host: int) -> SteadyClock:
        """Return the clock of a process that starts now on a host."""
        return SteadyClock(lambda: self.wall[host], lambda: self.monotonic)

    def passes(self, seconds: float) -> None:
        self.wall = [wall + seconds for wall in self.wall]
        self.monotonic += seconds


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["step", "read", "sweep", "set the clock"]),
        st.integers(0, 1),  # at which server
        st.floats(0.0, 70.0),  # how long before
        st.sampled_from([-1e6, -61.0, -30.0, 30.0, 59.0, 61.0, 3600.0, 1e6]),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(events=EVENTS)
def test_no_step_of_a_wall_clock_expires_what_was_used_within_its_timeout_and_what_was_not_is_expired(
    events: list[tuple[str, int, float, float]],
) -> None:
    async def run() -> None:
        hands, store = Hands(), MemoryStore()
        catalogue = catalogue_of(bath(stoptime=1e6))
        async with (
            dialect_on(store, hands.clock(0), catalogue=catalogue) as one,
            dialect_on(store, hands.clock(1), catalogue=catalogue) as two,
        ):
            dialects = one, two
            instance = await begun(one, minutes=1)
            used = hands.monotonic
            for what, at, seconds, by in events:
                for _ in range(10):
                    hands.passes(seconds / 10)
                    await swept(one, two)
                if store.documents(DIALECT) == []:
                    assert hands.monotonic - used > 59.999  # Unix time in a float is only so exact
                    return
                if what == "set the clock":
                    hands.wall[at] += by
                elif what == "sweep":
                    await swept(dialects[at])
                elif hands.monotonic - used < 59.999:
                    if what == "step":
                        await stepped(dialects[at], instance)
                    else:
                        await dialects[at].log("ada", instance)
                    used = hands.monotonic
            for _ in range(15):
                hands.passes(6.0)
                await swept(one, two)
            assert store.documents(DIALECT) == []

    asyncio.run(run())


def test_instances_of_a_store_from_before_there_were_uses_are_served_and_expire() -> None:
    async def run() -> None:
        clock, store = Clock(), MemoryStore()
        async with dialect_on(store, clock) as dialect:
            instance = await begun(dialect, hours=2)
        kept = store.document(DIALECT, instance)
        assert kept is not None
        await asyncio.wrap_future(store.submit(DeleteDocument(DIALECT, instance)))
        await asyncio.wrap_future(store.submit(PutDocument(DIALECT, instance, kept.blob, None)))
        assert store.uses(DIALECT) == {}
        async with both(store, clock, max_instances=1) as (one, two):
            with pytest.raises(TooMany):
                await two.start("ada", 1, LASTING)
            assert await stepped(two, instance) == [0.0]
            clock.now += 2 * HOURS
            await swept(one, two)
            assert await one.own("ada") == []

    asyncio.run(run())

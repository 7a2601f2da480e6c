"""Instances: whose they are, when they time out, what outlives a restart, and what is written for a step."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from tests.support.bptk_dialect import HOURS, LASTING, NEW, Clock, begun, dialect_on, stepped
from tests.support.small import bath, catalogue_of

from perdure.dialects.bptk.instance import DIALECT
from perdure.drivers.session_requests import NewSession, StepRequest
from perdure.errors import (
    InstanceLocked,
    InstanceNotFound,
    NoSession,
    PositionConflict,
    ScenarioNotFound,
    StoreUnavailable,
    TooMany,
    Unavailable,
)
from perdure.lifecycle import Outcome, RunStatus
from perdure.run import Key
from perdure.stores.commands import AddDocuments, PutDocument
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "perdure.db")
    yield opened
    opened.close()


def test_another_owners_instance_is_not_there(clock: Clock) -> None:
    async def run() -> None:
        async with dialect_on(MemoryStore(), clock) as dialect:
            instance = await begun(dialect, "ada")
            for refused in (
                dialect.keep_alive("bob", instance),
                dialect.begin_session("bob", instance, lambda: NEW),
                dialect.end_session("bob", instance),
                dialect.log("bob", instance),
                stepped(dialect, instance, "bob"),
            ):
                with pytest.raises(InstanceNotFound):
                    await refused
            await dialect.stop("bob", instance)
            assert [one.id for one in await dialect.own("ada")] == [instance]
            assert await dialect.own("bob") == []
            assert await stepped(dialect, instance, "ada") == [0.0]
            assert [one.id for one in await dialect.own(None)] == [instance]

    asyncio.run(run())


def test_an_instance_times_out_and_its_run_ends_expired(clock: Clock) -> None:
    async def run() -> None:
        store = MemoryStore()
        async with dialect_on(store, clock) as dialect:
            instance = await begun(dialect, hours=2)
            await stepped(dialect, instance)
            clock.now += 1.9 * HOURS
            await stepped(dialect, instance)  # begins the timeout anew
            clock.now += 1.9 * HOURS
            await dialect.keep_alive("ada", instance)
            clock.now += 2 * HOURS
            with pytest.raises(InstanceNotFound):
                await stepped(dialect, instance)
            (ended,) = store.runs()
            assert (ended.state, ended.outcome) == (RunStatus.STOPPED, Outcome.EXPIRED)
            assert len((await dialect.sessions.log("ada", ended.id, 0, 10)).steps) == 2
            assert store.documents(DIALECT) == []
            with pytest.raises(InstanceNotFound):
                await dialect.keep_alive("ada", instance)
            await dialect.stop("ada", instance)

    asyncio.run(run())


def test_instances_that_nobody_asks_for_are_swept_in_the_background(clock: Clock) -> None:
    async def run() -> None:
        store = MemoryStore()
        async with dialect_on(store, clock) as dialect:
            await begun(dialect, hours=2)
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            store.watch(lambda commit: loop.call_soon_threadsafe(ended.set))
            clock.now += 2 * HOURS
            await asyncio.wait_for(ended.wait(), timeout=30)
            assert store.runs()[0].outcome == Outcome.EXPIRED

    asyncio.run(run())


def test_a_timeout_goes_on_over_a_restart(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "perdure.db"

    async def first() -> tuple[str, str]:
        store = SqliteStore(path)
        async with dialect_on(store, clock) as dialect:
            lasting, short = await begun(dialect, hours=12), await begun(dialect, hours=1)
            await stepped(dialect, lasting)
        store.close()
        return lasting, short

    async def second(lasting: str, short: str) -> None:
        store = SqliteStore(path)
        async with dialect_on(store, clock) as dialect:
            # The clock may have been set in between, so that nothing is expired within an hour of the start.
            clock.now += 1 * HOURS
            with pytest.raises(InstanceNotFound):
                await stepped(dialect, short)
            clock.now += 10.1 * HOURS  # with the tenth that may have been served and not written
            assert [one.id for one in await dialect.own("ada")] == [lasting]
            clock.now += 0.2 * HOURS
            with pytest.raises(InstanceNotFound):
                await stepped(dialect, lasting)
        store.close()

    instances = asyncio.run(first())
    clock.now += 2 * HOURS
    asyncio.run(second(*instances))


def test_each_session_is_a_run_and_the_former_one_stays_readable(store: SqliteStore, clock: Clock) -> None:
    async def run() -> None:
        async with dialect_on(store, clock) as dialect:
            instance = await begun(dialect)
            assert await stepped(dialect, instance, steps=3) == [0.0, 1.0, 2.0]
            await dialect.begin_session("ada", instance, lambda: NEW)
            assert await stepped(dialect, instance) == [0.0]
            second, first = store.runs()
            assert (first.state, first.outcome, first.position) == (RunStatus.STOPPED, Outcome.TERMINATED, 3)
            assert second.state == RunStatus.STARTED
            await dialect.end_session("ada", instance)
            assert store.run(second.id).state == RunStatus.STOPPED
            assert await dialect.log("ada", instance) is None
            with pytest.raises(NoSession):
                await stepped(dialect, instance)
            await dialect.end_session("ada", instance)  # there is none: that is harmless

    asyncio.run(run())


def test_a_session_that_came_to_its_end_stays_readable_and_completed(clock: Clock) -> None:
    async def run() -> None:
        store = MemoryStore()
        async with dialect_on(store, clock, catalogue=catalogue_of(bath(stoptime=2.0))) as dialect:
            instance = await begun(dialect)
            assert await stepped(dialect, instance, steps=10) == [0.0, 1.0, 2.0]
            assert await dialect.step("ada", instance, {}, StepRequest(), None) is None
            log = await dialect.log("ada", instance)
            assert log is not None
            assert [step.position for page in log.pages() for step in page] == [1, 2, 3]
            await dialect.stop("ada", instance)
            assert store.runs()[0].state == RunStatus.COMPLETED

    asyncio.run(run())


def test_a_begin_that_is_refused_leaves_the_session_as_it_was(clock: Clock) -> None:
    async def run() -> None:
        store = MemoryStore()
        async with dialect_on(store, clock) as dialect:
            instance = await begun(dialect)
            await stepped(dialect, instance)
            with pytest.raises(ScenarioNotFound):
                await dialect.begin_session("ada", instance, lambda: NewSession(scenarios={"bath": ["none"]}))
            assert await stepped(dialect, instance) == [1.0]
            assert len(store.runs()) == 1

    asyncio.run(run())


def test_a_step_is_one_write_and_a_request_without_one_writes_at_most_every_tenth_of_the_timeout(
    clock: Clock,
) -> None:
    class Counting(MemoryStore):
        reads = 0

        def __init__(self) -> None:
            super().__init__()
            self.written: list[Any] = []

        def submit(self, command: Any, chain: Any = None) -> Any:
            self.written.append(command)
            return super().submit(command, chain)

        def document(self, dialect: str, id: str) -> Any:
            self.reads += 1
            return super().document(dialect, id)

    async def run() -> None:
        store = Counting()
        async with dialect_on(store, clock) as dialect:
            instance = await begun(dialect, hours=1)
            store.written.clear()
            store.reads = 0
            for number in range(20):
                clock.now += 0.25
                await stepped(dialect, instance)
                assert store.uses(DIALECT)[instance].accessed == clock.now
                assert len(store.written) == number + 1
            assert store.reads == 0  # what the server remembers is checked by the commit
            store.written.clear()
            for _ in range(100):
                clock.now += 36.0
                await dialect.log("ada", instance)
            assert len(store.written) == 10  # in an hour
            assert await stepped(dialect, instance) == [20.0]

    asyncio.run(run())


def test_a_key_and_an_expected_step_work_through_the_dialect(store: SqliteStore, clock: Clock) -> None:
    async def run() -> None:
        async with dialect_on(store, clock) as dialect:
            instance = await begun(dialect)
            key = Key("monday", b"1")
            first = await dialect.step("ada", instance, {}, StepRequest(steps=2), key)
            again = await dialect.step("ada", instance, {}, StepRequest(steps=2), key)
            assert first is not None and again is not None
            assert again.replayed
            assert again.steps == first.steps
            with pytest.raises(PositionConflict):
                await dialect.step("ada", instance, {}, StepRequest(expected=2), None)
            answer = await dialect.step("ada", instance, {}, StepRequest(expected=3), None)
            assert answer is not None
            assert answer.steps[0].position == 3

    asyncio.run(run())


def test_nobody_else_steps_an_instance_while_it_is_streamed(clock: Clock) -> None:
    async def run() -> None:
        async with dialect_on(MemoryStore(), clock) as dialect:
            instance = await begun(dialect)
            stream = dialect.stream("ada", instance, {})
            first = await anext(stream)
            with pytest.raises(InstanceLocked):
                await stepped(dialect, instance)
            other = dialect.stream("ada", instance, {})
            with pytest.raises(InstanceLocked):
                await anext(other)
            await stream.aclose()  # its client went away
            assert await stepped(dialect, instance) == [float(len(first.steps))]

    asyncio.run(run())


def test_a_stream_ends_with_its_session(clock: Clock) -> None:
    async def run() -> None:
        async with dialect_on(MemoryStore(), clock) as dialect:
            instance = await begun(dialect)
            for end in (
                dialect.begin_session("ada", instance, lambda: NEW),
                dialect.end_session("ada", instance),
            ):
                stream = dialect.stream("ada", instance, {})
                await anext(stream)
                await end
                assert [answer async for answer in stream] == []
            await dialect.begin_session("ada", instance, lambda: NEW)
            assert await stepped(dialect, instance) == [0.0]

    asyncio.run(run())


def test_steps_go_on_when_who_asked_for_them_is_gone(clock: Clock) -> None:
    async def run() -> None:
        async with dialect_on(MemoryStore(), clock) as dialect:
            instance = await begun(dialect)
            asked = asyncio.create_task(stepped(dialect, instance, steps=50))
            await asyncio.sleep(0)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            assert await stepped(dialect, instance) == [50.0]

    asyncio.run(run())


def test_an_owner_has_so_many_instances_and_no_more(clock: Clock) -> None:
    async def run() -> None:
        async with dialect_on(MemoryStore(), clock, max_instances=3) as dialect:
            started = await dialect.start("ada", 3, LASTING)
            with pytest.raises(
                TooMany, match=r"may have 3 instances; there are 3, and 5 .*PERDURE_MAX_INSTANCES"
            ):
                await dialect.start("ada", 5, LASTING)
            await dialect.start("bob", 3, LASTING)
            await dialect.stop("ada", started[0])
            assert len(await dialect.start("ada", 1, LASTING)) == 1
            clock.now += 12 * HOURS
            assert len(await dialect.start("ada", 3, LASTING)) == 3  # the others have timed out

    asyncio.run(run())


def test_starts_at_once_do_not_exceed_the_quota(store: SqliteStore, clock: Clock) -> None:
    async def run() -> None:
        async with dialect_on(store, clock, max_instances=3) as dialect:
            starts = (dialect.start("ada", 1, LASTING) for _ in range(5))
            outcomes = await asyncio.gather(*starts, return_exceptions=True)
            assert sum(isinstance(outcome, TooMany) for outcome in outcomes) == 2
            assert len(store.documents(DIALECT)) == 3

    asyncio.run(run())


def test_a_run_that_was_deleted_elsewhere_is_no_session(clock: Clock) -> None:
    async def run() -> None:
        store = MemoryStore()
        async with dialect_on(store, clock) as dialect:
            instance = await begun(dialect)
            await dialect.sessions.delete("ada", store.runs()[0].id)
            assert await dialect.log("ada", instance) is None
            with pytest.raises(NoSession, match="no data was returned from run_step"):
                await stepped(dialect, instance)
            with pytest.raises(NoSession):
                await dialect.step("ada", instance, {"smBath": {"base": {}}}, StepRequest(), None)
            await dialect.begin_session("ada", instance, lambda: NEW)
            assert await stepped(dialect, instance) == [0.0]

    asyncio.run(run())


def test_a_stream_says_that_the_server_closes(clock: Clock) -> None:
    async def run() -> None:
        closing = asyncio.Event()
        async with dialect_on(MemoryStore(), clock, closing=closing) as dialect:
            instance = await begun(dialect)
            stream = dialect.stream("ada", instance, {})
            await anext(stream)
            closing.set()
            with pytest.raises(Unavailable):
                await anext(stream)

    asyncio.run(run())


def test_many_instances_are_started_at_once(store: SqliteStore, clock: Clock) -> None:
    async def run() -> None:
        async with dialect_on(store, clock) as dialect:
            started = await dialect.start("ada", 300, LASTING)
            assert len(set(started)) == 300
            assert len(store.documents(DIALECT)) == 300

    asyncio.run(run())


def test_a_damaged_record_keeps_no_other_instance_back(clock: Clock) -> None:
    async def run() -> None:
        store = MemoryStore()
        async with dialect_on(store, clock) as dialect:
            damaged, sound = await begun(dialect), await begun(dialect)
        record = store.document(DIALECT, damaged)
        assert record is not None
        await asyncio.wrap_future(
            store.submit(PutDocument(DIALECT, damaged, record.blob[:-1], record.version))
        )
        async with dialect_on(store, clock) as dialect:
            assert await stepped(dialect, sound) == [0.0]
            with pytest.raises(InstanceNotFound):
                await stepped(dialect, damaged)

    asyncio.run(run())


def test_a_store_that_cannot_be_written_is_told_and_changes_nothing(clock: Clock) -> None:
    class Full(MemoryStore):
        full = False

        def submit(self, command: Any, chain: Any = None) -> Any:
            if self.full and isinstance(command, PutDocument | AddDocuments):
                future: Future[Any] = Future()
                future.set_exception(StoreUnavailable(reason="the disk is full"))
                return future
            return super().submit(command, chain)

    async def run() -> None:
        store = Full()
        async with dialect_on(store, clock) as dialect:
            instance = await begun(dialect)
            await stepped(dialect, instance)
            store.full = True
            for refused in (
                dialect.begin_session("ada", instance, lambda: NEW),
                dialect.end_session("ada", instance),
                dialect.start("ada", 3, LASTING),
            ):
                with pytest.raises(StoreUnavailable):
                    await refused
            store.full = False
            assert await stepped(dialect, instance) == [1.0]
            assert len(await dialect.own("ada")) == 1
            former = [one for one in store.runs() if one.state == RunStatus.STOPPED]
            assert [one.position for one in former] == [0]  # the session that could not be begun

    asyncio.run(run())

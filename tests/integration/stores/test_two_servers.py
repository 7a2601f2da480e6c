"""Two servers on one store: as they may share one, and as after the lock file of a file was removed."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.small import NEW, bath, catalogue_of, sessions_on, settings

from perdure.drivers.session_requests import StepRequest
from perdure.errors import Fenced, StoreUnavailable
from perdure.lifecycle import DesiredState, RunStatus
from perdure.run import Change
from perdure.scenarios import Catalogue
from perdure.stores import commands
from perdure.stores.base import Store
from perdure.stores.commands import (
    AddDocuments,
    Append,
    ChangeRun,
    Claim,
    Command,
    CopiedBlob,
    CopyBlobs,
    CopyDocument,
    CopyRun,
    Counters,
    CreateRun,
    CutLines,
    DeleteDocument,
    DeleteRun,
    Document,
    Finish,
    ForgetBlobs,
    ForgetDocument,
    Fork,
    ForkRuns,
    Lease,
    Leased,
    MarkSavepoint,
    MarkStored,
    PutDocument,
    PutSavepoint,
    RaiseCounters,
    ReadBlobs,
    ReadCounters,
    ReadDialects,
    ReadRun,
    ReadTime,
    Recount,
    Release,
    Renew,
    RepairStep,
    Report,
    RunCopy,
    SetDesiredState,
    Settle,
    SweepBlobs,
    Touch,
    Unleased,
    Use,
    UseBlobs,
    encoded,
)
from perdure.stores.database import last_batch
from perdure.stores.memory import MemoryStore
from perdure.stores.queue import ANY_TAG, QueueGroup
from perdure.stores.sqlite import SqliteStore
from perdure.stores.tail import Tail
from perdure.stores.writer import Writer
from perdure.testing.store_samples import (
    WAIT,
    a_change,
    a_fork,
    a_key,
    a_line,
    a_run,
    a_savepoint,
    a_step,
    an_entry,
    created,
    queued,
)

ROUNDS = 25


def lasting() -> Catalogue:
    """Return a bath tub that takes more steps than are asked for."""
    return catalogue_of(bath(stoptime=10_000.0))


def opened_beside(path: Path) -> SqliteStore:
    """Open a store that is open, as a server on another machine does where locks don't reach."""
    path.with_name(f"{path.name}.lock").unlink()
    return SqliteStore(path)


@contextmanager
def one_store(path: Path) -> Iterator[tuple[Store, Store]]:
    with closing(SqliteStore(path)) as store:
        yield store, store


@contextmanager
def one_in_memory(path: Path) -> Iterator[tuple[Store, Store]]:
    with closing(MemoryStore()) as store:
        yield store, store


@contextmanager
def two_stores(path: Path) -> Iterator[tuple[Store, Store]]:
    """Open a store twice, whose writers don't notice each other: nothing but the guards of runs is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writer, "_check_opening", lambda _, connection: last_batch(connection, "a store"))
        patch.setattr(Tail, "_check_opening", lambda *_: None)
        with closing(SqliteStore(path)) as first, closing(opened_beside(path)) as second:
            yield first, second


@pytest.mark.parametrize("stores", [one_in_memory, one_store, two_stores])
def test_many_steps_of_one_server_and_steps_of_another_are_all_taken_once(
    tmp_path: Path, stores: Callable[[Path], Any]
) -> None:
    async def work(first: Store, second: Store) -> None:
        a, b = sessions_on(first, lasting()), sessions_on(second, lasting())
        made = await b.create("me", NEW)
        many = StepRequest(steps=40, settings=settings(tap=3.0))
        for number in range(ROUNDS):
            one = StepRequest(settings=settings(tap=10.0 + number))
            answers = await asyncio.gather(a.step("me", made.run.id, many), b.step("me", made.run.id, one))
            assert [len(answer.steps) for answer in answers] == [40, 1]
        assert (await b.run("me", made.run.id)).position == 41 * ROUNDS
        assert await sessions_on(second, lasting()).examine("me", made.run.id, repair=False) == []

    with stores(tmp_path / "perdure.db") as (first, second):
        asyncio.run(work(first, second))


def test_a_server_that_another_has_opened_the_store_beside_writes_nothing_more(tmp_path: Path) -> None:
    async def work(first: Store, second: Store) -> None:
        a, b = sessions_on(first), sessions_on(second)
        made = await b.create("me", NEW)
        with pytest.raises(Fenced, match="another server has opened the store"):
            await a.step("me", made.run.id, StepRequest())
        assert len((await b.step("me", made.run.id, StepRequest())).steps) == 1

    path = tmp_path / "perdure.db"
    with closing(SqliteStore(path)) as first, closing(opened_beside(path)) as second:
        asyncio.run(work(first, second))


KEPT = 2  # the version of the document that there is

WRITES: list[Command[Any]] = [
    CreateRun(a_run("new"), encoded(a_savepoint())),
    ForkRuns([Fork(run=a_fork("fork", "run", 1), savepoint=encoded(a_savepoint(1)))]),
    ChangeRun("run", 0, Change(state=RunStatus.STARTED)),
    DeleteRun("run"),
    Append("run", Unleased(0), 1, [an_entry(2)]),
    Append("run", Unleased(0), 1, [an_entry(1, a_key())]),
    RepairStep("run", a_step(1)),
    PutSavepoint("run", Unleased(0), encoded(a_savepoint(1))),
    MarkSavepoint("run", 0, name="x", pinned=True),
    Lease("waiting", "w", 9.0),
    Claim("w", 9.0, [QueueGroup(ANY_TAG, "task", DesiredState.STARTED, RunStatus.CREATED, False, "")]),
    Settle("waiting", interrupted=True),
    Renew("task", 1, 9.0),
    Report("task", 1, progress=b"p", lines=[a_line(1)]),
    Append("task", Leased(1), 0, [an_entry(1)]),
    PutSavepoint("task", Leased(1), encoded(a_savepoint(1))),
    Finish("task", 1, a_change(), result=b"r"),
    Release("task", 1),
    SetDesiredState("task", DesiredState.STOPPED),
    CutLines("task", 1, None),
    PutDocument("bptk", "id", b"blob", None),
    AddDocuments("bptk", [("new", b"blob")], Use("ann", 1, 0.0, 9.0)),
    Touch("bptk", "kept", KEPT, 2, 5.0),
    ForgetDocument("bptk", "kept", KEPT),
    DeleteDocument("bptk", "kept"),
    MarkStored("task", 0),
    UseBlobs("ann", [("a hash", 10)]),
    SweepBlobs(),
    ForgetBlobs([1]),
    Recount(),
    CopyRun(RunCopy(a_run("copy"), None, None, 0, ())),
    CopyBlobs(added=[CopiedBlob(9, "ann", "a hash", 10, True)]),
    CopyDocument("bptk", Document("other", b"blob", 3)),
    RaiseCounters(Counters(9, 9, 9)),
    ReadRun("run"),
    ReadBlobs(),
    ReadDialects(),
    ReadCounters(),
    ReadTime(),
]


def test_every_write_of_a_server_is_refused_once_another_has_opened_the_store(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    published = {getattr(commands, name) for name in commands.__all__}
    assert {type(write) for write in WRITES} == {
        kind for kind in published if isinstance(kind, type) and issubclass(kind, Command)
    } - {Command}
    with closing(SqliteStore(path)) as first:
        created(first)
        first.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
        queued(first)
        queued(first, "waiting")
        assert first.submit(Lease("task", "w", 9.0)).result(WAIT).fence == 1
        kept = first.submit(PutDocument("bptk", "kept", b"blob", None, Use("ann", 1, 0.0, 9.0))).result(WAIT)
        assert kept.version == KEPT
        with closing(opened_beside(path)) as second:
            before = [second.run(id) for id in ("run", "task", "waiting")]
            for write in WRITES:
                assert isinstance(first.submit(write).exception(WAIT), Fenced), write
            assert "another server has opened the store" in (first.unavailable or "")
            assert [second.run(id) for id in ("run", "task", "waiting")] == before
            assert list(second.steps("run")) == [a_step(1)]
            assert second.document("bptk", "kept") is not None
            second.submit(Append("run", Unleased(0), 1, [an_entry(2)])).result(WAIT)
            assert second.check() == []
            step = Append("run", Unleased(0), 2, [an_entry(3)])
            assert isinstance(first.submit(step).exception(WAIT), Fenced)


def test_another_opening_is_seen_in_the_tail_where_the_file_does_not_show_it(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    with closing(SqliteStore(path)) as store:
        created(store)
        # As when the locks and the shared memory of SQLite don't reach the other machine.
        tail = Tail(path.with_name("perdure.db.tail"))
        mark = tail.read()
        assert mark is not None
        tail.renew(type(mark)(store=mark.store, opening=mark.opening + 1, batch=mark.batch, time=mark.time))
        tail.close()
        with pytest.raises(StoreUnavailable, match="another server has opened the store"):
            store.submit(Append("run", Unleased(0), 0, [an_entry(1)])).result(WAIT)
        assert store.unavailable is not None

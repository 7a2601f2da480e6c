"""A disk that is full, read-only or failing: what isn't kept isn't acknowledged, and the store says why."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.support.waiting import until

import perdure.stores.file_medium
import perdure.stores.writer
from perdure.errors import CorruptBlob, PositionConflict, RunNotFound, StoreUnavailable
from perdure.run import Entry
from perdure.stores.commands import (
    Append,
    Appended,
    Committed,
    CreateRun,
    DeleteDocument,
    DeleteRun,
    Unleased,
    encoded,
)
from perdure.stores.files import Files
from perdure.stores.readers import Readers
from perdure.stores.sqlite import SqliteStore
from perdure.testing.faults import FaultyVFS, Operation
from perdure.testing.store_samples import WAIT, a_run, a_savepoint, created

FILE = "perdure.db"


@pytest.fixture
def vfs() -> FaultyVFS:
    return FaultyVFS()


@pytest.fixture
def store(tmp_path: Path, vfs: FaultyVFS) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / FILE, vfs=vfs.name)) as store:
        created(store, steps=3)
        yield store


@contextmanager
def held(store: SqliteStore) -> Iterator[None]:
    """Keep the writer busy, so that what is written within the block becomes one batch."""
    taken, go_on = threading.Event(), threading.Event()

    def hold(committed: Committed) -> None:
        taken.set()
        go_on.wait(WAIT)

    stop = store.watch(hold)
    store.submit(CreateRun(a_run("held")))
    assert taken.wait(WAIT)
    stop()
    try:
        yield
    finally:
        go_on.set()


def append(store: SqliteStore, position: int, size: int = 10) -> Future[Appended]:
    return store.submit(Append("run", Unleased(0), position, [Entry(inputs=None, outputs=bytes(size))]))


def positions(store: SqliteStore) -> list[int]:
    return [step.position for step in store.steps("run")]


def recovered(store: SqliteStore, position: int) -> None:
    """Check that the store works again, from the next write on."""
    assert append(store, position).result(WAIT).steps[0].position == position + 1
    assert store.unavailable is None
    assert positions(store) == list(range(1, position + 2))


# The sync at the commit -------------------------------------------------------------------------------------


def test_a_batch_whose_sync_failed_is_acknowledged_if_it_is_there(
    tmp_path: Path, store: SqliteStore, vfs: FaultyVFS
) -> None:
    with held(store):
        vfs.fail("sync", "-wal", times=1)
        first, second, wrong = append(store, 3), append(store, 4), append(store, 3)
    assert [future.result(WAIT).steps[0].position for future in (first, second)] == [4, 5]
    assert isinstance(wrong.exception(WAIT), PositionConflict)
    # What was synced anew is durable, though the sync that failed isn't tried again on the same handle.
    (tmp_path / "copy").mkdir()
    with closing(SqliteStore(vfs.after_power_cut(tmp_path / FILE, tmp_path / "copy"))) as copy:
        assert positions(copy) == [1, 2, 3, 4, 5]
    recovered(store, 5)


def test_a_batch_whose_sync_failed_is_refused_if_it_is_lost(store: SqliteStore, vfs: FaultyVFS) -> None:
    seen: list[Committed] = []
    with held(store):
        store.watch(seen.append)
        vfs.fail("sync", "-wal", times=1, loses=True)
        futures = [append(store, 3), append(store, 4)]
    for future in futures:
        assert isinstance(future.exception(WAIT), StoreUnavailable)
    assert positions(store) == [1, 2, 3]
    assert seen == []
    recovered(store, 3)


def test_while_no_sync_succeeds_nothing_is_accepted_and_the_reason_is_told(
    store: SqliteStore, vfs: FaultyVFS
) -> None:
    vfs.fail("sync")
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="SQLITE_IOERR_FSYNC"):
            append(store, 3).result(WAIT)
        assert store.unavailable is not None
        assert "SQLITE_IOERR_FSYNC" in store.unavailable
        with pytest.raises(StoreUnavailable, match="SQLITE_IOERR_FSYNC"):
            store.run("run")
    vfs.heal()
    until(lambda: store.unavailable is None)
    recovered(store, len(positions(store)))


def test_it_can_be_closed_and_opened_again_while_no_sync_succeeds(tmp_path: Path, vfs: FaultyVFS) -> None:
    with closing(SqliteStore(tmp_path, vfs=vfs.name)) as store:
        created(store, steps=3)
        vfs.fail("sync")
        assert append(store, 3).exception(WAIT) is not None
    with pytest.raises(StoreUnavailable, match=f"{FILE}.*SQLITE_IOERR_FSYNC"):
        SqliteStore(tmp_path, vfs=vfs.name)
    vfs.heal()
    with closing(SqliteStore(tmp_path, vfs=vfs.name)) as store:
        assert positions(store)[:3] == [1, 2, 3]


def test_readers_are_not_harmed_while_the_file_is_opened_anew(store: SqliteStore, vfs: FaultyVFS) -> None:
    stop = threading.Event()

    def read() -> int:
        least = 3
        while not stop.is_set():
            found = positions(store)
            assert found == list(range(1, len(found) + 1))
            assert len(found) >= least
            least = len(found)
        return least

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        try:
            for position in range(3, 43):
                vfs.fail("sync", "-wal", times=1)
                assert append(store, position).exception(WAIT) is None
                store.submit(DeleteDocument("bptk", "none")).result(
                    WAIT
                )  # the probe before it finds all well again
        finally:
            stop.set()
        assert all(reader.result(WAIT) >= 3 for reader in readers)
    assert vfs.struck == 40


# A full disk ------------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_writes_only_and_says_so(store: SqliteStore, vfs: FaultyVFS) -> None:
    vfs.room = 6000
    acknowledged = 3
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        while True:
            append(store, acknowledged, size=3000).result(WAIT)
            acknowledged += 1
    assert store.unavailable is not None
    assert "the disk is full (SQLITE_FULL)" in store.unavailable
    assert positions(store) == list(range(1, acknowledged + 1))
    assert isinstance(append(store, acknowledged).exception(WAIT), StoreUnavailable)
    assert positions(store) == list(range(1, acknowledged + 1))
    vfs.heal()
    recovered(store, acknowledged)


def test_room_that_is_made_is_found_without_a_write(store: SqliteStore, vfs: FaultyVFS) -> None:
    vfs.room = 0
    assert append(store, 3, size=9000).exception(WAIT) is not None
    vfs.heal()
    until(lambda: store.unavailable is None)
    recovered(store, 3)


def test_in_a_batch_that_fails_only_what_rests_on_durable_data_is_answered(
    store: SqliteStore, vfs: FaultyVFS
) -> None:
    with held(store):
        vfs.room = 0
        futures: list[Future[Any]] = [
            append(store, 7),
            store.submit(DeleteRun("no")),
            append(store, 3, size=9000),
            append(store, 3),
        ]
    wait(futures, WAIT)
    errors = [type(future.exception()) for future in futures]
    assert errors == [PositionConflict, RunNotFound, StoreUnavailable, StoreUnavailable]
    vfs.heal()
    recovered(store, 3)


def test_a_full_disk_while_the_log_is_brought_in_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vfs: FaultyVFS
) -> None:
    monkeypatch.setattr(perdure.stores.file_medium, "CHECKPOINT", 7)
    with closing(SqliteStore(tmp_path / FILE, vfs=vfs.name)) as store:
        created(store)
        vfs.fail("write", FILE, code=apsw.SQLITE_FULL)
        for position in range(20):
            append(store, position, size=4000).result(WAIT)
        assert vfs.struck
        assert store.unavailable is None
        vfs.heal()
        recovered(store, 20)


def test_a_sync_that_fails_while_the_log_is_brought_in_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vfs: FaultyVFS
) -> None:
    monkeypatch.setattr(perdure.stores.file_medium, "CHECKPOINT", 7)
    with closing(SqliteStore(tmp_path / FILE, vfs=vfs.name)) as store:
        created(store)
        vfs.fail("sync", FILE, times=1, loses=True)
        position = 0
        while not vfs.struck:
            append(store, position, size=4000).result(WAIT)
            position += 1
        until(lambda: store.unavailable is not None or store.steps("run") != [])
        recovered(store, position)


# Read-only, and failing otherwise ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (apsw.SQLITE_READONLY, "it is read-only"),
        (apsw.SQLITE_IOERR_WRITE, "input or output failed"),
        (apsw.SQLITE_CANTOPEN, "it can't be opened"),
    ],
)
def test_a_write_that_fails_is_refused_with_its_reason(
    store: SqliteStore, vfs: FaultyVFS, code: int, words: str
) -> None:
    vfs.fail("write", code=code)
    with pytest.raises(StoreUnavailable, match=words):
        append(store, 3).result(WAIT)
    assert words in (store.unavailable or "")
    assert positions(store) == [1, 2, 3]
    vfs.heal()
    recovered(store, 3)


def test_a_file_that_can_not_be_opened_is_named_and_the_lock_let_go(tmp_path: Path, vfs: FaultyVFS) -> None:
    for operation in ("open", "write", "sync"):
        vfs.fail(operation)
        with pytest.raises(StoreUnavailable, match=str(tmp_path / FILE)):
            SqliteStore(tmp_path, vfs=vfs.name)
        vfs.heal()
    with closing(SqliteStore(tmp_path, vfs=vfs.name)) as store:
        created(store)


# The law ----------------------------------------------------------------------------------------------------


def life(folder: Path, vfs: FaultyVFS, acknowledged: list[int]) -> None:
    """Open a store, append with savepoints and checkpoints, close it, and do so again, as far as it goes."""
    for _ in range(2):
        with closing(SqliteStore(folder / FILE, keep=1, vfs=vfs.name)) as store:
            try:
                position = store.run("run").position
            except RunNotFound:
                store.submit(CreateRun(a_run(), encoded(a_savepoint()))).result(WAIT)
                position = 0
            for _ in range(4):
                savepoint = a_savepoint(position + 1) if position % 3 == 2 else None
                entry = Entry(inputs=None, outputs=bytes(2000))
                future = store.submit(Append("run", Unleased(0), position, [entry], encoded(savepoint)))
                try:
                    acknowledged.append(future.result(WAIT).steps[0].position)
                except StoreUnavailable:
                    assert store.unavailable is None or future.exception()
                    position = store.run("run").position
                else:
                    position += 1


@pytest.mark.parametrize(
    ("operation", "times", "loses", "anew", "step"),
    [
        ("open", 1, False, True, 1),
        ("open", 3, False, True, 1),
        ("read", 1, False, False, 1),
        ("read", 3, False, False, 1),
        ("write", 1, False, False, 1),
        ("write", 1, False, True, 9),
        ("write", 3, False, False, 1),
        ("sync", 1, False, True, 1),
        ("sync", 1, True, True, 1),
        ("sync", 3, True, True, 1),
    ],
)
def test_whichever_operation_fails_what_was_acknowledged_is_there_once(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    operation: Operation,
    times: int,
    loses: bool,
    anew: bool,
    step: int,
) -> None:
    monkeypatch.setattr(perdure.stores.file_medium, "CHECKPOINT", 7)
    made = tmp_path / "made"
    SqliteStore(made / FILE).close()
    for after in count(step=step):
        folder = tmp_path / str(after)
        # Most of what a new file is written with is its schema: a few of these operations will do.
        folder.mkdir() if anew else shutil.copytree(made, folder)
        vfs = FaultyVFS()
        vfs.fail(operation, after=after, times=times, loses=loses)
        acknowledged: list[int] = []
        try:
            life(folder, vfs, acknowledged)
        except StoreUnavailable as error:
            assert str(folder) in str(error)
        (folder / "copy").mkdir()
        for path in (vfs.after_power_cut(folder / FILE, folder / "copy"), folder / FILE):
            if not path.exists() and not acknowledged:
                continue
            with closing(SqliteStore(path)) as store:
                found = positions(store) if acknowledged else []
                assert found == list(range(1, len(found) + 1))
                assert set(acknowledged) <= set(found)
                assert len(acknowledged) == len(set(acknowledged))
        if not vfs.struck:
            break
    assert after > 5


def test_after_a_power_cut_at_any_time_what_was_acknowledged_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vfs: FaultyVFS
) -> None:
    monkeypatch.setattr(perdure.stores.file_medium, "CHECKPOINT", 7)
    with closing(SqliteStore(tmp_path / FILE, vfs=vfs.name)) as store:
        created(store)
        for position in range(20):
            append(store, position, size=3000).result(WAIT)
            folder = tmp_path / str(position)
            folder.mkdir()
            with closing(SqliteStore(vfs.after_power_cut(tmp_path / FILE, folder))) as copy:
                assert positions(copy) == list(range(1, position + 2))


def test_a_page_that_cannot_be_read_is_no_damage(store: SqliteStore, vfs: FaultyVFS) -> None:
    """SQLite makes `SQLITE_CORRUPT` of an EIO of the operating system's that a statement meets."""
    readers = Readers(store.path, vfs.name, Files(store.path))
    with pytest.raises(CorruptBlob), readers.lend():
        raise apsw.CorruptError("the file can be read, so it is damaged")
    readers.close()
    readers = Readers(store.path, vfs.name, Files(store.path))
    with pytest.raises(StoreUnavailable, match="input or output failed"), readers.lend():
        vfs.fail("read", FILE)
        raise apsw.CorruptError("the disk failed")
    vfs.heal()
    with readers.lend() as connection:
        assert connection.execute("SELECT position FROM runs").get == 3
    readers.close()


# Probes -----------------------------------------------------------------------------------------------------

FRAME = 4096 + 24  # bytes of a page in the log


def test_a_probe_writes_as_much_as_the_step_that_had_no_room(store: SqliteStore, vfs: FaultyVFS) -> None:
    """The room that is left would do for a probe of a page and for a small step, not for one like that."""
    vfs.room = 12 * FRAME
    assert isinstance(append(store, 3, size=30 * 4096).exception(WAIT), StoreUnavailable)
    vfs.room = 0
    for _ in range(3):
        assert isinstance(append(store, 3).exception(WAIT), StoreUnavailable)
        assert store.unavailable is not None
    vfs.heal()
    recovered(store, 3)


def test_a_store_at_rest_finds_out_that_it_cannot_be_written(tmp_path: Path, vfs: FaultyVFS) -> None:
    with closing(SqliteStore(tmp_path / "rest.db", vfs=vfs.name, probe_every=0.01)) as store:
        created(store, steps=1)
        vfs.fail("sync", "-wal")
        until(lambda: store.unavailable is not None)
        vfs.heal()
        until(lambda: store.unavailable is None)
        recovered(store, 1)


def test_a_store_that_is_not_to_be_probed_writes_nothing_by_itself(
    store: SqliteStore, vfs: FaultyVFS
) -> None:
    before = vfs.syncs
    store.submit(Append("run", Unleased(0), 3, [Entry(inputs=None, outputs=b"")])).cancel()
    threading.Event().wait(0.2)
    assert vfs.syncs - before <= 1

"""A read that takes long keeps neither the end of a store nor its recovery waiting."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

import perdure.stores.readers
from perdure.errors import StoreUnavailable
from perdure.stores.commands import Append, Unleased
from perdure.stores.sqlite import SqliteStore
from perdure.testing.faults import FaultyVFS
from perdure.testing.store_samples import WAIT, an_entry, created

COUNT = 300_000_000  # rows, which take SQLite far longer than the grace
ONE_STATEMENT = (
    f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT {COUNT}) SELECT count(*) FROM n"
)
MANY = 60
SHORTER = ONE_STATEMENT.replace(str(COUNT), str(COUNT // MANY))


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perdure.stores.readers, "GRACE", 0.05)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def reading(threads: ThreadPoolExecutor, store: SqliteStore, *statements: str) -> Future[None]:
    """Begin to read with a connection of the store; return when it is lent."""
    lent = threading.Event()

    def read() -> None:
        with store._medium.reading() as connection:
            lent.set()
            for statement in statements:
                connection.execute(statement).fetchall()

    future = threads.submit(read)
    assert lent.wait(WAIT)
    return future


@pytest.mark.parametrize("statements", [[ONE_STATEMENT], [SHORTER] * MANY])
def test_closing_a_store_interrupts_what_is_read(
    tmp_path: Path, threads: ThreadPoolExecutor, statements: list[str]
) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        created(store, steps=1)
        future = reading(threads, store, *statements)
    with pytest.raises(StoreUnavailable, match="it is being closed"):
        future.result(WAIT)


def test_a_recovery_interrupts_what_is_read_and_the_store_goes_on(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    vfs = FaultyVFS()
    with closing(SqliteStore(tmp_path, vfs=vfs.name)) as store:
        created(store, steps=1)
        future = reading(threads, store, ONE_STATEMENT)
        vfs.fail("sync", "-wal", times=1)
        with suppress(StoreUnavailable):  # its outcome is unknown at first, and then found out
            store.submit(Append("run", Unleased(0), 1, [an_entry(2)])).result(WAIT)
        with pytest.raises(StoreUnavailable, match="it is being closed or opened again"):
            future.result(WAIT)
        position = store.run("run").position
        store.submit(Append("run", Unleased(0), position, [an_entry(position + 1)])).result(WAIT)
        assert store.unavailable is None


def test_a_read_that_ends_within_the_grace_is_answered(
    tmp_path: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perdure.stores.readers, "GRACE", WAIT)
    with closing(SqliteStore(tmp_path)) as store:
        created(store, steps=1)
        future = reading(threads, store, ONE_STATEMENT.replace(str(COUNT), "1000"))
    assert future.result(WAIT) is None

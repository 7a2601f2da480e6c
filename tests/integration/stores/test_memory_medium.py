"""A store in memory is the SQLite store: what it commits together, what its readers see, and how it ends."""

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.errors import BackupRefused, StoreUnavailable
from perdure.stores.commands import Append, Committed, CreateRun, DeleteRun, Unleased, encoded
from perdure.stores.memory import MemoryStore
from perdure.stores.open import open_store
from perdure.stores.sqlite import SqliteStore, SqlStore
from perdure.testing.store_samples import WAIT, a_key, a_run, a_savepoint, a_step, an_entry, created

TOGETHER = 5  # steps of a transaction


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    with closing(MemoryStore()) as store:
        yield store


def test_it_is_the_code_of_the_store_in_a_file() -> None:
    with closing(open_store("memory://")) as store:
        assert isinstance(store, SqlStore)
        own = set(vars(MemoryStore)) & set(vars(SqlStore))
        assert own == {"__init__", "__doc__", "__module__"}


def test_whatever_waits_is_committed_by_one_transaction(store: MemoryStore) -> None:
    taken, go_on = threading.Event(), threading.Event()

    def hold(_: Committed) -> None:
        taken.set()
        go_on.wait(WAIT)

    stop = store.watch(hold)
    store.submit(CreateRun(a_run("held")))
    assert taken.wait(WAIT)
    stop()
    before = store._medium.acknowledged.batch
    futures = [store.submit(CreateRun(a_run(f"r{number}"), encoded(a_savepoint()))) for number in range(100)]
    assert store.waiting >= 100
    go_on.set()
    assert all(future.result(WAIT).run for future in futures)
    assert store._medium.acknowledged.batch == before + 1


def test_readers_see_no_half_of_a_transaction(store: MemoryStore) -> None:
    created(store)
    done = threading.Event()

    def look() -> list[int]:
        seen = []
        while not done.is_set():
            steps = [step.position for step in store.steps("run")]
            assert steps == list(range(1, len(steps) + 1))
            seen.append(len(steps))
        return seen

    with ThreadPoolExecutor(4) as threads:
        looking = [threads.submit(look) for _ in range(4)]
        try:
            for position in range(0, 40 * TOGETHER, TOGETHER):
                entries = [an_entry(position + number) for number in range(1, TOGETHER + 1)]
                store.submit(Append("run", Unleased(0), position, entries)).result(WAIT)
        finally:
            done.set()
        for found in looking:
            seen = found.result(WAIT)
            assert seen == sorted(seen)
            assert all(count % TOGETHER == 0 for count in seen)


def test_a_reader_waits_for_a_transaction_and_sees_nothing_of_one_that_fails(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(store, steps=1)
    written, go_on = threading.Event(), threading.Event()

    def fail(connection: apsw.Connection, *_: Any) -> None:
        connection.execute("DELETE FROM runs")
        written.set()
        go_on.wait(WAIT)
        raise apsw.NoMemError("injected")

    monkeypatch.setattr("perdure.stores.writer.execute", fail)
    failing = store.submit(DeleteRun("run"))
    assert written.wait(WAIT)
    monkeypatch.undo()
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(store.run, "run")
        assert not reading.done()
        go_on.set()
        assert reading.result(WAIT).position == 1
    assert isinstance(failing.exception(WAIT), StoreUnavailable)
    assert store.submit(Append("run", Unleased(0), 1, [an_entry(2)])).result(WAIT).steps == (a_step(2),)
    assert store.unavailable is None


def test_a_long_read_keeps_no_write_waiting_and_shows_one_moment(store: MemoryStore) -> None:
    created(store, steps=1)
    with store._medium.snapshot() as connection:
        store.submit(Append("run", Unleased(0), 1, [an_entry(2)])).result(WAIT)
        assert connection.execute("SELECT position FROM runs").get == 1
    assert store.run("run").position == 2


def test_a_copy_of_it_is_a_store_in_a_file(store: MemoryStore, tmp_path: Path) -> None:
    created(store)
    store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())], encoded(a_savepoint(1)))).result(WAIT)
    store.backup(tmp_path / "perdure.db")
    with closing(SqliteStore(tmp_path / "perdure.db")) as copy:
        assert copy.run("run") == store.run("run")
        assert copy.step_by_key("run", a_key()) == a_step(1)
        assert copy.check() == []
    with pytest.raises(BackupRefused):
        store.backup(tmp_path / "missing" / "perdure.db")
    assert store.run("run").position == 1


def test_each_store_is_another(store: MemoryStore) -> None:
    created(store)
    with closing(MemoryStore()) as other:
        assert list(other.runs()) == []


def test_one_that_nobody_refers_to_ends_its_thread() -> None:
    before = set(threading.enumerate())
    store = MemoryStore()
    created(store)
    (thread,) = set(threading.enumerate()) - before
    del store
    gc.collect()
    thread.join(WAIT)
    assert not thread.is_alive()


def test_closing_one_that_was_never_written_to_starts_no_thread() -> None:
    before = set(threading.enumerate())  # those of other stores may end meanwhile
    store = MemoryStore()
    assert list(store.runs()) == []
    assert set(threading.enumerate()) <= before
    store.close()
    with pytest.raises(StoreUnavailable):
        store.runs()


FORKED = """
import os
from perdure.stores.commands import CreateRun
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT, a_run
store = MemoryStore()
child = os.fork()
store.submit(CreateRun(a_run("child" if child == 0 else "parent"))).result(WAIT)
assert [run.id for run in store.runs()] == ["child" if child == 0 else "parent"]
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_one_that_is_made_before_a_fork_works_in_both_processes() -> None:
    """As under gunicorn with `--preload`."""
    ended = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=WAIT)
    assert (ended.returncode, ended.stderr) == (0, "")

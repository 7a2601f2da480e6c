"""The queue's rows in the SQLite file: made when it is opened, checked, and no reason to refuse a file."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest
from tests.support.store_files import overwrite

from perdure.errors import CorruptBlob
from perdure.lifecycle import RunState, Wanted
from perdure.stores.commands import Append, Lease, Recount, Unleased, Want
from perdure.stores.queue import Queued
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, an_entry, created, queued, raised


@contextmanager
def opened(folder: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(folder)) as store:
        yield store


def change(folder: Path, sql: str) -> None:
    """Change the file behind the store's back."""
    with closing(apsw.Connection(str(folder / "perdure.db"))) as connection:
        connection.execute(sql)


def test_a_file_that_was_written_without_a_queue_gets_one_when_it_is_opened(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for id in ("waiting", "held", "paused"):
            queued(store, id)
        store.submit(Lease("held", "w", 3600.0)).result(WAIT)
        store.submit(Want("paused", Wanted.PAUSED)).result(WAIT)
    change(tmp_path, "DELETE FROM queue")
    with opened(tmp_path) as store:
        assert list(store.unleased()) == [
            Queued("waiting", "task", "ann", Wanted.STARTED, RunState.CREATED),
            Queued("held", "task", "ann", Wanted.STARTED, RunState.STARTED),
            Queued("paused", "task", "ann", Wanted.PAUSED, RunState.CREATED),
        ]
        assert store.waiting_before("held") == 1
        assert store.check() == []


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM queue WHERE run = 2",
        "UPDATE queue SET wanted = 'paused' WHERE run = 2",
        "UPDATE queue SET leased_until = 1e300 WHERE run = 2",
        "UPDATE queue SET kind = 'other' WHERE run = 2",
        "UPDATE queue SET owner = 'eve' WHERE run = 2",
        "INSERT INTO queue VALUES (1, 'task', 'ann', 'started', 0.0)",
    ],
)
def test_a_run_that_is_queued_otherwise_than_it_is_is_found_and_queued_anew(
    tmp_path: Path, damage: str
) -> None:
    with opened(tmp_path) as store:
        created(store, "session")
        queued(store, "one")
        queued(store, "two")
        before = list(store.unleased())
        change(tmp_path, damage)
        (problem,) = store.check()
        assert problem.endswith("was queued otherwise than its execution says")
        assert list(store.submit(Recount()).result(WAIT)) == [problem]
        assert store.check() == []
        assert list(store.unleased()) == before


def test_a_row_of_the_queue_that_is_damaged_hides_no_other(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for id in ("a", "b", "c", "d"):
            queued(store, id)
        change(tmp_path, "UPDATE queue SET wanted = 'startec' WHERE run = 1")
        change(tmp_path, "UPDATE runs SET state = 'startec' WHERE id = 'b'")
        change(tmp_path, "UPDATE queue SET owner = CAST(x'6bff79' AS TEXT) WHERE run = 3")
        assert [it.run_id for it in store.unleased()] == ["d"]


@pytest.mark.parametrize("table", ["executions", "runs", "runs_executed", "queue", "queue_by_kind"])
def test_an_overwritten_page_keeps_no_store_from_being_opened_and_no_session_from_its_steps(
    tmp_path: Path, table: str
) -> None:
    with opened(tmp_path) as store:
        created(store, "session")
        for number in range(150):
            queued(store, f"run-{number:03}", owner=f"an owner {number} with a long name" * 3)
        for number in (0, 70, 149):
            store.submit(Lease(f"run-{number:03}", "w", 3600.0)).result(WAIT)
    overwrite(tmp_path / "perdure.db", table)
    with opened(tmp_path) as store:
        store.submit(Append("session", Unleased(0), 0, [an_entry(1)])).result(WAIT)
        assert store.check() != []
        if table in ("executions", "runs"):
            assert 10 < len(store.unleased()) < 150


def test_an_execution_that_is_damaged_is_neither_leased_nor_answered_though_it_is_queued(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as store:
        queued(store, "task")
    change(tmp_path, "UPDATE executions SET attempt = 7")
    with opened(tmp_path) as store:
        assert [it.run_id for it in store.unleased()] == ["task"]
        with raised(CorruptBlob):
            store.submit(Lease("task", "w", 9.0)).result(WAIT)
        with raised(CorruptBlob):
            store.execution("task")

"""What the SQLite store opens, what it refuses, and that it lets go of everything."""

from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest

from perdure.errors import (
    Invalid,
    NewerSchema,
    NotAStore,
    StoreLocked,
    StoreUnavailable,
)
from perdure.lifecycle import RunStatus
from perdure.run import Change
from perdure.stores.commands import ChangeRun, CreateRun, encoded
from perdure.stores.database import APPLICATION_ID, migrate
from perdure.stores.queries import MIGRATIONS, Migration
from perdure.stores.run_list import RunFilter, RunOrder
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, a_run, a_savepoint, created

DROP_NAMES = (  # leads to the schema before them
    "DROP TRIGGER execution_queued; DROP TRIGGER execution_queued_anew; DROP TRIGGER run_left_queue; "
    "DROP TRIGGER run_queued_anew; DROP TRIGGER label_queued; DROP TRIGGER label_queued_anew; "
    "DROP VIEW queue_of_runs; DROP TABLE queue; DROP TABLE needs; "
    "DROP TRIGGER run_listed; DROP TRIGGER run_listed_anew; DROP VIEW tags_of_runs; "
    "DROP TRIGGER savepoint_replaced; DROP TABLE savepoint_blobs; DROP TABLE blobs; DROP TABLE stored_files; "
    "DROP TABLE uses; "
    "DROP TABLE tags; DROP TABLE labels; DROP TABLE generations; ALTER TABLE meta DROP COLUMN listed; "
)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


def schema(connection: apsw.Connection) -> set[str]:
    return {
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
    }


def test_each_migration_leads_from_nothing_to_its_schema() -> None:
    for count in range(1, len(MIGRATIONS) + 1):
        with closing(apsw.Connection(":memory:")) as connection:
            migrate(connection, MIGRATIONS[:count])
            assert connection.pragma("user_version") == count
            assert connection.pragma("application_id") == APPLICATION_ID
            migrate(connection)
            assert schema(connection) == {
                "executions", "log_lines", "meta", "owners", "probe", "records",
                "execution_queued", "execution_queued_anew", "queue", "queue_by_group", "queue_by_kind",
                "queue_by_owner", "queue_of_runs", "needs", "run_left_queue", "run_queued_anew",
                "label_queued", "label_queued_anew", "needs_queued_anew",
                "result_counted", "result_discounted", "results", "run_counted", "run_discounted",
                "run_keys", "run_keys_by_run", "runs",
                "generations", "labels", "label_listed", "label_listed_anew",
                "run_listed", "run_listed_anew", "tags_of_runs",
                "blob_let_go", "blobs", "blobs_by_hash", "savepoint_blobs", "savepoint_blobs_by_blob",
                "savepoint_replaced", "stored_files", "stored_files_missing",
                "runs_by_owner", "runs_executed", "runs_live", "savepoints", "savepoints_passing",
                "specs", "step_keys", "steps", "tags",
                "tags_by_created", "tags_by_name", "tags_by_updated",
                "uses", "uses_by_owner",
                "tags_of_owner_by_created", "tags_of_owner_by_name", "tags_of_owner_by_updated",
            }  # fmt: skip
            assert connection.pragma("user_version") == MIGRATIONS[-1].version


def test_runs_of_the_schema_before_names_have_none_and_are_listed_and_can_get_some(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    with closing(SqliteStore(path)) as store:
        for id in ("a", "b"):
            created(store, id, steps=1)
        store.submit(ChangeRun("b", 0, Change(state=RunStatus.STOPPED))).result(WAIT)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(DROP_NAMES)
        connection.pragma("user_version", 7)
    with closing(SqliteStore(path)) as store:
        assert [(run.id, run.name, run.tags) for run in store.runs()] == [("b", "", ()), ("a", "", ())]
        assert [run.id for run in store.runs(RunFilter(states=frozenset({RunStatus.STOPPED})))] == ["b"]
        assert store.check() == []
        store.submit(ChangeRun("a", 0, Change(tags=("old",)))).result(WAIT)
        assert [run.id for run in store.runs(RunFilter(tags=("old",)))] == ["a"]
    with closing(SqliteStore(path)) as store:  # they aren't listed once more
        assert len(store.runs()) == 2


@pytest.mark.parametrize("table", ["runs", "runs_by_owner"])
def test_a_damaged_page_of_the_schema_before_names_keeps_no_store_closed(tmp_path: Path, table: str) -> None:
    path = tmp_path / "perdure.db"
    with closing(SqliteStore(path)) as store:
        for number in range(200):
            created(store, f"run-{number}", spec=bytes(500), reason="x" * 100)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(DROP_NAMES)
        connection.pragma("user_version", 7)
    overwrite(path, table)
    with closing(SqliteStore(path)) as store:
        listed = [run.id for run in store.runs(order=RunOrder.CREATED, limit=1000)]
        assert 50 < len(listed) <= 200
        assert (len(listed) == 200) == (table == "runs_by_owner")
        assert listed == sorted(listed, key=lambda id: int(id[4:]))


def overwrite(path: Path, table: str) -> None:
    """Overwrite the last page of a table or an index in the closed file."""
    with closing(apsw.Connection(str(path))) as connection:
        query = "SELECT max(pageno) FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
        ((page,),) = connection.execute(query, (table,))
        size = connection.pragma("page_size")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


def test_a_migration_that_fails_leaves_nothing() -> None:
    broken = Migration(1, "0001_broken.sql", "CREATE TABLE one (a); CREATE TABLE one (a)")
    with closing(apsw.Connection(":memory:")) as connection:
        with pytest.raises(apsw.SQLError):
            migrate(connection, (broken,))
        assert schema(connection) == set()
        assert connection.pragma("user_version") == 0


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    with closing(SqliteStore(path)) as store:
        created(store, steps=3)
    newer = MIGRATIONS[-1].version + 1
    # As a newer server leaves it that was killed: what it wrote last is in the log.
    connection = apsw.Connection(str(path))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.pragma("journal_mode", "wal")
    connection.pragma("user_version", newer)
    connection.close()
    before = content(tmp_path)
    assert before["perdure.db-wal"]
    with pytest.raises(NewerSchema) as error:
        SqliteStore(path)
    assert error.value.values["found"] == newer
    assert str(path) in str(error.value)
    after = content(tmp_path)
    assert (after["perdure.db"], after["perdure.db-wal"]) == (before["perdure.db"], before["perdure.db-wal"])


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    path.write_bytes(b"my thesis, the only copy\n" * 500)
    before = content(tmp_path)
    with pytest.raises(NotAStore, match=str(path)):
        SqliteStore(path)
    assert content(tmp_path) == before


def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    before = content(tmp_path)
    with pytest.raises(NotAStore, match="another program"):
        SqliteStore(path)
    assert content(tmp_path) == before


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "perdure.db").touch()
    with closing(SqliteStore(tmp_path)) as store:
        created(store)


def test_a_refused_opening_lets_go_of_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    path.write_bytes(b"no database, " * 100)
    with pytest.raises(NotAStore):
        SqliteStore(path)
    path.unlink()
    SqliteStore(path).close()


def test_a_link_to_a_store_leads_to_the_same_lock(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "perdure.db")):
        (tmp_path / "link.db").symlink_to(tmp_path / "perdure.db")
        with pytest.raises(StoreLocked):
            SqliteStore(tmp_path / "link.db")


def test_a_file_system_without_shared_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="put the store on a local disk"):
        SqliteStore(tmp_path, vfs="unix-none")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="file/runs"):
        SqliteStore(tmp_path / "file" / "runs" / "perdure.db")


def test_no_savepoint_to_keep_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        SqliteStore(tmp_path / "new" / "perdure.db", keep=0)
    assert not (tmp_path / "new").exists()


def test_closing_leaves_the_database_its_lock_and_its_tail(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        created(store, steps=5)
        assert store.run("run").position == 5
    assert {path.name for path in tmp_path.iterdir()} == {
        "perdure.db",
        "perdure.db.lock",
        "perdure.db.tail",
    }


def test_no_file_handle_and_no_thread_is_left_behind(tmp_path: Path) -> None:
    def handles() -> set[str]:
        found = set()
        for link in Path("/dev/fd").iterdir():
            with suppress(OSError):  # the one that lists the folder
                found.add(str(link.readlink()))
        return {name for name in found if str(tmp_path) in name}

    (tmp_path / "thesis.db").write_bytes(b"no database, " * 100)
    for number in range(3):
        store = SqliteStore(tmp_path)
        store.submit(CreateRun(a_run(str(number)), encoded(a_savepoint()))).result()
        assert store.runs()
        assert handles()
        store.close()
        with pytest.raises(NotAStore):
            SqliteStore(tmp_path / "thesis.db")
        assert handles() == set()

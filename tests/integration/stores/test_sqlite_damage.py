"""A damaged SQLite file: what is damaged is never believed, is told in words, and hides nothing else."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest
from tests.support.store_files import held, overwrite

from perdure.errors import CorruptBlob, RunFinished
from perdure.stores.commands import Append, CreateRun, Finish, Lease, PutSavepoint, Report, Unleased, encoded
from perdure.stores.run_list import Cursor, RunFilter, RunOrder
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import (
    WAIT,
    a_change,
    a_key,
    a_run,
    a_savepoint,
    a_step,
    an_entry,
    created,
    queued,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "perdure.db"


@contextmanager
def opened(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path)) as store:
        yield store


def change(path: Path, sql: str, values: tuple[object, ...] = ()) -> None:
    """Change the closed file behind the store's back."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(sql, values)
        assert connection.changes() == 1


def keyed(path: Path) -> None:
    with opened(path) as store:
        store.submit(CreateRun(a_run(), encoded(a_savepoint()), a_key("make"))).result(WAIT)
        store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key()), an_entry(2)])).result(WAIT)
        assert store.check() == []


# Executions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        ("executions", "timeout = 3.5"),
        ("executions", "wanted = 'stopped'"),
        ("executions", "wanted = 'no such state'"),
        ("executions", "attempt = 0"),
        ("executions", "seconds = 1.0"),
        ("executions", "deaths = 1"),
        ("executions", "holder = 'm'"),
        ("executions", "fence = 7"),
        ("executions", "lease_until = 1.0"),
        ("executions", "progress = x'00'"),
        ("executions", "checksum = x'0000000000000000'"),
        ("results", "result = x'00'"),
        ("results", "checksum = x'0000000000000000'"),
        ("runs", "lease = 7"),
    ],
)
def test_a_damaged_execution_is_found_and_never_believed(path: Path, table: str, damage: str) -> None:
    with opened(path) as store:
        queued(store)
        store.submit(
            Report("task", store.submit(Lease("task", "w", 9.0)).result(WAIT).fence, progress=b"p")
        ).result(WAIT)
        fence = store.execution("task").fence
        if table == "results":
            store.submit(Finish("task", fence, a_change(), result=b"r")).result(WAIT)
    change(path, f"UPDATE {table} SET {damage}")
    with opened(path) as store:
        (problem,) = store.check()
        assert "of the run 'task'" in problem
        with pytest.raises(CorruptBlob):
            store.execution("task")
        with pytest.raises(CorruptBlob if table != "results" else RunFinished):
            store.submit(Lease("task", "w", 9.0)).result(WAIT)
        queued(store, "intact")
        assert [execution.run_id for execution in store.executions()] == ["intact"]


@pytest.mark.parametrize("lost", ["DELETE FROM executions", "UPDATE runs SET lease = NULL"])
def test_half_an_execution_is_found(path: Path, lost: str) -> None:
    with opened(path) as store:
        queued(store)
    change(path, lost)
    with opened(path) as store:
        (problem,) = store.check()
        assert "execution" in problem


# Keys -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "text = 'kex'",
        "text = CAST(x'6bff79' AS TEXT)",
        "ordinal = 1",
        "position = 2",
        "body_hash = x'00'",
        "checksum = x'0000000000000000'",
    ],
)
def test_a_damaged_key_of_a_step_is_found(path: Path, damage: str) -> None:
    keyed(path)
    change(path, f"UPDATE step_keys SET {damage}")
    with opened(path) as store:
        (problem,) = store.check()
        assert problem.startswith("run run: the checksum of the key ")
        assert "of step" in problem


@pytest.mark.parametrize("damage", ["text = 'kex'", "owner = 'amn'", "ordinal = 1", "body_hash = x'00'"])
def test_a_damaged_key_of_a_run_is_found(path: Path, damage: str) -> None:
    keyed(path)
    change(path, f"UPDATE run_keys SET {damage}")
    with opened(path) as store:
        (problem,) = store.check()
        assert "it was made under" in problem


def test_a_key_of_a_step_that_is_damaged_is_neither_answered_nor_taken_for_new(tmp_path: Path) -> None:
    for number, damage in enumerate(("position = 2", "position = 9", "body_hash = x'00'")):
        path = tmp_path / f"{number}.db"
        keyed(path)
        change(path, f"UPDATE step_keys SET {damage}")
        with opened(path) as store:
            with pytest.raises(CorruptBlob, match="'key'"):
                store.step_by_key("run", a_key())
            with pytest.raises(CorruptBlob, match="'key'"):
                store.submit(Append("run", Unleased(0), 2, [an_entry(3, a_key())])).result(WAIT)
            assert list(store.steps("run")) == [a_step(1), a_step(2)]


def test_a_key_whose_step_is_gone_is_not_taken_for_new(path: Path) -> None:
    keyed(path)
    change(path, "DELETE FROM steps WHERE position = 1")
    with opened(path) as store, pytest.raises(CorruptBlob, match="step 1"):
        store.step_by_key("run", a_key())


def test_a_damaged_key_of_a_run_is_neither_answered_nor_taken_for_new(path: Path) -> None:
    keyed(path)
    change(path, "UPDATE run_keys SET body_hash = x'00'")
    with opened(path) as store:
        with pytest.raises(CorruptBlob, match="'make'"):
            store.run_by_key("ann", a_key("make"))
        with pytest.raises(CorruptBlob, match="'make'"):
            store.submit(CreateRun(a_run("again"), encoded(a_savepoint()), a_key("make"))).result(WAIT)
        assert [run.id for run in store.runs()] == ["run"]


# Records of runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    ["state = 'startec'", "outcome = 'x'", "owner = CAST(x'ff' AS TEXT)", "reason = CAST(x'c3' AS TEXT)"],
)
def test_a_damaged_record_is_named_and_the_others_are_listed(path: Path, damage: str) -> None:
    with opened(path) as store:
        for id in ("one", "two", "three"):
            created(store, id, steps=1)
    change(path, f"UPDATE runs SET {damage} WHERE id = 'two'")
    with opened(path) as store:
        with pytest.raises(CorruptBlob):
            store.run("two")
        assert [run.id for run in store.runs()] == ["three", "one"]
        assert [run.id for run in store.runs(RunFilter(owner="ann", kind="session"))] == ["three", "one"]
        assert [run.id for run in store.runs(limit=1)] == ["three"]
        assert [run.id for run in store.runs(cursor=Cursor(RunOrder.NEWEST, 1.0, 3))] == ["one"]
        assert list(store.runs(RunFilter(owner="bob"))) == []
        problem, *counts = store.check()
        assert problem.startswith("run two: ")
        told = [r"the owner '\\xff' is said to have 0 runs, and has 1"]
        told = ["the owner 'ann' is said to have 3 runs, and has 2", *told]
        assert counts == (told if damage.startswith("owner") else [])


def test_a_damaged_state_is_named_by_reads_and_writes(path: Path) -> None:
    with opened(path) as store:
        created(store, steps=1)
    change(path, "UPDATE runs SET state = 'startec'")
    with opened(path) as store:
        with pytest.raises(CorruptBlob, match=r"'run'.*'startec'"):
            store.run("run")
        with pytest.raises(CorruptBlob, match=r"'run'.*'startec'"):
            store.submit(Append("run", Unleased(0), 1, [an_entry(2)])).result(WAIT)
        assert list(store.steps("run")) == [a_step(1)]


# Pages ------------------------------------------------------------------------------------------------------


def filled(path: Path) -> None:
    with opened(path) as store:
        for number in range(200):
            created(store, f"run-{number}", steps=20 if number < 20 else 0, spec=bytes(500))
        for number in range(60):
            key = a_key(f"key {number}")
            store.submit(Append("run-0", Unleased(0), 20 + number, [an_entry(21 + number, key)])).result(WAIT)


@pytest.mark.parametrize(
    "table", ["runs_by_owner", "runs_live", "tags", "steps", "specs", "runs", "step_keys", "savepoints"]
)
def test_an_overwritten_page_is_found_and_the_rest_is_looked_at(path: Path, table: str) -> None:
    filled(path)
    change(path, "UPDATE step_keys SET position = 1 WHERE text = 'key 0'")
    overwrite(path, table)
    with opened(path) as store:
        found = store.check()
        assert any(problem.startswith(("SQLite: ", "the file can't be read")) for problem in found), found
        assert any("'key 0'" in problem or "keys can't be read" in problem for problem in found)


@pytest.mark.parametrize("table", ["runs", "specs"])
def test_runs_beside_an_overwritten_page_are_listed(path: Path, table: str) -> None:
    filled(path)
    overwrite(path, table)
    with opened(path) as store:
        ids = [run.id for run in store.runs(limit=1000)]
        assert 50 < len(ids) < 200
        assert ids == sorted(ids, key=lambda id: -int(id[4:]))


def test_a_step_that_meets_a_damaged_page_fails_only_itself(path: Path) -> None:
    with opened(path) as store:
        for id in ("low", "between", "high"):
            created(store, id, steps=200 if id != "between" else 600)
    overwrite(path, "steps")
    with opened(path) as store:
        with held(store):
            futures = [
                store.submit(Append(id, Unleased(0), position, [an_entry(position + 1)]))
                for id, position in (("low", 200), ("high", 200), ("low", 201), ("high", 200), ("low", 202))
            ]
        errors = [type(future.exception(WAIT)) for future in futures]
        assert errors == [type(None), CorruptBlob, type(None), CorruptBlob, type(None)]
        assert [store.run(id).position for id in ("low", "high")] == [203, 200]
        assert list(store.steps("low", after=200)) == [a_step(201), a_step(202), a_step(203)]


# Savepoints -------------------------------------------------------------------------------------------------


def test_a_savepoint_in_the_wrong_place_says_what_differs(path: Path) -> None:
    with opened(path) as store:
        created(store, steps=3)
        store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(100, position=3)))).result(WAIT)
    change(path, "UPDATE savepoints SET position = 2 WHERE timestamp = 100")
    with opened(path) as store, pytest.raises(CorruptBlob) as error:
        store.savepoint("run", 100)
    assert "timestamp 100 and step 3, not to timestamp 100 and step 2" in str(error.value)


@pytest.mark.parametrize("place", ["row", "index"])
def test_a_damaged_id_of_a_leased_run_keeps_no_store_closed(path: Path, place: str) -> None:
    with opened(path) as store:
        queued(store, "a-task-with-a-long-name")
        queued(store, "intact")
        for id in ("a-task-with-a-long-name", "intact"):
            store.submit(Lease(id, "w", 9.0)).result(WAIT)
    content = path.read_bytes()
    where = [match.start() for match in re.finditer(b"a-task-with-a-long-name", content)]
    assert len(where) > 1
    at = where[0] if place == "index" else where[-1]
    path.write_bytes(content[:at] + b"b" + content[at + 1 :])
    with opened(path) as store:
        assert store.submit(Lease("intact", "another", 9.0)).result(WAIT).attempt == 2

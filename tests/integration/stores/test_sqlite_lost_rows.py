"""Rows that are gone or changed in a real file: each is an error that names it, and the rest is served."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import CorruptBlob
from perdure.execution.user_ids import RECORDS, UserIds
from perdure.lifecycle import Outcome, RunStatus
from perdure.run import Change, LogLine
from perdure.stores.commands import Finish, Fork, ForkRuns, Lease, PutDocument, Report, encoded
from perdure.stores.sqlite import SqliteStore
from perdure.stores.values import check_page
from perdure.testing.store_samples import WAIT, a_line, a_run, a_savepoint, created, queued


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with a session of 20 steps, a task that has ended with lines and a result, and records."""
    with closing(SqliteStore(tmp_path)) as store:
        created(store, steps=20)
        queued(store)
        fence = store.submit(Lease("task", "w", 60.0)).result(WAIT).fence
        store.submit(Report("task", fence, lines=[a_line(at) for at in range(1, 6)])).result(WAIT)
        change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED)
        store.submit(Finish("task", fence, change, result=b"42")).result(WAIT)
        for id in ("a", "b", "c"):
            store.submit(PutDocument("bptk", id, id.encode() * 9_000, None)).result(WAIT)
        assert store.check() == []
        yield store


def damage(store: SqliteStore, sql: str) -> None:
    with closing(apsw.Connection(str(store.path))) as connection:
        connection.execute(sql)
        assert connection.changes() > 0


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 25), st.sets(st.integers(1, 25)))
def test_a_page_is_whole_or_an_error_that_names_the_first_missing_step(
    after: int, limit: int, position: int, lost: set[int]
) -> None:
    there = [step for step in range(1, position + 1) if step not in lost]
    page = [step for step in there if step > after][:limit]
    wanted = list(range(after + 1, min(after + limit, position) + 1))
    if page == wanted:
        check_page("run", after, limit, position, page)
    else:
        missing = next(step for step in wanted if step not in there)
        with pytest.raises(CorruptBlob, match=f"step {missing} isn't in the log"):
            check_page("run", after, limit, position, page)


@pytest.mark.parametrize("lost", ["= 1", "= 7", "> 12", "= 20", "> 0", "BETWEEN 3 AND 18"])
def test_steps_that_are_gone_are_never_served_as_a_shorter_log(store: SqliteStore, lost: str) -> None:
    damage(store, f"DELETE FROM steps WHERE position {lost}")
    with pytest.raises(CorruptBlob, match="isn't in the log of the run 'run', which has 20 steps"):
        store.steps("run")
    fork = a_run("fork", parent="run", parent_position=20)
    with pytest.raises(CorruptBlob, match="missing from the log"):
        store.submit(ForkRuns([Fork(run=fork, savepoint=encoded(a_savepoint(20)))])).result(WAIT)[0]


def test_steps_before_a_lost_one_are_served(store: SqliteStore) -> None:
    damage(store, "DELETE FROM steps WHERE position = 7")
    assert [step.position for step in store.steps("run", limit=6)] == [1, 2, 3, 4, 5, 6]
    assert [step.position for step in store.steps("run", after=7)] == list(range(8, 21))
    with pytest.raises(CorruptBlob, match="step 7"):
        store.steps("run", after=5, limit=2)


def test_a_log_that_is_longer_than_its_record_says_is_damaged(store: SqliteStore) -> None:
    damage(store, "UPDATE runs SET position = 4 WHERE id = 'run'")
    with pytest.raises(CorruptBlob, match="its record says 4 steps"):
        store.steps("run")


def test_a_lost_result_is_no_result_that_never_was(store: SqliteStore) -> None:
    damage(store, "DELETE FROM results")
    with pytest.raises(CorruptBlob, match="the result of the run 'task' isn't there"):
        store.execution("task")
    assert any("result" in problem for problem in store.check())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM log_lines WHERE number = 3", "line 3 isn't in the log"),
        ("DELETE FROM log_lines WHERE number = 5", "line 5 isn't in the log"),
        ("UPDATE log_lines SET text = text || ' ' WHERE number = 2", "the checksum of line 2"),
        ("UPDATE log_lines SET level = 'error' WHERE number = 4", "the checksum of line 4"),
        ("UPDATE log_lines SET time = time + 1 WHERE number = 1", "the checksum of line 1"),
    ],
)
def test_a_lost_or_changed_line_is_named(store: SqliteStore, change: str, words: str) -> None:
    damage(store, change)
    with pytest.raises(CorruptBlob, match=words):
        store.log_lines("task")
    assert any(words in problem for problem in store.check())


@pytest.mark.parametrize("column", ["created = 2.5", "owner = 'eve'", "kind = 'task'", "parent = 'x'"])
def test_what_of_a_run_never_changes_has_a_checksum(store: SqliteStore, column: str) -> None:
    damage(store, f"UPDATE runs SET {column} WHERE id = 'run'")
    with pytest.raises(CorruptBlob, match="the checksum of the record of the run 'run'"):
        store.run("run")
    assert [run.id for run in store.runs()] == ["task"]
    assert any("run 'run'" in problem for problem in store.check())


def test_a_damaged_record_is_named_and_the_others_are_served(store: SqliteStore) -> None:
    damage(store, "UPDATE records SET blob = zeroblob(9000) WHERE id = 'b'")
    assert [record.id for record in store.documents("bptk")] == ["a", "c"]
    with pytest.raises(CorruptBlob, match="document 'b' of bptk"):
        store.document("bptk", "b")
    assert any("'b' of bptk" in problem for problem in store.check())


def test_a_damaged_user_id_is_given_to_nobody_else_and_other_owners_keep_theirs(store: SqliteStore) -> None:
    ids = range(60_000, 60_010)
    users = UserIds(store, ids)
    assert (users.of("alice"), users.of("bob")) == (60_000, 60_001)
    damage(store, f"UPDATE records SET version = version + 9 WHERE dialect = '{RECORDS}' AND id = 'alice'")
    opened = UserIds(store, ids)
    for owner in ("mallory", "alice"):
        with pytest.raises(CorruptBlob, match="document 'alice'"):
            opened.of(owner)
    assert opened.of("bob") == 60_001


def test_a_bad_page_of_records_stops_neither_the_store_nor_the_check(store: SqliteStore) -> None:
    pages: list[int] = []
    store.close()
    with closing(apsw.Connection(str(store.path))) as connection:
        size = connection.pragma("page_size")
        for number in range(2, connection.pragma("page_count") + 1):
            _, page = connection.read("main", 0, (number - 1) * size, size)
            if b"b" * 2_000 in page:
                pages.append(number)
    assert pages
    with store.path.open("r+b") as file:
        file.seek((pages[0] - 1) * size)
        file.write(b"\xff" * size)
    with closing(SqliteStore(store.path)) as damaged:
        assert {"a", "c"} >= {document.id for document in damaged.documents("bptk")}
        assert any("record" in problem for problem in damaged.check())
        assert len(damaged.steps("run")) == 20
        damaged.submit(PutDocument("bptk", "new", b"1", None)).result(WAIT)


def test_lines_are_bounded_in_bytes_and_the_newest_is_kept_however_long(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path, keep_bytes=100)) as store:
        queued(store)
        fence = store.submit(Lease("task", "w", 60.0)).result(WAIT).fence
        for _ in range(7):
            lines = [LogLine(text="é" * 10, level="info", time=1.0) for _ in range(3)]
            store.submit(Report("task", fence, lines=lines)).result(WAIT)
            kept = store.log_lines("task")
            assert sum(len(line.text.encode()) for line in kept) <= 100
        assert [line.number for line in store.log_lines("task")] == [17, 18, 19, 20, 21]
        store.submit(Report("task", fence, lines=[LogLine(text="x" * 500, level="info", time=1.0)])).result(
            WAIT
        )
        assert [line.number for line in store.log_lines("task")] == [22]

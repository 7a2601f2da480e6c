"""The queue's rows in the SQLite file: made when it is opened, checked, and no reason to refuse a file."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest
from tests.support.store_files import overwrite

from perdure.errors import CorruptBlob
from perdure.lifecycle import DesiredState, RunStatus
from perdure.stores.commands import Append, Claim, Lease, Recount, SetDesiredState, Settle, Unleased
from perdure.stores.queue import ANY_TAG, QueueCount, QueueGroup, QueueState
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, an_entry, claimed, created, queued, raised, unleased


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
        store.submit(SetDesiredState("paused", DesiredState.PAUSED)).result(WAIT)
    change(tmp_path, "DELETE FROM queue")
    with opened(tmp_path) as store:
        assert unleased(store) == {
            "waiting": (DesiredState.STARTED, RunStatus.CREATED),
            "held": (DesiredState.STARTED, RunStatus.STARTED),
            "paused": (DesiredState.PAUSED, RunStatus.CREATED),
        }
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
        "UPDATE queue SET state = 'started' WHERE run = 2",
        "UPDATE queue SET short = 1 WHERE run = 2",
        "UPDATE queue SET needs = 'numpy' WHERE run = 2",
        "DELETE FROM queue WHERE run = 2 AND tag = 'gpu'",
        "UPDATE queue SET tag = 'cpu' WHERE run = 2 AND tag = 'gpu'",
        "INSERT INTO queue VALUES (1, '', 'task', 'ann', 'started', 'created', 0, '', 0.0, 1)",
    ],
)
def test_a_run_that_is_queued_otherwise_than_it_is_is_found_and_queued_anew(
    tmp_path: Path, damage: str
) -> None:
    with opened(tmp_path) as store:
        created(store, "session")
        queued(store, "one", tags=("gpu",))
        queued(store, "two")
        before = unleased(store), unleased(store, "gpu")
        change(tmp_path, damage)
        (problem,) = store.check()
        assert problem.endswith("was queued otherwise than its execution says")
        assert list(store.submit(Recount()).result(WAIT)) == [problem]
        assert store.check() == []
        assert (unleased(store), unleased(store, "gpu")) == before


def test_a_row_of_the_queue_that_is_damaged_hides_no_other(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for id in ("a", "b", "c", "d"):
            queued(store, id)
        change(tmp_path, "UPDATE queue SET wanted = 'startec' WHERE run = 1")
        change(tmp_path, "UPDATE runs SET state = 'startec' WHERE id = 'b'")
        change(tmp_path, "UPDATE queue SET needs = CAST(x'6bff79' AS TEXT) WHERE run = 3")
        assert list(unleased(store)) == ["d"]


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
        assert (store.check() == []) == (table in ("queue", "queue_by_kind")), "the queue was made anew"
        if table in ("executions", "runs"):
            assert 10 < len(unleased(store)) < 150


def test_an_execution_that_is_damaged_is_neither_leased_nor_answered_though_it_is_queued(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as store:
        queued(store, "task")
    change(tmp_path, "UPDATE executions SET attempt = 7")
    with opened(tmp_path) as store:
        assert list(unleased(store)) == ["task"]
        with raised(CorruptBlob):
            store.submit(Lease("task", "w", 9.0)).result(WAIT)
        with raised(CorruptBlob):
            store.execution("task")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE executions SET attempt = 7 WHERE run IN (1, 2)",
        "UPDATE queue SET wanted = 'started' WHERE run IN (1, 2)",
        "UPDATE runs SET state = 'startec' WHERE number IN (1, 2); UPDATE queue SET state = 'created'",
    ],
)
def test_a_run_that_can_not_be_trusted_keeps_no_other_from_being_claimed(tmp_path: Path, damage: str) -> None:
    with opened(tmp_path) as store:
        for id in ("a", "b", "c"):
            queued(store, id)
        for id in ("a", "b") if "wanted" in damage else ():
            store.submit(SetDesiredState(id, DesiredState.PAUSED)).result(WAIT)
        change(tmp_path, damage)
        groups = [
            QueueGroup(ANY_TAG, "task", DesiredState.STARTED, state, False, "")
            for state in (RunStatus.CREATED, RunStatus.STARTED)
        ]
        for _ in range(2):
            assert isinstance(store.submit(Claim("w", 3600.0, groups)).result(WAIT), CorruptBlob)
        assert [claimed(store, groups) for _ in range(2)] == ["c", None]
        working = [it.count for it in store.queue_counts() if it.state is QueueState.WORKING]
        assert working == [1], "nobody works on the others"


def test_an_execution_that_was_damaged_while_it_was_leased_counts_as_none(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for id in ("damaged", "intact"):
            queued(store, id)
            store.submit(Lease(id, "w", 3600.0)).result(WAIT)
    change(tmp_path, "UPDATE executions SET lease_until = 1e300, attempt = 7 WHERE run = 1")
    with opened(tmp_path) as store:
        assert list(store.queue_counts()) == [QueueCount("task", "ann", QueueState.WAITING, 1)]
        (problem,) = store.check()
        assert "'damaged'" in problem
        assert [claimed(store), claimed(store)] == ["intact", None]


def test_a_run_that_was_queued_wrongly_is_claimed_by_the_next_that_asks(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        queued(store, "a")
        change(tmp_path, "UPDATE queue SET needs = 'more'")
        group = QueueGroup(ANY_TAG, "task", DesiredState.STARTED, RunStatus.CREATED, False, "more")
        assert isinstance(store.submit(Claim("w", 3600.0, [group])).result(WAIT), CorruptBlob)
        assert store.check() == []
        assert claimed(store) == "a"


def test_a_damaged_run_that_is_to_be_settled_leaves_the_queue(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for id in ("damaged", "intact"):
            queued(store, id)
            store.submit(SetDesiredState(id, DesiredState.STOPPED)).result(WAIT)
        change(tmp_path, "UPDATE executions SET attempt = 7 WHERE run = 1")
        (group,) = store.waiting_groups()
        assert store.unleased(group) == ["damaged", "intact"]
        assert isinstance(store.submit(Settle("damaged")).result(WAIT), CorruptBlob)
        assert store.unleased(group) == ["intact"]

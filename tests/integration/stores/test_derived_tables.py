"""Derived tables with damaged pages: replaced when a write meets one, by `Recount`, or at the opening."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.store_files import held, overwrite

from perdure.errors import CorruptBlob
from perdure.lifecycle import RunStatus
from perdure.run import Change
from perdure.stores.chain import Chain
from perdure.stores.commands import Append, ChangeRun, DeleteRun, Lease, Recount, Unleased
from perdure.stores.quota import Quota
from perdure.stores.run_list import RunFilter
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, an_entry, created, queued

OWNERS = 60
TAGS = ("tags", "tags_by_created", "tags_by_updated", "tags_by_name", "tags_of_owner_by_created")
STARTED = Change(state=RunStatus.STARTED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "perdure.db"
    with opened(path) as store:
        for number in range(OWNERS):
            owner = f"an owner with a long name {number:03} " * 5
            created(store, f"run-{number}", owner=owner, tags=("all", f"tag-{number}"))
            queued(store, f"task-{number}", owner=owner)
    return path


@contextmanager
def opened(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path)) as store:
        yield store


@pytest.mark.parametrize("table", [*TAGS, "owners", "queue", "queue_by_kind"])
def test_a_store_with_a_damaged_derived_table_serves_all_writes_and_is_whole_again(
    path: Path, table: str
) -> None:
    overwrite(path, table, slice(None))
    with opened(path) as store:
        assert store.run("run-0").position == 0  # by a connection that has read the schema as it was
        step = Append("run-0", Unleased(0), 0, [an_entry(1)], change=STARTED)
        assert store.submit(step).result(WAIT).steps[0].position == 1
        created(store, "new", owner="ann", tags=("all",))
        assert store.submit(Lease("task-0", "worker", 60.0)).result(WAIT).attempt == 1
        store.submit(ChangeRun("run-1", 0, Change(state=RunStatus.STOPPED))).result(WAIT)
        store.submit(DeleteRun("run-2")).result(WAIT)
        assert len(store.runs(RunFilter(tags=("all",)))) == OWNERS
        assert sum(count.count for count in store.queue_counts()) == OWNERS
        store.check_quota("ann", Quota(unfinished=2))
        assert store.check() == []


@pytest.mark.parametrize("table", ["tags", "tags_by_name", "owners"])
def test_a_recount_replaces_a_damaged_table_and_says_so(path: Path, table: str) -> None:
    overwrite(path, table)
    with opened(path) as store:
        assert store.check() != []
        (found,) = store.submit(Recount()).result(WAIT)
        assert found == f"a page of the table {table.split('_')[0]}, which is derived, was damaged"
        assert store.check() == []
        assert list(store.submit(Recount()).result(WAIT)) == []


def test_all_of_a_batch_is_done_once_though_one_of_it_met_a_damaged_table(path: Path) -> None:
    overwrite(path, "tags", slice(None))
    with opened(path) as store:
        chain = Chain()
        with held(store):
            appends = [
                store.submit(Append("run-0", Unleased(0), 0, [an_entry(1)]), chain),
                store.submit(Append("run-0", Unleased(0), 1, [an_entry(2)], change=STARTED), chain),
                store.submit(Append("run-0", Unleased(0), 2, [an_entry(3)]), chain),
            ]
        assert [append.exception(WAIT) for append in appends] == [None] * 3
        assert [step.position for step in store.steps("run-0")] == [1, 2, 3]


def test_a_table_is_replaced_though_a_page_of_what_it_is_made_of_is_damaged_too(path: Path) -> None:
    overwrite(path, "runs", slice(1))
    overwrite(path, "tags")
    with opened(path) as store:
        with capture_logs() as logs:
            created(store, "new")
        assert [log["table"] for log in logs if log["event"] == "damaged_table_replaced"] == ["tags"]
        ids = [run.id for run in store.runs(limit=1000)]
        assert "new" in ids
        assert 2 * OWNERS > len(ids) > OWNERS / 2


def test_damage_elsewhere_is_refused_and_replaces_nothing(path: Path) -> None:
    with opened(path) as store:
        for id in ("low", "between", "high"):
            created(store, id, steps=200 if id != "between" else 600)
    overwrite(path, "steps")
    with opened(path) as store, capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(CorruptBlob):
                store.submit(Append("high", Unleased(0), 200, [an_entry(201)])).result(WAIT)
        store.submit(Append("low", Unleased(0), 200, [an_entry(201)])).result(WAIT)
    assert [log for log in logs if log["event"] == "damaged_table_replaced"] == []

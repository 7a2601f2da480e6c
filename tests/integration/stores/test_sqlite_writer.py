"""The writer commits what waits together, and an item harms none of its neighbours."""

from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.store_files import held

from perdure.errors import PositionConflict, RunNotFound
from perdure.run import Entry
from perdure.stores.chain import Chain
from perdure.stores.commands import Append, CreateRun, DeleteRun, Unleased, encoded
from perdure.stores.file_medium import CHECKPOINT
from perdure.stores.sqlite import SqliteStore
from perdure.stores.writer import BATCH
from perdure.testing.faults import FaultyVFS
from perdure.testing.store_samples import WAIT, a_run, a_savepoint, a_step, an_entry, created


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path)) as store:
        yield store


def test_whatever_waits_is_made_durable_by_one_sync(tmp_path: Path) -> None:
    vfs = FaultyVFS()
    with closing(SqliteStore(tmp_path, vfs=vfs.name)) as store:
        with held(store):
            syncs = vfs.syncs
            futures = [
                store.submit(CreateRun(a_run(f"r{number}"), encoded(a_savepoint())))
                for number in range(BATCH)
            ]
        assert len(wait(futures, WAIT).done) == BATCH
        assert vfs.syncs - syncs == 1


def test_more_than_a_batch_is_committed_all_the_same(store: SqliteStore) -> None:
    created(store)
    with held(store):
        futures = [
            store.submit(Append("run", Unleased(0), at, [an_entry(at + 1)])) for at in range(2 * BATCH + 1)
        ]
    assert [future.result(WAIT).steps[0].position for future in futures] == list(range(1, 2 * BATCH + 2))


def test_a_refused_item_fails_only_itself(store: SqliteStore) -> None:
    created(store)
    with held(store):
        futures: list[Future[Any]] = [
            store.submit(Append("run", Unleased(0), 0, [an_entry(1)])),
            store.submit(Append("run", Unleased(0), 0, [an_entry(9)])),
            store.submit(DeleteRun("no")),
            store.submit(Append("run", Unleased(0), 1, [an_entry(2)])),
        ]
    wait(futures, WAIT)
    refusals = [type(future.exception()) for future in futures]
    assert refusals == [type(None), PositionConflict, RunNotFound, type(None)]
    assert list(store.steps("run")) == [a_step(1), a_step(2)]


def test_an_item_that_is_no_data_fails_only_itself(store: SqliteStore) -> None:
    created(store)
    broken: Any = object()
    with held(store):
        before = store.submit(Append("run", Unleased(0), 0, [an_entry(1)]))
        between = store.submit(
            Append("run", Unleased(0), 1, [an_entry(2), Entry(inputs=None, outputs=broken)])
        )
        after = store.submit(Append("run", Unleased(0), 1, [an_entry(2)]))
    assert isinstance(between.exception(WAIT), TypeError)
    assert (before.exception(WAIT), after.exception(WAIT)) == (None, None)
    assert list(store.steps("run")) == [a_step(1), a_step(2)]


def test_a_write_cancelled_before_its_turn_leaves_no_trace(store: SqliteStore) -> None:
    created(store)
    with held(store):
        cancelled = store.submit(Append("run", Unleased(0), 0, [an_entry(1)]))
        other = store.submit(Append("run", Unleased(0), 0, [an_entry(1)]))
        assert cancelled.cancel()
    assert other.result(WAIT).steps == (a_step(1),)
    with pytest.raises(CancelledError):
        cancelled.result(WAIT)
    assert store.run("run").position == 1


def test_a_cancelled_append_of_a_chain_refuses_only_those_after_it(store: SqliteStore) -> None:
    created(store)
    chain = Chain()
    with held(store):
        appends = [
            store.submit(Append("run", Unleased(0), position, [an_entry(position + 1)]), chain)
            for position in range(5)
        ]
        assert appends[2].cancel()
    assert [appends[at].exception(WAIT) for at in (0, 1)] == [None, None]
    refused = [appends[at].exception(WAIT) for at in (3, 4)]
    assert all(isinstance(error, PositionConflict) for error in refused)
    assert refused[0] is not refused[1]
    assert list(store.steps("run")) == [a_step(1), a_step(2)]
    later = store.submit(Append("run", Unleased(0), 2, [an_entry(3)]), chain)
    assert isinstance(later.exception(WAIT), PositionConflict)


def test_a_write_that_was_taken_can_not_be_cancelled(store: SqliteStore) -> None:
    with held(store) as taken:
        assert not taken.cancel()
    assert taken.result(WAIT).run.id == "held"


def test_a_reader_sees_only_what_is_durable_and_never_waits_for_the_writer(store: SqliteStore) -> None:
    created(store)
    with held(store):
        waiting = store.submit(Append("run", Unleased(0), 0, [an_entry(1)]))
        assert store.run("run").position == 0
        assert list(store.steps("run")) == []
    waiting.result(WAIT)
    assert store.run("run").position == 1


def test_the_log_of_a_long_life_stays_short(tmp_path: Path, store: SqliteStore) -> None:
    created(store)
    pages, page = 50, 4096
    for at in range(5 * CHECKPOINT // pages):
        entry = Entry(inputs=None, outputs=bytes(pages * page))
        store.submit(Append("run", Unleased(0), at, [entry])).result(WAIT)
    assert (tmp_path / "perdure.db-wal").stat().st_size < 1.2 * CHECKPOINT * page
    assert store.run("run").position == 5 * CHECKPOINT // pages

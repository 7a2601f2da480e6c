"""Lists of runs in the SQLite store: what a plain filter and sort give, whatever happens between pages."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.oracle_lists import listed

from perdure.lifecycle import FINAL, RunStatus
from perdure.run import Change, Run
from perdure.stores.commands import Append, ChangeRun, CreateRun, DeleteRun, Recount, Unleased
from perdure.stores.run_list import Cursor, RunFilter, RunOrder
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, a_run, an_entry, created

times = st.sampled_from([0.5, 1.0, 2.0, 1e9])
names = st.sampled_from(["", "a", "ab", "AB", "é", "\U0001f30a"])
tags = st.sets(st.sampled_from(["p", "q", "r"])).map(lambda some: tuple(sorted(some)))
runs = st.lists(
    st.builds(
        a_run,
        owner=st.sampled_from(["ann", "bob"]),
        kind=st.sampled_from(["session", "task", "experiment"]),
        state=st.sampled_from(RunStatus),
        name=names,
        tags=tags,
        created=times,
        updated=times,
    ),
    max_size=14,
)
filters = st.builds(
    RunFilter,
    owner=st.none() | st.sampled_from(["ann", "bob", "eve"]),
    kind=st.none() | st.sampled_from(["session", "task"]),
    states=st.none() | st.frozensets(st.sampled_from(RunStatus)) | st.just(FINAL),
    tags=tags,
    name=st.none() | names,
    text=st.none() | st.sampled_from(["", "A", "é", "n", "r1"]),
    created_after=st.none() | times,
    created_before=st.none() | times,
    updated_after=st.none() | times,
    updated_before=st.none() | times,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path_factory.mktemp("store"))) as opened:
        yield opened


def keep(store: SqliteStore, some: list[Run]) -> list[Run]:
    """Forget all runs, and keep these under other ids."""
    for run in store.runs(limit=1000):
        store.submit(DeleteRun(run.id)).result(WAIT)
    made = [store.submit(CreateRun(numbered(run, number))) for number, run in enumerate(some)]
    return [future.result(WAIT).run for future in made]


def numbered(run: Run, number: int) -> Run:
    return a_run(
        f"r{number}",
        owner=run.owner,
        kind=run.kind,
        state=run.state,
        name=run.name,
        tags=run.tags,
        created=run.created,
        updated=run.updated,
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some=runs, wanted=filters, order=st.sampled_from(RunOrder), limit=st.integers(1, 5))
def test_pages_are_what_a_plain_filter_and_sort_give(
    store: SqliteStore, some: list[Run], wanted: RunFilter, order: RunOrder, limit: int
) -> None:
    kept = keep(store, some)
    found: list[str] = []
    cursor = None
    while page := store.runs(wanted, order=order, limit=limit, cursor=cursor):
        found += [run.id for run in page]
        cursor = Cursor.behind(page[-1], order)
    assert found == [run.id for run in listed(kept, wanted, order)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    some=runs,
    more=runs,
    wanted=filters,
    order=st.sampled_from(RunOrder),
    limit=st.integers(1, 4),
    data=st.data(),
)
def test_a_run_that_stays_where_it_is_comes_once_whatever_is_added_and_deleted_between_pages(
    store: SqliteStore,
    some: list[Run],
    more: list[Run],
    wanted: RunFilter,
    order: RunOrder,
    limit: int,
    data: st.DataObject,
) -> None:
    kept = keep(store, some)
    staying = {run.id for run in kept}
    found: list[str] = []
    cursor = None
    added = iter(more)
    while page := store.runs(wanted, order=order, limit=limit, cursor=cursor):
        found += [run.id for run in page]
        cursor = Cursor.behind(page[-1], order)
        if staying and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(staying)))
            staying.discard(gone)
            store.submit(DeleteRun(gone)).result(WAIT)
        if (run := next(added, None)) is not None:
            store.submit(CreateRun(numbered(run, 100 + len(found)))).result(WAIT)
    assert len(set(found)) == len(found)
    expected = [run.id for run in listed(kept, wanted, order) if run.id in staying]
    assert [id for id in found if id in staying] == expected


def test_changes_of_state_name_and_tags_are_listed_at_once_and_after_reopening(tmp_path: Path) -> None:
    stopped = RunFilter(states=frozenset({RunStatus.STOPPED}))
    with closing(SqliteStore(tmp_path)) as store:
        created(store, name="a", tags=("p",))
        store.submit(ChangeRun("run", 0, Change(state=RunStatus.STOPPED))).result(WAIT)
        assert [run.id for run in store.runs(stopped)] == ["run"]
        store.submit(ChangeRun("run", 1, Change(name="b", tags=("q",)))).result(WAIT)
    with closing(SqliteStore(tmp_path)) as store:
        assert [run.id for run in store.runs(RunFilter(name="b", tags=("q",)))] == ["run"]
        assert list(store.runs(RunFilter(name="a"))) == list(store.runs(RunFilter(tags=("p",)))) == []
        store.submit(DeleteRun("run")).result(WAIT)
        assert list(store.runs()) == list(store.check()) == []


def test_a_step_writes_no_row_of_a_list(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        created(store, tags=("p",))
    changed: list[str] = []
    with closing(apsw.Connection(str(tmp_path / "perdure.db"))) as connection:
        connection.set_update_hook(lambda _, database, table, number: changed.append(table))
        connection.execute("UPDATE runs SET position = position + 1, updated = 5.0")
        assert changed == ["runs"]
        assert connection.execute("SELECT DISTINCT updated FROM tags").get == 1.0


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM tags WHERE run = 2 AND tag = ''",
        "DELETE FROM tags WHERE run = 2 AND tag = 'p'",
        "UPDATE tags SET state = 'stopped' WHERE run = 2 AND tag = ''",
        "UPDATE tags SET name = 'x' WHERE run = 2 AND tag = 'p'",
        "UPDATE tags SET updated = 7.0 WHERE run = 3 AND tag = 'p'",
        "UPDATE labels SET tags = '[]' WHERE run = 2; DELETE FROM tags WHERE run = 2 AND tag = ''",
    ],
)
def test_a_run_that_is_listed_otherwise_than_it_is_is_found_and_listed_anew(
    tmp_path: Path, damage: str
) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        for id in ("one", "two", "three", "four"):
            created(store, id, name=id, tags=("p",))
        store.submit(ChangeRun("three", 0, Change(state=RunStatus.STOPPED))).result(WAIT)
    with closing(apsw.Connection(str(tmp_path / "perdure.db"))) as connection:
        connection.execute(damage)
        connection.execute("UPDATE runs SET state = 'startec' WHERE id = 'four'")  # one can't be read
    with closing(SqliteStore(tmp_path)) as store:
        assert len(store.check()) == 2
        (told,) = store.submit(Recount()).result(WAIT)
        assert "was listed otherwise" in told
        (left,) = store.check()
        assert left.startswith("run four: ")
        assert [run.id for run in store.runs(order=RunOrder.CREATED)] == ["one", "two", "three"]


def test_damaged_tags_are_named_and_keep_no_run_from_its_steps(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        created(store, "two", tags=("p",))
    damage = (("[", RunStatus.STARTED), ('["p", 1]', RunStatus.PAUSED), ("{}", RunStatus.STARTED))
    for position, (tags, state) in enumerate(damage):
        with closing(apsw.Connection(str(tmp_path / "perdure.db"))) as connection:
            connection.execute("DROP TRIGGER IF EXISTS label_listed_anew")
            connection.execute("UPDATE labels SET tags = ?", (tags,))
        with closing(SqliteStore(tmp_path)) as store:
            store.submit(
                Append("two", Unleased(0), position, [an_entry(1)], None, Change(state=state))
            ).result(WAIT)
            assert store.check()[0].startswith("run two: it can't be read: ")
            created(store, "intact")
            assert [run.id for run in store.runs()] == ["intact"]
            store.submit(DeleteRun("intact")).result(WAIT)


def test_lists_beside_a_damaged_record_go_on_page_by_page(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        for number in range(9):
            created(store, f"r{number}", created=float(number), tags=("p",))
    with closing(apsw.Connection(str(tmp_path / "perdure.db"))) as connection:
        connection.execute("UPDATE runs SET outcome = 'x' WHERE id IN ('r2', 'r3', 'r8')")
    with closing(SqliteStore(tmp_path)) as store:
        for order in RunOrder:
            found: list[str] = []
            cursor = None
            while page := store.runs(RunFilter(tags=("p",)), order=order, limit=2, cursor=cursor):
                found += [run.id for run in page]
                cursor = Cursor.behind(page[-1], order)
            assert sorted(found) == ["r0", "r1", "r4", "r5", "r6", "r7"]


def test_what_a_step_updated_is_in_its_place_though_no_index_has_it(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        for id in ("a", "b", "c"):
            created(store, id)
        for id in ("b", "a", "c", "b"):
            store.submit(Append(id, Unleased(0), store.run(id).position, [an_entry(1)])).result(WAIT)
        assert [run.id for run in store.runs(order=RunOrder.LATEST)] == ["b", "c", "a"]

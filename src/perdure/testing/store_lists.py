"""The conformance suite of stores: names, tags and lists of runs."""

from itertools import product
from pathlib import Path

from perdure.errors import VersionConflict
from perdure.lifecycle import Outcome, RunStatus
from perdure.run import Change, Run
from perdure.stores.base import Store
from perdure.stores.commands import (
    Append,
    ChangeRun,
    CreateRun,
    DeleteRun,
    Finish,
    Fork,
    ForkRuns,
    Lease,
    Leased,
    Unleased,
    encoded,
)
from perdure.stores.run_list import ALL, Cursor, RunFilter, RunOrder
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import (
    a_fork,
    a_run,
    a_savepoint,
    an_entry,
    an_execution,
    commit,
    created,
    raised,
)

__all__ = ["ListConformance"]

STATES = (RunStatus.CREATED, RunStatus.STARTED, RunStatus.COMPLETED, RunStatus.FAILED)


def _ids(store: Store, filter: RunFilter = ALL, order: RunOrder = RunOrder.CREATED) -> list[str]:
    return [run.id for run in store.runs(filter, order=order)]


def _page_by_page(store: Store, filter: RunFilter, order: RunOrder, limit: int) -> list[str]:
    """Return the ids of a list, read in pages."""
    found: list[Run] = []
    cursor = None
    while page := store.runs(filter, order=order, limit=limit, cursor=cursor):
        assert len(page) <= limit
        found += page
        cursor = Cursor.parse(Cursor.behind(page[-1], order).text, order)
    return [run.id for run in found]


class ListConformance(StoreOpening):
    """The tests of names and tags, and of filtered and ordered lists."""

    # Names and tags

    def test_a_name_and_tags_are_read_back_as_they_were(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            run = a_run(name="Höhe: 3 °C, \"dry\" \\ 'x'", tags=("a/b", "k=v"))
            kept = commit(store, CreateRun(run, encoded(a_savepoint()))).run
            assert (kept.name, kept.tags) == (run.name, run.tags)
            assert store.run("run") == kept
            assert (created(store, "other").name, store.run("other").tags) == ("", ())

    def test_a_fork_has_the_name_and_tags_that_it_is_made_with(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", name="one", tags=("p",))
            fork = a_fork("fork", "parent", 0, name="two", tags=("q",))
            forks = ForkRuns([Fork(run=fork, savepoint=encoded(a_savepoint()))])
            assert commit(store, forks)[0].run.tags == ("q",)
            assert (store.run("fork").name, store.run("parent").name) == ("two", "one")
            assert _ids(store, RunFilter(tags=("q",))) == ["fork"]

    def test_forks_are_known_by_their_parents_also_by_those_that_were_deleted(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent")
            created(store, "bobs", owner="bob")
            for fork, parent, owner in (("b", "parent", "ann"), ("a", "b", "ann"), ("c", "bobs", "bob")):
                made = Fork(run=a_fork(fork, parent, 0, owner=owner), savepoint=encoded(a_savepoint()))
                commit(store, ForkRuns([made]))
            commit(store, DeleteRun("b"))
            assert [*store.parents().items()] == [("a", "b"), ("c", "bobs")]
            assert store.parents("bob") == {"c": "bobs"}
            assert store.parents("eve") == {}

    def test_a_change_of_name_and_tags_changes_nothing_else(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            before = created(store, steps=1, tags=("old",))
            named = commit(store, ChangeRun("run", 0, Change(name="Name")))
            assert (named.name, named.tags) == ("Name", ("old",))
            tagged = commit(store, ChangeRun("run", 1, Change(tags=("new",))))
            assert (tagged.name, tagged.tags) == ("Name", ("new",))
            assert (tagged.updated, tagged.position, tagged.state) == (before.updated, 1, before.state)
            with raised(VersionConflict):
                commit(store, ChangeRun("run", 1, Change(name="late")))
            commit(store, Append("run", Unleased(0), 1, [an_entry(2)]))
            commit(store, ChangeRun("run", 2, Change(state=RunStatus.STOPPED, outcome=Outcome.TERMINATED)))
            ended = commit(store, ChangeRun("run", 3, Change(name="", tags=())))
            assert (ended.name, ended.tags, ended.state) == ("", (), RunStatus.STOPPED)
            assert store.run("run") == ended
            assert _ids(store, RunFilter(tags=("new",))) == []

    def test_a_change_of_tags_takes_no_lease_away(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            execution = an_execution()
            commit(store, CreateRun(a_run("task", kind="task"), encoded(a_savepoint()), execution=execution))
            fence = commit(store, Lease("task", "w", 9.0)).fence
            commit(store, ChangeRun("task", 1, Change(name="Name", tags=("a",))))
            commit(store, Append("task", Leased(fence), 0, [an_entry(1)]))
            commit(store, Finish("task", fence, Change(state=RunStatus.COMPLETED), result=b"r"))
            assert (store.run("task").name, store.run("task").tags) == ("Name", ("a",))

    # Lists

    def test_a_list_has_all_runs_newest_first_unless_something_else_is_asked_for(
        self, tmp_path: Path
    ) -> None:
        with self.opened(tmp_path) as store:
            for id in ("r0", "r1", "r2"):
                created(store, id)
            assert [run.id for run in store.runs()] == ["r2", "r1", "r0"]
            assert [run.id for run in store.runs(limit=2)] == ["r2", "r1"]
            assert list(store.runs(limit=0)) == list(store.runs(limit=-1)) == []
            assert [run.id for run in store.runs(limit=1, offset=1)] == ["r1"]
            behind = Cursor.behind(store.run("r2"), RunOrder.NEWEST)
            assert [run.id for run in store.runs(cursor=behind, offset=1)] == ["r0"]
            assert list(store.runs(offset=3)) == []
            assert store.count_runs() == 3

    def test_a_list_has_the_runs_that_all_of_its_filter_holds_of(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            places = product(("ann", "bob"), ("session", "task"), STATES, ((), ("p",), ("p", "q")))
            made = []
            for number, (owner, kind, state, tags) in enumerate(places):
                made.append(
                    a_run(f"r{number}", owner=owner, kind=kind, state=state, tags=tags, created=float(number))
                )
                commit(store, CreateRun(made[-1]))
            filters = [
                RunFilter(owner=owner, kind=kind, states=states, tags=tags)
                for owner, kind, states, tags in product(
                    (None, "ann", "eve"),
                    (None, "task", "none"),
                    (None, frozenset(), frozenset(STATES[1:3])),
                    ((), ("p",), ("q", "p"), ("none",), ("p", "none")),
                )
            ]
            for filter in filters:
                expected = [
                    run.id
                    for run in made
                    if filter.owner in (None, run.owner)
                    and filter.kind in (None, run.kind)
                    and (filter.states is None or run.state in filter.states)
                    and all(tag in run.tags for tag in filter.tags)
                ]
                assert store.count_runs(filter) == len(expected), filter
                for order in (RunOrder.CREATED, RunOrder.UPDATED, RunOrder.NAME):
                    assert _page_by_page(store, filter, order, 5) == expected, (filter, order)
                for order in (RunOrder.NEWEST, RunOrder.LATEST, RunOrder.NAME_BACKWARDS):
                    assert _page_by_page(store, filter, order, 5) == expected[::-1], (filter, order)

    def test_a_list_is_in_the_order_of_creation_of_the_last_update_or_of_names(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id, at, updated, name in (
                ("a", 3.0, 1.0, "b"),
                ("b", 1.0, 3.0, "é"),
                ("c", 2.0, 2.0, ""),
                ("d", 2.0, 2.0, "B"),
            ):
                commit(store, CreateRun(a_run(id, created=at, updated=updated, name=name)))
            for order, expected in (
                (RunOrder.CREATED, "bcda"),
                (RunOrder.UPDATED, "acdb"),
                (RunOrder.NAME, "cdab"),
            ):
                assert _ids(store, order=order) == list(expected)
                assert _ids(store, order=RunOrder(f"-{order}")) == list(expected[::-1])

    def test_what_was_stepped_last_comes_last_among_the_updated(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id in ("a", "b", "c"):
                created(store, id)
            commit(store, ChangeRun("c", 0, Change(state=RunStatus.STOPPED)))
            commit(store, Append("a", Unleased(0), 0, [an_entry(1)]))
            assert _ids(store, order=RunOrder.UPDATED) == ["b", "c", "a"]
            after = store.run("b").updated
            assert _ids(store, RunFilter(updated_after=after), RunOrder.NAME) == ["a", "c"]
            assert _ids(store, RunFilter(updated_before=store.run("a").updated), RunOrder.LATEST) == [
                "c",
                "b",
            ]
            commit(store, ChangeRun("c", 1, Change(reason="why")))
            assert _ids(store, order=RunOrder.LATEST) == ["c", "a", "b"]

    def test_a_list_can_be_bounded_by_times(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for at in range(5):
                created(store, f"r{at}", created=float(at), updated=float(9 - at))
            filter = RunFilter(created_after=0.0, created_before=4.0)
            for order in RunOrder:
                assert sorted(_page_by_page(store, filter, order, 2)) == ["r1", "r2", "r3"]
                assert store.count_runs(filter) == 3
                updated = RunFilter(updated_after=5.0, updated_before=9.0, created_after=1.0)
                assert sorted(_page_by_page(store, updated, order, 2)) == ["r2", "r3"]

    def test_runs_are_found_by_what_their_name_begins_with(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id, name in enumerate(("flood 1", "flood 2", "Flood", "flo", "", "flood%", "\U0010ffff")):
                created(store, f"r{id}", name=name)
            for order in RunOrder:
                for prefix, expected in (
                    ("flood", "015"),
                    ("flood%", "5"),
                    ("", "0123456"),
                    ("\U0010ffff", "6"),
                ):
                    found = _page_by_page(store, RunFilter(name=prefix), order, 2)
                    assert sorted(found) == [f"r{number}" for number in expected]

    def test_runs_are_searched_by_what_is_in_their_name_or_id(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id, name in (("x-ABC", ""), ("y", "an abc"), ("z", "a_c"), ("w", "Ärger 5%\\")):
                created(store, id, name=name)
            for text, expected in (("aBc", ["x-ABC", "y"]), ("", ["x-ABC", "y", "z", "w"])):
                assert _ids(store, RunFilter(text=text)) == expected
            for text, expected in (("_", ["z"]), ("5%", ["w"]), ("\\", ["w"]), ("%\\%", []), ("Ä", ["w"])):
                assert _ids(store, RunFilter(text=text)) == expected
            assert _ids(store, RunFilter(text="ä")) == []  # of ASCII letters only the case doesn't matter

    def test_a_list_goes_on_behind_a_run_that_is_gone(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for number in range(6):
                created(store, f"r{number}", created=float(number))
            page = store.runs(limit=2)
            for id in ("r5", "r4", "r3"):
                commit(store, DeleteRun(id))
            created(store, "new", created=9.0)
            created(store, "old", created=0.5)
            rest = store.runs(cursor=Cursor.behind(page[-1], RunOrder.NEWEST))
            assert [run.id for run in rest] == ["r2", "r1", "old", "r0"]

    def test_a_run_is_listed_by_the_state_it_came_to(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id in ("a", "b"):
                created(store, id, tags=("t",))
            commit(store, Append("a", Unleased(0), 0, [an_entry(1)], None, Change(state=RunStatus.STARTED)))
            for tags in ((), ("t",)):
                started = RunFilter(states=frozenset({RunStatus.STARTED}), tags=tags)
                assert _ids(store, started) == ["a"]
                assert _ids(store, RunFilter(states=frozenset({RunStatus.CREATED}), tags=tags)) == ["b"]

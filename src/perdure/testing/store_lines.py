"""The conformance suite of stores: output lines, which an execution reports and savepoints number."""

from pathlib import Path

from msgspec.structs import replace

from perdure.errors import Fenced, Invalid, SavepointNotFound
from perdure.run import LogLine
from perdure.stores.commands import (
    Append,
    CutLines,
    Fork,
    ForkRuns,
    Leased,
    MarkSavepoint,
    PutSavepoint,
    Release,
    Report,
    encoded,
)
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import (
    a_line,
    a_run,
    a_savepoint,
    an_entry,
    an_execution,
    commit,
    created,
    leased,
    queued,
    raised,
)

__all__ = ["LineConformance"]


class LineConformance(StoreOpening):
    """The tests of output lines."""

    def test_lines_are_numbered_and_read_page_by_page(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = leased(store)
            commit(store, Report("task", fence, lines=[a_line(1), a_line(2)]))
            commit(store, Report("task", fence, lines=[a_line(3)]))
            assert list(store.log_lines("task")) == [a_line(1), a_line(2), a_line(3)]
            assert list(store.log_lines("task", after=1, limit=1)) == [a_line(2)]
            assert list(store.log_lines("task", limit=-1)) == []
            line = LogLine(text="Grüße\n", level="warning", time=2.5, number=77)
            commit(store, Report("task", fence, lines=[line]))
            assert list(store.log_lines("task", after=3)) == [replace(line, number=4)]

    def test_the_oldest_lines_go(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep_lines=3) as store:
            queued(store)
            fence = leased(store)
            commit(store, Report("task", fence, lines=[a_line(1), a_line(2)]))
            commit(store, Report("task", fence, lines=[a_line(3), a_line(4)]))
            assert list(store.log_lines("task")) == [a_line(2), a_line(3), a_line(4)]
            commit(store, Report("task", fence, lines=[a_line(at) for at in range(5, 10)]))
            assert list(store.log_lines("task")) == [a_line(7), a_line(8), a_line(9)]

    def test_lines_after_a_savepoint_are_cut_and_their_numbers_used_again(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = leased(store)
            commit(store, Report("task", fence, lines=[a_line(1), a_line(2)]))
            commit(store, Append("task", Leased(fence), 0, [an_entry(1)], encoded(a_savepoint(1))))
            commit(store, Report("task", fence, lines=[a_line(3)]))
            commit(store, PutSavepoint("task", Leased(fence), encoded(a_savepoint(2))))
            commit(store, Report("task", fence, lines=[a_line(4)]))
            for savepoint, left in ((2, 3), (2, 3), (1, 2), (2, 2), (0, 0), (None, 0)):
                commit(store, CutLines("task", fence, savepoint))
                assert list(store.log_lines("task")) == [a_line(at) for at in range(1, left + 1)]
            commit(store, Report("task", fence, lines=[a_line(1)]))
            assert list(store.log_lines("task")) == [a_line(1)]

    def test_a_savepoint_in_place_of_another_remembers_the_lines_of_its_own(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = leased(store)
            for number in (1, 2):
                commit(store, Report("task", fence, lines=[a_line(number)]))
                commit(store, Append("task", Leased(fence), 0, [], encoded(a_savepoint(1, 0))))
            commit(store, MarkSavepoint("task", 1, name="here", pinned=True))
            commit(store, Report("task", fence, lines=[a_line(3)]))
            commit(store, MarkSavepoint("task", 1, name=None, pinned=False))
            commit(store, CutLines("task", fence, 1))
            assert list(store.log_lines("task")) == [a_line(1), a_line(2)]

    def test_numbers_go_on_though_the_last_line_is_not_kept_any_more(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep_lines=2) as store:
            queued(store)
            fence = leased(store)
            commit(store, Report("task", fence, lines=[a_line(at) for at in range(1, 6)]))
            assert list(store.log_lines("task")) == [a_line(4), a_line(5)]
            commit(store, PutSavepoint("task", Leased(fence), encoded(a_savepoint(1))))
            commit(store, Report("task", fence, lines=[a_line(6), a_line(7), a_line(8)]))
            commit(store, CutLines("task", fence, 1))
            assert list(store.log_lines("task")) == []
            commit(store, Report("task", fence, lines=[a_line(6)]))
            assert list(store.log_lines("task")) == [a_line(6)]

    def test_lines_are_cut_by_whoever_has_the_lease(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            queued(store)
            former = leased(store)
            commit(store, Report("task", former, lines=[a_line(1)]))
            commit(store, Release("task", former))
            fence = leased(store, worker="another")
            for savepoint in (None, 0, 7):
                with raised(Fenced):
                    commit(store, CutLines("task", former, savepoint))
            with raised(SavepointNotFound) as errors:
                commit(store, CutLines("task", fence, 7))
            assert errors[0].values == {"run": "task", "savepoint": 7}
            assert list(store.log_lines("task")) == [a_line(1)]

    def test_a_fork_wrote_nothing_before_its_savepoints(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = leased(store)
            commit(store, Report("task", fence, lines=[a_line(1)]))
            commit(
                store,
                Append("task", Leased(fence), 0, [an_entry(1)], encoded(a_savepoint(1, milestone=True))),
            )
            fork = replace(a_run("fork", kind="task"), parent="task", parent_position=1)
            commit(
                store,
                ForkRuns(
                    [Fork(run=fork, savepoint=encoded(a_savepoint(2, 1)), execution=an_execution("fork"))]
                ),
            )
            assert list(store.log_lines("fork")) == []
            fence = leased(store, "fork")
            for savepoint in (0, 1, 2, None):
                commit(store, Report("fork", fence, lines=[a_line(1), a_line(2)]))
                commit(store, CutLines("fork", fence, savepoint))
                assert list(store.log_lines("fork")) == []
            assert list(store.log_lines("task")) == [a_line(1)]

    def test_at_least_one_line_is_kept(self, tmp_path: Path) -> None:
        with raised(Invalid):
            self.open_store(tmp_path, keep_lines=0)

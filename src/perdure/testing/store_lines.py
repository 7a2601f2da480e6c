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
    Lease,
    Leased,
    MarkSavepoint,
    PutSavepoint,
    Release,
    Report,
    encoded,
)
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import (
    LONG,
    WAIT,
    a_line,
    a_run,
    a_savepoint,
    an_entry,
    an_execution,
    created,
    queued,
    raised,
)

__all__ = ["LineConformance"]


class LineConformance(StoreOpening):
    """The tests of output lines."""

    def test_lines_are_numbered_and_read_page_by_page(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = store.submit(Lease("task", "one", LONG)).result(WAIT).fence
            store.submit(Report("task", fence, lines=[a_line(1), a_line(2)])).result(WAIT)
            store.submit(Report("task", fence, lines=[a_line(3)])).result(WAIT)
            assert list(store.log_lines("task")) == [a_line(1), a_line(2), a_line(3)]
            assert list(store.log_lines("task", after=1, limit=1)) == [a_line(2)]
            assert list(store.log_lines("task", limit=-1)) == []
            line = LogLine(text="Grüße\n", level="warning", time=2.5, number=77)
            store.submit(Report("task", fence, lines=[line])).result(WAIT)
            assert list(store.log_lines("task", after=3)) == [replace(line, number=4)]

    def test_the_oldest_lines_go(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep_lines=3) as store:
            queued(store)
            fence = store.submit(Lease("task", "one", LONG)).result(WAIT).fence
            store.submit(Report("task", fence, lines=[a_line(1), a_line(2)])).result(WAIT)
            store.submit(Report("task", fence, lines=[a_line(3), a_line(4)])).result(WAIT)
            assert list(store.log_lines("task")) == [a_line(2), a_line(3), a_line(4)]
            store.submit(Report("task", fence, lines=[a_line(at) for at in range(5, 10)])).result(WAIT)
            assert list(store.log_lines("task")) == [a_line(7), a_line(8), a_line(9)]

    def test_lines_after_a_savepoint_are_cut_and_their_numbers_used_again(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = store.submit(Lease("task", "one", LONG)).result(WAIT).fence
            store.submit(Report("task", fence, lines=[a_line(1), a_line(2)])).result(WAIT)
            store.submit(Append("task", Leased(fence), 0, [an_entry(1)], encoded(a_savepoint(1)))).result(
                WAIT
            )
            store.submit(Report("task", fence, lines=[a_line(3)])).result(WAIT)
            store.submit(PutSavepoint("task", Leased(fence), encoded(a_savepoint(2)))).result(WAIT)
            store.submit(Report("task", fence, lines=[a_line(4)])).result(WAIT)
            for savepoint, left in ((2, 3), (2, 3), (1, 2), (2, 2), (0, 0), (None, 0)):
                store.submit(CutLines("task", fence, savepoint)).result(WAIT)
                assert list(store.log_lines("task")) == [a_line(at) for at in range(1, left + 1)]
            store.submit(Report("task", fence, lines=[a_line(1)])).result(WAIT)
            assert list(store.log_lines("task")) == [a_line(1)]

    def test_a_savepoint_in_place_of_another_remembers_the_lines_of_its_own(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = store.submit(Lease("task", "one", LONG)).result(WAIT).fence
            for number in (1, 2):
                store.submit(Report("task", fence, lines=[a_line(number)])).result(WAIT)
                store.submit(Append("task", Leased(fence), 0, [], encoded(a_savepoint(1, 0)))).result(WAIT)
            store.submit(MarkSavepoint("task", 1, name="here", pinned=True)).result(WAIT)
            store.submit(Report("task", fence, lines=[a_line(3)])).result(WAIT)
            store.submit(MarkSavepoint("task", 1, name=None, pinned=False)).result(WAIT)
            store.submit(CutLines("task", fence, 1)).result(WAIT)
            assert list(store.log_lines("task")) == [a_line(1), a_line(2)]

    def test_numbers_go_on_though_the_last_line_is_not_kept_any_more(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep_lines=2) as store:
            queued(store)
            fence = store.submit(Lease("task", "one", LONG)).result(WAIT).fence
            store.submit(Report("task", fence, lines=[a_line(at) for at in range(1, 6)])).result(WAIT)
            assert list(store.log_lines("task")) == [a_line(4), a_line(5)]
            store.submit(PutSavepoint("task", Leased(fence), encoded(a_savepoint(1)))).result(WAIT)
            store.submit(Report("task", fence, lines=[a_line(6), a_line(7), a_line(8)])).result(WAIT)
            store.submit(CutLines("task", fence, 1)).result(WAIT)
            assert list(store.log_lines("task")) == []
            store.submit(Report("task", fence, lines=[a_line(6)])).result(WAIT)
            assert list(store.log_lines("task")) == [a_line(6)]

    def test_lines_are_cut_by_whoever_has_the_lease(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            queued(store)
            former = store.submit(Lease("task", "one", LONG)).result(WAIT).fence
            store.submit(Report("task", former, lines=[a_line(1)])).result(WAIT)
            store.submit(Release("task", former)).result(WAIT)
            fence = store.submit(Lease("task", "two", LONG)).result(WAIT).fence
            for savepoint in (None, 0, 7):
                with raised(Fenced):
                    store.submit(CutLines("task", former, savepoint)).result(WAIT)
            with raised(SavepointNotFound) as errors:
                store.submit(CutLines("task", fence, 7)).result(WAIT)
            assert errors[0].values == {"run": "task", "savepoint": 7}
            assert list(store.log_lines("task")) == [a_line(1)]

    def test_a_fork_wrote_nothing_before_its_savepoints(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = store.submit(Lease("task", "w", LONG)).result(WAIT).fence
            store.submit(Report("task", fence, lines=[a_line(1)])).result(WAIT)
            store.submit(
                Append("task", Leased(fence), 0, [an_entry(1)], encoded(a_savepoint(1, milestone=True)))
            ).result(WAIT)
            fork = replace(a_run("fork", kind="task"), parent="task", parent_position=1)
            store.submit(
                ForkRuns(
                    [Fork(run=fork, savepoint=encoded(a_savepoint(2, 1)), execution=an_execution("fork"))]
                )
            ).result(WAIT)[0]
            assert list(store.log_lines("fork")) == []
            fence = store.submit(Lease("fork", "w", LONG)).result(WAIT).fence
            for savepoint in (0, 1, 2, None):
                store.submit(Report("fork", fence, lines=[a_line(1), a_line(2)])).result(WAIT)
                store.submit(CutLines("fork", fence, savepoint)).result(WAIT)
                assert list(store.log_lines("fork")) == []
            assert list(store.log_lines("task")) == [a_line(1)]

    def test_at_least_one_line_is_kept(self, tmp_path: Path) -> None:
        with raised(Invalid):
            self.open_store(tmp_path, keep_lines=0)

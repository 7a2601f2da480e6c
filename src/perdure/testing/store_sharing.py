"""The conformance suite of stores that several processes may open at once: two openings are one store.

The test class of a store with `shared` subclasses it besides the other suite:

    class TestMyStore(SharedStoreConformance, DurableStoreConformance):
        def open_store(self, folder: Path, *, keep: int = 3, keep_lines: int = 10_000) -> Store:
            return MyStore(f"my-database://localhost/{folder.name}", keep=keep, keep_lines=keep_lines)
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from perdure.errors import (
    EndedRunsExceeded,
    Fenced,
    KeyReused,
    LeaseHeld,
    PositionConflict,
    QuotaExceeded,
    RunFinished,
    RunNotFound,
    StoreUnavailable,
    VersionConflict,
)
from perdure.lifecycle import RunStatus
from perdure.run import Change
from perdure.stores.base import Store
from perdure.stores.commands import (
    Append,
    ChangeRun,
    CreateRun,
    DeleteRun,
    Finish,
    Lease,
    Leased,
    PutDocument,
    PutSavepoint,
    Release,
    Renew,
    Report,
    Unleased,
    encoded,
)
from perdure.stores.quota import Quota
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import (
    LONG,
    WAIT,
    a_change,
    a_key,
    a_line,
    a_run,
    a_savepoint,
    a_step,
    an_entry,
    commit,
    created,
    leased,
    queued,
    raised,
)

__all__ = ["SharedStoreConformance"]

RACES = 5


class SharedStoreConformance(StoreOpening):
    """The tests of a store that is opened twice at once. A subclass overrides `open_store`."""

    @contextlib.contextmanager
    def both(self, folder: Path) -> Iterator[tuple[Store, Store]]:
        """Open the store twice."""
        with self.opened(folder) as one, self.opened(folder) as other:
            yield one, other

    def test_each_opening_says_that_it_is_shared_and_sees_what_the_other_acknowledged(
        self, tmp_path: Path
    ) -> None:
        with self.both(tmp_path) as (one, other):
            assert one.shared
            assert other.shared
            run = created(one, steps=2)
            assert other.run("run") == run
            assert list(other.steps("run")) == [a_step(1), a_step(2)]
            commit(other, ChangeRun("run", run.version, Change(state=RunStatus.STARTED)))
            assert one.run("run").state is RunStatus.STARTED
            with raised(VersionConflict):
                commit(one, ChangeRun("run", run.version, Change(state=RunStatus.PAUSED)))
            commit(one, DeleteRun("run"))
            with raised(RunNotFound):
                other.run("run")

    def test_steps_appended_at_both_in_turn_are_kept_once_and_in_order(self, tmp_path: Path) -> None:
        with self.both(tmp_path) as (one, other):
            created(one)
            for position in range(6):
                at, behind = (one, other) if position % 2 == 0 else (other, one)
                commit(at, Append("run", Unleased(0), position, [an_entry(position + 1)]))
                with raised(PositionConflict):
                    commit(behind, Append("run", Unleased(0), position, [an_entry(99)]))
            for store in (one, other):
                assert list(store.steps("run")) == [a_step(number) for number in range(1, 7)]
                assert store.run("run").position == 6

    def test_one_of_many_writers_at_both_to_a_position_wins(self, tmp_path: Path) -> None:
        with self.both(tmp_path) as stores, ThreadPoolExecutor(8) as pool:
            created(stores[0])
            for position in range(RACES):

                def append(store: Store, at: int = position) -> Future[Any]:
                    return store.submit(Append("run", Unleased(0), at, [an_entry(at + 1)]))

                assert self._winners(pool, stores, append) == 1
            assert list(stores[1].steps("run")) == [a_step(number) for number in range(1, RACES + 1)]

    def test_a_request_that_is_repeated_at_the_other_gets_the_recorded_answer(self, tmp_path: Path) -> None:
        with self.both(tmp_path) as (one, other):
            made = commit(one, CreateRun(a_run(), encoded(a_savepoint()), a_key("make")))
            again = commit(other, CreateRun(a_run("second"), encoded(a_savepoint()), a_key("make")))
            assert (again.replayed, again.run.id) == (True, made.run.id)
            with raised(KeyReused):
                commit(other, CreateRun(a_run("third"), key=a_key("make", b"another")))
            commit(one, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
            taken = commit(other, Append("run", Unleased(0), 1, [an_entry(50, a_key())]))
            assert (taken.replayed, list(taken.steps)) == (True, [a_step(1)])
            assert other.step_by_key("run", a_key()) == a_step(1)
            with raised(KeyReused):
                commit(other, Append("run", Unleased(0), 1, [an_entry(2, a_key(body=b"another"))]))
            assert one.run("run").position == 1

    def test_a_lease_that_is_held_at_one_is_given_to_nobody_at_the_other(self, tmp_path: Path) -> None:
        with self.both(tmp_path) as (one, other):
            queued(one)
            lease = commit(one, Lease("task", "one", LONG))
            with raised(LeaseHeld) as refused:
                commit(other, Lease("task", "other", LONG))
            assert refused[0].values["holder"] == "one"
            assert other.execution("task") == lease
            commit(one, Report("task", lease.fence, progress=b"half", lines=[a_line(1)]))
            assert other.execution("task").progress == b"half"
            assert list(other.log_lines("task")) == [a_line(1)]
            commit(one, Release("task", lease.fence))
            taken = commit(other, Lease("task", "other", LONG))
            assert (taken.holder, taken.attempt) == ("other", 2)
            assert taken.fence > lease.fence

    def test_a_lease_that_ran_out_at_one_is_taken_at_the_other_and_voids_the_former(
        self, tmp_path: Path
    ) -> None:
        with self.both(tmp_path) as (one, other):
            queued(one)
            former = commit(one, Lease("task", "one", -1.0)).fence
            fence = leased(other, worker="other")
            for refused in (
                one.submit(Renew("task", former, LONG)),
                one.submit(Report("task", former, progress=b"stale")),
                one.submit(Append("task", Leased(former), 0, [an_entry(9)])),
                one.submit(PutSavepoint("task", Leased(former), encoded(a_savepoint(9)))),
                one.submit(Finish("task", former, a_change())),
                one.submit(Release("task", former)),
            ):
                with raised(Fenced):
                    refused.result(WAIT)
            commit(other, Append("task", Leased(fence), 0, [an_entry(1)], encoded(a_savepoint(1))))
            commit(other, Finish("task", fence, a_change(), result=b"r"))
            assert list(one.steps("task")) == [a_step(1)]
            assert one.execution("task").result == b"r"
            with raised(RunFinished):
                commit(one, Lease("task", "one", LONG))

    def test_one_of_many_at_both_gets_the_lease(self, tmp_path: Path) -> None:
        with self.both(tmp_path) as stores, ThreadPoolExecutor(8) as pool:
            for number in range(RACES):
                queued(stores[number % 2], id := f"task {number}")

                def lease(store: Store, id: str = id) -> Future[Any]:
                    return store.submit(Lease(id, "w", LONG))

                assert self._winners(pool, stores, lease) == 1
                assert stores[0].execution(id).attempt == 1

    def test_a_record_is_compared_with_what_the_other_put(self, tmp_path: Path) -> None:
        with self.both(tmp_path) as (one, other):
            first = commit(one, PutDocument("bptk", "id", b"one", None))
            assert other.document("bptk", "id") == first
            second = commit(other, PutDocument("bptk", "id", b"two", first.version))
            for version in (None, first.version):
                with raised(VersionConflict):
                    commit(one, PutDocument("bptk", "id", b"stale", version))
            assert list(one.documents("bptk")) == [second]

    def test_quotas_count_what_was_made_at_the_other(self, tmp_path: Path) -> None:
        with self.both(tmp_path) as (one, other):
            commit(one, CreateRun(a_run("first"), quota=Quota(unfinished=1)))
            with raised(QuotaExceeded):
                commit(other, CreateRun(a_run("second"), quota=Quota(unfinished=1)))
            commit(one, ChangeRun("first", 0, Change(state=RunStatus.STOPPED)))
            with raised(EndedRunsExceeded):
                commit(other, CreateRun(a_run("second"), quota=Quota(ended=1)))
            assert [run.id for run in other.runs()] == ["first"]

    def test_each_opening_sees_the_other_until_that_is_closed(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as one:
            assert list(one.other_openings()) == []
            with self.opened(tmp_path) as other:
                assert len(one.other_openings()) == len(other.other_openings()) == 1
            assert list(one.other_openings()) == []

    def test_closing_one_leaves_the_other_open(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as one:
            with self.opened(tmp_path) as other:
                created(other)
            with raised(StoreUnavailable):
                other.run("run")
            commit(one, Append("run", Unleased(0), 0, [an_entry(1)]))
            assert list(one.steps("run")) == [a_step(1)]

    def _winners(
        self, pool: ThreadPoolExecutor, stores: tuple[Store, Store], write: Callable[[Store], Future[Any]]
    ) -> int:
        """Let four threads at each opening write at once; return how many weren't refused."""
        start = threading.Barrier(8)

        def attempt(store: Store) -> bool:
            start.wait(WAIT)
            return write(store).exception(WAIT) is None

        return sum(pool.map(attempt, stores * 4))

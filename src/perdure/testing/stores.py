"""The conformance suite of stores: the port's contract as tests that every store runs.

Subclass `StoreConformance` in a test module of pytest and override `open_store`:

    class TestMyStore(StoreConformance):
        def open_store(self, folder: Path, *, keep: int = 3, keep_lines: int = 10_000) -> Store:
            return MyStore(folder / "runs", keep=keep, keep_lines=keep_lines)

The test class of a store that outlives its closing subclasses `DurableStoreConformance` instead; that of a
store which several processes may open at once also subclasses `SharedStoreConformance`.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from perdure.errors import Fenced, StoreUnavailable
from perdure.lifecycle import DesiredState, RunStatus
from perdure.run import Change
from perdure.stores.base import Version
from perdure.stores.commands import (
    Append,
    ChangeRun,
    Committed,
    CreateRun,
    CutLines,
    DeleteDocument,
    DeleteRun,
    Finish,
    Fork,
    ForkRuns,
    Lease,
    Leased,
    MarkSavepoint,
    Notice,
    PutDocument,
    Recount,
    Release,
    Renew,
    Report,
    SetDesiredState,
    Unleased,
    encoded,
)
from perdure.testing.store_blobs import BlobConformance
from perdure.testing.store_documents import DocumentConformance
from perdure.testing.store_executions import ExecutionConformance
from perdure.testing.store_facts import DurableFactConformance, FactConformance
from perdure.testing.store_leases import LeaseConformance
from perdure.testing.store_lines import LineConformance
from perdure.testing.store_lists import ListConformance
from perdure.testing.store_queue import QueueConformance
from perdure.testing.store_runs import RunConformance
from perdure.testing.store_samples import (
    LONG,
    WAIT,
    a_change,
    a_fork,
    a_key,
    a_line,
    a_run,
    a_savepoint,
    a_step,
    an_entry,
    commit,
    created,
    forked,
    queued,
    raised,
    unleased,
)
from perdure.testing.store_savepoints import SavepointConformance
from perdure.testing.store_sharing import SharedStoreConformance
from perdure.testing.store_steps import StepConformance

__all__ = ["DurableStoreConformance", "SharedStoreConformance", "StoreConformance"]

T = TypeVar("T")


class StoreConformance(
    FactConformance,
    RunConformance,
    ListConformance,
    StepConformance,
    SavepointConformance,
    QueueConformance,
    ExecutionConformance,
    LeaseConformance,
    LineConformance,
    DocumentConformance,
    BlobConformance,
):
    """The tests of every store. A subclass overrides `open_store`."""

    # Maintenance

    def test_a_sound_store_has_no_problems(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            assert list(store.check()) == []
            assert not commit(store, Recount())
            commit(store, CreateRun(a_run(), encoded(a_savepoint()), a_key()))
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())], encoded(a_savepoint(1))))
            commit(
                store,
                ForkRuns(
                    [Fork(run=a_fork("fork", "run", 1), savepoint=encoded(a_savepoint(1)), key=a_key("fork"))]
                ),
            )
            commit(store, PutDocument("bptk", "id", b"blob", None))
            queued(store)
            fence = commit(store, Lease("task", "w", 9.0)).fence
            commit(store, Report("task", fence, progress=b"p", lines=[a_line(1)]))
            assert list(store.check()) == []
            commit(store, Finish("task", fence, a_change(), result=b"r"))
            assert list(store.check()) == []

    # Watching

    def test_watchers_are_notified_of_each_change_before_its_future_resolves(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            seen: list[Committed | Notice] = []
            stop = store.watch(seen.append)
            created(store, steps=2)
            commit(store, ChangeRun("run", 0, Change(state=RunStatus.STARTED)))
            forked(store, "fork", "run", 1)
            commit(store, DeleteRun("fork"))
            assert seen == [
                Committed("run", RunStatus.CREATED, 0),
                Committed("run", RunStatus.CREATED, 2),
                Committed("run", RunStatus.STARTED, 2),
                Committed("fork", RunStatus.CREATED, 1),
                Committed("fork", RunStatus.CREATED, 1, deleted=True, owner="ann"),
            ]
            stop()
            stop()
            commit(store, DeleteRun("run"))
            assert len(seen) == 5

    def test_watchers_are_not_notified_of_refused_and_replayed_writes(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
            seen: list[Committed | Notice] = []
            store.watch(seen.append)
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
            store.submit(Append("run", Unleased(0), 0, [an_entry(1)])).exception(WAIT)
            assert seen == []

    def test_a_watcher_that_raises_harms_nobody(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            seen: list[Committed | Notice] = []

            def broken(change: Committed | Notice) -> None:
                raise RuntimeError("a bug of the watcher")

            store.watch(broken)
            store.watch(seen.append)
            created(store)
            assert len(seen) == 1

    def test_the_version_of_a_run_differs_after_each_change(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            seen: list[Version] = []

            def changed(change: Future[T]) -> T:
                result = change.result(WAIT)
                (version,) = store.versions(["task"]).values()
                assert version not in seen
                seen.append(version)
                return result

            changed(store.submit(SetDesiredState("task", DesiredState.PAUSED)))
            changed(store.submit(SetDesiredState("task", DesiredState.STARTED)))
            fence = changed(store.submit(Lease("task", "one", LONG))).fence
            commit(store, Renew("task", fence, 2 * LONG))
            assert store.versions(["task"]) == {"task": seen[-1]}, "nobody waits for a renewal"
            changed(store.submit(Report("task", fence, progress=b"p")))
            changed(store.submit(Report("task", fence, progress=b"q")))
            changed(store.submit(Report("task", fence, seconds=1.5)))
            changed(store.submit(Report("task", fence, crashes=1)))
            changed(store.submit(Report("task", fence, lines=[a_line(1)])))
            changed(store.submit(Report("task", fence, lines=[a_line(2), a_line(3)])))
            changed(
                store.submit(
                    Append("task", Leased(fence), 0, [an_entry(1), an_entry(2)], encoded(a_savepoint(2)))
                )
            )
            changed(store.submit(Report("task", fence, lines=[a_line(4), a_line(5)])))
            changed(store.submit(CutLines("task", fence, 0)))
            changed(store.submit(Append("task", Leased(fence), 2, [an_entry(3)])))
            changed(store.submit(Release("task", fence)))
            version = store.run("task").version
            changed(store.submit(ChangeRun("task", version, Change(state=RunStatus.PAUSED))))
            changed(store.submit(ChangeRun("task", version + 1, Change(reason="why"))))
            fence = changed(store.submit(Lease("task", "two", LONG))).fence
            changed(store.submit(Finish("task", fence, a_change(), result=b"r", seconds=2.0)))
            commit(store, DeleteRun("task"))
            assert store.versions(["task"]) == {}
            queued(store)
            assert store.versions(["task"])["task"] not in seen

    def test_a_revision_differs_after_each_commit(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            seen = [store.revision()]
            writes: list[Callable[[], Future[Any]]] = [
                lambda: store.submit(CreateRun(a_run(), encoded(a_savepoint()))),
                lambda: store.submit(Append("run", Unleased(0), 0, [an_entry(1)])),
                lambda: store.submit(ChangeRun("run", 0, Change(reason="why"))),
                lambda: store.submit(PutDocument("bptk", "a", b"blob", None)),
                lambda: store.submit(DeleteDocument("bptk", "a")),
                lambda: store.submit(DeleteRun("run")),
            ]
            for write in writes:
                write().result(WAIT)
                assert store.revision() not in seen
                seen.append(store.revision())
            assert store.revision() == seen[-1]

    def test_versions_are_those_of_the_runs_that_there_are(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            assert store.versions([]) == {}
            created(store, steps=2)
            created(store, "other")
            queued(store)
            found = store.versions(["run", "none", "task"])
            assert found.keys() == {"run", "task"}
            commit(store, Append("other", Unleased(0), 0, [an_entry(1)]))
            assert store.versions({"run", "task"}) == found, "as long as nothing of theirs changed"
            many = [f"none-{number}" for number in range(40_000)]
            assert store.versions([*many, "run"]).keys() == {"run"}

    # Closing

    def test_a_closed_store_refuses_everything_and_says_why(self, tmp_path: Path) -> None:
        store = self.open_store(tmp_path)
        created(store)
        assert store.unavailable is None
        store.close()
        store.close()
        assert store.unavailable
        with raised(StoreUnavailable):
            commit(store, CreateRun(a_run("new")))
        for read in (
            lambda: store.run("run"),
            lambda: store.run_by_key("ann", a_key()),
            store.runs,
            store.check,
            lambda: store.document("bptk", "a"),
            lambda: store.versions(["run"]),
            store.revision,
        ):
            with raised(StoreUnavailable):
                read()

    def test_what_waits_is_committed_at_closing(self, tmp_path: Path) -> None:
        store = self.open_store(tmp_path)
        futures: list[Future[Any]] = [store.submit(CreateRun(a_run(f"r{number}"))) for number in range(50)]
        store.close()
        assert all(future.done() and future.exception() is None for future in futures)

    def test_reading_in_many_threads_sees_what_was_acknowledged(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store, ThreadPoolExecutor(16) as pool:
            for number in range(16):
                created(store, f"r{number}")

            def step_and_read(number: int) -> bool:
                for position in range(10):
                    commit(store, Append(f"r{number}", Unleased(0), position, [an_entry(position + 1)]))
                    if store.run(f"r{number}").position != position + 1:
                        return False
                    if store.steps(f"r{number}", after=position) != [a_step(position + 1)]:
                        return False
                return True

            assert all(pool.map(step_and_read, range(16)))


class DurableStoreConformance(DurableFactConformance, StoreConformance):
    """The tests of a store that outlives its closing."""

    def test_everything_is_there_after_reopening(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            commit(store, CreateRun(a_run(), encoded(a_savepoint()), a_key()))
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())], encoded(a_savepoint(1))))
            commit(store, MarkSavepoint("run", 1, name="x", pinned=True))
            commit(store, PutDocument("bptk", "id", b"blob", None))
            before = (store.run("run"), store.steps("run"), store.savepoints("run"), store.documents("bptk"))
        with self.opened(tmp_path) as store:
            after = (store.run("run"), store.steps("run"), store.savepoints("run"), store.documents("bptk"))
            assert after == before
            assert store.step_by_key("run", a_key()) == a_step(1)
            assert commit(store, CreateRun(a_run("new"), key=a_key())).replayed

    def test_the_guard_of_a_session_is_good_after_reopening(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=1)
            commit(store, ChangeRun("run", 0, Change(spec=b"new")))
        with self.opened(tmp_path) as store:
            with raised(Fenced):
                commit(store, Append("run", Unleased(0), 1, [an_entry(2)]))
            commit(store, Append("run", Unleased(1), 1, [an_entry(2)]))

    def test_executions_are_there_after_reopening(self, tmp_path: Path) -> None:
        """A lease ends with the process of a store that can't be shared."""
        with self.opened(tmp_path) as store:
            for id in ("waiting", "held", "done"):
                queued(store, id)
            held = commit(store, Lease("held", "one", 3600.0))
            lines = [a_line(1)]
            commit(store, Report("held", held.fence, progress=b"p", seconds=2.0, lines=lines))
            fence = commit(store, Lease("done", "one", 3600.0)).fence
            commit(store, Finish("done", fence, a_change(), result=b"r"))
            before = [store.execution(id) for id in ("waiting", "held", "done")]
        with self.opened(tmp_path) as store:
            if store.shared:
                assert [store.execution(id) for id in ("waiting", "held", "done")] == before
                assert list(unleased(store)) == ["waiting"]
                commit(store, Release("held", held.fence))
            before[1] = replace(before[1], holder="", fence=0, lease_until=0.0)
            assert [store.execution(id) for id in ("waiting", "held", "done")] == before
            assert sorted(unleased(store)) == ["held", "waiting"]
            assert store.waiting_before("held") == 1
            assert list(store.log_lines("held")) == [a_line(1)]
            for refused in (
                store.submit(Renew("held", held.fence, 3600.0)),
                store.submit(Report("held", held.fence)),
                store.submit(Append("held", Leased(held.fence), 0, [an_entry(1)])),
            ):
                with raised(Fenced):
                    refused.result(WAIT)
            taken = commit(store, Lease("held", "two", 3600.0))
            assert (taken.attempt, taken.progress, taken.seconds) == (2, b"p", 2.0)
            assert taken.fence > held.fence

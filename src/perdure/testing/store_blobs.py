"""What every store does with blobs, which savepoints name, and with what is stored of runs."""

from pathlib import Path

from perdure.errors import ArtifactsUnavailable, Fenced, RunFinished
from perdure.lifecycle import RunStatus
from perdure.run import Change
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Store
from perdure.stores.commands import (
    Append,
    Blob,
    ChangeRun,
    CreateRun,
    DeleteRun,
    Finish,
    ForgetBlobs,
    Fork,
    ForkRuns,
    Lease,
    MarkStored,
    Renew,
    SweepBlobs,
    Unleased,
    UseBlobs,
    encoded,
)
from perdure.stores.queue import ANY_TAG
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import WAIT, a_fork, a_run, a_savepoint, an_execution, commit, raised

__all__ = ["BlobConformance"]


class BlobConformance(StoreOpening):
    """Blobs and stored files."""

    def test_a_blob_has_one_number_as_long_as_it_is_used(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            a, b = used(store, "a", "b")
            assert (a, b) == (Blob(a.number, "ann", "a", False), Blob(b.number, "ann", "b", False))
            c, *others = used(store, "c", "b", "c")
            assert (c, others) == (Blob(c.number, "ann", "c", False), [b, c])
            (bobs,) = used(store, "a", owner="bob")
            assert bobs == Blob(bobs.number, "bob", "a", False)
            assert a.number < b.number < c.number < bobs.number
            run_with(store, "a")
            assert used(store, "a", "b") == [Blob(a.number, "ann", "a", True), b]

    def test_no_two_stores_give_a_blob_the_same_number(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        with self.opened(tmp_path) as store, self.opened(tmp_path / "other") as other:
            numbers = ({blob.number for blob in used(each, *"abcdefgh")} for each in (store, other))
            assert next(numbers).isdisjoint(next(numbers)), "they may share a storage"

    def test_what_no_savepoint_names_is_swept_and_its_number_never_used_again(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            run_with(store, "a", "b")
            (first,) = used(store, "c")
            assert swept(store, seconds=3600) == []
            assert [blob.hash for blob in commit(store, SweepBlobs(-1))] == ["c"]
            (again,) = used(store, "c")
            assert again.number > first.number
            assert not again.stored
            assert swept(store) == ["c", "c"], "the first one once more, since it wasn't forgotten"
            assert used(store, "c")[0].number > again.number

    def test_a_savepoint_that_names_a_swept_blob_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            run_with(store, "a")
            (blob,) = used(store, "b")
            commit(store, SweepBlobs(-1))
            for _ in range(2):
                with raised(ArtifactsUnavailable):
                    save(store, 1, blob.number)
                commit(store, ForgetBlobs([blob.number]))
            assert [info.timestamp for info in store.savepoints("run")] == [0]

    def test_a_savepoint_that_goes_or_is_replaced_lets_its_blobs_go(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            run_with(store, "a")
            for timestamp, names in enumerate(["b", "c", "de", "f", "g"], 1):
                save(store, timestamp, *(blob.number for blob in used(store, *names)))
            assert swept(store) == ["b", "c"], "savepoint 0 and the newest 3 are kept"
            save(store, 5, *(blob.number for blob in used(store, "h")))
            assert swept(store) == ["g"]
            save(store, 5)
            assert swept(store) == ["h"]

    def test_forks_share_blobs_and_deleting_all_who_name_one_frees_it(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            run_with(store, "a")
            save(store, 1, *(blob.number for blob in used(store, "b")))
            fork = a_fork("fork", "run", 0)
            numbers = frozenset(blob.number for blob in used(store, "b"))
            savepoint = Savepoint(timestamp=1, entities={}, blobs=numbers)
            commit(store, ForkRuns([Fork(run=fork, savepoint=encoded(savepoint))]))
            commit(store, DeleteRun("run"))
            assert swept(store) == []
            assert store.savepoint("fork", 0).entities, "which came along with what it names"
            commit(store, DeleteRun("fork"))
            assert swept(store, seconds=3600) == [], "for an hour"
            assert swept(store) == ["a", "b"]

    def test_a_fork_that_names_a_swept_blob_is_not_made(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            run_with(store)
            savepoint = encoded(Savepoint(timestamp=1, entities={}, blobs=frozenset({9})))
            future = store.submit(ForkRuns([Fork(run=a_fork("fork", "run", 0), savepoint=savepoint)]))
            with raised(ArtifactsUnavailable):
                future.result(WAIT)
            with raised(ArtifactsUnavailable):
                commit(store, CreateRun(a_run("other"), savepoint))
            assert [run.id for run in store.runs()] == ["run"]

    def test_whether_what_a_run_wrote_is_stored_is_known_by_its_execution(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id, stored in (("one", None), ("two", None), ("task", 0)):
                execution = an_execution(id, stored=stored)
                commit(store, CreateRun(a_run(id, kind="task"), execution=execution))
            assert [store.execution(id).stored for id in ("one", "two", "task")] == [None, None, 0]
            assert [execution.stored for execution in store.executions()] == [None, None, 0]
            assert store.unstored() == [], "none has ended"
            for id in ("one", "two", "task"):
                end = Change(state=RunStatus.STOPPED)
                commit(store, ChangeRun(id, store.run(id).version, end))
            assert store.unstored() == ["one", "two"]
            commit(store, MarkStored("one", 3))
            commit(store, MarkStored("two", 0))
            assert [store.execution(id).stored for id in ("one", "two")] == [3, 0]
            commit(store, MarkStored("one", 0))
            assert store.execution("one").stored == 3, "another server has looked for them too late"
            assert store.unstored() == []

    def test_who_ends_a_run_keeps_its_lease_until_its_files_are_stored(self, tmp_path: Path) -> None:
        end = Change(state=RunStatus.COMPLETED)
        with self.opened(tmp_path) as store:
            for id in ("one", "two"):
                execution = an_execution(id, stored=None)
                commit(store, CreateRun(a_run(id, kind="task"), execution=execution))
            token = commit(store, Lease("one", "w", 0.0)).fence
            commit(store, Finish("one", token, end))
            kept = store.execution("one")
            assert (kept.holder, kept.fence, kept.leased(store.clock())) == ("w", token, True)
            stopped = Change(state=RunStatus.STOPPED)  # on request, which is not for its holder to know
            commit(store, ChangeRun("one", store.run("one").version, stopped))
            commit(store, Renew("one", token, 60.0))
            assert store.execution("one").leased(store.clock())
            with raised(RunFinished):
                commit(store, Lease("one", "another", 60.0))
            (group,) = store.waiting_groups([ANY_TAG])
            assert [*store.unleased(group)] == ["two"]
            commit(store, MarkStored("one", 3))
            ended = store.execution("one")
            assert (ended.holder, ended.fence, ended.lease_until, ended.stored) == ("", 0, 0.0, 3)
            with raised(Fenced):
                commit(store, Renew("one", token, 60.0))
            token = commit(store, Lease("two", "w", 60.0)).fence
            commit(store, Finish("two", token, end, unbegun=True))
            assert not store.execution("two").leased(store.clock()), "it has worked on nothing"
            assert store.unstored() == ["two"]


def used(store: Store, *hashes: str, owner: str = "ann") -> list[Blob]:
    """Use blobs, each of 10 bytes."""
    return commit(store, UseBlobs(owner, [(digest, 10) for digest in hashes]))


def run_with(store: Store, *hashes: str) -> None:
    """Make a run whose savepoint 0 names blobs."""
    numbers = frozenset(blob.number for blob in used(store, *hashes))
    savepoint = Savepoint(timestamp=0, entities=a_savepoint(0).entities, blobs=numbers)
    commit(store, CreateRun(a_run(), encoded(savepoint)))


def save(store: Store, timestamp: int, *numbers: int) -> None:
    """Keep a savepoint that names blobs."""
    savepoint = Savepoint(timestamp=timestamp, entities={}, blobs=frozenset(numbers))
    guard = Unleased.of(store.run("run"))
    commit(store, Append("run", guard, 0, (), encoded(savepoint)))


def swept(store: Store, seconds: float = -1) -> list[str]:
    """Sweep and forget; return what went, by its hash. By default all that no savepoint names."""
    found = commit(store, SweepBlobs(seconds))
    commit(store, ForgetBlobs([blob.number for blob in found]))
    return sorted(blob.hash for blob in found)

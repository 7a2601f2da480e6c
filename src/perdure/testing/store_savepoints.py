"""The conformance suite of stores: savepoints, their marks and how long they are kept."""

from pathlib import Path

import msgspec

from perdure.errors import Invalid, SavepointNameTaken, SavepointNotFound
from perdure.state.savepoint import Savepoint
from perdure.stores.commands import Append, MarkSavepoint, PutSavepoint, Unleased, encoded
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import a_savepoint, an_entry, commit, created, raised

__all__ = ["SavepointConformance"]


class SavepointConformance(StoreOpening):
    """The tests of savepoints."""

    def test_a_savepoint_is_read_back_as_it_was(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            savepoint = Savepoint(
                timestamp=7, position=3, entities={"a": b"", "b": bytes(5000)}, milestone=True
            )
            info = commit(store, PutSavepoint("run", Unleased(0), encoded(savepoint), name="x", pinned=True))
            assert store.savepoint("run", 7) == savepoint
            assert store.savepoints("run")[-1] == info
            assert (info.timestamp, info.position, info.name) == (7, 3, "x")
            assert info.pinned
            assert info.milestone
            assert info.size == len(savepoint.to_blob())

    def test_a_kept_savepoint_never_aliases_what_was_given(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            entities = {"model": b"one"}
            commit(
                store, PutSavepoint("run", Unleased(0), encoded(Savepoint(timestamp=1, entities=entities)))
            )
            entities["model"] = b"two"
            assert store.savepoint("run", 1).entities == {"model": b"one"}

    def test_a_savepoint_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            with raised(SavepointNotFound):
                store.savepoint("run", 5)
            commit(store, PutSavepoint("run", Unleased(0), encoded(a_savepoint(1)), name="x"))
            with raised(SavepointNotFound):
                commit(store, MarkSavepoint("run", 5, name="x", pinned=False))

    def test_a_savepoint_replaces_one_at_the_same_timestamp_and_keeps_its_marks(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            first = a_savepoint(1, milestone=True)
            commit(store, PutSavepoint("run", Unleased(0), encoded(first), name="x", pinned=True))
            upgraded = Savepoint(timestamp=1, position=1, entities={"model": b"upgraded"})
            info = commit(store, PutSavepoint("run", Unleased(0), encoded(upgraded)))
            assert (info.name, info.pinned, info.milestone) == ("x", True, True)
            assert store.savepoint("run", 1).entities == {"model": b"upgraded"}

    def test_a_name_belongs_to_one_savepoint_of_a_run(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            created(store, "other")
            for run, at in (("run", 1), ("other", 1)):
                commit(store, PutSavepoint(run, Unleased(0), encoded(a_savepoint(at)), name="calm"))
            commit(store, PutSavepoint("run", Unleased(0), encoded(a_savepoint(1)), name="calm"))
            with raised(SavepointNameTaken):
                commit(store, PutSavepoint("run", Unleased(0), encoded(a_savepoint(2)), name="calm"))
            commit(store, PutSavepoint("run", Unleased(0), encoded(a_savepoint(2))))
            with raised(SavepointNameTaken):
                commit(store, MarkSavepoint("run", 2, name="calm", pinned=True))
            assert [info.pinned for info in store.savepoints("run")] == [False, False, False]
            commit(store, MarkSavepoint("run", 1, name=None, pinned=False))
            assert commit(store, MarkSavepoint("run", 2, name="calm", pinned=False)).name == "calm"

    def test_retention_keeps_the_newest_and_what_is_marked(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=2) as store:
            created(store)
            guard = Unleased(0)
            commit(store, PutSavepoint("run", guard, encoded(a_savepoint(1)), name="named"))
            commit(store, PutSavepoint("run", guard, encoded(a_savepoint(2)), pinned=True))
            commit(store, PutSavepoint("run", guard, encoded(a_savepoint(3, milestone=True))))
            for at in range(4, 9):
                commit(store, Append("run", Unleased(0), at - 4, [an_entry(at)], encoded(a_savepoint(at))))
            assert [info.timestamp for info in store.savepoints("run")] == [0, 1, 2, 3, 7, 8]

    def test_a_savepoint_may_say_how_many_are_kept(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=2) as store:
            created(store)
            for at in range(1, 6):
                kept = msgspec.structs.replace(a_savepoint(at), keep=4)
                commit(store, PutSavepoint("run", Unleased(0), encoded(kept)))
            assert [info.timestamp for info in store.savepoints("run")] == [0, 2, 3, 4, 5]
            commit(store, PutSavepoint("run", Unleased(0), encoded(a_savepoint(6))))
            assert [info.timestamp for info in store.savepoints("run")] == [0, 5, 6]

    def test_retention_is_by_timestamp_and_spares_the_one_just_written(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=2) as store:
            created(store)
            for at in (10, 20, 5):
                commit(store, PutSavepoint("run", Unleased(0), encoded(a_savepoint(at))))
            assert [info.timestamp for info in store.savepoints("run")] == [0, 5, 10, 20]
            commit(store, PutSavepoint("run", Unleased(0), encoded(a_savepoint(15))))
            assert [info.timestamp for info in store.savepoints("run")] == [0, 15, 20]

    def test_a_mark_that_was_undone_no_longer_keeps_a_savepoint(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=1) as store:
            created(store)
            commit(store, PutSavepoint("run", Unleased(0), encoded(a_savepoint(1))))
            info = commit(store, MarkSavepoint("run", 1, name="x", pinned=True))
            assert (info.name, info.pinned) == ("x", True)
            commit(store, PutSavepoint("run", Unleased(0), encoded(a_savepoint(2))))
            assert [info.timestamp for info in store.savepoints("run")] == [0, 1, 2]
            commit(store, MarkSavepoint("run", 1, name=None, pinned=False))
            commit(store, PutSavepoint("run", Unleased(0), encoded(a_savepoint(3))))
            assert [info.timestamp for info in store.savepoints("run")] == [0, 3]

    def test_at_least_one_savepoint_is_kept(self, tmp_path: Path) -> None:
        with raised(Invalid):
            self.open_store(tmp_path, keep=0)

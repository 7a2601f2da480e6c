"""The conformance suite of stores: documents, their uses, and the limit of an owner's documents."""

from collections.abc import Mapping
from pathlib import Path

from perdure.errors import DocumentsExceeded, VersionConflict
from perdure.lifecycle import Outcome, RunStatus
from perdure.run import Change
from perdure.stores.commands import (
    AddDocuments,
    Append,
    DeleteDocument,
    ForgetDocument,
    OwnerLimit,
    PutDocument,
    Touch,
    Unleased,
    Use,
)
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import an_entry, commit, created, raised

__all__ = ["DocumentConformance"]


class DocumentConformance(StoreOpening):
    """The tests of documents."""

    def test_a_record_is_replaced_in_place_of_its_version(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            first = commit(store, PutDocument("bptk", "id", b"one", None))
            assert store.document("bptk", "id") == first
            second = commit(store, PutDocument("bptk", "id", b"two", first.version))
            assert second.blob == b"two"
            for version in (None, first.version, second.version + 1):
                with raised(VersionConflict):
                    commit(store, PutDocument("bptk", "id", b"three", version))
            with raised(VersionConflict):
                commit(store, PutDocument("bptk", "new", b"three", 1))
            assert store.document("bptk", "id") == second
            assert store.document("bptk", "new") is None

    def test_a_record_that_was_made_again_is_not_taken_for_the_former(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            former = commit(store, PutDocument("bptk", "id", b"one", None))
            former = commit(store, PutDocument("bptk", "id", b"two", former.version))
            seen = {former.version}
            for _ in range(3):
                commit(store, DeleteDocument("bptk", "id"))
                again = commit(store, PutDocument("bptk", "id", b"three", None))
                assert again.version not in seen
                seen.add(again.version)
                with raised(VersionConflict):
                    commit(store, PutDocument("bptk", "id", b"stale", former.version))
                again = commit(store, PutDocument("bptk", "id", b"four", again.version))
                assert again.version not in seen
                seen.add(again.version)

    def test_records_are_listed_by_id_and_dialect(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for dialect, id in (("bptk", "b"), ("nrp", "a"), ("bptk", "a")):
                commit(store, PutDocument(dialect, id, id.encode(), None))
            assert [record.id for record in store.documents("bptk")] == ["a", "b"]
            commit(store, DeleteDocument("bptk", "a"))
            commit(store, DeleteDocument("bptk", "a"))
            assert [record.id for record in store.documents("bptk")] == ["b"]
            assert [record.id for record in store.documents("nrp")] == ["a"]

    def test_a_use_is_noted_and_a_document_that_nobody_used_since_is_forgotten(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            use = Use("ann", 1, 100.0, 60.0)
            first = commit(store, PutDocument("bptk", "id", b"one", None, use))
            assert first.use == use
            assert commit(store, PutDocument("bptk", "id", b"two", first.version)).use == use
            document = store.document("bptk", "id")
            assert document is not None
            with raised(VersionConflict):
                commit(store, Touch("bptk", "id", first.version, 9, 9.0))
            commit(store, Touch("bptk", "id", document.version, 2, 130.0))
            assert store.uses("bptk") == {"id": Use("ann", 2, 130.0, 60.0)}
            assert not commit(store, ForgetDocument("bptk", "id", document.version, 1))
            assert not commit(store, ForgetDocument("bptk", "id", first.version))
            assert not commit(store, ForgetDocument("bptk", "id", None, 1))
            assert commit(store, ForgetDocument("bptk", "id", document.version, 2))
            assert (store.document("bptk", "id"), store.uses("bptk")) == (None, {})
            assert not commit(store, ForgetDocument("bptk", "id", document.version))
            assert not commit(store, ForgetDocument("bptk", "id", None))
            commit(store, PutDocument("bptk", "other", b"", None, Use("ann", 1, 0.0, 60.0)))
            assert commit(store, ForgetDocument("bptk", "other", None, 1))
            with raised(VersionConflict):
                commit(store, Touch("bptk", "id", document.version, 3, 9.0))

    def test_a_document_is_forgotten_with_the_end_of_its_run(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=2)
            kept = commit(store, PutDocument("bptk", "id", b"", None, Use("ann", 1, 0.0, 60.0)))
            end = Change(state=RunStatus.STOPPED, outcome=Outcome.EXPIRED, reason="its time is up")
            assert not commit(store, ForgetDocument("bptk", "id", kept.version, 2, "run", end))
            assert store.run("run").state != RunStatus.STOPPED
            assert commit(store, ForgetDocument("bptk", "id", kept.version, 1, "run", end))
            ended = store.run("run")
            assert (ended.state, ended.outcome, ended.position) == (RunStatus.STOPPED, Outcome.EXPIRED, 2)

    def test_a_step_notes_a_use_or_is_refused_with_it(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=1)
            guard = Unleased.of(store.run("run"))
            kept = commit(store, PutDocument("bptk", "id", b"", None, Use("ann", 1, 0.0, 60.0)))
            touch = Touch("bptk", "id", kept.version, 2, 5.0)
            commit(store, Append("run", guard, 1, [an_entry(2)], touch=touch))
            assert store.uses("bptk") == {"id": Use("ann", 2, 5.0, 60.0)}
            commit(store, DeleteDocument("bptk", "id"))
            with raised(VersionConflict):
                commit(store, Append("run", guard, 2, [an_entry(3)], touch=touch))
            assert store.run("run").position == 2

    def test_an_owner_has_so_many_documents_and_all_or_none_are_added(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:

            def add(*ids: str, owner: str = "ann", idle: Mapping[str, int] = {}, elsewhere: int = 0) -> None:
                limit = OwnerLimit(maximum=3, what="instances", setting="MAX", idle=idle, elsewhere=elsewhere)
                added = [(id, id.encode()) for id in ids]
                commit(store, AddDocuments("bptk", added, Use(owner, 1, 0.0, 60.0), limit))

            add("a", "b")
            with raised(DocumentsExceeded):
                add("c", "d")
            add("e", "f", "g", owner="bob")
            with raised(VersionConflict):
                add("c", "e")
            with raised(DocumentsExceeded):
                add("c", elsewhere=1)
            assert [it.id for it in store.documents("bptk", owner="ann")] == ["a", "b"]
            add("c")
            with raised(DocumentsExceeded):
                add("d", idle={"a": 2, "e": 1})  # it was used since, and another's doesn't count
            add("d", idle={"a": 1})
            assert [it.id for it in store.documents("bptk", owner="ann")] == ["a", "b", "c", "d"]

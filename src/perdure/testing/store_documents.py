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
from perdure.testing.store_samples import WAIT, an_entry, created, raised

__all__ = ["DocumentConformance"]


class DocumentConformance(StoreOpening):
    """The tests of documents."""

    def test_a_record_is_replaced_in_place_of_its_version(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            first = store.submit(PutDocument("bptk", "id", b"one", None)).result(WAIT)
            assert store.document("bptk", "id") == first
            second = store.submit(PutDocument("bptk", "id", b"two", first.version)).result(WAIT)
            assert second.blob == b"two"
            for version in (None, first.version, second.version + 1):
                with raised(VersionConflict):
                    store.submit(PutDocument("bptk", "id", b"three", version)).result(WAIT)
            with raised(VersionConflict):
                store.submit(PutDocument("bptk", "new", b"three", 1)).result(WAIT)
            assert store.document("bptk", "id") == second
            assert store.document("bptk", "new") is None

    def test_a_record_that_was_made_again_is_not_taken_for_the_former(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            former = store.submit(PutDocument("bptk", "id", b"one", None)).result(WAIT)
            former = store.submit(PutDocument("bptk", "id", b"two", former.version)).result(WAIT)
            seen = {former.version}
            for _ in range(3):
                store.submit(DeleteDocument("bptk", "id")).result(WAIT)
                again = store.submit(PutDocument("bptk", "id", b"three", None)).result(WAIT)
                assert again.version not in seen
                seen.add(again.version)
                with raised(VersionConflict):
                    store.submit(PutDocument("bptk", "id", b"stale", former.version)).result(WAIT)
                again = store.submit(PutDocument("bptk", "id", b"four", again.version)).result(WAIT)
                assert again.version not in seen
                seen.add(again.version)

    def test_records_are_listed_by_id_and_dialect(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for dialect, id in (("bptk", "b"), ("nrp", "a"), ("bptk", "a")):
                store.submit(PutDocument(dialect, id, id.encode(), None)).result(WAIT)
            assert [record.id for record in store.documents("bptk")] == ["a", "b"]
            store.submit(DeleteDocument("bptk", "a")).result(WAIT)
            store.submit(DeleteDocument("bptk", "a")).result(WAIT)
            assert [record.id for record in store.documents("bptk")] == ["b"]
            assert [record.id for record in store.documents("nrp")] == ["a"]

    def test_a_use_is_noted_and_a_document_that_nobody_used_since_is_forgotten(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            use = Use("ann", 1, 100.0, 60.0)
            first = store.submit(PutDocument("bptk", "id", b"one", None, use)).result(WAIT)
            assert first.use == use
            assert store.submit(PutDocument("bptk", "id", b"two", first.version)).result(WAIT).use == use
            document = store.document("bptk", "id")
            assert document is not None
            with raised(VersionConflict):
                store.submit(Touch("bptk", "id", first.version, 9, 9.0)).result(WAIT)
            store.submit(Touch("bptk", "id", document.version, 2, 130.0)).result(WAIT)
            assert store.uses("bptk") == {"id": Use("ann", 2, 130.0, 60.0)}
            assert not store.submit(ForgetDocument("bptk", "id", document.version, 1)).result(WAIT)
            assert not store.submit(ForgetDocument("bptk", "id", first.version)).result(WAIT)
            assert not store.submit(ForgetDocument("bptk", "id", None, 1)).result(WAIT)
            assert store.submit(ForgetDocument("bptk", "id", document.version, 2)).result(WAIT)
            assert (store.document("bptk", "id"), store.uses("bptk")) == (None, {})
            assert not store.submit(ForgetDocument("bptk", "id", document.version)).result(WAIT)
            assert not store.submit(ForgetDocument("bptk", "id", None)).result(WAIT)
            store.submit(PutDocument("bptk", "other", b"", None, Use("ann", 1, 0.0, 60.0))).result(WAIT)
            assert store.submit(ForgetDocument("bptk", "other", None, 1)).result(WAIT)
            with raised(VersionConflict):
                store.submit(Touch("bptk", "id", document.version, 3, 9.0)).result(WAIT)

    def test_a_document_is_forgotten_with_the_end_of_its_run(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=2)
            kept = store.submit(PutDocument("bptk", "id", b"", None, Use("ann", 1, 0.0, 60.0))).result(WAIT)
            end = Change(state=RunStatus.STOPPED, outcome=Outcome.EXPIRED, reason="its time is up")
            assert not store.submit(ForgetDocument("bptk", "id", kept.version, 2, "run", end)).result(WAIT)
            assert store.run("run").state != RunStatus.STOPPED
            assert store.submit(ForgetDocument("bptk", "id", kept.version, 1, "run", end)).result(WAIT)
            ended = store.run("run")
            assert (ended.state, ended.outcome, ended.position) == (RunStatus.STOPPED, Outcome.EXPIRED, 2)

    def test_a_step_notes_a_use_or_is_refused_with_it(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=1)
            guard = Unleased.of(store.run("run"))
            kept = store.submit(PutDocument("bptk", "id", b"", None, Use("ann", 1, 0.0, 60.0))).result(WAIT)
            touch = Touch("bptk", "id", kept.version, 2, 5.0)
            store.submit(Append("run", guard, 1, [an_entry(2)], touch=touch)).result(WAIT)
            assert store.uses("bptk") == {"id": Use("ann", 2, 5.0, 60.0)}
            store.submit(DeleteDocument("bptk", "id")).result(WAIT)
            with raised(VersionConflict):
                store.submit(Append("run", guard, 2, [an_entry(3)], touch=touch)).result(WAIT)
            assert store.run("run").position == 2

    def test_an_owner_has_so_many_documents_and_all_or_none_are_added(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:

            def add(*ids: str, owner: str = "ann", idle: Mapping[str, int] = {}, elsewhere: int = 0) -> None:
                limit = OwnerLimit(maximum=3, what="instances", setting="MAX", idle=idle, elsewhere=elsewhere)
                added = [(id, id.encode()) for id in ids]
                store.submit(AddDocuments("bptk", added, Use(owner, 1, 0.0, 60.0), limit)).result(WAIT)

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

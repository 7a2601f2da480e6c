"""Documents: blobs that a dialect keeps by id, replaced by compare-and-set.

A document may have a **use**: its owner, and the time of the last use. An owner's documents are counted, and
an unused one is deleted by compare-and-set on the stamp of its last use.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from perdure.errors import CorruptBlob, DocumentsExceeded, VersionConflict
from perdure.lifecycle import FINAL
from perdure.run import Change
from perdure.stores.checksums import checksum
from perdure.stores.commands import locks
from perdure.stores.commands.base import (
    READ_COUNTER,
    Answers,
    Command,
    Decision,
    Moment,
    Query,
    Write,
    count,
    write,
)
from perdure.stores.commands.found import changed, find_run, found
from perdure.stores.commands.locks import Lock

__all__ = [
    "AddDocuments",
    "DeleteDocument",
    "Document",
    "ForgetDocument",
    "OwnerLimit",
    "PutDocument",
    "Touch",
    "Use",
    "document_writes",
    "to_document",
    "to_use",
]

R = TypeVar("R")


class Use(msgspec.Struct, frozen=True):
    """The last use of a document.

    Attributes
    ----------
    owner
        Owner of the document.
    stamp
        A number that changes with each use. A server that reads the same stamp twice knows that the document
        wasn't used in between.
    accessed
        Unix time of the use, by the wall clock of the server that served it.
    lasts
        How many seconds the document may stay unused.
    """

    owner: str
    stamp: int
    accessed: float
    lasts: float


class Document(msgspec.Struct, frozen=True):
    """A blob that a dialect keeps by id, with its version for compare-and-set and its last use."""

    id: str
    blob: bytes
    version: int
    use: Use | None = None


class OwnerLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How many documents an owner may have.

    Attributes
    ----------
    maximum
        The limit.
    what, setting
        What the documents are, and the setting of the limit; for the error.
    idle
        Documents that don't count unless they were used since: the stamps of their last uses, by id.
    elsewhere
        How many documents the owner has that this store doesn't hold.
    """

    maximum: int
    what: str
    setting: str
    idle: Mapping[str, int] = {}
    elsewhere: int = 0

    def check(self, count: int, more: int) -> None:
        """Raise `DocumentsExceeded` if an owner with `count` documents may not have `more` in addition."""
        if more and count + self.elsewhere + more > self.maximum:
            raise DocumentsExceeded(
                limit=self.maximum,
                what=self.what,
                count=count + self.elsewhere,
                more=more,
                setting=self.setting,
            )


class DocumentCommand(Command[R], frozen=True):
    """A command on one document of a dialect."""

    dialect: str
    id: str

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the document."""
        return (locks.document(self.dialect, self.id),)


class PutDocument(DocumentCommand[Document], frozen=True):
    """Store a document: a new one for version None, else in place of that version; raises `VersionConflict`.

    An id never has the same version twice, not even after a deletion. Without a `use` the former use stays.
    """

    blob: bytes
    version: int | None
    use: Use | None = None

    def reads(self) -> Sequence[Query]:
        """Return the queries for the former document and the counter of versions."""
        return _find_used(self.dialect, self.id), READ_COUNTER

    def decide(self, answers: Answers, at: Moment) -> Decision[Document]:
        """Store it if the former document has the expected version."""
        former, counter = answers
        if self.version != (former[0][0] if former else None):
            raise VersionConflict(name=self.id)
        version, counted = count(counter)
        use = self.use or (to_use(former[0][1:]) if former else None)
        document = Document(self.id, self.blob, version, use)
        return Decision(document, [counted, *document_writes(self.dialect, document)])


class AddDocuments(Command[Sequence[Document]], frozen=True):
    """Store new documents of one owner, all or none.

    Raises
    ------
    VersionConflict
        If one of the ids has a document.
    DocumentsExceeded
        If the owner would exceed the limit.
    """

    dialect: str
    documents: Sequence[tuple[str, bytes]]
    use: Use
    limit: OwnerLimit | None = None

    def locks(self) -> Sequence[Lock]:
        """Return the locks of the owner's number of documents, and of each document."""
        added = [locks.document(self.dialect, id) for id, _ in self.documents]
        return locks.documents_of(self.dialect, self.use.owner), *added

    def reads(self) -> Sequence[Query]:
        """Return the queries for the owner's count, the counter of versions, and the ids."""
        idle = {} if self.limit is None else self.limit.idle
        owned = Query("count_uses", (self.dialect, self.use.owner, msgspec.json.encode(idle).decode()))
        return [owned, READ_COUNTER, *(_find_used(self.dialect, id) for id, _ in self.documents)]

    def decide(self, answers: Answers, at: Moment) -> Decision[Sequence[Document]]:
        """Store them if they are new and within the limit."""
        owned, counter, *known = answers
        for (id, _), rows in zip(self.documents, known, strict=True):
            if rows:
                raise VersionConflict(name=id)
        if self.limit is not None:
            self.limit.check(owned[0][0], len(self.documents))
        version, counted = count(counter)  # no id has had it, so that one is enough for all
        added = [Document(id, blob, version, self.use) for id, blob in self.documents]
        return Decision(added, [counted, *(it for new in added for it in document_writes(self.dialect, new))])


class Touch(DocumentCommand[None], frozen=True):
    """Record the use of a document that still has a version: its new stamp, and the Unix time.

    Raises
    ------
    VersionConflict
        If the id has another document or none.
    """

    version: int
    stamp: int
    accessed: float

    def reads(self) -> Sequence[Query]:
        """Return the query for the document."""
        return (Query("find_document", (self.dialect, self.id)),)

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Record the use if the document has the expected version."""
        (kept,) = answers
        if not kept or kept[0][0] != self.version:
            raise VersionConflict(name=self.id)
        return Decision(None, [write("touch_use", self.dialect, self.id, self.stamp, self.accessed)])


class ForgetDocument(DocumentCommand[bool], frozen=True):
    """Delete a document that still has a version, and end its run; returns whether that was done.

    Parameters
    ----------
    version
        The expected version; None accepts any, for a document that can't be read.
    stamp
        The expected stamp of its last use; None accepts any.
    run_id, change
        The run, and the change to make unless the run is deleted or has ended.
    """

    version: int | None
    stamp: int | None = None
    run_id: str | None = None
    change: Change = Change()

    def locks(self) -> Sequence[Lock]:
        """Return the locks of the document and its run."""
        ended = () if self.run_id is None else (locks.run(self.run_id),)
        return *super().locks(), *ended

    def reads(self) -> Sequence[Query]:
        """Return the queries for the document and its run."""
        document = _find_used(self.dialect, self.id)
        return (document,) if self.run_id is None else (document, find_run(self.run_id))

    def decide(self, answers: Answers, at: Moment) -> Decision[bool]:
        """Delete the document if its version and its last use are the expected ones."""
        kept, *of_run = answers
        if not kept or self.version not in {None, kept[0][0]}:
            return Decision(False)
        use = to_use(kept[0][1:])
        if self.stamp is not None and (use is None or use.stamp != self.stamp):
            return Decision(False)
        writes = [write("delete_document", self.dialect, self.id)]
        if self.run_id is None or not of_run[0]:
            return Decision(True, writes)
        run = found(self.run_id, of_run[0])
        if run.state in FINAL:
            return Decision(True, writes)
        writes += changed(run, self.change, at)
        return Decision(True, writes, (run.committed(state=self.change.state),))


class DeleteDocument(DocumentCommand[None], frozen=True):
    """Delete a document; does nothing if there is none."""

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Forget it."""
        return Decision(None, [write("delete_document", self.dialect, self.id)])


def to_use(values: Sequence[Any]) -> Use | None:
    """Convert the four columns of a use; None if the document has none."""
    return None if values[0] is None else Use(*values)


def to_document(values: tuple[Any, ...]) -> Document:
    """Convert a row of a query for documents; raise `CorruptBlob` if it is damaged."""
    dialect, id, version, blob, kept, *use = values
    if kept is not None and kept != checksum(dialect, id, version, blob):
        raise CorruptBlob(reason=f"the checksum of the document {id!r} of {dialect} is wrong")
    return Document(id, blob, version, to_use(use))


def _find_used(dialect: str, id: str) -> Query:
    """Return the query for the version and the last use of a document."""
    return Query("find_used_document", (dialect, id))


def document_writes(dialect: str, document: Document) -> list[Write]:
    """Return the writes that store a document and its use."""
    id, version, blob, use = document.id, document.version, document.blob, document.use
    writes = [write("put_document", dialect, id, version, blob, checksum(dialect, id, version, blob))]
    if use is not None:
        writes.append(write("put_use", dialect, id, use.owner, use.stamp, use.accessed, use.lasts))
    return writes

"""Documents: what a dialect keeps under an id, replaced by compare-and-set.

A document may have a **use**: whose it is, and when it was last used. An owner's documents are counted, and
one that nobody uses is forgotten by compare-and-set on the stamp of its last use.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from perdure.errors import CorruptBlob, DocumentsExceeded, VersionConflict
from perdure.lifecycle import FINAL
from perdure.run import Change
from perdure.stores.checksums import checksum
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

__all__ = [
    "AddDocuments",
    "DeleteDocument",
    "Document",
    "ForgetDocument",
    "OwnerLimit",
    "PutDocument",
    "Touch",
    "Use",
    "to_document",
    "to_use",
]


class Use(msgspec.Struct, frozen=True):
    """The last use of a document.

    Attributes
    ----------
    owner
        Whose the document is.
    stamp
        Another number after each use, so that a server that sees the same one knows that nobody used it.
    accessed
        Unix time of the use, by the wall clock of the server that served it.
    lasts
        How many seconds the document may go without a use.
    """

    owner: str
    stamp: int
    accessed: float
    lasts: float


class Document(msgspec.Struct, frozen=True):
    """A blob that a dialect keeps under an id, with its version for compare-and-set, and its last use."""

    id: str
    blob: bytes
    version: int
    use: Use | None = None


class OwnerLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How many documents an owner may have.

    Attributes
    ----------
    maximum
        That many.
    what, setting
        What they are, and the setting that says how many, for the error.
    idle
        Documents that aren't counted unless they were used since: the stamps of their last uses, by id.
    elsewhere
        How many more the owner has that this store doesn't hold.
    """

    maximum: int
    what: str
    setting: str
    idle: Mapping[str, int] = {}
    elsewhere: int = 0

    def check(self, count: int, more: int) -> None:
        """Raise `DocumentsExceeded` if an owner with `count` in the store may not have so many more."""
        if more and count + self.elsewhere + more > self.maximum:
            raise DocumentsExceeded(
                limit=self.maximum,
                what=self.what,
                count=count + self.elsewhere,
                more=more,
                setting=self.setting,
            )


class PutDocument(Command[Document], frozen=True):
    """Keep a document: a new one for version None, else in place of that version; `VersionConflict`.

    An id never has the same version twice, also when it was deleted in between. Without a `use` the former
    one stays.
    """

    dialect: str
    id: str
    blob: bytes
    version: int | None
    use: Use | None = None

    def reads(self) -> Sequence[Query]:
        """Return the queries for the former document and the counter that versions are taken from."""
        return _find_used(self.dialect, self.id), READ_COUNTER

    def decide(self, answers: Answers, at: Moment) -> Decision[Document]:
        """Keep it if the former one is the expected one."""
        former, counter = answers
        if self.version != (former[0][0] if former else None):
            raise VersionConflict(name=self.id)
        version, counted = count(counter)
        use = self.use or (to_use(former[0][1:]) if former else None)
        document = Document(self.id, self.blob, version, use)
        return Decision(document, [counted, *_put(self.dialect, document)])


class AddDocuments(Command[Sequence[Document]], frozen=True):
    """Keep new documents of one owner, all or none.

    Raises
    ------
    VersionConflict
        If there is a document under one of the ids.
    DocumentsExceeded
        If the owner would have more than the limit.
    """

    dialect: str
    documents: Sequence[tuple[str, bytes]]
    use: Use
    limit: OwnerLimit | None = None

    def reads(self) -> Sequence[Query]:
        """Return the queries for how many the owner has, the counter of versions, and the ids."""
        idle = {} if self.limit is None else self.limit.idle
        owned = Query("count_uses", (self.dialect, self.use.owner, msgspec.json.encode(idle).decode()))
        return [owned, READ_COUNTER, *(_find_used(self.dialect, id) for id, _ in self.documents)]

    def decide(self, answers: Answers, at: Moment) -> Decision[Sequence[Document]]:
        """Keep them if they are new and not too many."""
        owned, counter, *known = answers
        for (id, _), rows in zip(self.documents, known, strict=True):
            if rows:
                raise VersionConflict(name=id)
        if self.limit is not None:
            self.limit.check(owned[0][0], len(self.documents))
        version, counted = count(counter)  # no id has had it, so one for all will do
        added = [Document(id, blob, version, self.use) for id, blob in self.documents]
        return Decision(added, [counted, *(it for new in added for it in _put(self.dialect, new))])


class Touch(Command[None], frozen=True):
    """Note that a document which still has a version was used: its new stamp, and the Unix time.

    Raises
    ------
    VersionConflict
        If there is another document under the id, or none.
    """

    dialect: str
    id: str
    version: int
    stamp: int
    accessed: float

    def reads(self) -> Sequence[Query]:
        """Return the query for the document."""
        return (Query("find_document", (self.dialect, self.id)),)

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Note it if the document is the expected one."""
        (kept,) = answers
        if not kept or kept[0][0] != self.version:
            raise VersionConflict(name=self.id)
        return Decision(None, [write("touch_use", self.dialect, self.id, self.stamp, self.accessed)])


class ForgetDocument(Command[bool], frozen=True):
    """Forget a document that still has a version, and end its run; return whether that was done.

    Parameters
    ----------
    version
        None if that doesn't matter, as of a document that can't be read.
    stamp
        That of its last use, if nobody may have used it since; None if that doesn't matter.
    run_id, change
        The run, and how it is changed unless it is gone or has ended.
    """

    dialect: str
    id: str
    version: int | None
    stamp: int | None = None
    run_id: str | None = None
    change: Change = Change()

    def reads(self) -> Sequence[Query]:
        """Return the queries for the document and its run."""
        document = _find_used(self.dialect, self.id)
        return (document,) if self.run_id is None else (document, find_run(self.run_id))

    def decide(self, answers: Answers, at: Moment) -> Decision[bool]:
        """Forget it if it, and its last use, are the expected ones."""
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


class DeleteDocument(Command[None], frozen=True):
    """Forget a document; harmless if there is none."""

    dialect: str
    id: str

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Forget it."""
        return Decision(None, [write("delete_document", self.dialect, self.id)])


def to_use(values: Sequence[Any]) -> Use | None:
    """Make a use of the four columns that it has; None if the document has none."""
    return None if values[0] is None else Use(*values)


def to_document(values: tuple[Any, ...]) -> Document:
    """Make a document of what the queries that read documents return; `CorruptBlob` if it is damaged."""
    dialect, id, version, blob, kept, *use = values
    if kept is not None and kept != checksum(dialect, id, version, blob):
        raise CorruptBlob(reason=f"the checksum of the record {id!r} of {dialect} is wrong")
    return Document(id, blob, version, to_use(use))


def _find_used(dialect: str, id: str) -> Query:
    """Return the query for the version and the last use of a document."""
    return Query("find_used_document", (dialect, id))


def _put(dialect: str, document: Document) -> list[Write]:
    """Return how a document and its use are kept."""
    id, version, blob, use = document.id, document.version, document.blob, document.use
    writes = [write("put_document", dialect, id, version, blob, checksum(dialect, id, version, blob))]
    if use is not None:
        writes.append(write("put_use", dialect, id, use.owner, use.stamp, use.accessed, use.lasts))
    return writes

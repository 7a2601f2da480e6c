"""Documents: what a dialect keeps under an id, replaced by compare-and-set."""

from collections.abc import Sequence
from typing import Any

import msgspec

from perdure.errors import CorruptBlob, VersionConflict
from perdure.stores.checksums import checksum
from perdure.stores.commands.base import READ_COUNTER, Answers, Command, Decision, Moment, Query, count, write

__all__ = ["DeleteDocument", "Document", "PutDocument", "to_document"]


class Document(msgspec.Struct, frozen=True):
    """A blob that a dialect keeps under an id, with its version for compare-and-set."""

    id: str
    blob: bytes
    version: int


class PutDocument(Command[Document], frozen=True):
    """Keep a document: a new one for version None, else in place of that version; `VersionConflict`.

    An id never has the same version twice, also when it was deleted in between.
    """

    dialect: str
    id: str
    blob: bytes
    version: int | None

    def reads(self) -> Sequence[Query]:
        """Return the queries for the former document and the counter that versions are taken from."""
        return Query("find_document", (self.dialect, self.id)), READ_COUNTER

    def decide(self, answers: Answers, at: Moment) -> Decision[Document]:
        """Keep it if the former one is the expected one."""
        former, counter = answers
        if self.version != (former[0][0] if former else None):
            raise VersionConflict(name=self.id)
        version, counted = count(counter)
        kept = checksum(self.dialect, self.id, version, self.blob)
        writes = [
            counted,
            write("put_document", self.dialect, self.id, version, self.blob, kept),
        ]
        return Decision(Document(self.id, self.blob, version), writes)


class DeleteDocument(Command[None], frozen=True):
    """Forget a document; harmless if there is none."""

    dialect: str
    id: str

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Forget it."""
        return Decision(None, [write("delete_document", self.dialect, self.id)])


def to_document(values: tuple[Any, ...]) -> Document:
    """Make a document of what the queries that read documents return; `CorruptBlob` if it is damaged."""
    dialect, id, version, blob, kept = values
    if kept is not None and kept != checksum(dialect, id, version, blob):
        raise CorruptBlob(reason=f"the checksum of the record {id!r} of {dialect} is wrong")
    return Document(id, blob, version)

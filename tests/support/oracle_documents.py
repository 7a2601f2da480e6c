"""What dialects keep, in the oracle; whoever calls holds the store's lock."""

from collections.abc import Iterator, Sequence

from perdure.errors import VersionConflict
from perdure.stores.commands import Document

__all__ = ["KeptDocuments"]


class KeptDocuments:
    """Documents by dialect and id; the store's counter has each version once."""

    def __init__(self, counter: Iterator[int]) -> None:
        self._documents: dict[tuple[str, str], Document] = {}
        self._counter = counter

    def put(self, dialect: str, id: str, blob: bytes, version: int | None) -> Document:
        """Keep a document, new or in place of a version."""
        former = self._documents.get((dialect, id))
        if version != (None if former is None else former.version):
            raise VersionConflict(name=id)
        document = self._documents[dialect, id] = Document(id, blob, next(self._counter))
        return document

    def delete(self, dialect: str, id: str) -> None:
        """Forget a document; harmless if there is none."""
        self._documents.pop((dialect, id), None)

    def get(self, dialect: str, id: str) -> Document | None:
        """Return a document, or None."""
        return self._documents.get((dialect, id))

    def of(self, dialect: str) -> Sequence[Document]:
        """Return all documents of a dialect, by id."""
        return [document for (of, _), document in sorted(self._documents.items()) if of == dialect]

"""What dialects keep, in the oracle; whoever calls holds the store's lock."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from perdure.errors import DocumentsExceeded, VersionConflict
from perdure.stores.commands import (
    AddDocuments,
    Command,
    DeleteDocument,
    Document,
    ForgetDocument,
    PutDocument,
    Touch,
    Use,
)

__all__ = ["KeptDocuments"]


class KeptDocuments:
    """Documents by dialect and id; the store's counter has each version once."""

    def __init__(self, counter: Iterator[int]) -> None:
        self._documents: dict[tuple[str, str], Document] = {}
        self._counter = counter

    def execute(self, command: Command[Any]) -> Any:
        """Do what a command about documents says; `NotImplemented` for another one."""
        match command:
            case PutDocument(dialect, id, blob, version, use):
                former = self.get(dialect, id)
                if version != (None if former is None else former.version):
                    raise VersionConflict(name=id)
                kept = use or (None if former is None else former.use)
                return self._put(dialect, Document(id, blob, next(self._counter), kept))
            case AddDocuments():
                return self._add(command)
            case Touch(dialect, id, version, stamp, accessed):
                former = self.get(dialect, id)
                if former is None or former.version != version:
                    raise VersionConflict(name=id)
                if former.use is not None:
                    use = replace(former.use, stamp=stamp, accessed=accessed)
                    self._documents[dialect, id] = replace(former, use=use)
                return None
            case DeleteDocument(dialect, id):
                self._documents.pop((dialect, id), None)
                return None
        return NotImplemented

    def forget(self, command: ForgetDocument) -> bool:
        """Forget a document if it and its last use are the expected ones; return whether they were."""
        kept = self.get(command.dialect, command.id)
        if kept is None or command.version not in {None, kept.version}:
            return False
        if command.stamp is not None and (kept.use is None or kept.use.stamp != command.stamp):
            return False
        del self._documents[command.dialect, command.id]
        return True

    def get(self, dialect: str, id: str) -> Document | None:
        """Return a document, or None."""
        return self._documents.get((dialect, id))

    def of(self, dialect: str, owner: str | None = None) -> Sequence[Document]:
        """Return all documents of a dialect, or those of an owner, by id."""
        return [
            document
            for (of, _), document in sorted(self._documents.items())
            if of == dialect and (owner is None or (document.use is not None and document.use.owner == owner))
        ]

    def uses(self, dialect: str) -> Mapping[str, Use]:
        """Return the last uses of a dialect's documents."""
        return {document.id: document.use for document in self.of(dialect) if document.use is not None}

    def _put(self, dialect: str, document: Document) -> Document:
        self._documents[dialect, document.id] = document
        return document

    def _add(self, command: AddDocuments) -> Sequence[Document]:
        for id, _ in command.documents:
            if self.get(command.dialect, id) is not None:
                raise VersionConflict(name=id)
        limit = command.limit
        if limit is not None and command.documents:
            uses = self.uses(command.dialect)
            count = limit.elsewhere + sum(
                use.owner == command.use.owner and limit.idle.get(id) != use.stamp for id, use in uses.items()
            )
            if count + len(command.documents) > limit.maximum:
                raise DocumentsExceeded(
                    limit=limit.maximum,
                    what=limit.what,
                    count=count,
                    more=len(command.documents),
                    setting=limit.setting,
                )
        version = next(self._counter)
        added = [Document(id, blob, version, command.use) for id, blob in command.documents]
        return [self._put(command.dialect, document) for document in added]

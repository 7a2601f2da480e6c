"""What dialects keep, in the oracle; whoever calls holds the store's lock."""

from collections.abc import Sequence

from perdure.errors import VersionConflict
from perdure.stores.base import Record

__all__ = ["KeptRecords"]


class KeptRecords:
    """Records by dialect and id; a version is never used twice."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], Record] = {}
        self._version = 0

    def put(self, dialect: str, id: str, blob: bytes, version: int | None) -> Record:
        """Keep a record, new or in place of a version."""
        former = self._records.get((dialect, id))
        if version != (None if former is None else former.version):
            raise VersionConflict(name=id)
        self._version += 1
        record = self._records[dialect, id] = Record(id, blob, self._version)
        return record

    def delete(self, dialect: str, id: str) -> None:
        """Forget a record; harmless if there is none."""
        self._records.pop((dialect, id), None)

    def get(self, dialect: str, id: str) -> Record | None:
        """Return a record, or None."""
        return self._records.get((dialect, id))

    def of(self, dialect: str) -> Sequence[Record]:
        """Return all records of a dialect, by id."""
        return [record for (of, _), record in sorted(self._records.items()) if of == dialect]

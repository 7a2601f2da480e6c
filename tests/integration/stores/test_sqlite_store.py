"""The SQLite store does what every store does that outlives its closing."""

from pathlib import Path

from perdure.stores.sqlite import SqliteStore
from perdure.testing.stores import DurableStoreConformance


class TestSqliteStore(DurableStoreConformance):
    """Runs the whole suite."""

    def open_store(self, folder: Path, *, keep: int = 3, keep_lines: int = 10_000) -> SqliteStore:
        return SqliteStore(folder / "perdure.db", keep=keep, keep_lines=keep_lines)

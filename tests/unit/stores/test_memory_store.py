"""The memory store does what every store does."""

from pathlib import Path

from perdure.stores.memory import MemoryStore
from perdure.testing.stores import StoreConformance


class TestMemoryStore(StoreConformance):
    """Runs the whole suite."""

    def open_store(self, folder: Path, *, keep: int = 3, keep_lines: int = 10_000) -> MemoryStore:
        return MemoryStore(keep=keep, keep_lines=keep_lines)

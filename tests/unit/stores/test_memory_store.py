"""The memory store does what every store does."""

from pathlib import Path

from perdure.stores.memory import MemoryStore
from perdure.testing.stores import StoreConformance


class TestMemoryStore(StoreConformance):
    """Runs the whole suite."""

    def open_store(self, folder: Path, *, keep: int = 3) -> MemoryStore:
        return MemoryStore(keep=keep)

"""The opening of stores in the conformance suite."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from perdure.stores.base import Store

__all__ = ["StoreOpening"]


class StoreOpening:
    """Opens the store to test. A subclass overrides `open_store`."""

    def open_store(self, folder: Path, *, keep: int = 3, keep_lines: int = 10_000) -> Store:
        """Open the store in `folder`, which is empty at first."""
        raise AssertionError("Override open_store to say how the store is opened.")

    @contextlib.contextmanager
    def opened(self, folder: Path, *, keep: int = 3, keep_lines: int = 10_000) -> Iterator[Store]:
        """Open the store, and close it after the block."""
        with contextlib.closing(self.open_store(folder, keep=keep, keep_lines=keep_lines)) as store:
            yield store

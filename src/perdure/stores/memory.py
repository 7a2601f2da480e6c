"""The memory store: the SQLite store without a file, for runs that may end with the process."""

import secrets
import weakref
from collections.abc import Mapping
from typing import ClassVar

from perdure.stores.commands import Retention
from perdure.stores.memory_medium import MemoryMedium
from perdure.stores.sqlite import SqlStore

__all__ = ["MemoryStore"]


class MemoryStore(SqlStore):
    """A `Store` in this process's memory, which ends with the process.

    It closes itself when there is no reference to it any more.

    Parameters
    ----------
    keep
        How many savepoints of a run retention keeps besides the permanent ones; at least 1.
    keep_lines, keep_bytes
        How many of the newest output lines of a run are kept, at least 1, and how many bytes in total.
    """

    ephemeral: ClassVar[bool] = True
    shared: ClassVar[bool] = False

    def __init__(self, *, keep: int = 3, keep_lines: int = 10_000, keep_bytes: int = 10_000_000) -> None:
        self.file = None
        self.identity = secrets.token_hex(8)
        self.sizes: Mapping[str, int] = {}
        super().__init__(MemoryMedium, Retention(keep, keep_lines, keep_bytes))
        weakref.finalize(self, self._writer.end).atexit = False

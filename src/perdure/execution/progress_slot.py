"""The progress slot: shared memory in which a child leaves its latest report for the server.

Writing costs as much as copying the report, so that a body may report as often as it likes; the reader
decides how often it reads. The latest report is available even if the child is killed right after it, or
computes in C without giving another thread a turn.
"""

import mmap
import os
import struct
import sys
import tempfile
from typing import Self

from perdure.errors import LimitExceeded

__all__ = ["ProgressSlot", "check_size"]

LARGEST = 256 << 10  # bytes of one report
READS = 100  # attempts to read a report that is being overwritten
_NUMBER = struct.Struct("<q")
_HEAD = struct.Struct("<qq")  # the length of a report, and the lines before it
_PLACES = (mmap.PAGESIZE, 2 * mmap.PAGESIZE + LARGEST)
_SIZE = 3 * mmap.PAGESIZE + 2 * LARGEST


def check_size(report: bytes) -> None:
    """Raise `LimitExceeded` for a report of more than 256 KiB."""
    if len(report) > LARGEST:
        raise LimitExceeded(
            f"A report of progress may have at most {LARGEST} bytes, not {len(report)}.",
            what="A report",
            limit=LARGEST,
            value=len(report),
        )


class ProgressSlot:
    """A report that one process writes and another reads; the latest replaces earlier ones.

    There are two buffers. A report is written to the one that isn't shown, and then shown by increasing the
    count: a writer that is killed in between leaves the former report.

    Parameters
    ----------
    file
        The descriptor of the shared file, which the slot owns from now on.
    """

    def __init__(self, file: int) -> None:
        self.file = file
        self._memory = mmap.mmap(file, _SIZE)

    @classmethod
    def create(cls) -> Self:
        """Create an empty slot."""
        if sys.platform == "linux":
            file = os.memfd_create("perdure-progress")
        else:
            with tempfile.TemporaryFile() as made:
                file = os.dup(made.fileno())
        os.ftruncate(file, _SIZE)
        return cls(file)

    def close(self) -> None:
        """Release the memory."""
        self._memory.close()
        os.close(self.file)

    @property
    def count(self) -> int:
        """Number of reports written."""
        return int(_NUMBER.unpack_from(self._memory, 0)[0])

    @property
    def lines(self) -> int:
        """Number of lines that the child had sent before the latest report."""
        return int(_HEAD.unpack_from(self._memory, _PLACES[self.count % 2])[1])

    def write(self, report: bytes, lines: int = 0) -> None:
        """Replace the report, before which this number of lines was sent.

        Raise `LimitExceeded` if it is larger than 256 KiB.
        """
        check_size(report)
        count = self.count + 1
        place = _PLACES[count % 2]
        _HEAD.pack_into(self._memory, place, len(report), lines)
        self._memory[place + _HEAD.size : place + _HEAD.size + len(report)] = report
        _NUMBER.pack_into(self._memory, 0, count)

    def read(self) -> bytes | None:
        """Return the latest report; None if there is none, or it changes faster than it can be read."""
        for _ in range(READS):
            count = self.count
            place = _PLACES[count % 2]
            (length,) = _NUMBER.unpack_from(self._memory, place)
            begin = place + _HEAD.size
            # The length is wrong only while it is overwritten, or if a child writes invalid data.
            report = self._memory[begin : begin + min(max(length, 0), LARGEST)]
            if self.count == count:
                return report if count else None
        return None

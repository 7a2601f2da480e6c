"""The tail: a small file beside the store with the number of the last acknowledged transaction.

SQLite reads a write-ahead log up to its first damaged frame and ignores the rest silently. So the number of
each transaction is written here before its futures are resolved. The file isn't synced: a killed server loses
none of it, a power cut may. A store that is behind its tail has lost acknowledged transactions; a tail that
is behind its store proves nothing.

There are two slots of 512 bytes, written alternately, so that a torn write leaves the other one intact.
"""

import contextlib
import hashlib
import os
import struct
from pathlib import Path

import msgspec

from perdure.durable import sync
from perdure.errors import StoreUnavailable
from perdure.stores.files import FILE_MODE

__all__ = ["Mark", "Tail"]

SLOT = 512  # bytes; a sector, which disks write atomically
RUN = 64  # bytes of a run's id

_FIELDS = struct.Struct(f"<4s16sQQdQ{RUN}s")
_MAGIC = b"Pdt1"
_DIGEST = 8


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """An acknowledged transaction; all transactions before it are acknowledged too.

    Attributes
    ----------
    store
        Identity of the store, 16 bytes.
    opening
        Number of the store's opening that made the transaction.
    batch
        Its number.
    time
        Its time, in Unix seconds.
    run, position
        The last run that it changed, and the number of steps in that run's log; an empty id if it changed
        none.
    """

    store: bytes
    opening: int
    batch: int
    time: float
    run: str = ""
    position: int = 0


class Tail:
    """The file, from `renew` to `close`; one thread uses it at a time.

    Parameters
    ----------
    path
        The file; `renew` creates it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._inode = (0, 0)  # of the open file; it doesn't change when the name does
        self._content = b""

    def read(self) -> Mark | None:
        """Return the newest intact mark, or None if there is none."""
        try:
            return _newest(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable(error) from error

    def renew(self, mark: Mark) -> None:
        """Open the file, delete its content, and make the mark durable."""
        try:
            self.close()
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            opened = os.fstat(self._file)
            self._inode = opened.st_dev, opened.st_ino
            self._content = _slot(mark) * 2
            os.pwrite(self._file, self._content, 0)
            os.fsync(self._file)
            sync(self.path.parent)
        except OSError as error:
            raise self._unavailable(error) from error

    def write(self, mark: Mark) -> None:
        """Record a newer mark, if no other server has written one.

        Raises
        ------
        StoreUnavailable
            If it can't be written, or another server has the store open, which SQLite's own locks don't show
            on every file system.
        """
        try:
            if self._file is None or not self._in_place():
                self._check_opening(self.read(), mark)
                self.renew(mark)
                return
            content = os.pread(self._file, 2 * SLOT, 0)
            if content != self._content:
                self._check_opening(_newest(content), mark)
            slot, at = _slot(mark), mark.batch % 2 * SLOT
            os.pwrite(self._file, slot, at)
            self._content = content[:at] + slot + content[at + SLOT :]
        except OSError as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        """Close the file; does nothing if it is closed."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                os.close(file)

    def _check_opening(self, found: Mark | None, mark: Mark) -> None:
        if found is not None and found.store == mark.store and found.opening > mark.opening:
            raise StoreUnavailable(
                reason=f"{self.path}: another server has opened the store meanwhile. Restart this one"
            )

    def _in_place(self) -> bool:
        """Return whether the name still leads to the open file, which may have been replaced."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self._inode

    def _unavailable(self, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(reason=f"{self.path}: {error.strerror}")


def _slot(mark: Mark) -> bytes:
    fields = _FIELDS.pack(
        _MAGIC, mark.store, mark.opening, mark.batch, mark.time, mark.position, mark.run.encode()[:RUN]
    )
    return (fields + _checksum(fields)).ljust(SLOT, b"\0")


def _newest(content: bytes) -> Mark | None:
    """Return the intact mark with the newest transaction of the two slots."""
    marks = [mark for at in (0, SLOT) if (mark := _mark(content[at : at + SLOT])) is not None]
    return max(marks, key=lambda mark: (mark.opening, mark.batch), default=None)


def _mark(slot: bytes) -> Mark | None:
    fields, checksum = slot[: _FIELDS.size], slot[_FIELDS.size : _FIELDS.size + _DIGEST]
    if len(fields) < _FIELDS.size or checksum != _checksum(fields):
        return None
    magic, store, opening, batch, time, position, run = _FIELDS.unpack(fields)
    if magic != _MAGIC:
        return None
    return Mark(
        store=store,
        opening=opening,
        batch=batch,
        time=time,
        position=position,
        run=run.rstrip(b"\0").decode(errors="replace"),
    )


def _checksum(fields: bytes) -> bytes:
    return hashlib.blake2b(fields, digest_size=_DIGEST).digest()

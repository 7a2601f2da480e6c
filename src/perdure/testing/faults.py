"""Faults for tests of stores: a virtual file system for SQLite whose disk fills up, fails and loses power."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import apsw
from typing_extensions import Buffer, override

__all__ = ["FaultyVFS", "Operation"]

Operation: TypeAlias = Literal["open", "read", "write", "sync"]

_CODES: dict[Operation, int] = {
    "open": apsw.SQLITE_CANTOPEN,
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
}
_numbers = itertools.count(1)


@dataclass(slots=True)
class _Fault:
    operation: Operation
    suffix: str
    code: int
    after: int
    times: int
    loses: bool


class FaultyVFS(apsw.VFS):
    """The operating system's files, with faults on demand.

    Attributes
    ----------
    name
        Name of the file system for a store: ``SqliteStore(path, vfs=vfs.name)``.
    room
        How many bytes files may still grow by; a larger write writes what fits and then fails with
        ``SQLITE_FULL``. None is no limit.
    syncs, struck
        Number of successful syncs, and of operations that were made to fail.

    Examples
    --------
    >>> vfs = FaultyVFS()
    >>> vfs.fail("sync", "-wal")  # from now on every fsync of the log fails
    >>> vfs.heal()
    """

    def __init__(self) -> None:
        self.name = f"perdure-faulty-{next(_numbers)}"
        self.room: int | None = None
        self.syncs = 0
        self.struck = 0
        self._faults: list[_Fault] = []
        self._unsynced: dict[str, list[tuple[int, int, bytes]]] = {}
        super().__init__(self.name, "")

    def fail(
        self,
        operation: Operation,
        suffix: str = "",
        *,
        code: int | None = None,
        after: int = 0,
        times: int = 1 << 30,
        loses: bool = False,
    ) -> None:
        """Make an operation on files fail whose name ends with `suffix`.

        Parameters
        ----------
        operation
            ``open``, ``read``, ``write`` or ``sync``.
        suffix
            ``-wal`` is the write-ahead log, ``.db`` a database with such a name, the empty string every file.
        code
            SQLite's result code; by default ``SQLITE_CANTOPEN`` or the I/O error of the operation.
        after
            How many of these operations succeed first.
        times
            How many of them fail then.
        loses
            Whether a failed sync loses what was written since the last one, as on a file system that drops
            the pages it couldn't write.
        """
        chosen = _CODES[operation] if code is None else code
        self._faults.append(_Fault(operation, suffix, chosen, after, times, loses))

    def heal(self) -> None:
        """Make all operations succeed again."""
        self.room = None
        self._faults.clear()

    def after_power_cut(self, file: Path, folder: Path) -> Path:
        """Copy a database to a folder as it would be after a power cut now, and return the copy.

        Everything written since the last sync is lost.
        """
        for source in (file, file.with_name(f"{file.name}-wal")):
            if not source.exists():
                continue
            content = bytearray(source.read_bytes())
            for size, offset, former in reversed(self._unsynced.get(str(source), [])):
                content[offset : offset + len(former)] = former
                del content[size:]
            (folder / source.name).write_bytes(content)
        return folder / file.name

    @override
    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        """Open a file."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        if fault := self._fault("open", path):
            raise apsw.exception_for(fault.code)
        return _FaultyFile(self, path, name, flags)

    @override
    def xDelete(self, filename: str, syncdir: bool) -> None:
        """Delete a file."""
        self._unsynced.pop(filename, None)
        super().xDelete(filename, syncdir)

    def _fault(self, operation: Operation, path: str) -> _Fault | None:
        """Return the fault that applies now, if any."""
        for fault in self._faults:
            if fault.operation != operation or not path.endswith(fault.suffix) or not fault.times:
                continue
            if fault.after:
                fault.after -= 1
                continue
            fault.times -= 1
            self.struck += 1
            return fault
        return None


class _FaultyFile(apsw.VFSFile):
    """A file that remembers how to undo what was written since the last sync."""

    def __init__(
        self, vfs: FaultyVFS, path: str, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        self._vfs = vfs
        self._path = path
        super().__init__("", name, flags)

    @override
    def xRead(self, amount: int, offset: int) -> bytes:
        """Read."""
        if fault := self._vfs._fault("read", self._path):
            raise apsw.exception_for(fault.code)
        return super().xRead(amount, offset)

    @override
    def xWrite(self, data: Buffer, offset: int) -> None:
        """Write, as far as there is room."""
        if fault := self._vfs._fault("write", self._path):
            raise apsw.exception_for(fault.code)
        content = bytes(data)
        size = self.xFileSize()
        growth = max(0, offset + len(content) - size)
        room = self._vfs.room
        full = room is not None and growth > room
        if room is not None:
            if full:
                content = content[: max(0, len(content) - growth + room)]
            self._vfs.room = max(0, room - growth)
        former = super().xRead(min(len(content), size - offset), offset) if offset < size else b""
        self._unsynced().append((size, offset, former))
        if content:
            super().xWrite(content, offset)
        if full:
            raise apsw.exception_for(apsw.SQLITE_FULL)

    @override
    def xTruncate(self, newsize: int) -> None:
        """Truncate, which counts as synced."""
        self._unsynced().clear()
        super().xTruncate(newsize)

    @override
    def xSync(self, flags: int) -> None:
        """Make durable what was written."""
        if fault := self._vfs._fault("sync", self._path):
            if fault.loses:
                for size, offset, former in reversed(self._unsynced()):
                    if former:
                        super().xWrite(former, offset)
                    super().xTruncate(size)
                self._unsynced().clear()
            raise apsw.exception_for(fault.code)
        super().xSync(flags)
        self._vfs.syncs += 1
        self._unsynced().clear()

    def _unsynced(self) -> list[tuple[int, int, bytes]]:
        return self._vfs._unsynced.setdefault(self._path, [])

"""The lock: a kernel lock on a file, which names its holder to a second process.

The kernel releases it when its process ends, however that happens, so that a lock is never stale. The file
stays unless the holder removes it; a process that waited then locks the next file of that name.
"""

import contextlib
import os
import shlex
import socket
import sys
import time
from pathlib import Path
from weakref import WeakSet

import msgspec

from perdure.errors import StoreLocked, StoreUnavailable

if sys.platform != "win32":
    import fcntl

__all__ = ["Holder", "Lock"]


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock: process, machine, Unix time since when, and the command line."""

    pid: int
    host: str
    since: float
    command: str

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since))
        return f"process {self.pid} on {self.host} since {since} ({self.command})"


class Lock:
    """A lock on a file, held from construction to `release`.

    Parameters
    ----------
    path
        The lock file; it is created if there is none.
    guarded
        The file that the lock guards, for messages.
    shared
        Whether several may hold it, if all of them share it; then errors don't name the holders.

    Raises
    ------
    StoreLocked
        If another process, or another opening in this one, holds it; the message names the holder.
    StoreUnavailable
        If the file can't be written, or the platform has no kernel file locks.
    """

    def __init__(self, path: Path, guarded: Path, *, shared: bool = False) -> None:
        if sys.platform == "win32":
            raise StoreUnavailable(
                reason=f"{guarded}: this platform has no kernel file locks (fcntl.flock), which keep a "
                "second server out; use Linux or macOS"
            )
        self._path = path
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while not self._take(path, guarded, kind):
            pass
        _held.add(self)

    def _take(self, path: Path, guarded: Path, kind: int) -> bool:
        """Lock the file that has the name now; return False if its last holder has removed it meanwhile."""
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(reason=f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
            if not _names(path, self._file):
                os.close(self._file)
                return False
            exclusive = kind == fcntl.LOCK_EX
            _write(self._file, msgspec.json.encode(_this_process()) if exclusive else b"")
        except BlockingIOError:
            holder = _holder(self._file)
            os.close(self._file)
            raise StoreLocked(path=str(guarded), holder=holder) from None
        except OSError as error:
            os.close(self._file)
            raise StoreUnavailable(reason=f"{path}: {error.strerror}") from error
        return True

    def release(self) -> None:
        """Release the lock; does nothing if it is released."""
        self._let_go(remove=False)

    def remove(self) -> None:
        """Remove the file, then release the lock; does nothing if it is released."""
        self._let_go(remove=True)

    def _let_go(self, *, remove: bool) -> None:
        if self not in _held:
            return
        _held.discard(self)
        if remove:
            self._path.unlink(missing_ok=True)
        # While the lock is still held: afterwards this would erase the next holder's name.
        with contextlib.suppress(OSError):
            _write(self._file, b"")
        if sys.platform != "win32":
            fcntl.flock(self._file, fcntl.LOCK_UN)  # also for a child that was forked a moment ago
        os.close(self._file)

    def _forget(self) -> None:
        """Close a forked child's copy of the file, which would hold the lock until the child ends."""
        os.close(self._file)


_held: WeakSet[Lock] = WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock._forget()
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_all)


def _this_process() -> Holder:
    return Holder(
        pid=os.getpid(), host=socket.gethostname(), since=time.time(), command=shlex.join(sys.orig_argv)
    )


def _holder(file: int) -> str:
    try:
        return str(msgspec.json.decode(os.pread(file, 1 << 16, 0), type=Holder))
    except (msgspec.DecodeError, OSError):
        return "another process"


def _names(path: Path, file: int) -> bool:
    """Return whether the path still leads to the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _write(file: int, content: bytes) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, content, 0)

"""The files of a store: their permissions, and whether they stay in place.

SQLite goes on writing to a file that was deleted, renamed or replaced, and those writes would be lost. So the
names are checked before anything is acknowledged. The files are never opened here while SQLite has them open:
closing any descriptor of a file drops the locks that SQLite holds on it.
"""

import contextlib
import os
from pathlib import Path

from perdure.durable import sync
from perdure.errors import StoreUnavailable

__all__ = ["Files", "make_folder", "make_private"]

FILE_MODE = 0o600
FOLDER_MODE = 0o700
SUFFIXES = ("", "-wal", "-shm", ".lock", ".tail")

_ADVICE = "Put it back, or restart the server, which then checks what is there"


class Files:
    """The database and its write-ahead log, as they are at construction, when SQLite has both open.

    Parameters
    ----------
    path
        The database.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._log = path, Path(f"{path}-wal")
        found = {name: name.stat() for name in (self._path, self._log)}
        self._inodes = {name: (status.st_dev, status.st_ino) for name, status in found.items()}
        self._sizes = {name: status.st_size for name, status in found.items()}

    @property
    def problem(self) -> str | None:
        """What happened to a file that isn't in place any more; None if both are in place."""
        try:
            self.check()
        except StoreUnavailable as error:
            return str(error.values["reason"])
        return None

    @property
    def only_log_deleted(self) -> bool:
        """Whether the write-ahead log has lost its name while the database has its own."""
        try:
            self._size(self._path)
        except StoreUnavailable:
            return False
        return not os.path.lexists(self._log)

    def check(self) -> None:
        """Raise `StoreUnavailable` unless both are in place."""
        for name in self._inodes:
            self._size(name)

    def check_untouched(self) -> None:
        """Raise as `check` does, and also if a file is shorter than `measure` found it."""
        for name, size in self._sizes.items():
            found = self._size(name)
            if found < size:
                raise _unavailable(name, f"was cut from {size} to {found} bytes")

    def measure(self) -> None:
        """Record the lengths of the files after a write of the store; raise as `check` does."""
        self._sizes = {name: self._size(name) for name in self._inodes}

    def _size(self, name: Path) -> int:
        try:
            found = name.stat()
        except OSError as error:
            raise _unavailable(name, f"was deleted or renamed ({error.strerror})") from error
        if (found.st_dev, found.st_ino) != self._inodes[name]:
            raise _unavailable(name, "was replaced by another file")
        return found.st_size


def _unavailable(name: Path, what: str) -> StoreUnavailable:
    return StoreUnavailable(reason=f"{name} {what} while it was open. {_ADVICE}")


def make_folder(folder: Path) -> None:
    """Create a folder that only this user can enter, with its parents, and make their names durable."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(mode=FOLDER_MODE, exist_ok=True)
        sync(made.parent)


def make_private(path: Path) -> None:
    """Create an empty database if there is none, and let only this user read or write the store's files.

    SQLite gives its other files the mode of the database. Nothing may have the database open yet.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    for suffix in SUFFIXES:
        file = Path(f"{path}{suffix}")
        # A file that belongs to another user, or doesn't exist, stays as it is.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if file.stat().st_mode & 0o777 & ~FILE_MODE:
                file.chmod(FILE_MODE)

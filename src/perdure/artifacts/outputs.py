"""Outputs: the files below a folder that a simulation wrote in, which is nobody to be trusted.

No link is followed, neither to a file nor to a folder, also if one is put there while the folder is walked;
what isn't a regular file is passed over.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

from perdure.artifacts.names import check_path
from perdure.errors import InvalidName

__all__ = ["chunks_of", "data_from", "empty_folders", "opened", "outputs", "stored_path"]

CHUNK = 1_000_000
_ZEROS = bytes(CHUNK)

_OPENING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def outputs(folder: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the path of each file and the file, open until the next one.

    A name that isn't a plain one, with control characters say, is percent-encoded. ``__pycache__`` is left
    out.

    Raises
    ------
    OSError
        If a file or a folder can't be read.
    """
    for parent, folders, names, handle in os.fwalk(folder, onerror=_raise, follow_symlinks=False):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            if not stat.S_ISREG(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
                continue
            with os.fdopen(os.open(name, _OPENING, dir_fd=handle), "rb") as file:
                if _is_own(file.fileno(), folder):
                    yield stored_path(str((Path(parent) / name).relative_to(folder))), file


def empty_folders(folder: Path) -> Iterator[str]:
    """Yield the paths of the folders below a folder that have neither files nor folders in them.

    Names that aren't plain ones are encoded as those of `outputs`; links count as nothing.

    Raises
    ------
    OSError
        If a folder can't be read.
    """
    for parent, folders, names, handle in os.fwalk(folder, onerror=_raise, follow_symlinks=False):
        kinds = [os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode for name in folders + names]
        full = any(stat.S_ISDIR(kind) or stat.S_ISREG(kind) for kind in kinds)
        if not full and Path(parent) != folder:
            yield stored_path(str(Path(parent).relative_to(folder)))
        folders[:] = [name for name in folders if name != "__pycache__"]


@contextmanager
def opened(folder: Path, path: str) -> Iterator[IO[bytes] | None]:
    """Yield a file of a folder, open, or None if there is no regular one; links don't count."""
    *within, name = PurePosixPath(path).parts
    with ExitStack() as opening:
        try:
            handle = _open(opening, str(folder))
            for part in within:
                handle = _open(opening, part, handle)
            handle = os.open(name, _OPENING, dir_fd=handle)
        except OSError:
            yield None
            return
        file = opening.enter_context(os.fdopen(handle, "rb"))
        yield file if _is_own(file.fileno(), folder) else None


def _open(opening: ExitStack, name: str, folder: int | None = None) -> int:
    handle = os.open(name, _OPENING | os.O_DIRECTORY, dir_fd=folder)
    opening.callback(os.close, handle)
    return handle


def _is_own(handle: int, folder: Path) -> bool:
    """Return whether an open file is a regular one, and whose the folder is if that was given to somebody.

    Who can link to a file needn't be able to read it.
    """
    status, owner = os.fstat(handle), folder.lstat().st_uid
    return stat.S_ISREG(status.st_mode) and (owner in (os.geteuid(), status.st_uid))


def chunks_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a file from its beginning; holes are zeros that aren't read from the disk."""
    handle, at = file.fileno(), 0
    while True:
        for hole in range(at, data := data_from(handle, at), CHUNK):
            yield _ZEROS[: data - hole]
        chunk = os.pread(handle, CHUNK, data)
        if not chunk:
            return
        yield chunk
        at = data + len(chunk)


def stored_path(path: str) -> str:
    """Return the path that a file of a folder is stored under."""
    for written in (path, quote(os.fsencode(path), safe="/ ")):
        try:
            return check_path(written)
        except InvalidName:
            continue
    return f"unnamed/{sha256(os.fsencode(path)).hexdigest()}"


def data_from(handle: int, at: int) -> int:
    """Return where the next data of a file begins; its end if nothing follows but a hole."""
    try:
        return os.lseek(handle, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            return at  # the file system knows no holes
        return max(at, os.fstat(handle).st_size)


def _raise(error: OSError) -> None:
    raise error

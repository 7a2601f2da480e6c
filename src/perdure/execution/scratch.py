"""Scratch folders: the temporary files of children, one folder for each run that is worked on.

They count against the limit of the run's folders, and are removed with its processes. Children with a user id
of their own use their home instead.
"""

import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import structlog

__all__ = ["Scratch"]

log = structlog.get_logger(__name__)


class Scratch:
    """The scratch folders of an executor's children, in this process's folder for temporary files; blocking.

    Parameters
    ----------
    identity
        The store's identity, with which folders of a killed server are found.
    """

    def __init__(self, identity: str) -> None:
        self._root = Path(tempfile.gettempdir())
        self._prefix = f"perdure-{_short(identity)}-"

    def open(self) -> None:
        """Remove the folders that an earlier server left, after its processes have ended."""
        for folder in self._root.glob(f"{self._prefix}*"):
            self.remove(folder)

    def make(self, run_id: str) -> Path:
        """Create an empty folder for a run; the caller calls `remove`.

        Its name is the same in each attempt at the run, so that a script which replays passes the same path.
        It is short, since the path of a socket has at most about a hundred characters.
        """
        folder = self._root / f"{self._prefix}{_short(run_id)}"
        if os.path.lexists(folder):
            self.remove(folder)
        folder.mkdir(mode=0o700)
        return folder

    def remove(self, folder: Path) -> None:
        """Remove a folder whose processes have ended; a failure is logged."""
        try:
            with suppress(OSError):
                shutil.rmtree(folder)
                return
            _open_up(folder)
            shutil.rmtree(folder)
        except OSError as error:
            log.warning("scratch_kept", folder=str(folder), reason=str(error))


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def _open_up(folder: Path) -> None:
    """Give this user the permission to remove a folder's content, whatever modes a child has set."""
    folder.chmod(0o700)
    for path, folders, _ in os.walk(folder):
        for inner in (Path(path, name) for name in folders):
            if not inner.is_symlink():
                inner.chmod(0o700)

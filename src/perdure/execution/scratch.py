"""Scratch folders: where the temporary files of children are, one for each run that is worked on.

They count against the limit of the run's folders, and go with its processes. A child that has a user id of
its own has them in its home instead.
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
        The store's, by which folders are found that a killed server left.
    """

    def __init__(self, identity: str) -> None:
        self._root = Path(tempfile.gettempdir())
        self._prefix = f"perdure-{_short(identity)}-"

    def open(self) -> None:
        """Remove the folders that a former server left, of which nothing runs any more."""
        for folder in self._root.glob(f"{self._prefix}*"):
            self.remove(folder)

    def make(self, run_id: str) -> Path:
        """Make the folder of a run, empty; the caller calls `remove`.

        Its name is the same in each attempt at the run, so that a script which replays passes the same. It is
        short, since the path of a socket has at most some hundred characters.
        """
        folder = self._root / f"{self._prefix}{_short(run_id)}"
        if os.path.lexists(folder):
            self.remove(folder)
        folder.mkdir(mode=0o700)
        return folder

    def remove(self, folder: Path) -> None:
        """Remove a folder of which nothing runs any more; one that can't be removed is noted."""
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
    """Let this user remove what is in a folder, whatever modes a child gave to the folders in it."""
    folder.chmod(0o700)
    for path, folders, _ in os.walk(folder):
        for inner in (Path(path, name) for name in folders):
            if not inner.is_symlink():
                inner.chmod(0o700)

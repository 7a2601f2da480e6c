"""Isolation of owners: each owner's children have a user id of their own, which opens only the owner's files.

It requires root and Linux. The server, its guards and its store belong to root; a child's files belong to its
owner's id and are closed to all others. Files that every child needs, the interpreter and all modules that
the server has loaded, must be readable by everybody; that is checked before anything is run.
"""

import fcntl
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

import structlog

from perdure.errors import IsolationUnavailable
from perdure.execution.environment import allowed
from perdure.execution.user_ids import UserIds

__all__ = ["Isolation", "User", "check_isolation", "close_to_others", "hand_over", "hold_ids"]

LOCK = Path("/run/perdure-user-ids.lock")
PATIENCE = 60.0  # seconds that an interpreter may take to start

log = structlog.get_logger(__name__)


class User(NamedTuple):
    """The user that a child runs as: the number of user and group, and a folder of its own."""

    id: int
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead to its folder."""
        return {"HOME": str(self.home), "TMPDIR": str(self.home / "tmp")}


class Isolation:
    """The users that an executor's children run as; blocking.

    Parameters
    ----------
    users
        The owners' user ids.
    ids
        The range of these ids, which no other server uses.
    root
        A folder that others may enter but not list. It holds a temporary home for each child.
    """

    def __init__(self, users: UserIds, ids: range, root: Path) -> None:
        self.ids = ids
        self._users = users
        self._root = root

    def make_root(self) -> None:
        """Create the root."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o755)
        self._root.chmod(0o711)

    def open(self) -> None:
        """Remove the homes that an earlier server left, after its processes have ended."""
        for home in self._root.glob("owner.*"):
            shutil.rmtree(home)

    def user_id(self, owner: str) -> int:
        """Return an owner's user id; raise `UserIdsExhausted` if none is left."""
        return self._users.of(owner)

    def user(self, owner: str) -> User:
        """Return the user for an owner's child, with a new home; the caller calls `leave`."""
        number = self._users.of(owner)
        home = Path(mkdtemp(prefix=f"owner.{number}.", dir=self._root))
        (home / "tmp").mkdir()
        hand_over(home, number)
        return User(number, home)

    def leave(self, user: User) -> None:
        """Remove the home of a user whose processes have ended.

        Files that other children of the owner write there meanwhile stay until the next server removes them.
        """
        try:
            shutil.rmtree(user.home)
        except OSError as error:
            log.warning("home_kept", folder=str(user.home), reason=str(error))


def hand_over(folder: Path, user: int) -> None:
    """Give a folder with its content to a user, and close it to others; links aren't followed.

    Only this process's user can enter it meanwhile: the folder itself is given last.
    """
    os.chown(folder, os.geteuid(), os.getegid(), follow_symlinks=False)
    folder.chmod(0o700)
    for _, folders, names, handle in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *names):
            os.chown(name, user, user, dir_fd=handle, follow_symlinks=False)
    os.chown(folder, user, user, follow_symlinks=False)


def close_to_others(paths: Iterable[Path]) -> None:
    """Remove the permissions of others on files and folders; missing ones are ignored."""
    for path in paths:
        with suppress(FileNotFoundError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o700)


def hold_ids(ids: range) -> int:
    """Lock a range of user ids; return the file descriptor whose closing releases them.

    If two servers shared an id, an owner at one could open the files of an owner at the other. Each id is a
    byte of a file that is locked by the kernel.

    Raises
    ------
    IsolationUnavailable
        If another server holds some of them.
    """
    try:
        file = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, len(ids), ids.start)
        except BaseException:
            os.close(file)
            raise
    except BlockingIOError as error:
        reason = "another server of this machine has some of these user ids; each needs a range of its own"
        raise IsolationUnavailable(reason=reason) from error
    except OSError as error:
        raise IsolationUnavailable(reason=f"{LOCK} can't be locked ({error.strerror})") from error
    return file


def check_isolation(ids: range, root: Path, folder: Path | None) -> None:
    """Raise `IsolationUnavailable` if children can't be isolated here; the message says what to do.

    Parameters
    ----------
    ids
        The user ids.
    root
        The folder of homes and working folders, which exists.
    folder
        The store's folder, if it has one: nobody else may write in it.
    """
    known = [user for user in pwd.getpwall() if user.pw_uid in ids]
    if known:
        reason = f"{known[0].pw_uid} is the user {known[0].pw_name!r}; name a range that nobody has"
        raise IsolationUnavailable(reason=reason)
    if folder is not None and folder.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        raise IsolationUnavailable(reason=f"everybody may write in {folder}: `chmod o-w {folder}`")
    needed = {Path(sys.executable), root, *map(Path, _loaded())}
    asked = json.dumps([str(path) for path in needed if path.exists()])
    blocked = next((path for path in _above(needed) if not path.stat().st_mode & stat.S_IXOTH), None)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "perdure.execution.readable"],
            input=asked.encode(),
            capture_output=True,
            env=allowed(os.environ),
            cwd="/",
            user=ids[-1],
            group=ids[-1],
            extra_groups=[],
            umask=0o077,
            timeout=PATIENCE,
        )
        unreadable = json.loads(done.stdout) if done.returncode == 0 else [sys.executable]
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    except (OSError, subprocess.TimeoutExpired) as error:
        unreadable, said = [sys.executable], str(error)
    if unreadable:
        where = f"{blocked} can't be entered (`chmod o+x {blocked}`)" if blocked is not None else said
        raise IsolationUnavailable(reason=f"user {ids[-1]} can't use {unreadable[0]}: {where or 'its mode'}")


def _loaded() -> Iterable[str]:
    """Return the files of all modules that are loaded here: libraries, models and tasks."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {file for file in files if isinstance(file, str)}


def _above(paths: Iterable[Path]) -> list[Path]:
    """Return the parent folders of files and of the targets of links, from the top."""
    found = {above for path in paths for above in (*path.absolute().parents, *path.resolve().parents)}
    return sorted(above for above in found if above.exists())

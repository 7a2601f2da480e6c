"""The files of an experiment's folder: which ones a run has written, and how they were at a savepoint.

A script that runs again writes its files again. What engines and functions wrote isn't written again, since
they go on from the savepoint; so a savepoint tells how each written file was, and what differs when the
script has reached it is put back: small files from their content in the savepoint, larger ones from the
folder of the attempt before, cut to their length. Those may have grown at their end since, and a hash tells
if more was changed; of very large ones it is a hash of the two ends. A fork is given such a folder, with what
its savepoint lacks.
"""

import builtins
import contextlib
import fcntl
import hashlib
import io
import os
import secrets
import shutil
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from perdure.errors import FileLost
from perdure.state.codec import State

__all__ = ["EMPTY", "Files", "OpenFiles", "lacking", "remove_folder", "take"]

SMALL = 64 * 1024  # bytes up to which a file's content is in the savepoint
SMALL_ALTOGETHER = 1 << 20
WHOLE = 16 << 20  # bytes up to which a file's hash is of all of it
WHOLE_ALTOGETHER = 32 << 20  # of those that have changed since the savepoint before
SETTLED = 50_000_000  # nanoseconds after which a file's time of change tells of the next change
_CACHES = frozenset({"__pycache__"})

_Stamp = tuple[int, int, int]


class Files:
    """The files of a folder, compared with how it was at the beginning.

    Parameters
    ----------
    folder
        The run's working folder, as it was copied from storage.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._given = self._stamps()
        self._known: dict[str, tuple[_Stamp, dict[str, State]]] = {}

    def snapshot(self) -> State:
        """Return what was written, changed and removed since the beginning."""
        now = time.time_ns()
        written: dict[str, State] = {}
        stamps = self._stamps()
        room, reading = SMALL_ALTOGETHER, WHOLE_ALTOGETHER
        for name, stamp in stamps.items():
            if self._given.get(name) == stamp:
                continue
            known = self._known.get(name)
            if known is None or known[0] != stamp:
                whole = stamp[0] <= min(WHOLE, reading)
                described = _described(self._folder / name, stamp[0], whole=whole)
                reading -= stamp[0] if whole else 0
                if now - stamp[1] > SETTLED and (whole or stamp[0] > WHOLE):
                    self._known[name] = (stamp, described)
                else:
                    self._known.pop(name, None)
            else:
                described = known[1]
            room -= stamp[0]
            written[name] = described if room >= 0 else {**described, "content": None}
        removed: list[State] = [name for name in self._given if name not in stamps]
        state: dict[str, State] = {"written": written, "removed": removed}
        return state

    def put_back(self, state: Any, former: Path | None) -> None:
        """Make the folder what it was at a savepoint.

        Parameters
        ----------
        state
            What `snapshot` returned.
        former
            The folder of the attempt before, if there is one.

        Raises
        ------
        FileLost
            If a file can't be put back: it isn't small, and the former folder lacks it or has another one.
        """
        written: Mapping[str, Any] = state["written"]
        present = self._stamps()
        for name, was in written.items():
            path = self._folder / name
            if name in present and _holds(path, present[name][0], was):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                _content(name, None if former is None else former / name, was) as content,
                path.open("r+b" if path.exists() else "wb") as file,
            ):
                file.writelines(_parts(content, was["size"]))
                file.truncate()
            _move_handles(path, was["size"])
        for name in present:
            if name not in written and (name not in self._given or name in state["removed"]):
                (self._folder / name).unlink()

    def _stamps(self) -> dict[str, _Stamp]:
        """Return size, time of change and number of each file, by its path in the folder."""
        stamps: dict[str, _Stamp] = {}
        waiting = [""]
        while waiting:
            within = waiting.pop()
            with os.scandir(self._folder / within) as found:
                for item in found:
                    if item.is_dir(follow_symlinks=False):
                        if item.name not in _CACHES:
                            waiting.append(f"{within}{item.name}/")
                    elif item.is_file(follow_symlinks=False):
                        status = item.stat(follow_symlinks=False)
                        stamps[within + item.name] = (status.st_size, status.st_mtime_ns, status.st_ino)
        return stamps


class OpenFiles:
    """The files of a folder that are open for writing in this process while its ``with`` block lasts.

    What they hold back is to be in the files when a savepoint is made; at the end they are closed.

    Parameters
    ----------
    folder
        The folder.
    by_script
        Says whether it is the script's code that is running.

    Attributes
    ----------
    scripts
        The paths in the folder of those that the script opened: it writes them again when it runs again.
    """

    def __init__(self, folder: Path, by_script: Callable[[], bool] = lambda: False) -> None:
        self.scripts: set[str] = set()
        self._folder = f"{folder}/"
        self._by_script = by_script
        self._files: weakref.WeakSet[Any] = weakref.WeakSet()
        self._open: Any = builtins.open

    def __enter__(self) -> "OpenFiles":
        self._open = builtins.open

        def open(*given: Any, **named: Any) -> Any:
            file = self._open(*given, **named)
            if file.writable() and (name := self._name(given[0] if given else named["file"])) is not None:
                self._files.add(file)
                if self._by_script():
                    self.scripts.add(name)
            return file

        builtins.open = io.open = open
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        builtins.open = io.open = self._open
        for file in list(self._files):
            file.close()

    def _name(self, file: Any) -> str | None:
        """Return the path in the folder of a file that was opened; it may have been given by its number."""
        if not isinstance(file, str | bytes | os.PathLike):
            return None
        path = os.path.normpath(Path.cwd() / os.fsdecode(file))
        return path.removeprefix(self._folder) if path.startswith(self._folder) else None

    def flush(self) -> None:
        """Write what is held back."""
        for file in list(self._files):
            if not file.closed:
                file.flush()


def lacking(state: Any) -> dict[str, Mapping[str, Any]]:
    """Return the files that a savepoint names without their content, by their path, as it describes them."""
    return {name: was for name, was in state["written"].items() if was["content"] is None}


def take(chunks: Iterable[bytes], was: Mapping[str, Any], target: Path) -> bool:
    """Write a file as it was at a savepoint, of bytes that may go on after that.

    Returns
    -------
    Whether the file is as the savepoint describes it; if not, there is none.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    left: int = was["size"]
    with target.open("wb") as file:
        for chunk in chunks:
            file.write(chunk[:left])
            left -= min(left, len(chunk))
            if not left:
                break
    if left or not _holds(target, was["size"], was):
        target.unlink()
        return False
    return True


def remove_folder(folder: Path) -> None:
    """Remove a folder, which is never seen half removed under its name; harmless if there is none."""
    # Each who removes it has a name of its own: of two at once, one finds nothing.
    going = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.going")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(going)
        shutil.rmtree(going)


def _described(path: Path, size: int, *, whole: bool) -> dict[str, State]:
    """Return a file's size, a hash (of its two ends unless `whole`), and its content if it is small."""
    with path.open("rb") as file:
        if size <= SMALL:
            content = file.read(size)
            return {"size": size, "hash": _hash([content]), "whole": True, "content": content}
        if whole:
            parts = _parts(file, size)
        else:
            file.seek(size - SMALL)
            last = file.read(SMALL)
            file.seek(0)
            parts = iter([file.read(SMALL), last])
        return {"size": size, "hash": _hash(parts), "whole": whole, "content": None}


def _holds(path: Path, size: int, was: Mapping[str, Any]) -> bool:
    """Return whether the first bytes of a file, so many, are what a savepoint tells of one."""
    return bool(size == was["size"] and _described(path, size, whole=was["whole"])["hash"] == was["hash"])


def _hash(parts: Iterable[bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _parts(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the first bytes of a file, so many."""
    while size > 0 and (part := file.read(min(size, SMALL_ALTOGETHER))):
        yield part
        size -= len(part)


def _content(name: str, former: Path | None, was: Mapping[str, Any]) -> BinaryIO:
    """Return a file that begins with what a file held at a savepoint."""
    if was["content"] is not None:
        return io.BytesIO(was["content"])
    if former is None or not former.is_file():
        raise FileLost(path=name, reason="the folder it was written in is gone")
    size: int = was["size"]
    if former.stat().st_size < size or not _holds(former, size, was):
        raise FileLost(path=name, reason="it was written anew after the savepoint")
    return former.open("rb")


def _move_handles(path: Path, size: int) -> None:
    """Let what is open for writing in this process go on at the end of a file that was put back.

    Where there is no ``/proc`` only files opened for appending do.
    """
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        return
    for handle in handles.iterdir():
        try:
            if handle.readlink() == path:
                number = int(handle.name)
                if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
                    os.lseek(number, size, os.SEEK_SET)
        except FileNotFoundError:
            continue  # the handle with which the folder of handles was read


EMPTY: dict[str, State] = {"size": 0, "hash": _hash([]), "whole": True, "content": b""}
"""What a savepoint says of an empty file."""

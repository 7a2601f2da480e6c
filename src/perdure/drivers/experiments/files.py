"""The files of an experiment's folder: which ones a run has written, and how they were at a savepoint.

A script that runs again writes its files again. What engines and functions wrote isn't written again, since
they go on from the savepoint; so a savepoint lists what was written, and what differs when the script has
reached it is put back, from a folder that was laid out from the savepoint (`SavedFiles`). Folders, modes and
links are put back, too.
"""

import builtins
import contextlib
import fcntl
import filecmp
import io
import os
import secrets
import shutil
import stat
import weakref
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from perdure.errors import FileLost
from perdure.run import is_unicode
from perdure.state.codec import State

__all__ = ["Files", "OpenFiles", "remove_folder"]

CHUNK = 1 << 20  # bytes that are copied at once
PERMISSIONS = 0o777  # the bits of a mode that are noted
_CACHES = frozenset({"__pycache__"})


class _Stamp(NamedTuple):
    """What differs once a file was changed. `touched`, unlike `changed`, can't be set back."""

    size: int
    changed: int
    touched: int
    number: int
    mode: int


@dataclass(frozen=True)
class _Items:
    """What is in a folder, by path: the stamps of files, the modes of folders, what links say.

    A mode that is None doesn't matter. What a savepoint can't name, since it isn't Unicode, is left out.
    """

    files: dict[str, _Stamp] = field(default_factory=dict)
    folders: dict[str, int | None] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)

    def __contains__(self, name: str) -> bool:
        return name in self.files or name in self.folders or name in self.links


class Files:
    """The files of a folder, compared with how it was at the beginning; its folders and links, too.

    A link is what it says, and is followed nowhere.

    Parameters
    ----------
    folder
        The run's working folder, as it was copied from storage.

    Attributes
    ----------
    left_out
        The paths of what the last snapshot left out, since it can't be named there: it isn't Unicode.
    """

    def __init__(self, folder: Path) -> None:
        self.left_out: set[str] = set()
        self._folder = folder
        self._given = _items(folder)

    def snapshot(self) -> State:
        """Return what was written, made, changed and removed since the beginning, without content."""
        items, given = _items(self._folder), self._given
        self.left_out = items.left_out
        written: dict[str, State] = {
            name: [stamp.mode, *stamp[:-1]]
            for name, stamp in items.files.items()
            if given.files.get(name) != stamp
        }
        given_names = (*given.files, *given.folders, *given.links)
        removed: list[State] = [*sorted(name for name in given_names if name not in items)]
        return {
            "written": written,
            "folders": _differing(items.folders, given.folders),
            "links": _differing(items.links, given.links),
            "removed": removed,
        }

    def put_back(self, state: Any, saved: Path, again: Container[str] = ()) -> None:
        """Make the folder what it was at a savepoint.

        Parameters
        ----------
        state
            The files as the savepoint lists them.
        saved
            A folder with what they held; what is taken from it isn't there any more.
        again
            Those that are written again by who wrote them. Of one that isn't in `saved` the one that is there
            counts, if it has the same size.

        Raises
        ------
        FileLost
            If `saved` lacks a file that isn't written again.
        """
        present, wanted = _items(self._folder), self._wanted(state)
        for name, mode in present.folders.items():
            _set_mode(self._folder / name, (mode or 0) | stat.S_IRWXU)  # until all is done
        self._remove(present, wanted)
        for name in sorted(wanted.folders.keys() - present.folders.keys()):
            (self._folder / name).mkdir()
        for name, was in state["written"].items():
            self._put_back_file(name, was, present.files.get(name), saved / name, name in again)
        for name, text in wanted.links.items():
            if present.links.get(name) != text:
                (self._folder / name).symlink_to(text)
        for name in sorted(wanted.folders, reverse=True):
            _set_mode(self._folder / name, wanted.folders[name])

    def _wanted(self, state: Any) -> _Items:
        """Return what was in the folder at a savepoint; how its files were doesn't count."""
        told = {*state["removed"], *state["written"], *state["folders"], *state["links"]}
        files, folders, links = (
            {name: how for name, how in items.items() if name not in told}
            for items in (self._given.files, self._given.folders, self._given.links)
        )
        wanted = _Items(files | state["written"], folders | state["folders"], links | state["links"])
        for name in (*wanted.files, *wanted.folders, *wanted.links):
            for parent in list(Path(name).parents)[:-1]:  # which a fork's experiment may lack
                wanted.folders.setdefault(str(parent), None)
        return wanted

    def _remove(self, present: _Items, wanted: _Items) -> None:
        """Remove what wasn't there, or was something else; what is in a folder goes before it."""
        for name in sorted((*present.files, *present.folders, *present.links), reverse=True):
            path = self._folder / name
            if name in present.folders:
                if name not in wanted.folders:
                    shutil.rmtree(path)
            elif name in present.files:
                if name not in wanted.files:
                    path.unlink()
            elif present.links[name] != wanted.links.get(name):
                path.unlink()

    def _put_back_file(
        self, name: str, was: Mapping[str, Any], present: _Stamp | None, saved: Path, again: bool
    ) -> None:
        path = self._folder / name
        if not saved.is_file():
            if not (again and present is not None and present.size == was["size"]):
                raise FileLost(path=name, reason="it isn't in the savepoint")
        elif present is None:
            shutil.move(saved, path)
        elif not filecmp.cmp(saved, path, shallow=False):
            _set_mode(path, present.mode | stat.S_IWUSR)
            with saved.open("rb") as content, path.open("r+b") as file:  # in place: it may be open elsewhere
                file.truncate(0)
                for chunk in iter(partial(content.read, CHUNK), b""):
                    if chunk.count(0) < len(chunk):
                        file.write(chunk)
                    else:
                        file.seek(len(chunk), os.SEEK_CUR)
                file.truncate()
            _move_handles(path, was["size"])
        _set_mode(path, was["mode"])


def _differing(items: Mapping[str, Any], given: Mapping[str, Any]) -> State:
    differing: dict[str, State] = {name: how for name, how in items.items() if given.get(name) != how}
    return differing


def _set_mode(path: Path, mode: int | None) -> None:
    """Give a file or a folder these permissions, or leave it; it keeps the other bits of its mode."""
    present = stat.S_IMODE(path.stat().st_mode)
    if mode is not None and present & PERMISSIONS != mode:
        path.chmod(present & ~PERMISSIONS | mode)


def _items(folder: Path) -> _Items:
    """Return what is in a folder, but caches and what is no file, folder or link."""
    items = _Items()
    waiting = [""]
    while waiting:
        within = waiting.pop()
        with os.scandir(folder / within) as found:
            for item in found:
                name, status = within + item.name, item.stat(follow_symlinks=False)
                mode = status.st_mode & PERMISSIONS
                is_link = stat.S_ISLNK(status.st_mode)
                text = os.readlink(folder / name) if is_link else ""  # noqa: PTH115 - it is no path
                if not is_unicode(name + text):
                    items.left_out.add(name)
                elif is_link:
                    items.links[name] = text
                elif stat.S_ISREG(status.st_mode):
                    items.files[name] = _Stamp(
                        status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, mode
                    )
                elif stat.S_ISDIR(status.st_mode) and item.name not in _CACHES:
                    items.folders[name] = mode
                    waiting.append(f"{name}/")
    return items


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

    def __exit__(self, *_: object) -> None:
        builtins.open = io.open = self._open
        for file in list(self._files):
            file.close()

    def _name(self, file: Any) -> str | None:
        """Return the path in the folder of a file that was opened; it may have been given by its number."""
        if not isinstance(file, str | bytes | os.PathLike):
            return None
        path = os.path.normpath(Path.cwd() / os.fsdecode(file))
        within = path.startswith(self._folder) and is_unicode(path)
        return path.removeprefix(self._folder) if within else None

    def flush(self) -> None:
        """Write what is held back."""
        for file in list(self._files):
            if not file.closed:
                file.flush()


def remove_folder(folder: Path) -> None:
    """Remove a folder, which is never seen half removed under its name; harmless if there is none."""
    # Each who removes it has a name of its own: of two at once, one finds nothing.
    going = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.going")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(going)
        shutil.rmtree(going)


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

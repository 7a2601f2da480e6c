"""The working folder of one run: what lies in it, and the file that says of what it is a copy.

Below the folder of all working folders::

    RUN/place.json      whose it is and of what, written once the files are there
    RUN/files/          the working folder
    RUN/savepoint/      exists until an attempt has reached the savepoint that it resumes from
    RUN/savepoint/files/    the files that the savepoint lists
    RUN/savepoint/found/    the files that the script of a fork found when it began
    RUN/transcript/     what the store holds of the run for people to read, once it has ended
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from perdure.durable import write_file

__all__ = ["WorkingFolder", "read_working_folder"]

_NOTE = "place.json"


class WorkingFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A working folder.

    Attributes
    ----------
    run
        The id of the run it is for.
    owner, experiment, version
        Whose experiment it has a copy of, and in which version.
    token
        The fencing token of the lease under which it was used last; 0 if none was.
    files
        The folder itself.
    """

    run: str
    owner: str
    experiment: str
    version: int
    token: int = 0
    files: Path

    @property
    def savepoint(self) -> Path:
        """The files of its savepoint, until its attempt has reached that; `files` doesn't count before."""
        return self.files.with_name("savepoint")

    @property
    def saved(self) -> Path:
        """The files of its savepoint."""
        return self.savepoint / "files"

    @property
    def found(self) -> Path:
        """The files that the script of a fork found when it began."""
        return self.savepoint / "found"

    @property
    def transcript(self) -> Path:
        """Where files are put that are stored with what the simulation wrote."""
        return self.files.with_name("transcript")

    @property
    def written(self) -> Path:
        """The folder with what the run has written."""
        return self.saved if self.savepoint.exists() else self.files

    def note(self) -> None:
        """Write down whose it is and of what; `read_working_folder` reads it."""
        noted = _Note(self.owner, self.experiment, self.version, self.token)
        _write(self.files.with_name(_NOTE), msgspec.json.encode(noted))

    def make_savepoint(self) -> None:
        """Make the folder of its savepoint, if there is none; the simulation may enter, but not change it."""
        self.savepoint.mkdir(exist_ok=True)
        self.savepoint.chmod(0o711)

    def size(self) -> int:
        """Return the bytes of what the run has written and its transcript, without unreadable files."""
        found = 0
        for written in (self.written, self.transcript):
            for parent, _, names in os.walk(written):
                for name in names:
                    with suppress(OSError):
                        found += (Path(parent) / name).lstat().st_size
        return found


class _Note(msgspec.Struct, frozen=True):
    owner: str
    experiment: str
    version: int
    token: int = 0


def read_working_folder(place: Path) -> WorkingFolder | None:
    """Return the working folder in the folder of a run, or None if there is none that was finished."""
    try:
        noted = msgspec.json.decode((place / _NOTE).read_bytes(), type=_Note)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return WorkingFolder(run=place.name, files=place / "files", **msgspec.structs.asdict(noted))


def _write(path: Path, data: bytes) -> None:
    """Write a file at once: it is there whole or not at all."""
    written = path.with_suffix(".new")
    write_file(written, data)
    written.replace(path)

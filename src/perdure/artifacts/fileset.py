"""A file set: the files under one name in one version, and the bytes that describe it."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from perdure.artifacts.holes import Hole
from perdure.errors import CorruptBlob

__all__ = ["NOTHING", "Content", "FileSet", "StoredFile", "from_bytes", "same_content", "to_bytes"]

_FORMAT = "perdure-files-1"


class StoredFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file: its bytes, their SHA-256, when it was last changed (Unix time), and the object it is in.

    `executable` is whether it can be run as a program, and `holes` are the zeros that the object lacks.
    """

    size: int
    sha256: str
    modified: float
    object: str
    executable: bool = False
    holes: tuple[Hole, ...] = ()

    @property
    def stored(self) -> int:
        """The bytes that its object has."""
        return self.size - sum(length for _, length in self.holes)


class Content(NamedTuple):
    """The content of a version: its files by path, and its folders, which may be empty."""

    files: Mapping[str, StoredFile]
    folders: frozenset[str] = frozenset()


NOTHING = Content({})


def same_content(one: Content, other: Content) -> bool:
    """Return whether two have the same paths, with the same bytes, executable or not."""
    return _compared(one) == _compared(other)


def _compared(content: Content) -> tuple[dict[str, tuple[int, str, bool]], frozenset[str]]:
    files = {path: (file.size, file.sha256, file.executable) for path, file in content.files.items()}
    return files, content.folders


class FileSet(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the files under a name.

    Attributes
    ----------
    name
        The set's name.
    version
        Its number, from 1 on.
    created, changed
        When the set was made, and this version; Unix time.
    files
        Path to file.
    folders
        The paths of its folders, which may be empty, in order.
    deleted
        Whether this version says that the set is deleted.
    writer
        Random, so that a writer recognises its own version.
    """

    name: str
    version: int
    created: float
    changed: float
    files: dict[str, StoredFile]
    folders: tuple[str, ...] = ()
    deleted: bool = False
    writer: str

    @property
    def content(self) -> Content:
        """Its files and folders."""
        return Content(self.files, frozenset(self.folders))

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files.values())


def to_bytes(version: FileSet) -> bytes:
    """Write a version: a line with the length and the digest of the JSON that follows."""
    body = msgspec.json.encode(version)
    return b"%b %d %b\n%b" % (_FORMAT.encode(), len(body), hashlib.sha256(body).hexdigest().encode(), body)


def from_bytes(data: bytes, number: int) -> FileSet | None:
    """Read a version; None for one that is cut off, which was never finished."""
    head, _, body = data.partition(b"\n")
    fields = head.split(b" ")
    if len(fields) != 3 or not fields[1].isdigit() or len(body) < int(fields[1]):
        return None
    try:
        if fields[0] == _FORMAT.encode() and hashlib.sha256(body).hexdigest().encode() == fields[2]:
            return msgspec.json.decode(body, type=FileSet)
    except msgspec.DecodeError:
        pass
    raise CorruptBlob(reason=f"the version {number} of a set of files is damaged")

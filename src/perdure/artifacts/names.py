"""Names: what an experiment and its files may be called, and how a name becomes part of a storage's keys."""

import hashlib
import re
from collections.abc import Collection

from perdure.errors import InvalidName

__all__ = ["EXPERIMENT_PATTERN", "check_experiment", "check_path", "check_paths", "encoded"]

EXPERIMENT_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"

LONGEST_PATH = 1_000  # bytes
LONGEST_PART = 255  # bytes; what the usual file systems take

_EXPERIMENT = re.compile(EXPERIMENT_PATTERN.removeprefix("^").removesuffix("$"))
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-")
_LONGEST_ENCODED = 240


def check_experiment(name: str) -> str:
    """Return the name of an experiment; raise `InvalidName` if it can't be one."""
    if _EXPERIMENT.fullmatch(name) is None:
        reason = "it has 1 to 80 letters, digits, '.', '_' and '-', and begins with a letter or a digit"
        raise InvalidName(what="the name of an experiment", name=name[:200], reason=reason)
    return name


def check_path(path: str) -> str:
    """Return the path of a file in an experiment; raise `InvalidName` if it isn't a plain relative one."""
    if reason := _wrong_with(path):
        raise InvalidName(what="the path of a file", name=path[:200], reason=reason)
    return path


def check_paths(files: Collection[str], folders: Collection[str] = ()) -> None:
    """Raise `InvalidName` if a path is both a file and a folder, or the folder of another."""
    known = frozenset(files)
    for path in (*files, *(f"{folder}/" for folder in folders)):
        parent = path
        while parent := parent.rpartition("/")[0]:
            if parent in known:
                reason = f"there is a file {parent[:200]!r} where it needs a folder"
                raise InvalidName(what="the path of a file", name=path[:200], reason=reason)


def encoded(name: str) -> str:
    """Return any name as one part of a key: lower case, digits, ``-`` and ``_``, different for each name.

    Capitals are written as escapes, so that names which differ in them only are two also where a file system
    doesn't distinguish them.

    >>> encoded("Ada"), encoded(".."), encoded("a/b")
    ('_41da', '_2e_2e', 'a_2fb')
    """
    data = name.encode("utf-8", "surrogatepass")
    written = "".join(chr(byte) if byte in _PLAIN else f"_{byte:02x}" for byte in data)
    if len(written) <= _LONGEST_ENCODED:
        return written
    return f"_h{hashlib.sha256(data).hexdigest()}"  # no escape begins like that


def _wrong_with(path: str) -> str:
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        return "it isn't valid Unicode"
    if not path or length > LONGEST_PATH:
        return f"it has 1 to {LONGEST_PATH} bytes"
    if path.startswith("/") or _DRIVE.match(path):
        return "it has to be relative"
    if "\\" in path:
        return "its parts are separated by '/'"
    if _CONTROL.search(path):
        return "it has control characters"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return "its parts are names, none of them empty, '.' or '..'"
        if len(part.encode()) > LONGEST_PART:
            return f"each of its parts has at most {LONGEST_PART} bytes"
    return ""

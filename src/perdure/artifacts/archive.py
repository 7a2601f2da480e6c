"""Archives: zips that are read with suspicion and written as a stream.

Nothing is unpacked to a disk: what is in a zip is checked first, then yielded file by file, so that the
names in it never become paths here.
"""

import io
import stat
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import pairwise
from typing import IO, Any

from perdure.artifacts.fileset import Content, StoredFile
from perdure.artifacts.names import check_path, check_paths
from perdure.errors import InvalidArchive, InvalidName, check_limit

__all__ = ["OWN", "Archive", "zipped"]

OWN = ".perdure"
"""The folder in an experiment's in which `perdure experiment run` keeps its store and results."""

CHUNK = 1_000_000
DIRECTORY_BYTES_PER_FILE = 300  # what an entry may take of a zip's directory, on average
MOST_RATIO = 200  # bytes made of one byte, on the whole
FREE_BYTES = 10_000_000  # that may be made whatever the ratio
EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can hold
LATEST = (2107, 12, 31, 23, 59, 58)

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED = 0x1
_FOLDER_OF_DOS = 0x10
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    OSError,
)
"""What `zipfile` is known to raise for a zip that is broken."""


class Archive:
    """A zip whose directory has been checked: its files are regular, few and small enough, and well named.

    What macOS adds and the ``.perdure`` of `perdure experiment run` are left out. If all lies in one folder,
    it is left out of the paths.

    Parameters
    ----------
    source
        The zip; it has to be seekable, and stays open.
    max_files, max_bytes
        How many files it may have, and how many bytes they may have together.

    Raises
    ------
    InvalidArchive, InvalidName, LimitExceeded
        If it isn't like that.

    Attributes
    ----------
    folders
        The paths of folders without files.
    """

    def __init__(self, source: IO[bytes], *, max_files: int, max_bytes: int) -> None:
        self._max_files, self._max_bytes = max_files, max_bytes
        size = source.seek(0, io.SEEK_END)
        try:
            self._zip = zipfile.ZipFile(_Guarded(source, max_files * DIRECTORY_BYTES_PER_FILE + CHUNK))
            found = [entry for entry in self._zip.infolist() if not _is_left_out(entry)]
        except _BROKEN as error:
            raise _invalid(f"it is no zip that can be read ({error})") from None
        entries = [entry for entry in found if not _is_folder(entry)]
        self._check_amount(entries, size)
        for entry in entries:
            _check_entry(entry)
        folders = _empty([entry.filename for entry in found if _is_folder(entry)], entries)
        self._check_count(len(entries) + len(folders))
        repeated = [name for name, times in Counter(entry.filename for entry in entries).items() if times > 1]
        if repeated:
            raise _invalid(f"it has {repeated[0][:200]!r} more than once")
        folder = _common_folder([*(entry.filename for entry in entries), *(f"{it}/" for it in folders)])
        self._entries = {entry.filename.removeprefix(folder): entry for entry in entries}
        self.folders = frozenset(it.removeprefix(folder) for it in folders)
        check_paths(self._entries, self.folders)

    def files(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield each file's path and its bytes, which are read before the next; `InvalidArchive`."""
        for path, entry in self._entries.items():
            yield path, self._bytes(path, entry)

    def is_executable(self, path: str) -> bool:
        """Return whether a file can be run as a program, as far as the zip says so."""
        return bool(self._entries[path].external_attr >> 16 & stat.S_IXUSR)

    def _bytes(self, path: str, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        # zipfile yields no more than the declared size, which has been counted, and checks the CRC.
        try:
            with self._zip.open(entry) as file:
                size = 0
                while chunk := file.read(CHUNK):
                    size += len(chunk)
                    yield chunk
        except _BROKEN as error:
            raise _invalid(f"its file {path[:200]!r} can't be read ({error})") from None
        if size != entry.file_size:
            raise _invalid(f"its file {path[:200]!r} is shorter than it says")

    def _check_count(self, count: int) -> None:
        check_limit("The files of an experiment", count, self._max_files, "PERDURE_MAX_EXPERIMENT_FILES")

    def _check_amount(self, entries: list[zipfile.ZipInfo], size: int) -> None:
        made = sum(entry.file_size for entry in entries)
        if not entries:
            raise _invalid("it has no files")
        self._check_count(len(entries))
        check_limit("The bytes of an experiment", made, self._max_bytes, "PERDURE_MAX_EXPERIMENT_BYTES")
        if made > FREE_BYTES + MOST_RATIO * size:
            raise _invalid(f"its files have more than {MOST_RATIO} times its own size")
        if sum(entry.compress_size for entry in entries) > size:
            raise _invalid("its files overlap")


class _Guarded(io.RawIOBase):
    """A file that refuses to be read in greater pieces than a directory of so many files may have.

    `zipfile` reads the whole directory at once, however many entries it has.
    """

    def __init__(self, source: IO[bytes], most: int) -> None:
        self._source = source
        self._most = most

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def read(self, size: int = -1) -> bytes:
        if size > self._most:
            raise zipfile.BadZipFile("its directory is too large")
        return self._source.read(size if size >= 0 else self._most)


def zipped(content: Content, read: Callable[[StoredFile], Iterable[bytes]]) -> Generator[bytes, None, None]:
    """Yield a zip of files and folders as it is made, with little of it in memory.

    What `read` raises is raised, and leaves a zip without its end, which nobody takes for a whole one.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
        for folder in sorted(content.folders):
            entry = zipfile.ZipInfo(f"{folder}/")
            entry.external_attr = (stat.S_IFDIR | 0o755) << 16 | _FOLDER_OF_DOS
            made.writestr(entry, b"")
        for path, file in content.files.items():
            entry = zipfile.ZipInfo(path, min(max(time.gmtime(file.modified)[:6], EARLIEST), LATEST))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | (0o755 if file.executable else 0o644)) << 16
            entry.file_size = file.size
            with made.open(entry, "w") as target:
                for chunk in read(file):
                    target.write(chunk)
                    yield sink.taken()
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Takes what a zip is made of, until it is taken from here."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _is_left_out(entry: zipfile.ZipInfo) -> bool:
    name = entry.filename
    *folders, file = name.split("/")
    # What is in a folder of an experiment's own, or in one folder around everything.
    own = OWN in folders[:2]
    return own or name.startswith("__MACOSX/") or file == ".DS_Store"


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith("/") and entry.file_size == 0


def _empty(folders: list[str], entries: list[zipfile.ZipInfo]) -> list[str]:
    """Return the paths of those folders, named with a slash at the end, that nothing is in."""
    known = {folder.removesuffix("/") for folder in folders} - {"", "."}
    for folder in known:
        _check_path(folder)
    paths = sorted([*(f"{folder}/" for folder in known), *(entry.filename for entry in entries)])
    following = {path: after for path, after in pairwise([*paths, ""]) if path.endswith("/")}
    return sorted(path.removesuffix("/") for path, after in following.items() if not after.startswith(path))


def _check_path(path: str) -> None:
    try:
        check_path(path)
    except InvalidName as error:
        raise _invalid(str(error)) from None


def _check_entry(entry: zipfile.ZipInfo) -> None:
    _check_path(entry.orig_filename)  # filename ends at a NUL
    name = entry.filename[:200]
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise _invalid(f"its entry {name!r} is a link or a special file")
    if entry.flag_bits & _ENCRYPTED:
        raise _invalid(f"its file {name!r} is encrypted")
    if entry.compress_type not in _METHODS:
        raise _invalid(f"its file {name!r} is packed in another way than by deflate")


def _common_folder(paths: list[str]) -> str:
    """Return the folder, with its slash, that all paths begin with; or nothing."""
    folder, slash, _ = paths[0].partition("/")
    start = folder + slash
    return start if slash and all(path.startswith(start) for path in paths) else ""


def _invalid(reason: str) -> InvalidArchive:
    return InvalidArchive(reason=reason)

"""Objects: bytes under keys at a URL, written once and never changed.

It asks no more of a storage than every one has: to write, read, list and remove whole objects. On a local
disk what is written is synced before it counts.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from perdure.durable import sync, write_file
from perdure.errors import ArtifactsUnavailable, Invalid, PerdureError

__all__ = ["CHUNK", "Objects"]

CHUNK = 4_000_000  # bytes held in memory at once


class Objects:
    """Objects below a URL; blocking, and to be used by any number of threads.

    Every method raises `ArtifactsUnavailable` if the storage fails.

    Parameters
    ----------
    url
        Any that fsspec knows, or a folder. Keys and hosts of a storage are set as fsspec says it, for example
        in the environment.

    Raises
    ------
    Invalid
        If fsspec doesn't know such URLs, or lacks a package for them.
    """

    def __init__(self, url: str) -> None:
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise Invalid(f"PERDURE_ARTIFACTS names no storage, {url!r}: {error}.", url=url) from None
        self._root = root.rstrip("/")
        self._local = isinstance(self._fs, LocalFileSystem)

    @property
    def is_of_one_host(self) -> bool:
        """Whether other hosts find other objects at the same URL, or none: in a folder and in memory."""
        return self._local or isinstance(self._fs, MemoryFileSystem)

    def is_same_as(self, other: "Objects") -> bool:
        """Return whether both are in the same place."""
        return bool(self._fs == other._fs) and self._root == other._root

    def create(self, key: str, data: bytes) -> None:
        """Write an object whole, or not at all; `FileExistsError` if the key is taken.

        Where the storage can't refuse taken keys itself, this holds among the threads of one process that
        hold a lock of their own.
        """
        with _told(FileExistsError):
            if self._local:
                self._link(key, data)
            else:
                self._fs.pipe_file(self._path(key), data, mode="create")

    def write(self, key: str, chunks: Iterable[bytes]) -> None:
        """Write an object under a key that nobody reads yet."""
        with _told():
            if self._local:
                target = self._local_path(key)
                with target.open("wb") as file:
                    for chunk in chunks:
                        if chunk != bytes(len(chunk)):
                            file.write(chunk)
                        else:  # a hole stays one: zeros that were never written take no room
                            file.seek(len(chunk), os.SEEK_CUR)
                    file.truncate()
                    file.flush()
                    os.fsync(file.fileno())
                sync(target.parent)
            else:
                with self._fs.open(self._path(key), "wb") as file:
                    for chunk in chunks:
                        file.write(chunk)

    def read(self, key: str) -> bytes:
        """Return an object; `FileNotFoundError` if there is none."""
        with _told(FileNotFoundError):
            data: bytes = self._fs.cat_file(self._path(key))
            return data

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        """Yield an object of a known size in parts; `FileNotFoundError` if there is none."""
        for start in range(0, size, CHUNK):
            with _told(FileNotFoundError):
                # By keyword: file systems order these parameters in ways of their own.
                part: bytes = self._fs.cat_file(self._path(key), start=start, end=min(start + CHUNK, size))
            yield part

    def names(self, key: str) -> list[str]:
        """Return the names directly below a key."""
        path = self._path(key)
        with _told():
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(path, detail=False)
            except FileNotFoundError:
                return []
        paths = {str(name).rstrip("/") for name in found} - {path}  # object stores may list the folder too
        return sorted(name.rpartition("/")[2] for name in paths)

    def sizes(self) -> dict[str, int]:
        """Return the sizes of all objects by their keys."""
        with _told():
            self._fs.invalidate_cache()
            found = self._fs.find(self._root, detail=True)
        sizes = {str(path).removeprefix(f"{self._root}/"): int(it["size"]) for path, it in found.items()}
        return {key: size for key, size in sizes.items() if not key.rpartition("/")[2].startswith(".")}

    def remove(self, key: str) -> None:
        """Remove an object; harmless if there is none."""
        with _told():
            try:
                self._fs.rm_file(self._path(key))
            except FileNotFoundError:
                return

    def remove_unfinished(self, key: str, before: float) -> None:
        """Remove what writes that were cut off before a Unix time left directly below a key."""
        if not self._local:
            return  # elsewhere an object is written under its own name
        with _told():
            for path in Path(self._path(key)).glob(".*"):
                with suppress(FileNotFoundError):  # it is written, or removed, at this moment
                    if path.stat().st_mtime < before:
                        path.unlink()

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _local_path(self, key: str) -> Path:
        path = Path(self._path(key))
        with _told():
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _link(self, key: str, data: bytes) -> None:
        """Write beside the target and link it there, which is at once and refuses a name that is taken."""
        target = self._local_path(key)
        written = target.with_name(f".{secrets.token_hex(8)}")
        try:
            write_file(written, data)
            os.link(written, target)
        finally:
            written.unlink(missing_ok=True)
            sync(target.parent)  # also if it was there: who wrote it may have died before this


@contextmanager
def _told(*expected: type[OSError]) -> Iterator[None]:
    """Turn whatever a storage raises into the one error that callers know, but for what they expect."""
    try:
        yield
    except PerdureError:
        raise
    except Exception as error:  # the packages behind fsspec have errors of their own, of no common kind
        if isinstance(error, expected):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ArtifactsUnavailable(reason=reason) from error

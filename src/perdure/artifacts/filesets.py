"""File sets: the files under one name as numbered versions, each of which is seen whole or not at all.

A file's bytes are an object that is written once. A version is one small object that names all of its files.
It is written last, and only if no object has its key: so no storage needs to rename anything, an unfinished
version is never seen, and two writers never write the same version. Replaced files stay readable for a day,
for readers that have begun.

Keys, below that of the sets' kind and owner::

    versions/NAME/0000000007            a version
    files/NAME/65a0f3c2-6f1c…           a file's bytes; the first part is when it was written
    pins/NAME/0000000003-RUN            a run that needs a version
"""

import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from threading import Lock

from perdure.artifacts.chunks import Measured
from perdure.artifacts.fileset import NOTHING, Content, FileSet, StoredFile, from_bytes, to_bytes
from perdure.artifacts.holes import Hole, filled, without_holes
from perdure.artifacts.names import encoded
from perdure.artifacts.objects import Objects
from perdure.clock import steady
from perdure.errors import ArtifactsUnavailable, CorruptBlob

__all__ = ["GRACE_SECONDS", "READING", "FileSets", "Locks", "is_version"]

GRACE_SECONDS = 86_400.0
"""Seconds for which replaced and unfinished files stay."""

ATTEMPTS = 20  # at a version that others keep writing first
LOCKS = 64
READING = 8  # threads


class FileSets:
    """The file sets of one kind and owner; blocking, and to be used by any number of threads.

    Parameters
    ----------
    objects
        Where they are.
    prefix
        The key they are below.
    locks
        Shared by all sets of a storage in this process.
    clock
        Returns Unix time; the default is not moved when the wall clock is set.
    """

    def __init__(
        self, objects: Objects, prefix: str, locks: "Locks", clock: Callable[[], float] = steady
    ) -> None:
        self._objects = objects
        self._prefix = prefix
        self._locks = locks
        self._clock = clock

    # Reading ------------------------------------------------------------------------------------------------

    def all(self) -> list[FileSet]:
        """Return the newest versions of all sets that aren't deleted, by name."""
        keys = self._objects.names(f"{self._prefix}/versions")
        with ThreadPoolExecutor(READING) as threads:  # a storage far away takes its time for each
            found = list(threads.map(self._current, keys))
        return sorted((it for it in found if it is not None), key=lambda it: it.name)

    def sizes(self) -> dict[str, int]:
        """Return how many bytes the files of each set have; a damaged one is left out."""

        def found(key: str) -> FileSet | None:
            with suppress(CorruptBlob):
                return self._current(key)
            return None

        keys = self._objects.names(f"{self._prefix}/versions")
        with ThreadPoolExecutor(READING) as threads:
            return {it.name: it.size for it in threads.map(found, keys) if it is not None}

    def at_most(self) -> int:
        """Count the sets roughly but quickly: those deleted a while ago may be among them."""
        return len(self._objects.names(f"{self._prefix}/versions"))

    def current(self, name: str) -> FileSet | None:
        """Return the newest version of a set, or None if there is none or it is deleted."""
        return self._current(encoded(name))

    def version(self, name: str, number: int) -> FileSet | None:
        """Return a version that is pinned, or None."""
        with suppress(FileNotFoundError):
            return self._read(encoded(name), number)
        return None

    def read(self, name: str, file: StoredFile) -> Iterator[bytes]:
        """Yield a file's bytes; the last chunk only after all have been verified.

        Raises
        ------
        FileNotFoundError
            If the file was removed after it was replaced, or its set was deleted.
        CorruptBlob
            If the bytes aren't those that were written.
        """
        stored = self._objects.chunks(self._file_key(encoded(name), file.object), file.stored)
        chunks, last = Measured(filled(stored, file.holes)), b""
        for chunk in chunks:
            if last:
                yield last
            last = chunk
        if chunks.size != file.size or chunks.sha256 != file.sha256:
            raise CorruptBlob(reason=f"the stored file {file.object} isn't what was written")
        if last:
            yield last

    # Writing ------------------------------------------------------------------------------------------------

    def add(self, name: str, chunks: Iterable[bytes], *, executable: bool = False) -> StoredFile:
        """Write a file's bytes; it is part of no version until one names it."""
        now = self._clock()
        measured, holes = Measured(chunks), list[Hole]()
        written = f"{int(now):08x}-{secrets.token_hex(16)}"
        try:
            self._objects.write(self._file_key(encoded(name), written), without_holes(measured, holes))
        except BaseException:
            self.discard(name, [StoredFile(0, "", now, written)])
            raise
        return StoredFile(measured.size, measured.sha256, now, written, executable, tuple(holes))

    def discard(self, name: str, files: Iterable[StoredFile]) -> None:
        """Remove files that no version names; those that can't be removed now stay until `sweep`."""
        with suppress(ArtifactsUnavailable):
            for file in files:
                self._objects.remove(self._file_key(encoded(name), file.object))

    def commit(self, name: str, change: Callable[[FileSet | None], Content]) -> FileSet:
        """Write the next version.

        Parameters
        ----------
        change
            Takes the current version, or None, and returns the content of the next one. It is called again if
            another writer was first. If it raises an error, nothing is changed. If it returns the content of
            the current version, that version is returned.
        """
        with self._locks.of(f"{self._prefix}/{encoded(name)}"):
            return self._commit(name, change, deleted=False)

    def delete(self, name: str) -> None:
        """Delete a set, if there is one. Its pinned versions stay for the runs that need them."""
        key = encoded(name)
        with self._locks.of(f"{self._prefix}/{key}"):
            numbers = self._versions(key)
            found = self._newest(key, numbers)
            if found is None:
                return
            if not found.deleted:
                found = self._commit(name, lambda current: NOTHING, deleted=True)
            self._clear(key, found.version)

    # Pinning ------------------------------------------------------------------------------------------------

    def pin(self, name: str, number: int, run: str) -> None:
        """Keep a version for a run; if it is still there after that, it stays."""
        key = encoded(name)
        with self._locks.of(f"{self._prefix}/{key}"), suppress(FileExistsError):
            self._objects.create(self._pin_key(key, number, run), b"pin")

    def unpin(self, name: str, run: str) -> None:
        """Unpin the version that a run has pinned, if there is one."""
        key = encoded(name)
        with self._locks.of(f"{self._prefix}/{key}"):
            mine = [pin for pin in self._pins(key) if pin[1] == encoded(run)]
            for number, _ in mine:
                self._objects.remove(self._pin_key(key, number, run))
            if mine:
                self._tidy(key)

    # Looking after it ---------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Remove files older than a day that no version names, which interrupted uploads left."""
        versions, files = f"{self._prefix}/versions", f"{self._prefix}/files"
        for key in {*self._objects.names(versions), *self._objects.names(files)}:
            with self._locks.of(f"{self._prefix}/{key}"):
                self._tidy(key)
                numbers = self._versions(key)
                named = {file.object for found in self._intact(key, numbers) for file in found.files.values()}
                for written in self._objects.names(f"{files}/{key}"):
                    if written not in named and self._is_old(_written_at(written)):
                        self._objects.remove(self._file_key(key, written))

    def _commit(
        self,
        name: str,
        change: Callable[[FileSet | None], Content],
        *,
        deleted: bool,
    ) -> FileSet:
        key = encoded(name)
        writer = secrets.token_hex(8)
        for _ in range(ATTEMPTS):
            numbers = self._versions(key)
            newest = self._newest(key, numbers)
            current = None if newest is None or newest.deleted else newest
            content = change(current)
            if current is not None and content == current.content and not deleted:
                return current
            now = self._clock()
            made = FileSet(
                name=name,
                version=max(numbers, default=0) + 1,
                created=now if current is None else current.created,
                changed=now,
                files=dict(content.files),
                folders=tuple(sorted(content.folders)),
                deleted=deleted,
                writer=writer,
            )
            try:
                self._objects.create(self._version_key(key, made.version), to_bytes(made))
            except FileExistsError:
                # Another writer was first, or the storage repeated this write after its answer was lost.
                with suppress(FileNotFoundError):
                    if self._read(key, made.version) == made:
                        return made
                continue
            with suppress(ArtifactsUnavailable):  # the version is written; old ones can be removed later
                self._tidy(key)
            return made
        raise ArtifactsUnavailable(reason="others change the same files all the time")

    def _tidy(self, key: str) -> None:
        """Remove versions that were replaced more than a day ago, and the files that only they name."""
        numbers = self._versions(key)
        newest = self._newest(key, numbers)
        if newest is None:
            return
        if newest.deleted:
            self._clear(key, newest.version)
            return
        pinned = {number for number, _ in self._pins(key)}
        for number, following in pairwise(numbers):
            successor = self._intact(key, [following])
            if not successor:
                continue  # a damaged version tells neither its time nor its files
            if not self._is_old(successor[0].changed):
                break
            if number not in pinned:
                self._remove(key, [number], {*pinned, *(it for it in numbers if it > number)})

    def _clear(self, key: str, tombstone: int) -> None:
        """Remove a deleted set's versions that aren't pinned, and a day later the last one, which says so."""
        numbers = [number for number in self._versions(key) if number <= tombstone]
        pinned = {number for number, _ in self._pins(key)}
        self._remove(key, [it for it in numbers if it not in pinned and it != tombstone], pinned)
        left = [number for number in self._versions(key) if number <= tombstone]
        if left == [tombstone] and all(self._is_old(it.changed) for it in self._intact(key, left)):
            self._objects.remove(self._version_key(key, tombstone))

    def _remove(self, key: str, going: list[int], staying: set[int]) -> None:
        """Remove versions, oldest first, and the files that none of the staying ones names."""
        # A file belongs to versions in a row, so that of those staying the pinned ones and the next one tell.
        nearest = sorted(number for number in staying if number > max(going, default=0))[:1]
        asked = {*nearest, *(number for number in staying if number < max(going, default=0))}
        needed = {file.object for it in self._intact(key, asked) for file in it.files.values()}
        for number in sorted(going):
            for found in self._intact(key, [number]):
                for file in found.files.values():
                    if file.object not in needed:
                        self._objects.remove(self._file_key(key, file.object))
            self._objects.remove(self._version_key(key, number))

    def _current(self, key: str) -> FileSet | None:
        found = self._newest(key, self._versions(key))
        return None if found is None or found.deleted else found

    def _newest(self, key: str, numbers: list[int]) -> FileSet | None:
        for number in reversed(numbers):
            with suppress(FileNotFoundError):  # it was removed after it was listed, so there is a newer one
                found = self._read(key, number)
                if found is not None:
                    return found
        return None

    def _intact(self, key: str, numbers: Iterable[int]) -> list[FileSet]:
        found = []
        for number in numbers:
            with suppress(FileNotFoundError, CorruptBlob):
                version = self._read(key, number)
                if version is not None:
                    found.append(version)
        return found

    def _read(self, key: str, number: int) -> FileSet | None:
        return from_bytes(self._objects.read(self._version_key(key, number)), number)

    def _versions(self, key: str) -> list[int]:
        names = self._objects.names(f"{self._prefix}/versions/{key}")
        return sorted(int(name) for name in names if name.isdigit())

    def _pins(self, key: str) -> list[tuple[int, str]]:
        names = [name.partition("-") for name in self._objects.names(f"{self._prefix}/pins/{key}")]
        return [(int(number), run) for number, _, run in names if number.isdigit()]

    def _is_old(self, when: float) -> bool:
        return self._clock() - when > GRACE_SECONDS

    def _version_key(self, key: str, number: int) -> str:
        return f"{self._prefix}/versions/{key}/{number:010d}"

    def _file_key(self, key: str, written: str) -> str:
        return f"{self._prefix}/files/{key}/{written}"

    def _pin_key(self, key: str, number: int, run: str) -> str:
        return f"{self._prefix}/pins/{key}/{number:010d}-{encoded(run)}"


def is_version(key: str) -> bool:
    """Return whether an object is a version, by its key below owner and kind."""
    return key.split("/")[2:3] == ["versions"]


class Locks:
    """Locks by name, a fixed number of them: two names may share one."""

    def __init__(self) -> None:
        self._locks = [Lock() for _ in range(LOCKS)]

    def of(self, name: str) -> Lock:
        """Return the lock of a name."""
        return self._locks[zlib.crc32(name.encode()) % LOCKS]


def _written_at(written: str) -> float:
    try:
        return float(int(written.partition("-")[0], 16))
    except ValueError:
        return 0.0  # an object of another origin

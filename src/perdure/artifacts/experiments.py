"""The experiments of one owner: made, listed, read, changed, removed, and fetched into a working folder."""

import os
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import msgspec
from msgspec.structs import replace

from perdure.artifacts.archive import Archive, zipped
from perdure.artifacts.chunks import unless
from perdure.artifacts.fileset import Content, FileSet, StoredFile, same_content
from perdure.artifacts.filesets import READING, FileSets
from perdure.artifacts.limits import ArtifactLimits
from perdure.artifacts.names import check_experiment, check_path, check_paths
from perdure.errors import (
    ArtifactNotFound,
    ArtifactsUnavailable,
    ExperimentExists,
    ExperimentNotFound,
    FileChanged,
    PerdureError,
    TooMany,
    check_limit,
)

__all__ = ["ANY", "Condition", "Created", "Experiments"]

ANY = "*"

_LOGS = (".log", ".log.zip")
_LEFT_OUT_FOLDERS = frozenset({"logs", "__pycache__"})


class Condition(msgspec.Struct, frozen=True):
    """What a file must be like for a change to be made.

    Attributes
    ----------
    is_one_of
        SHA-256s one of which it must have; `ANY` if it must only be there. None asks for nothing.
    is_none_of
        SHA-256s none of which it may have; `ANY` if it must not be there.
    """

    is_one_of: frozenset[str] | None = None
    is_none_of: frozenset[str] = frozenset()

    def check(self, path: str, file: StoredFile | None) -> None:
        """Raise `FileChanged` unless a file, or its absence, is like that."""
        names = frozenset() if file is None else frozenset({file.sha256, ANY})
        if (self.is_one_of is not None and not self.is_one_of & names) or self.is_none_of & names:
            raise FileChanged(path=path)


class Created(msgspec.Struct, frozen=True):
    """What a creation came to: the experiment, and whether the very same was there before."""

    files: FileSet
    replayed: bool


class Experiments:
    """The experiments of one owner; blocking, and to be used by any number of threads.

    Parameters
    ----------
    sets
        The file sets they are.
    limits
        How much there may be.
    """

    def __init__(self, sets: FileSets, limits: ArtifactLimits) -> None:
        self._sets = sets
        self._limits = limits

    # Reading ------------------------------------------------------------------------------------------------

    def all(self) -> list[FileSet]:
        """Return all experiments by name."""
        return self._sets.all()

    def get(self, name: str) -> FileSet:
        """Return an experiment; `ExperimentNotFound` if there is none."""
        found = self._sets.current(check_experiment(name))
        if found is None:
            raise ExperimentNotFound(experiment=name)
        return found

    def version(self, name: str, number: int) -> FileSet:
        """Return a version that is pinned; `ExperimentNotFound` if there is none."""
        found = self._sets.version(check_experiment(name), number)
        if found is None:
            raise ExperimentNotFound(experiment=name)
        return found

    def file(self, name: str, path: str) -> StoredFile:
        """Return one file; `ExperimentNotFound` or `ArtifactNotFound` if there is none."""
        file = self.get(name).files.get(check_path(path))
        if file is None:
            raise ArtifactNotFound(what=f"the experiment {name!r}", path=path)
        return file

    def read(self, name: str, file: StoredFile) -> Generator[bytes, None, None]:
        """Yield the bytes of a file that `file` or `get` returned."""
        try:
            yield from self._sets.read(name, file)
        except FileNotFoundError:
            raise ExperimentNotFound(experiment=name) from None  # deleted meanwhile

    def zipped(self, name: str, files: FileSet) -> Generator[bytes, None, None]:
        """Yield all files as a zip."""
        return zipped(files.content, lambda file: self.read(name, file))

    # Changing -----------------------------------------------------------------------------------------------

    def create(self, name: str, archive: IO[bytes]) -> Created:
        """Make an experiment of a zip; it is seen when all of it is there.

        The same files under the same name once more change nothing.

        Raises
        ------
        ExperimentExists
            If there is another one of that name.
        InvalidArchive, InvalidName, LimitExceeded
            If the zip or the name can't be taken.
        TooMany
            If the owner has too many.
        """
        check_experiment(name)
        content = Archive(archive, max_files=self._limits.files, max_bytes=self._limits.bytes)
        limit = self._limits.experiments
        if self._sets.at_most() >= limit and self._sets.current(name) is None and len(self.all()) >= limit:
            raise TooMany(
                f"An owner may have {limit} experiments; delete some, or raise PERDURE_MAX_EXPERIMENTS.",
                limit=limit,
                setting="PERDURE_MAX_EXPERIMENTS",
            )
        added: dict[str, StoredFile] = {}

        def change(current: FileSet | None) -> Content:
            if current is None:
                return Content(added, content.folders)
            if not same_content(current.content, Content(added, content.folders)):
                raise ExperimentExists(experiment=name)
            return current.content

        try:
            for path, chunks in content.files():
                added[path] = self._sets.add(name, chunks, executable=content.is_executable(path))
            made = self._sets.commit(name, change)
        except ArtifactsUnavailable:
            raise  # nobody knows whether it was written; if not, `sweep` removes what nothing names
        except PerdureError:
            self._sets.discard(name, added.values())
            raise
        replayed = made.files != added
        if replayed:
            self._sets.discard(name, added.values())
        return Created(made, replayed)

    def put(
        self, name: str, path: str, chunks: Iterable[bytes], condition: Condition
    ) -> tuple[StoredFile, bool]:
        """Add a file, or put it in the place of another; return it, and whether it is new.

        Readers meanwhile get the experiment as it was before.

        Raises
        ------
        ExperimentNotFound, InvalidName, LimitExceeded
            If it can't have that file.
        FileChanged
            If the condition isn't met.
        """
        check_path(path)
        condition.check(path, self.get(name).files.get(path))  # before anything is written
        added = self._sets.add(name, chunks)
        was_there: list[StoredFile | None] = []

        def change(current: FileSet | None) -> Content:
            nonlocal added
            files, folders = self._present(name, current)
            condition.check(path, files.get(path))
            was_there[:] = [files.get(path)]
            if (former := files.get(path)) is not None and former.executable:
                added = replace(added, executable=True)
            changed = {**files, path: added}
            self._check_limits(changed)
            check_paths(changed, folders)
            return Content(changed, folders)

        try:
            self._sets.commit(name, change)
        except ArtifactsUnavailable:
            raise
        except PerdureError:
            self._sets.discard(name, [added])
            raise
        return added, was_there == [None]

    def remove(self, name: str, path: str, condition: Condition) -> None:
        """Remove a file; `ArtifactNotFound` if there is none, `FileChanged` if the condition isn't met."""
        check_path(path)

        def change(current: FileSet | None) -> Content:
            files, folders = self._present(name, current)
            if path not in files:
                raise ArtifactNotFound(what=f"the experiment {name!r}", path=path)
            condition.check(path, files[path])
            return Content({other: file for other, file in files.items() if other != path}, folders)

        self._sets.commit(name, change)

    def delete(self, name: str) -> None:
        """Remove an experiment; what runs pinned stays for them. `ExperimentNotFound` if there is none."""
        self.get(name)
        self._sets.delete(name)

    # Launching ----------------------------------------------------------------------------------------------

    def pin(self, name: str, run: str, version: int | None = None) -> int:
        """Keep a version of an experiment for a run, whatever becomes of the experiment; return its number.

        Parameters
        ----------
        version
            One that another run pinned; by default the newest.
        """
        while True:
            pinned = self.get(name).version if version is None else version
            self._sets.pin(name, pinned, run)
            there = self._sets.version(name, pinned) is not None
            # A deletion that didn't see the pin has made the experiment unseen before.
            if there and (version is not None or self._sets.current(name) is not None):
                return pinned
            self._sets.unpin(name, run)
            if version is not None:
                raise ExperimentNotFound(experiment=name)
            # It was deleted, as `get` says now; or replaced long ago, and removed before the pin was there.

    def unpin(self, name: str, run: str) -> None:
        """Let go of what a run had pinned; harmless if that is nothing."""
        self._sets.unpin(name, run)

    def fetch(
        self, name: str, version: int, folder: Path, called_off: Callable[[], bool] = lambda: False
    ) -> FileSet:
        """Copy a pinned version into a folder that doesn't exist yet, all of it or nothing.

        Logs and caches of former runs are left out: ``*.log``, ``*.log.zip``, what is in ``logs/`` and
        ``__pycache__/``.

        Parameters
        ----------
        called_off
            Whether nobody wants the folder any more; asked before each file and after each part of one.

        Raises
        ------
        CalledOff
            If so.
        ExperimentNotFound
            If there is no such version.
        FileExistsError
            If the folder exists.
        """
        found = self.version(name, version)
        folder.mkdir(parents=True)

        def copy(path: str) -> None:
            file, target = found.files[path], folder / check_path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as written:
                written.writelines(unless(called_off, self.read(name, file)))
            if file.executable:
                target.chmod(target.stat().st_mode | 0o111)
            os.utime(target, (file.modified, file.modified))

        try:
            with ThreadPoolExecutor(READING) as threads:  # a storage far away takes its time for each
                for _ in threads.map(copy, [path for path in found.files if not _is_left_out(path)]):
                    pass
            for path in found.folders:
                (folder / check_path(path)).mkdir(parents=True, exist_ok=True)
        except BaseException:
            shutil.rmtree(folder)
            raise
        return found

    def _present(self, name: str, current: FileSet | None) -> Content:
        if current is None:
            raise ExperimentNotFound(experiment=name)
        return current.content

    def _check_limits(self, files: Mapping[str, StoredFile]) -> None:
        size = sum(file.size for file in files.values())
        check_limit(
            "The files of an experiment", len(files), self._limits.files, "PERDURE_MAX_EXPERIMENT_FILES"
        )
        check_limit("The bytes of an experiment", size, self._limits.bytes, "PERDURE_MAX_EXPERIMENT_BYTES")


def _is_left_out(path: str) -> bool:
    *folders, name = path.split("/")
    return not _LEFT_OUT_FOLDERS.isdisjoint(folders) or name.endswith(_LOGS)

"""The results of one owner's simulations: their logs and what they wrote, stored when they end."""

import os
import stat
import time
from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TypeGuard, TypeVar

from msgspec.structs import replace

from perdure.artifacts.archive import zipped
from perdure.artifacts.chunks import Measured, unless
from perdure.artifacts.fileset import NOTHING, Content, FileSet, StoredFile
from perdure.artifacts.filesets import FileSets
from perdure.artifacts.names import check_path
from perdure.artifacts.outputs import chunks_of, empty_folders, outputs
from perdure.artifacts.usage import Usage
from perdure.errors import ArtifactNotFound, ArtifactsUnavailable, CorruptBlob, UploadFailed

__all__ = ["OwnerResults"]

BACKOFF_SECONDS = (0.2, 0.4, 0.8, 1.6)

T = TypeVar("T")


class OwnerResults:
    """The results of one owner's simulations; blocking, and to be used by any number of threads.

    Parameters
    ----------
    sets
        The file sets they are, each under its run's id.
    usage
        How many bytes they have, shared by all who write them.
    wait
        Waits so many seconds before something is tried again.
    """

    def __init__(self, sets: FileSets, usage: Usage, wait: Callable[[float], None] = time.sleep) -> None:
        self._sets = sets
        self._usage = usage
        self._wait = wait

    def get(self, run: str, version: int | None = None) -> FileSet | None:
        """Return what is stored of a run, or None while that is nothing.

        Parameters
        ----------
        version
            As `Execution.stored` of the run says: if something was stored and is missing, that is
            `CorruptBlob`.
        """
        found = self._sets.current(run)
        if found is None and version:
            raise CorruptBlob(reason=f"the stored files of the run {run!r} are missing")
        return found

    def sizes(self) -> Mapping[str, int]:
        """Return how many bytes are stored of each run."""
        return self._usage.sizes()

    def file(self, run: str, path: str, version: int | None = None) -> StoredFile:
        """Return one file; `ArtifactNotFound` if there is none, `CorruptBlob` as `get` says."""
        found = self.get(run, version)
        file = None if found is None else found.files.get(check_path(path))
        if file is None:
            raise ArtifactNotFound(what=f"the results of the run {run!r}", path=path)
        return file

    def read(self, run: str, file: StoredFile) -> Generator[bytes, None, None]:
        """Yield the bytes of a file that `file` or `get` returned."""
        try:
            yield from self._sets.read(run, file)
        except FileNotFoundError:
            raise ArtifactNotFound(what=f"the results of the run {run!r}", path=file.object) from None

    def zipped(self, run: str, files: FileSet | None) -> Generator[bytes, None, None]:
        """Yield all files as a zip."""
        content = NOTHING if files is None else files.content
        return zipped(content, lambda file: self.read(run, file))

    def delete(self, run: str) -> None:
        """Remove all that is stored of a run; harmless if that is nothing."""
        self._sets.delete(run)
        self._usage.note(run, 0)

    def upload(
        self,
        run: str,
        folder: Path,
        *,
        fetched: Content = NOTHING,
        called_off: Callable[[], bool] = lambda: False,
        on_stored: Callable[[int], None] = lambda count: None,
    ) -> FileSet | None:
        """Store what a run wrote in its working folder; all of it is stored and checked on return.

        What was stored before stays, and what is there already isn't sent again, so that it may be repeated
        any number of times. Nothing in the folder is changed.

        Parameters
        ----------
        fetched
            What the folder began with; files that are still the same, and folders, are left out.
        called_off
            Whether it has to end now; asked between any two parts of what is read or sent.
        on_stored
            Takes the size of each file that is stored, or needn't be.

        Returns
        -------
        What is stored of the run then; None if that is nothing.

        Raises
        ------
        UploadFailed
            If it couldn't be stored after several attempts; the folder has all of it still.
        CalledOff
            If it was; the folder has all of it still.
        """

        def sent(file: IO[bytes], digest: str) -> StoredFile:
            chunks = unless(called_off, chunks_of(file))
            stored = self._sets.add(run, chunks, executable=_is_executable(file))
            if stored.sha256 != digest:
                raise CorruptBlob(reason="the file changed while it was read")
            for _ in unless(called_off, self._sets.read(run, stored)):
                pass  # which checks it
            return stored

        try:
            before = self._tried(lambda: self.get(run))
            known = {} if before is None else before.files
            written: dict[str, StoredFile] = {}
            for path, file in outputs(folder):
                whole = Measured(unless(called_off, chunks_of(file))).whole()
                began, stored, executable = fetched.files.get(path), known.get(path), _is_executable(file)
                if not _is(began, whole) or began.executable != executable:
                    if not _is(stored, whole):
                        stored = self._tried(partial(sent, file, whole.sha256))
                    written[path] = replace(stored, executable=executable)
                on_stored(whole.size)
            folders = frozenset(empty_folders(folder)) - fetched.folders
            if not written and not folders:
                return before
            after = self._tried(lambda: self._sets.commit(run, lambda now: _with(now, written, folders)))
            self._usage.note(run, after.size)
            return after
        except (ArtifactsUnavailable, CorruptBlob, OSError) as error:
            raise UploadFailed(run=run, reason=str(error), folder=str(folder)) from error

    def _tried(self, work: Callable[[], T]) -> T:
        for seconds in BACKOFF_SECONDS:
            try:
                return work()
            except (ArtifactsUnavailable, CorruptBlob, FileNotFoundError):
                self._wait(seconds)
        return work()


def _is_executable(file: IO[bytes]) -> bool:
    return bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)


def _is(file: StoredFile | None, read: Measured) -> TypeGuard[StoredFile]:
    return file is not None and (file.size, file.sha256) == (read.size, read.sha256)


def _with(current: FileSet | None, written: Mapping[str, StoredFile], folders: frozenset[str]) -> Content:
    present = NOTHING if current is None else current.content
    return Content({**present.files, **written}, present.folders | folders)

"""Working folders: where simulations run, each in a copy of its experiment that is its own.

A folder is known by its run's id, so that whoever comes after a crash finds it. It goes when all that the
simulation wrote is stored and checked, and not before.

Below the folder of all::

    RUN/place.json      whose it is and of what, written once the files are there
    RUN/files/          the working folder
    RUN/fetching/       what is to become it
    RUN/former/         that of an attempt that broke off, until it isn't needed any more; of a fork's first
                        attempt, what it needs of its parent's
    RUN/caught-up       there from when an attempt has come as far as the former one's savepoint
    RUN/beginning/      the files that a fork with another script began with, for as long as it runs
    RUN/transcript/     what the store holds of it for people to read, once it has ended
"""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import msgspec
import structlog

from perdure.artifacts import Artifacts, CalledOff, Content, FileSet
from perdure.artifacts.outputs import chunks_of, opened, stored_path
from perdure.artifacts.results import Results
from perdure.drivers.experiments.files import caught_up, remove_folder, take
from perdure.errors import ExperimentNotFound, FileLost, InvalidName, PerdureError, UploadFailed
from perdure.execution.isolation import Isolation, hand_over
from perdure.lifecycle import FINAL
from perdure.run import Run

__all__ = ["Reconciled", "WorkingFolder", "WorkingFolders"]

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = structlog.get_logger(__name__)


class WorkingFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A working folder.

    Attributes
    ----------
    run
        The id of the run it is for.
    owner, experiment, version
        Whose experiment it has a copy of, and in which version.
    files
        The folder itself.
    former
        That of the attempt before, or None; of a fork, what it needs of its parent's.
    beginning
        The files that a fork with another script began with; None for any other run.
    """

    run: str
    owner: str
    experiment: str
    version: int
    files: Path
    former: Path | None
    beginning: Path | None

    @property
    def transcript(self) -> Path:
        """Where files are put that are stored with what the simulation wrote."""
        return self.files.with_name("transcript")


class Reconciled(msgspec.Struct, frozen=True):
    """What was done with the folders that were found, by the runs' ids, and why one had to stay.

    Those of runs that have `ended` are to be finished.
    """

    ended: list[str]
    removed: list[str]
    kept: list[str]
    failed: dict[str, str]


_Source: TypeAlias = Callable[[str, Mapping[str, Any], Path], bool]
"""Takes the file of a path, as a savepoint describes it, to where it is wanted; says whether it could."""


class _Place(msgspec.Struct, frozen=True):
    owner: str
    experiment: str
    version: int


class WorkingFolders:
    """All working folders of one store; blocking. Of those who use a run's folder, one waits for the other.

    Parameters
    ----------
    root
        The folder they are in; it is made when it is needed.
    artifacts
        Where experiments come from and results go.
    isolation
        Who simulations run as; without it, this process's user.
    """

    def __init__(self, root: Path, artifacts: Artifacts, isolation: Isolation | None = None) -> None:
        self._root = root
        self._artifacts = artifacts
        self._isolation = isolation
        self._guard = threading.Lock()
        self._using: WeakValueDictionary[str, threading.RLock] = WeakValueDictionary()

    def make(
        self,
        run: str,
        owner: str,
        experiment: str,
        version: int,
        called_off: Callable[[], bool] = lambda: False,
    ) -> WorkingFolder:
        """Make a run's folder of a version that is pinned for it.

        If there is one already, of an attempt that broke off, that becomes the `former` of this one. It stays
        the former, whatever happens to further attempts, until one of them removes it before its first
        savepoint.

        Parameters
        ----------
        called_off
            Whether nobody wants it any more; asked between any two parts of what is copied.

        Raises
        ------
        CalledOff
            If so; nothing half-made is left.
        ExperimentNotFound
            If the version isn't pinned.
        ArtifactsUnavailable, CorruptBlob
            If it can't be read; nothing half-made is left.
        """
        with self._use(run):
            return self._make(run, _Place(owner, experiment, version), called_off)

    def _make(self, run: str, known: _Place, called_off: Callable[[], bool]) -> WorkingFolder:
        if called_off():
            raise CalledOff
        place = self._place(run)
        files, former, fetching = place / "files", place / "former", place / "fetching"
        self._root.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=0o700, exist_ok=True)
        written = place / "place.json"
        if fetching.exists():
            shutil.rmtree(fetching)
        caught_up(files).unlink(missing_ok=True)
        if files.exists():
            if written.exists() and not former.exists():
                files.rename(former)
            else:
                shutil.rmtree(files)
        try:
            experiments = self._artifacts.experiments(known.owner)
            experiments.fetch(known.experiment, known.version, fetching, called_off)
            fetching.rename(files)
            _write(written, msgspec.json.encode(known))
        except BaseException:
            if not former.exists():
                shutil.rmtree(place)
            raise
        return self._found(place, known)

    def give(self, folder: WorkingFolder) -> bool:
        """Give a run's folder to who the simulation runs as; return whether that is another user.

        That one may enter what is beside its folder, but not list or change it.
        """
        if self._isolation is None:
            return False
        user = self._isolation.user_id(folder.owner)
        for part in (folder.files, folder.former, folder.beginning):
            if part is not None and part.lstat().st_uid != user:
                hand_over(part, user)
        place = self._place(folder.run)
        os.chown(place, -1, user)
        place.chmod(0o710)
        return True

    def find(self, run: str) -> WorkingFolder | None:
        """Return a run's folder, or None if there is none that was finished."""
        place = self._place(run)
        try:
            known = msgspec.json.decode((place / "place.json").read_bytes(), type=_Place)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return self._found(place, known)

    def take_along(
        self, folder: WorkingFolder, parent: str, files: Mapping[str, Mapping[str, Any]], *, beginning: bool
    ) -> list[str]:
        """Give a fork's folder files as its parent had them at a savepoint.

        Each is taken from the savepoint, the parent's folder, that of the attempt before it, or what is
        stored of it. The parent may be running, taken up again or ending meanwhile.

        Parameters
        ----------
        parent
            The parent's id; its owner is the fork's.
        files
            How they were, by path, as the savepoint describes them.
        beginning
            Whether they are to be the fork's `beginning`, rather than its `former` folder.

        Returns
        -------
        The paths of those that aren't to be had any more.

        Raises
        ------
        ArtifactsUnavailable, CorruptBlob
            If what is stored can't be read.
        """
        place = self._place(parent)
        # Twice: an attempt that begins meanwhile makes one folder of the other, one that has caught up needs
        # the former no more. A folder goes when all of it is stored, so that comes last.
        places = [folder.files, *(place / name for name in ("files", "former") * 2)]
        return self._taken(folder, files, places, self._artifacts.results(folder.owner), parent, beginning)

    def inherit(
        self, folder: WorkingFolder, parent: str, files: Mapping[str, Mapping[str, Any]]
    ) -> list[str]:
        """Give a fork the `beginning` that its parent had, being a fork itself; otherwise as `take_along`."""
        stored = self._artifacts.beginnings(folder.owner)
        return self._taken(folder, files, [self._place(parent) / "beginning"], stored, parent, True)

    def _taken(
        self,
        folder: WorkingFolder,
        files: Mapping[str, Mapping[str, Any]],
        places: Sequence[Path],
        stored: Results,
        parent: str,
        beginning: bool,
    ) -> list[str]:
        for path in files:  # a savepoint is its simulation's word
            parts = PurePosixPath(path).parts
            if not parts or parts[0] == "/" or ".." in parts:
                raise FileLost(path=path, reason="the savepoint names a file that isn't within the folder")
        target = self._place(folder.run) / ("beginning" if beginning else "former")
        if beginning:
            target.mkdir()
        sources: list[_Source] = [_from_savepoint, *(partial(_from_folder, it) for it in places)]
        sources.append(partial(_from_storage, stored, parent))
        return [
            path
            for path, was in files.items()
            if not any(take_from(path, was, target / path) for take_from in sources)
        ]

    def finish(
        self,
        folder: WorkingFolder,
        called_off: Callable[[], bool] = lambda: False,
        on_stored: Callable[[int], None] = lambda count: None,
    ) -> FileSet | None:
        """Store what the simulation wrote, and the transcript, then remove the folder; return what is stored.

        It may be repeated any number of times.

        Parameters
        ----------
        called_off
            Whether it has to end now.
        on_stored
            Takes the size of each file that is stored, or needn't be.

        Raises
        ------
        UploadFailed
            If that couldn't be stored; the folder is as it was.
        CalledOff
            If it was; the folder is as it was.
        """
        with self._use(folder.run):
            folder = self.find(folder.run) or folder  # as it is now that nobody else uses it
            fetched, results = self._fetched(folder), self._artifacts.results(folder.owner)
            stored = None
            # What is stored later counts: until an attempt has caught up, what the former one wrote.
            attempts = [folder.files, folder.former]
            if caught_up(folder.files).exists():
                attempts.reverse()
            for written in (*attempts, folder.transcript):
                if written is not None and written.exists():
                    stored = results.upload(
                        folder.run, written, fetched=fetched, called_off=called_off, on_stored=on_stored
                    )
            if folder.beginning is not None:  # a fork of it may need that
                beginnings = self._artifacts.beginnings(folder.owner)
                beginnings.upload(folder.run, folder.beginning, called_off=called_off)
            self.discard(folder.run)
            return stored

    def size(self, folder: WorkingFolder) -> int:
        """Return how many bytes `finish` would look at, as far as that can be told."""
        found = 0
        for written in (folder.files, folder.former, folder.transcript):
            if written is not None:
                for parent, _, names in os.walk(written):
                    for name in names:
                        with suppress(OSError):
                            found += (Path(parent) / name).lstat().st_size
        return found

    def discard(self, run: str) -> None:
        """Remove a run's folder with all that is in it; harmless if there is none."""
        with self._use(run):
            remove_folder(self._place(run))

    def forget(self, run: str, owner: str, experiment: str) -> None:
        """Remove all there is of a deleted run: its folder, its results, its hold on the experiment."""
        self.discard(run)
        self._artifacts.results(owner).delete(run)
        self._artifacts.beginnings(owner).delete(run)
        self._artifacts.experiments(owner).unpin(experiment, run)

    def reconcile(self, run_of: Callable[[str], Run | None]) -> Reconciled:
        """Look after what an earlier process left: tell what wasn't uploaded, remove what belongs to no run.

        Parameters
        ----------
        run_of
            Returns the run of an id, or None if it is deleted.

        Returns
        -------
        What became of each folder. Those of runs that go on are kept for them.
        """
        done = Reconciled([], [], [], {})
        for path in sorted(self._root.iterdir()) if self._root.exists() else ():
            run_id = path.name
            if _RUN_ID.fullmatch(run_id) is None:
                if path.name.endswith(".going"):
                    shutil.rmtree(path)
                continue
            try:
                self._reconcile(run_id, run_of(run_id), done)
            except (PerdureError, OSError) as error:
                done.failed[run_id] = str(error)
                log.warning("working_folder_kept", run=run_id, folder=str(path), reason=str(error))
        return done

    def sweep(self) -> None:
        """Remove from the storage what uploads that broke off a day ago left, if that can be done now."""
        try:
            self._artifacts.sweep()
        except PerdureError as error:
            log.warning("artifacts_not_swept", reason=str(error))

    def _reconcile(self, run_id: str, run: Run | None, done: Reconciled) -> None:
        folder = self.find(run_id)
        if run is None and folder is not None:
            self.forget(run_id, folder.owner, folder.experiment)
            done.removed.append(run_id)
        elif folder is None:  # it was never finished, so nothing ran in it
            self.discard(run_id)
            done.removed.append(run_id)
        elif run is not None and run.state in FINAL:
            done.ended.append(run_id)
        else:
            done.kept.append(run_id)

    @contextmanager
    def _use(self, run: str) -> Iterator[None]:
        """Use a run's folder within the block, alone."""
        with self._guard:
            lock = self._using.get(run)
            if lock is None:
                lock = self._using[run] = threading.RLock()
        with lock:
            yield

    def _fetched(self, folder: WorkingFolder) -> Content:
        """Return what the folder began with; if nobody knows, nothing, so that all of it is stored."""
        try:
            experiments = self._artifacts.experiments(folder.owner)
            return experiments.version(folder.experiment, folder.version).content
        except ExperimentNotFound:
            return Content({})
        except PerdureError as error:
            raise UploadFailed(run=folder.run, reason=str(error), folder=str(folder.files)) from error

    def _found(self, place: Path, known: _Place) -> WorkingFolder:
        former, beginning = place / "former", place / "beginning"
        return WorkingFolder(
            run=place.name,
            owner=known.owner,
            experiment=known.experiment,
            version=known.version,
            files=place / "files",
            former=former if former.exists() else None,
            beginning=beginning if beginning.exists() else None,
        )

    def _place(self, run: str) -> Path:
        if _RUN_ID.fullmatch(run) is None:
            reason = "it has 1 to 64 letters, digits, '_' and '-'"
            raise InvalidName(what="the id of a run", name=run[:200], reason=reason)
        return self._root / run


def _from_savepoint(path: str, was: Mapping[str, Any], target: Path) -> bool:
    return was["content"] is not None and take([was["content"]], was, target)


def _from_folder(folder: Path, path: str, was: Mapping[str, Any], target: Path) -> bool:
    with opened(folder, path) as file:
        return file is not None and take(chunks_of(file), was, target)


def _from_storage(stored: Results, run: str, path: str, was: Mapping[str, Any], target: Path) -> bool:
    found = stored.get(run)
    file = None if found is None else found.files.get(stored_path(path))
    if file is None or file.size < was["size"]:
        return False
    with closing(stored.read(run, file)) as chunks:
        taken = take(chunks, was, target)
        for _ in chunks:  # at the end, every byte has been checked
            pass
    return taken


def _write(path: Path, data: bytes) -> None:
    """Write a file at once: it is there whole or not at all."""
    written = path.with_suffix(".new")
    with written.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    written.replace(path)

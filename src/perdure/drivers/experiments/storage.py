"""Working folders: where simulations run, each in a copy of its experiment that is its own.

A folder has the id of its run as its name, so that the next process finds it after a crash. It is removed
only when everything that the simulation wrote is stored and checked.

All of it is scratch: an attempt, a fork and another host begin with what the store and the artifacts hold.
"""

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import msgspec
import structlog
from msgspec.structs import replace

from perdure.artifacts import Artifacts, CalledOff, Content, FileSet
from perdure.drivers.experiments.files import remove_folder
from perdure.drivers.experiments.saved_files import SavedFiles, lay_out
from perdure.drivers.experiments.working_folder import WorkingFolder, read_working_folder
from perdure.errors import ExperimentNotFound, InvalidName, PerdureError, UploadFailed
from perdure.execution.isolation import Isolation, hand_over
from perdure.lifecycle import FINAL
from perdure.run import Run
from perdure.stores.base import Store
from perdure.stores.commands import UNNAMED_SECONDS, Blob, ForgetBlobs, SweepBlobs, UseBlobs

__all__ = ["Reconciled", "WorkingFolders"]

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = structlog.get_logger(__name__)


class Reconciled(msgspec.Struct, frozen=True):
    """What was done with the folders that were found, by the ids of their runs.

    `ended` are those of runs that have ended: the caller finishes them. `failed` has the reason why a folder
    couldn't be dealt with.
    """

    ended: list[str]
    removed: list[str]
    kept: list[str]
    failed: dict[str, str]


class WorkingFolders:
    """All working folders of one store; blocking. Uses of the same run's folder wait for each other.

    Parameters
    ----------
    root
        The folder they are in; it is made when it is needed.
    artifacts
        Where experiments come from and results go.
    isolation
        The users that simulations run as; without it, this process's user.
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
        *,
        resumes: bool = False,
    ) -> WorkingFolder:
        """Make a run's folder of a version that is pinned for it.

        A folder that an interrupted attempt left is removed first.

        Parameters
        ----------
        resumes
            Whether the run goes on from a savepoint: the folder doesn't count until `settle` is called.
        called_off
            Returns True once the folder isn't needed any more; called between the parts of a copy.

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
            if called_off():
                raise CalledOff
            folder = self._emptied(run, owner, experiment, version)
            try:
                self._artifacts.experiments(owner).fetch(experiment, version, folder.files, called_off)
                if resumes:
                    folder.make_savepoint()
                folder.note()
            except BaseException:
                shutil.rmtree(folder.files.parent)
                raise
            return folder

    def give(self, folder: WorkingFolder) -> None:
        """Make the user that the simulation runs as the owner of a run's folder.

        That user may enter the folder around it, but not list or change it.
        """
        if self._isolation is None:
            return
        user = self._isolation.user_id(folder.owner)
        for part in (folder.files, folder.saved, folder.found):
            if part.exists() and part.lstat().st_uid != user:
                hand_over(part, user)
        place = self._place(folder.run)
        os.chown(place, -1, user)
        place.chmod(0o710)

    def assign(self, folder: WorkingFolder, token: int) -> None:
        """Note the fencing token of the lease under which a run's folder is used from now on."""
        replace(folder, token=token).note()

    def find(self, run: str) -> WorkingFolder | None:
        """Return a run's folder, or None if there is none that was finished."""
        return read_working_folder(self._place(run))

    def lay_out(
        self, folder: WorkingFolder, kept: Any, called_off: Callable[[], bool] = lambda: False
    ) -> None:
        """Lay out beside a run's folder what its savepoint lists.

        Parameters
        ----------
        kept
            The files of the savepoint.
        called_off
            Returns True once the folder isn't needed any more; called between the parts of a copy.

        Raises
        ------
        CalledOff
            If so.
        FileLost, CorruptBlob, ArtifactsUnavailable
            As `saved_files.lay_out` does.
        """
        blobs = self._artifacts.blobs(folder.owner)
        with self._use(folder.run):
            folder.make_savepoint()
            remove_folder(folder.found)
            remove_folder(folder.saved)
            lay_out(kept["files"], blobs, folder.saved, called_off)
            if kept["beginning"] is not None:
                lay_out(kept["beginning"]["files"], blobs, folder.found, called_off)

    def recover(
        self,
        run: str,
        owner: str,
        experiment: str,
        version: int,
        kept: Any,
        called_off: Callable[[], bool] = lambda: False,
    ) -> WorkingFolder:
        """Make a run's folder anew, for `finish` only, with what its savepoint lists; with None, nothing."""
        with self._use(run):
            folder = self._emptied(run, owner, experiment, version)
            folder.note()
            if kept is None:
                folder.savepoint.mkdir()
            else:
                self.lay_out(folder, kept, called_off)
            return folder

    def saving(self, store: Store, folder: WorkingFolder, kept: Any, limit: int) -> SavedFiles:
        """Return what stores the files of savepoints that are made in a run's folder."""

        def use(contents: Sequence[tuple[str, int]]) -> Sequence[Blob]:
            return store.submit(UseBlobs(folder.owner, contents)).result()

        return SavedFiles(self._artifacts.blobs(folder.owner), use, folder.files, kept, limit)

    def settle(self, folder: WorkingFolder) -> None:
        """Make the files in a run's folder count: its attempt has reached its savepoint."""
        remove_folder(folder.savepoint)

    def finish(
        self,
        folder: WorkingFolder,
        called_off: Callable[[], bool] = lambda: False,
        on_stored: Callable[[int], None] = lambda count: None,
    ) -> FileSet | None:
        """Store what the simulation wrote, and the transcript; return what is stored.

        It may be repeated any number of times.

        Parameters
        ----------
        called_off
            Returns True once it must end early.
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
            for written in (folder.written, folder.transcript):
                if written.exists():
                    stored = results.upload(
                        folder.run, written, fetched=fetched, called_off=called_off, on_stored=on_stored
                    )
            return stored

    def discard(self, run: str) -> None:
        """Remove a run's folder with all that is in it; harmless if there is none."""
        with self._use(run):
            remove_folder(self._place(run))

    def forget(self, run: str, owner: str, experiment: str) -> None:
        """Remove all there is of a deleted run: its folder, its results, its hold on the experiment."""
        self.discard(run)
        self._artifacts.results(owner).delete(run)
        self._artifacts.experiments(owner).unpin(experiment, run)

    def reconcile(self, run_of: Callable[[str], Run | None], spared: float = 0.0) -> Reconciled:
        """Look after what an earlier process left: log what wasn't uploaded, remove what belongs to no run.

        Parameters
        ----------
        run_of
            Returns the run of an id, or None if it is deleted.
        spared
            Seconds for which a folder is kept that belongs to no run. Another process of this host may be
            making it, before its run.

        Returns
        -------
        What became of each folder. Those of runs that go on are kept for them.
        """
        done = Reconciled([], [], [], {})
        for path in sorted(self._root.iterdir()) if self._root.exists() else ():
            run_id = path.name
            if _RUN_ID.fullmatch(run_id) is None:
                if path.name.endswith(".going"):
                    shutil.rmtree(path, ignore_errors=spared > 0)  # who is removing it does so to the end
                continue
            try:
                self._reconcile(run_id, run_of(run_id), done, spared)
            except (PerdureError, OSError) as error:
                done.failed[run_id] = str(error)
                log.warning("working_folder_kept", run=run_id, folder=str(path), reason=str(error))
        return done

    def sweep(
        self,
        store: Store,
        seconds: float = UNNAMED_SECONDS,
        called_off: Callable[[], bool] = lambda: False,
    ) -> None:
        """Remove from the storage what nothing needs, if that can be done now.

        These are the remains of uploads that broke off a day ago, and blobs that no savepoint has named for
        `seconds`. If the sweep is called off, the next one does the rest.
        """
        try:
            while swept := store.submit(SweepBlobs(seconds)).result():
                for blob in swept:
                    if called_off():
                        return
                    self._artifacts.blobs(blob.owner).remove(blob.number, blob.hash)
                store.submit(ForgetBlobs([blob.number for blob in swept])).result()
            self._artifacts.sweep()
        except PerdureError as error:
            log.warning("artifacts_not_swept", reason=str(error))

    def _reconcile(self, run_id: str, run: Run | None, done: Reconciled, spared: float) -> None:
        folder = self.find(run_id)
        young = time.time() - self._place(run_id).stat().st_mtime < spared
        if young and (run is None or folder is None):
            done.kept.append(run_id)
        elif run is None and folder is not None:
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

    def _emptied(self, run: str, owner: str, experiment: str, version: int) -> WorkingFolder:
        """Return a run's folder without files; one that exists is removed."""
        place = self._place(run)
        remove_folder(place)
        place.mkdir(mode=0o700, parents=True)
        return WorkingFolder(
            run=run, owner=owner, experiment=experiment, version=version, files=place / "files"
        )

    def _place(self, run: str) -> Path:
        if _RUN_ID.fullmatch(run) is None:
            reason = "it has 1 to 64 letters, digits, '_' and '-'"
            raise InvalidName(what="the id of a run", name=run[:200], reason=reason)
        return self._root / run

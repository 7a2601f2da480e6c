"""Results: what ended runs wrote is stored, tried again until it is, and whether it is stands in the run.

With it goes the transcript, written here. Nothing local is removed before that is confirmed.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from perdure.artifacts import CalledOff
from perdure.drivers.experiments.saved_files import files_at
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.drivers.experiments.storage import WorkingFolder, WorkingFolders
from perdure.drivers.experiments.transcript import transcribe
from perdure.drivers.threads import Threads
from perdure.errors import (
    Damaged,
    PerdureError,
    ResultsPending,
    RunNotFound,
    UploadFailed,
    VersionConflict,
)
from perdure.run import Change
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, MarkStored

__all__ = ["NOT_STORED", "ResultStorage"]

NOT_STORED: Final = "Its logs and files aren't stored yet"
"""How a run's reason says that storing failed, and will be tried again; what it said before comes first."""

PATIENCE = 10.0  # seconds for which somebody who reads the files is made to wait for them
AGAIN = 5  # seconds after which a client may ask again for results that aren't stored yet
LEAVING = 3.0  # seconds for which a storage that doesn't answer keeps a server from closing
FIRST, LONGEST = 5.0, 300.0  # seconds until it is tried again

log = structlog.get_logger(__name__)


class ResultStorage:
    """Stores what runs wrote in their working folders, each in a task of its own until it is done.

    Parameters
    ----------
    store, folders
        Where the runs and the folders are.
    """

    def __init__(self, store: Store, folders: WorkingFolders) -> None:
        self._store = store
        self._folders = folders
        self._threads = Threads()
        self._tasks: dict[str, asyncio.Task[None]] = {}  # cancelled by `aclose`
        self._tried: dict[str, asyncio.Event] = {}
        self._storing: dict[str, _Storing] = {}

    def begin(self, run_id: str) -> None:
        """Store what a run that has ended wrote; harmless if that is under way or done."""
        if run_id not in self._tasks:
            self._tried[run_id] = asyncio.Event()
            task = asyncio.create_task(self._work(run_id), name=f"perdure-results-{run_id}")
            self._tasks[run_id] = task
            task.add_done_callback(lambda _: self._done(run_id))

    async def stored(self, run_id: str) -> int:
        """Return the version of what a run wrote; `ResultsPending` if nobody can be made to wait for it."""
        event = self._tried.get(run_id)
        if event is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await event.wait()
        version = (await self._threads.read(lambda: self._store.execution(run_id))).stored
        if version is None:
            storing = self._storing.get(run_id) or _Storing()
            raise ResultsPending(run=run_id, stored=storing.stored, total=storing.total, retry_after=AGAIN)
        return version

    async def abandon(self, run_id: str) -> None:
        """Let a run's results go: what is being done with them at the moment ends soon."""
        task = self._tasks.get(run_id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def aclose(self) -> None:
        """Leave what isn't stored yet to the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, run_id: str) -> None:
        del self._tasks[run_id]
        self._storing.pop(run_id, None)
        self._tried.pop(run_id).set()

    async def _work(self, run_id: str) -> None:
        seconds = FIRST
        while True:
            reached = self._storing[run_id] = _Storing()
            storing = asyncio.ensure_future(self._threads.compute(partial(self._finish, run_id, reached)))
            try:
                problem = await asyncio.shield(storing)
                await self._report(run_id, problem)
            except asyncio.CancelledError:
                reached.called_off.set()
                await asyncio.wait({storing}, timeout=LEAVING)
                raise
            except Exception as error:  # whatever it is, it is tried again, and nobody waits for it meanwhile
                problem = f"{type(error).__name__}: {error}"
            if not problem:
                return
            log.warning("results_not_stored", run=run_id, reason=problem)
            self._tried[run_id].set()
            await asyncio.sleep(seconds)
            seconds = min(2 * seconds, LONGEST)

    def _finish(self, run_id: str, reached: "_Storing") -> str:
        """Store all and remove the folder; return why that can't be done, or nothing."""
        try:
            # Before the look at the store: another server that has stored the files has removed the folder.
            folder = self._folders.find(run_id)
            if folder is not None or self._store.execution(run_id).stored is None:
                if folder is None or folder.savepoint.exists():
                    folder = self._recovered(run_id, reached.called_off.is_set)
                self._transcribe(folder)
                reached.total = self._folders.size(folder)
                stored = self._folders.finish(folder, reached.called_off.is_set, reached.add)
                self._store.submit(MarkStored(run_id, 0 if stored is None else stored.version)).result()
            self._folders.discard(run_id)
        except RunNotFound:
            return ""  # who deletes it removes all of it
        except CalledOff:
            return "It was broken off."
        except UploadFailed as error:
            return str(error.values["reason"])
        except (PerdureError, OSError) as error:
            return str(error)
        return ""

    def _recovered(self, run_id: str, called_off: Callable[[], bool]) -> WorkingFolder:
        """Return a folder of a run whose own is gone or doesn't count, with what its savepoint lists."""
        run, kept = self._store.run(run_id), files_at(self._store, run_id)
        spec = ExperimentSpec.from_blob(run.spec)
        return self._folders.recover(run_id, run.owner, spec.experiment, spec.version, kept, called_off)

    def _transcribe(self, folder: WorkingFolder) -> None:
        """Write the transcript, as far as that can be read: what is damaged now won't be whole later."""
        try:
            transcribe(self._store, self._store.run(folder.run), folder.transcript)
        except Damaged as error:
            log.warning("transcript_incomplete", run=folder.run, reason=str(error))

    async def _report(self, run_id: str, problem: str) -> None:
        """Put down in the run whether its results are stored."""
        with suppress(RunNotFound):
            while True:
                run = await self._threads.read(lambda: self._store.run(run_id))
                reason = run.reason.partition(NOT_STORED)[0].rstrip()
                if problem:
                    reason = f"{reason} {NOT_STORED}: {problem} It is tried again.".lstrip()
                if reason == run.reason:
                    return
                with suppress(VersionConflict):
                    changed = self._store.submit(ChangeRun(run_id, run.version, Change(reason=reason)))
                    await asyncio.wrap_future(changed)
                    return


class _Storing:
    """One try at storing what a run wrote: how far it is, and how it is called off."""

    def __init__(self) -> None:
        self.called_off = threading.Event()
        self.stored = 0  # bytes; written by the thread that stores
        self.total = 0

    def add(self, count: int) -> None:
        """Count what was stored."""
        self.stored += count

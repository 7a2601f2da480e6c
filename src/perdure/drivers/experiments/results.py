"""Results: what ended runs wrote is stored, tried again until it is, and whether it is stands in the run.

With it goes the transcript, written here. Nothing local is removed before that is confirmed.

The process that ended a run stores the content of its working folder, which may have more than the savepoint:
files that were written later, or are too large. It keeps the lease of the run meanwhile. Others wait for it.
When the lease has ended without that, its holder has died, and any process stores the files of the newest
savepoint.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import structlog

from perdure.artifacts import CalledOff
from perdure.drivers.experiments.saved_files import files_at
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.experiments.transcript import transcribe
from perdure.drivers.experiments.working_folder import WorkingFolder
from perdure.drivers.threads import Threads
from perdure.drivers.views import ended_runs
from perdure.errors import (
    Damaged,
    Fenced,
    PerdureError,
    ResultsPending,
    RunNotFound,
    UploadFailed,
    VersionConflict,
)
from perdure.run import Change, Execution, Run
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, MarkStored, Renew
from perdure.stores.feed import Feed, Hint, Subscription
from perdure.supervision import keep_going

__all__ = ["NOT_STORED", "ResultStorage"]

NOT_STORED: Final = "Its logs and files aren't stored yet"
"""How a run's reason says that storing failed, and will be tried again; what it said before comes first."""

PATIENCE = 10.0  # seconds for which somebody who reads the files is made to wait for them
AGAIN = 5  # seconds after which a client may ask again for results that aren't stored yet
LEAVING = 3.0  # seconds for which a storage that doesn't answer keeps a server from closing
FIRST, LONGEST = 5.0, 300.0  # seconds until it is tried again
LEASE = 10.0  # seconds for which the lease of a run is renewed while its files are stored
RENEW = 2.0  # seconds between two renewals
LOOK = 1.0  # seconds between two looks whether the holder of the lease has stored the files
LAST = 1.0  # seconds which a closing process of a shared store has for what it stores
YOUNG = 3600.0  # seconds for which another process of the host may be making the folder of a new run

log = structlog.get_logger(__name__)


class ResultStorage:
    """Stores what runs wrote in their working folders, each in a task of its own until it is done.

    Parameters
    ----------
    store, folders
        Where the runs and the folders are.
    feed
        Notifies of their ends.
    """

    def __init__(self, store: Store, folders: WorkingFolders, feed: Feed) -> None:
        self._store = store
        self._folders = folders
        self._feed = feed
        self._taken: dict[str, int] = {}  # tokens of this process's leases, by run
        self._live: Subscription | None = None  # to runs that haven't ended, from `open` to `aclose`
        self._watching: asyncio.Task[None] | None = None
        self._threads = Threads()
        self._tasks: dict[str, asyncio.Task[None]] = {}  # cancelled by `aclose`
        self._tried: dict[str, asyncio.Event] = {}
        self._storing: dict[str, _Storing] = {}

    async def open(self, live: Collection[str] | None = None) -> None:
        """Look after what a former process left, before the executor takes runs up again.

        Parameters
        ----------
        live
            The runs whose ends are watched, for a server. A worker only watches those that it takes, and if
            the store is shared, it leaves what others have ended to the servers.
        """
        self._live = watched = self._feed.subscribe(*(live or ()))
        spared = YOUNG if self._store.shared else 0.0
        reconciled = await self._threads.compute(lambda: self._folders.reconcile(self._run_or_none, spared))
        for run_id in reconciled.kept:
            self.watch(run_id)
            watched.notify(Hint(run_id))  # it may have ended meanwhile
        ended = set(reconciled.ended)
        if live is not None or not self._store.shared:
            ended.update(await self._threads.read(self._store.unstored))
        for run_id in ended:
            self.begin(run_id)
        self._watching = asyncio.create_task(keep_going("results", lambda: self._store_ended(watched)))

    def watch(self, run_id: str) -> None:
        """Store what a run wrote when it has ended; does nothing unless it is open. From any thread."""
        if self._live is not None:
            self._live.add(run_id)

    def take(self, execution: Execution) -> None:
        """Note that a worker of this process has leased a run; from any thread."""
        self._taken[execution.run_id] = execution.fence
        self.watch(execution.run_id)

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
        """Leave what isn't stored yet to the next start, or to other processes after a moment."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        if self._live is not None:
            self._live.close()
        tasks = list(self._tasks.values())
        storing = [self._tasks[run_id] for run_id in self._storing if run_id in self._taken]
        if storing and self._store.shared:
            await asyncio.wait(storing, timeout=LAST)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _store_ended(self, live: Subscription) -> None:
        """Store what runs wrote when they have ended."""
        async for run_id in ended_runs(self._store, live):
            self.begin(run_id)

    def _run_or_none(self, run_id: str) -> Run | None:
        try:
            return self._store.run(run_id)
        except RunNotFound:
            return None

    def _done(self, run_id: str) -> None:
        del self._tasks[run_id]
        self._taken.pop(run_id, None)
        self._storing.pop(run_id, None)
        self._tried.pop(run_id).set()

    async def _work(self, run_id: str) -> None:
        while True:
            try:
                await self._others(run_id)
                break
            except RunNotFound:
                break
            except Exception as error:  # as below
                log.warning("results_not_stored", run=run_id, reason=str(error))
                await asyncio.sleep(LOOK)
        async with self._renewing(run_id):
            await self._finished(run_id)

    async def _others(self, run_id: str) -> None:
        """Wait while another process has the lease of a run that has ended, to store its files."""
        if not self._store.shared:
            return
        with self._feed.subscribe(run_id) as changes:
            while True:
                changes.take()
                execution = await self._threads.read(lambda: self._store.execution(run_id))
                if (
                    execution.stored is not None
                    or not execution.leased(self._store.clock())
                    or execution.fence == self._taken.get(run_id)
                ):
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await changes.wait()

    @asynccontextmanager
    async def _renewing(self, run_id: str) -> AsyncIterator[None]:
        """Renew this process's lease of a run, if it has one, while its files are stored."""
        token = self._taken.get(run_id)
        if token is None:
            yield
            return
        renewing = asyncio.create_task(self._renew(run_id, token))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})

    async def _renew(self, run_id: str, token: int) -> None:
        while True:
            try:
                await asyncio.wrap_future(self._store.submit(Renew(run_id, token, LEASE)))
            except (
                Fenced,
                RunNotFound,
            ):  # the files are stored, or another worker had the run after this one
                return
            except Exception as error:  # the next try may succeed
                log.warning("lease_not_renewed", run=run_id, reason=str(error))
            await asyncio.sleep(RENEW)

    async def _finished(self, run_id: str) -> None:
        """Return when what a run wrote is stored."""
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
        folder = None
        try:
            # Before the look at the store: another server that has stored the files has removed the folder.
            folder = self._folders.find(run_id)
            execution = self._store.execution(run_id)
            newest = folder is not None and self._is_newest(folder, execution)
            if execution.stored is None or (newest and not execution.stored):
                if folder is None or not newest or folder.savepoint.exists():
                    folder = self._recovered(run_id, reached.called_off.is_set)
                self._transcribe(folder)
                reached.total = folder.size()
                stored = self._folders.finish(folder, reached.called_off.is_set, reached.add)
                self._store.submit(MarkStored(run_id, 0 if stored is None else stored.version)).result()
            self._folders.discard(run_id)
        except RunNotFound:  # who deletes it removes what is stored so far
            if folder is not None:
                self._folders.forget(run_id, folder.owner, folder.experiment)
            return ""
        except CalledOff:
            return "It was broken off."
        except UploadFailed as error:
            return str(error.values["reason"])
        except (PerdureError, OSError) as error:
            return str(error)
        return ""

    def _is_newest(self, folder: WorkingFolder, execution: Execution) -> bool:
        """Return whether no process of another host may have worked on a run after this folder was used."""
        if not self._store.shared:
            return True
        return folder.token == execution.fence and bool(folder.token or not execution.attempt)

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

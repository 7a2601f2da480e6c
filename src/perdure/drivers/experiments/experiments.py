"""Experiments: runs of scripts over co-simulated engines, which are created, steered and forked.

All requests about a run are answered from the store alone.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import suppress
from functools import partial

from perdure.artifacts import Artifacts
from perdure.drivers.examination import Finding
from perdure.drivers.experiments.examination import examine_experiment
from perdure.drivers.experiments.experiment_requests import ExperimentView, ForkExperiment, NewExperiment
from perdure.drivers.experiments.preparing import Prepared, Preparing
from perdure.drivers.experiments.requirements import lacks, needs
from perdure.drivers.experiments.results import ResultStorage
from perdure.drivers.experiments.slots import slots_of
from perdure.drivers.experiments.spec import KIND, ExperimentSpec
from perdure.drivers.experiments.steering import Steering
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.experiments.transcript import rows_text
from perdure.drivers.run_access import find_run
from perdure.drivers.session_requests import Owner
from perdure.drivers.threads import Threads
from perdure.drivers.uninterrupted import Uninterrupted
from perdure.drivers.views import views_of
from perdure.errors import KindNotAllowed
from perdure.execution.executor import Executor
from perdure.execution.presence import Workers
from perdure.execution.traces import forget_trace
from perdure.execution.views import forget_views
from perdure.lifecycle import FINAL, DesiredState, RunStatus, after
from perdure.numerics import Numerics
from perdure.run import KEEP_LABEL, NO_LABEL, Execution, Key, Label, LabelChange, LogLine, Run, new_run_id
from perdure.settings import Settings
from perdure.state.savepoint import SavepointInfo
from perdure.stores.base import Store
from perdure.stores.commands import Created, CreateRun, DeleteRun, Fork, ForkRuns, MarkSavepoint, encoded
from perdure.stores.feed import Feed
from perdure.stores.quota import Quota, check_result_bytes
from perdure.supervision import keep_going

__all__ = ["KIND", "Experiments"]

SWEEPING = 900.0  # seconds between two sweeps of the storage


class Experiments:
    """The driver of experiments.

    Parameters
    ----------
    store
        Where runs are kept; its opener closes it.
    executor
        Works on them; its opener closes it.
    artifacts
        Where experiments come from and results go.
    folders
        Where they run.
    settings
        Quotas and slots.
    feed
        Notifies of changes; by default one of its own.
    results
        Stores what runs wrote. By default the driver has one of its own, which it closes.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        artifacts: Artifacts,
        folders: WorkingFolders,
        settings: Settings,
        feed: Feed | None = None,
        results: ResultStorage | None = None,
    ) -> None:
        self._store = store
        self._feed = feed or Feed(store)
        self._artifacts = artifacts
        self._folders = folders
        self._preparing = Preparing(store, artifacts, folders)
        self._settings = settings
        self._numerics = Numerics(others=settings.other_numerics)
        self._workers = Workers(store)
        self._quota = Quota(
            unfinished=settings.max_runs, ended=settings.max_ended_runs, slots=slots_of(settings)
        )
        self._threads = Threads()
        self._uninterrupted = Uninterrupted()
        self._results = results or ResultStorage(store, folders, self._feed)
        self._owns_results = results is None
        self._closing = asyncio.Event()
        self._steering = Steering(store, executor, self._feed, self._threads, self.view_of, self._closing)
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def allowed(self) -> bool:
        """Whether experiments may be run."""
        return self._settings.allow_experiments

    # Opening and closing ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take over what an earlier server left; called before the executor takes runs up again."""
        executions = await self._threads.read(self._store.executions)
        await self._results.open([each.run_id for each in executions if each.kind == KIND])
        self._sweeping = asyncio.create_task(keep_going("sweeps", self._sweep))

    async def aclose(self) -> None:
        """Wait for pending requests; the executor ends runs, and the next server stores what isn't stored."""
        self._closing.set()
        if self._sweeping is not None:
            await asyncio.wait({self._sweeping})
        await self._uninterrupted.wait()
        if self._owns_results:
            await self._results.aclose()

    # Making and steering ------------------------------------------------------------------------------------

    async def make(
        self, owner: str, request: NewExperiment, key: Key | None = None, label: Label = NO_LABEL
    ) -> Created:
        """Create a run of an experiment and initialize it; when this returns, it is paused or has failed.

        Raises
        ------
        ExperimentNotFound, ArtifactNotFound, InvalidConfiguration
            If the request is wrong; no run was created.
        SlotsTaken, QuotaExceeded
            If the limits allow no more.
        KindNotAllowed
            If this server runs no experiments.
        """
        return await self._uninterrupted.do(self._make(owner, new_run_id(), request, key, label))

    async def create(self, owner: str, run_id: str, request: NewExperiment) -> Run:
        """Create a run with this id, as `make` does."""
        return (await self._uninterrupted.do(self._make(owner, run_id, request, None, NO_LABEL))).run

    async def fork(
        self,
        owner: Owner,
        run_id: str,
        request: ForkExperiment,
        key: Key | None = None,
        label: LabelChange = KEEP_LABEL,
    ) -> Created:
        """Create a run that begins as a copy of another one at a savepoint, and is paused there.

        It has the other's tags and no name, unless `label` says otherwise.

        The same script continues where it was. Another script, or one whose file has changed, starts from its
        beginning, with the engines, files and time of the savepoint.

        Raises
        ------
        SavepointNotFound, NoSavepoint, CorruptBlob
            If there is no such savepoint.
        """
        parent = await self._find(owner, run_id)
        return await self._uninterrupted.do(self._fork(parent, request, key, label.of_fork(parent)))

    async def trigger(self, owner: Owner, run_id: str, trigger: str) -> Run:
        """Bring a run to another state; return the run as it was in that state, even if it has left it since.

        Raises
        ------
        TriggerRefused
            If its state doesn't allow it, as `perdure.lifecycle.after` says.
        TriggerOverruled
            If another request changed the desired state before the run had this one.
        KindNotAllowed
            If the run would start, and this server runs no experiments.
        """
        run = await self._find(owner, run_id)
        if after(run.state, trigger) is RunStatus.STARTED:
            self._check_allowed()
        return await self._uninterrupted.do(self._steering.trigger(run, trigger))

    async def delete(self, owner: Owner, run_id: str) -> None:
        """Delete a run with all that it wrote; a run that hasn't ended is stopped first."""
        run = await self._find(owner, run_id)
        await self._uninterrupted.do(self._delete(run))

    async def mark_savepoint(
        self, owner: Owner, run_id: str, timestamp: int, *, name: str | None, pinned: bool
    ) -> SavepointInfo:
        """Name or pin a savepoint, which keeps it permanently, or undo that."""
        await self._find(owner, run_id)
        marked = self._store.submit(MarkSavepoint(run_id, timestamp, name=name, pinned=pinned))
        return await asyncio.wrap_future(marked)

    # Reading ------------------------------------------------------------------------------------------------

    async def view(self, owner: Owner, run_id: str) -> ExperimentView:
        """Return the view of a run.

        Raises
        ------
        RunNotFound
            If there is none, or it is another owner's.
        WrongKind
            If it is a run of another kind.
        """
        return await self._threads.read(lambda: self.view_of(find_run(self._store, owner, run_id, KIND)))

    def view_of(self, run: Run) -> ExperimentView:
        """Return the view of a run; blocking."""
        execution = self._store.execution(run.id)
        stored = run.state in FINAL and execution.stored is not None
        waits = run.state not in FINAL and not execution.worked_on(self._store.clock())
        missing = ""
        if waits:
            here = lacks(execution.needs, self._numerics)
            missing = self._workers.lack(KIND, execution.needs, run.tags, here)
        return ExperimentView(run=run, execution=execution, stored=stored, missing=missing)

    async def savepoints(self, owner: Owner, run_id: str) -> Sequence[SavepointInfo]:
        """Return the savepoints that are kept, oldest first."""
        await self._find(owner, run_id)
        return await self._threads.read(lambda: self._store.savepoints(run_id))

    async def lines(self, owner: Owner, run_id: str, after: int, limit: int) -> Sequence[LogLine]:
        """Return a page of the output lines of a run."""
        await self._find(owner, run_id)
        return await self._threads.read(lambda: self._store.log_lines(run_id, after, limit))

    async def trajectory(self, owner: Owner, run_id: str) -> Generator[bytes, None, None]:
        """Return a blocking generator of the rows of a run's trajectory so far, as lines of JSON."""
        return rows_text(self._store, await self._find(owner, run_id))

    async def examine(self, owner: Owner, run_id: str) -> list[Finding]:
        """Check all checksums of a run."""
        run = await self._find(owner, run_id)
        return await self._threads.compute(lambda: examine_experiment(self._store, self._artifacts, run))

    async def stored(self, run: Run) -> int | None:
        """Return `Execution.stored` of a run; if it has ended, wait until its files are stored.

        Raises
        ------
        ResultsPending
            If that takes longer.
        """
        if run.kind != KIND:
            return 0
        execution = await self._threads.read(lambda: self._store.execution(run.id))
        if run.state not in FINAL:
            return execution.stored
        if execution.stored is None:
            self._results.begin(run.id)
        return await self._results.stored(run.id)

    def events(self, owner: Owner, run_id: str) -> AsyncGenerator[ExperimentView | None, None]:
        """Yield the view of a run, now and after each change, until it ends; None last if it is deleted."""
        return views_of(self._feed, run_id, lambda: self.view(owner, run_id), _told)

    # The work -----------------------------------------------------------------------------------------------

    async def _make(
        self, owner: str, run_id: str, request: NewExperiment, key: Key | None, label: Label
    ) -> Created:
        prepare = partial(self._preparing.new, run_id, owner, request)
        return await self._begin(run_id, owner, request.experiment, prepare, key, label)

    async def _fork(self, parent: Run, request: ForkExperiment, key: Key | None, label: Label) -> Created:
        run_id, experiment = new_run_id(), ExperimentSpec.from_blob(parent.spec).experiment
        prepare = partial(self._preparing.fork, run_id, parent, request)
        return await self._begin(run_id, parent.owner, experiment, prepare, key, label)

    async def _begin(
        self,
        run_id: str,
        owner: str,
        experiment: str,
        prepare: Callable[[], Prepared],
        key: Key | None,
        label: Label,
    ) -> Created:
        """Prepare and store a run; return when its simulation server is ready or has failed."""
        self._check_allowed()
        if key is not None:
            made = await self._threads.read(lambda: self._store.run_by_key(owner, key))
            if made is not None:
                return await self._made_before(made)
        await self._threads.read(partial(self._check_slots, owner))
        created = None
        try:
            prepared = await self._threads.compute(prepare)
            created = await self._keep(run_id, owner, prepared, key, label)
        finally:
            if created is None or created.replayed:
                await self._threads.compute(lambda: self._folders.forget(run_id, owner, experiment))
        if created.replayed:
            return await self._made_before(created.run)
        self._results.watch(run_id)
        return Created(await self._steering.begin(run_id))

    async def _made_before(self, run: Run) -> Created:
        """Answer a repeated creation, whose first request may still wait or have been interrupted."""
        return Created(await self._steering.begun(run.id), replayed=True)

    def _check_allowed(self) -> None:
        if not self.allowed:
            raise KindNotAllowed(kind=KIND, setting="PERDURE_ALLOW_EXPERIMENTS")

    async def _keep(
        self, run_id: str, owner: str, prepared: Prepared, key: Key | None, label: Label
    ) -> Created:
        now, savepoint = time.time(), prepared.savepoint
        run = Run(
            id=run_id,
            kind=KIND,
            owner=owner,
            spec=prepared.spec.to_blob(),
            created=now,
            updated=now,
            parent=prepared.parent,
            parent_position=None if savepoint is None else savepoint.position,
            name=label.name,
            tags=label.tags,
        )
        execution = Execution(
            run_id=run_id,
            kind=KIND,
            owner=owner,
            needs=needs(prepared.spec),
            desired=DesiredState.PAUSED,
            stored=None,
        )
        if savepoint is None:
            command = CreateRun(run, key=key, quota=self._quota, execution=execution)
            return await asyncio.wrap_future(self._store.submit(command))
        fork = Fork(run=run, savepoint=encoded(savepoint), key=key, execution=execution)
        (created,) = await asyncio.wrap_future(self._store.submit(ForkRuns([fork], self._quota)))
        return created

    async def _delete(self, run: Run) -> None:
        await self._steering.stop(run)
        await self._results.abandon(run.id)
        spec = ExperimentSpec.from_blob(run.spec)
        # First the files: if this is interrupted, the run can be deleted again.
        await self._threads.compute(lambda: self._folders.forget(run.id, run.owner, spec.experiment))
        await asyncio.wrap_future(self._store.submit(DeleteRun(run.id)))
        await forget_trace(self._store, run.id)
        await forget_views(self._store, run.id)

    async def _sweep(self) -> None:
        """Remove what nothing needs from the storage, periodically."""
        while not self._closing.is_set():
            sweep = partial(self._folders.sweep, self._store, called_off=self._closing.is_set)
            await self._threads.compute(sweep)
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEPING):
                    await self._closing.wait()

    def _check_slots(self, owner: str) -> None:
        """Raise `TooMany` or `SlotsTaken` if an owner may create no more runs, as far as is known now."""
        self._store.check_quota(owner, self._quota)
        sizes = self._artifacts.results(owner).sizes()
        check_result_bytes(owner, sum(sizes.values()), self._settings.max_result_bytes, lambda: sizes)

    async def _find(self, owner: Owner, run_id: str) -> Run:
        return await self._threads.read(lambda: find_run(self._store, owner, run_id, KIND))


def _told(view: ExperimentView) -> tuple[object, ...]:
    """Return the parts of a view whose change is an event; the renewal of a lease is none."""
    execution = view.execution
    return view.run.state, view.run.reason, execution.desired, execution.attempt, execution.progress

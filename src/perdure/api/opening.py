"""The opening of an app: the drivers and dialects that work on one store, and the order of their closing."""

import hashlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from perdure.api.context import Context
from perdure.api.transfers import Transfers
from perdure.artifacts import Artifacts
from perdure.dialects.bptk.dialect import Dialect
from perdure.dialects.bptk.external_state import Mirror
from perdure.dialects.nrp.simulations import Simulations
from perdure.dialects.stableconfigs.dialect import StableConfigs
from perdure.drivers.experiments import body as experiment_body
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.experiments.experiments import Experiments
from perdure.drivers.experiments.provisions import Provisions
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.sessions import Sessions
from perdure.drivers.task_body import BODY as TASK_BODY
from perdure.drivers.task_provisions import TaskProvisions
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import KIND as TASK
from perdure.drivers.tasks import Tasks
from perdure.drivers.unplaced import Unplaced
from perdure.execution.body import Body
from perdure.execution.executor import Executor
from perdure.execution.limits import Limits
from perdure.execution.local import LocalExecutor
from perdure.execution.reconcile import reconciling
from perdure.observability import Metrics
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.open import store_file
from perdure.stores.sqlite import SqliteStore

__all__ = ["Manner", "opened"]


@dataclass(frozen=True)
class Manner:
    """In which manner an app serves BPTK's instances.

    Attributes
    ----------
    make_mirror
        Returns what instances are written through to, if anything.
    externalize
        Whether nothing stays in memory between requests.
    durable
        Whether the store outlives the process.
    """

    make_mirror: Callable[[Sessions], Mirror | None] = lambda sessions: None
    externalize: bool = False
    durable: bool = True


@asynccontextmanager
async def opened(
    store: Store,
    catalogue: Catalogue,
    settings: Settings,
    artifacts: Artifacts,
    manner: Manner,
    registry: TaskRegistry,
    *,
    works: bool,
) -> AsyncIterator[Context]:
    """Open all that an app works with, and close it in the opposite order; the store stays the caller's.

    Parameters
    ----------
    works
        Whether tasks and experiments are worked on; otherwise they wait for an app that does.
    """
    metrics = Metrics()
    sessions = Sessions(store, catalogue, settings, metrics)
    bptk = Dialect(
        sessions,
        settings,
        metrics,
        mirror=manner.make_mirror(sessions),
        externalize=manner.externalize,
        durable=manner.durable,
        closing=sessions.closing,
    )
    try:
        async with _drivers(store, settings, artifacts, registry, works) as (tasks, experiments):
            stableconfigs = StableConfigs(tasks, store, settings.result_expires)
            await bptk.open()
            try:
                async with stableconfigs.expiring() if works else nullcontext():
                    yield Context(
                        store=store,
                        catalogue=catalogue,
                        metrics=metrics,
                        artifacts=artifacts,
                        transfers=Transfers(),
                        sessions=sessions,
                        tasks=tasks,
                        experiments=experiments,
                        bptk=bptk,
                        stableconfigs=stableconfigs,
                        simulations=Simulations(store, experiments),
                        closing=sessions.closing,
                    )
            finally:
                sessions.closing.set()
    finally:
        sessions.closing.set()
        await bptk.aclose()
        await sessions.aclose()


@asynccontextmanager
async def _drivers(
    store: Store, settings: Settings, artifacts: Artifacts, registry: TaskRegistry, works: bool
) -> AsyncIterator[tuple[Tasks, Experiments]]:
    """Open the drivers of what executors work on."""
    with _working_root(settings) as root:
        folders = WorkingFolders(root, artifacts)
        async with _executor(store, settings, folders, registry, works) as executor:
            tasks = Tasks(store, registry, executor, settings)
            experiments = Experiments(store, executor, artifacts, folders, settings)
            try:
                if works:
                    await experiments.open()
                async with reconciling(store, executor) if works else nullcontext():
                    yield tasks, experiments
            finally:
                await experiments.aclose()
                await tasks.aclose()


@asynccontextmanager
async def _executor(
    store: Store, settings: Settings, folders: WorkingFolders, registry: TaskRegistry, works: bool
) -> AsyncIterator[Executor]:
    """Open what works on the runs of a store, or what leaves them to the next server."""
    if not works:
        yield Unplaced(store)
        return
    limits = Limits(
        cpu_seconds=settings.max_task_cpu_seconds,
        memory=settings.max_task_memory_bytes,
        open_files=settings.max_task_open_files,
    )
    bodies = {
        TASK: Body(
            path=TASK_BODY,
            slots=settings.max_task_processes,
            limits=limits,
            waits=not settings.allow_tasks,
            provide=TaskProvisions(registry).provide,
        ),
        EXPERIMENT: Body(
            path=experiment_body.BODY,
            slots=settings.max_simulations,
            begins_paused=True,
            waits=not settings.allow_experiments,
            resumes=settings.resume == "always",
            replays=True,
            provide=Provisions(folders).provide,
        ),
    }
    async with LocalExecutor(store, bodies, identity=_identity(store)) as executor:
        yield executor


def _identity(store: Store) -> str:
    """Name a store as no other that is open on this machine, and the same when it is opened again."""
    if isinstance(store, SqliteStore):
        return hashlib.sha256(bytes(store.path)).hexdigest()[:16]
    return secrets.token_hex(8)


@contextmanager
def _working_root(settings: Settings) -> Iterator[Path]:
    """Yield where working folders are: beside the store's file; those of a store in memory go with it."""
    file = store_file(settings.store)
    if file is not None:
        yield file.with_name(f"{file.name}.working")
        return
    with tempfile.TemporaryDirectory(prefix="perdure-") as folder:
        yield Path(folder)

"""The opening of an app: the drivers and dialects that work on one store, and the order of their closing."""

import glob
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from perdure.api.context import Context
from perdure.api.storage import artifacts_beside, working_root
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
from perdure.errors import IsolationUnavailable
from perdure.execution.body import Body
from perdure.execution.executor import Executor
from perdure.execution.isolation import Isolation, check_isolation, close_to_others, hold_ids
from perdure.execution.limits import Limits
from perdure.execution.local import LocalExecutor
from perdure.execution.unplaced import Unplaced
from perdure.execution.user_ids import UserIds
from perdure.observability import Metrics
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.feed import Feed

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
    metrics: Metrics,
    works: bool,
) -> AsyncIterator[Context]:
    """Open all that an app works with, and close it in the opposite order; the store stays the caller's.

    Parameters
    ----------
    metrics
        What is counted.
    works
        Whether tasks and experiments are worked on; otherwise they wait for an app that does.
    """
    feed = Feed(store, metrics=metrics)
    sessions = Sessions(store, catalogue, settings, metrics, feed)
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
        async with _drivers(store, feed, settings, artifacts, registry, metrics, works) as drivers:
            tasks, experiments = drivers
            stableconfigs = StableConfigs(tasks, store, settings.result_expires, feed)
            await bptk.open()
            try:
                async with stableconfigs.expiring() if works else nullcontext():
                    yield Context(
                        store=store,
                        feed=feed,
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
        feed.close()


@asynccontextmanager
async def _drivers(
    store: Store,
    feed: Feed,
    settings: Settings,
    artifacts: Artifacts,
    registry: TaskRegistry,
    metrics: Metrics,
    works: bool,
) -> AsyncIterator[tuple[Tasks, Experiments]]:
    """Open the drivers of what executors work on."""
    with (
        working_root(store, settings, works=works) as root,
        _isolation(store, settings, root, works) as isolation,
    ):
        folders = WorkingFolders(root, artifacts, isolation)
        async with _executor(store, feed, settings, folders, registry, metrics, isolation, works) as executor:
            tasks = Tasks(store, registry, executor, settings, feed)
            experiments = Experiments(store, executor, artifacts, folders, settings, feed)
            try:
                if isinstance(executor, LocalExecutor):
                    await experiments.open()
                    executor.start()
                yield tasks, experiments
            finally:
                await experiments.aclose()
                await tasks.aclose()


@asynccontextmanager
async def _executor(
    store: Store,
    feed: Feed,
    settings: Settings,
    folders: WorkingFolders,
    registry: TaskRegistry,
    metrics: Metrics,
    isolation: Isolation | None,
    works: bool,
) -> AsyncIterator[Executor]:
    """Open what works on the runs of a store, or what leaves them to the next server."""
    if not works:
        yield Unplaced(store)
        return
    limits = Limits(
        cpu_seconds=settings.max_task_cpu_seconds,
        memory=settings.max_task_memory_bytes,
        open_files=settings.max_task_open_files,
        file_bytes=settings.max_task_file_bytes,
        folder_bytes=settings.max_task_folder_bytes,
    )
    limits_of_experiments = Limits(
        seconds=settings.max_experiment_seconds,
        cpu_seconds=settings.max_experiment_cpu_seconds,
        memory=settings.max_experiment_memory_bytes,
        open_files=settings.max_experiment_open_files,
        file_bytes=settings.max_experiment_file_bytes,
        folder_bytes=settings.max_experiment_folder_bytes,
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
            limits=limits_of_experiments,
            begins_paused=True,
            waits=not settings.allow_experiments,
            resumes=settings.resume == "always",
            replays=True,
            provide=Provisions(folders).provide,
        ),
    }
    executor = LocalExecutor(
        store, bodies, identity=store.identity, isolation=isolation, metrics=metrics, feed=feed
    )
    try:
        await executor.open()
        yield executor
    finally:
        await executor.aclose()


@contextmanager
def _isolation(store: Store, settings: Settings, root: Path, works: bool) -> Iterator[Isolation | None]:
    """Yield who children run as; None is this process's user."""
    if settings.run_as is None or not works:
        yield None
        return
    if sys.platform != "linux" or os.geteuid() != 0:
        raise IsolationUnavailable(reason="it takes Linux, and a server that is started as root")
    ids = range(settings.run_as[0], settings.run_as[1] + 1)
    file = store.file
    held = hold_ids(ids)
    try:
        isolation = Isolation(UserIds(store, ids), ids, root)
        isolation.make_root()
        close_to_others(path for path in _own_files(file, settings) if path != root)
        check_isolation(ids, root, None if file is None else file.parent)
        yield isolation
    finally:
        os.close(held)


def _own_files(file: Path | None, settings: Settings) -> Iterator[Path]:
    """Yield what nobody but the server may open: the store's files, and the folder of artifacts."""
    if file is not None:
        yield from file.parent.glob(f"{glob.escape(file.name)}*")
    if settings.artifacts is not None and "://" not in settings.artifacts.removeprefix("file://"):
        folder = Path(settings.artifacts.removeprefix("file://"))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield folder
    elif file is not None:
        folder = artifacts_beside(file)
        folder.mkdir(exist_ok=True, mode=0o700)
        yield folder

"""The opening of an app: the drivers and dialects that work on one store, and the order of their closing."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass

from perdure.api.context import Context
from perdure.api.transfers import Transfers
from perdure.artifacts import Artifacts
from perdure.dialects.bptk.dialect import Dialect
from perdure.dialects.bptk.external_state import Mirror
from perdure.dialects.nrp.simulations import Simulations
from perdure.dialects.stableconfigs.dialect import StableConfigs
from perdure.drivers.experiments.experiments import Experiments
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.sessions import Sessions
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import Tasks
from perdure.execution.executor import Executor
from perdure.execution.unplaced import Unplaced
from perdure.observability import Metrics
from perdure.places import working_root
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.feed import Feed
from perdure.worker import Worker, opened_worker

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
    executor: Executor | None,
) -> AsyncIterator[Context]:
    """Open all that an app works with, and close it in the opposite order; the store stays the caller's.

    Parameters
    ----------
    metrics
        What is counted.
    executor
        What works on tasks and experiments, which stays the caller's; None has a worker opened with the app.
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
        async with _drivers(store, feed, settings, artifacts, registry, metrics, executor) as drivers:
            tasks, experiments = drivers
            stableconfigs = StableConfigs(tasks, store, settings.result_expires, feed)
            await bptk.open()
            try:
                async with nullcontext() if isinstance(executor, Unplaced) else stableconfigs.expiring():
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
    executor: Executor | None,
) -> AsyncIterator[tuple[Tasks, Experiments]]:
    """Open the drivers of what executors work on."""
    async with AsyncExitStack() as stack:
        worker: Worker | None = None
        if executor is None:
            opening = opened_worker(store, settings, artifacts, registry, feed=feed, metrics=metrics)
            worker = await stack.enter_async_context(opening)
            executor, folders = worker.executor, worker.folders
        else:
            root = stack.enter_context(working_root(store, settings, works=False))
            folders = WorkingFolders(root, artifacts, None)
        tasks = Tasks(store, registry, executor, settings, feed)
        stack.push_async_callback(tasks.aclose)
        experiments = Experiments(store, executor, artifacts, folders, settings, feed)
        stack.push_async_callback(experiments.aclose)
        if not isinstance(executor, Unplaced):
            await experiments.open()
        if worker is not None:
            worker.executor.start()  # now that what a former server left is looked after
        yield tasks, experiments

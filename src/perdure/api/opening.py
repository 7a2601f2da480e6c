"""The opening of an app: the drivers that work on one store, and the order of their closing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from perdure.api.pruning import kept_for
from perdure.artifacts import Artifacts
from perdure.drivers.experiments.experiments import Experiments
from perdure.drivers.experiments.scenes import Scenes
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.sessions import Sessions
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import Tasks
from perdure.execution.celery_executor import CeleryExecutor
from perdure.execution.executor import Executor
from perdure.execution.unplaced import Unplaced
from perdure.observability import Metrics
from perdure.places import working_root
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.feed import Feed
from perdure.web.services import AppServices
from perdure.web.transfers import Transfers
from perdure.worker import KINDS, Worker, opened_worker, require_shared

__all__ = ["opened"]


@asynccontextmanager
async def opened(
    store: Store,
    catalogue: Catalogue,
    settings: Settings,
    artifacts: Artifacts,
    registry: TaskRegistry,
    *,
    metrics: Metrics,
    executor: Executor | None,
) -> AsyncIterator[AppServices]:
    """Open all that an app works with, and close it in the opposite order; the store stays the caller's.

    Parameters
    ----------
    metrics
        What is counted.
    executor
        What works on tasks and experiments, which stays the caller's; by default what the settings name: a
        broker, or a worker that is opened with the app.
    """
    async with AsyncExitStack() as stack:
        feed = Feed(store, metrics=metrics)
        stack.callback(feed.close)
        sessions = Sessions(store, catalogue, settings, metrics, feed)
        stack.push_async_callback(sessions.aclose)
        closing = sessions.closing
        stack.callback(closing.set)
        worker: Worker | None = None
        broker: CeleryExecutor | None = None
        if executor is None and settings.broker is not None:
            require_shared(store, settings)
            broker = CeleryExecutor(store, settings.broker, KINDS, metrics=metrics)
            executor = await stack.enter_async_context(broker)
        if executor is None:
            opening = opened_worker(store, settings, artifacts, registry, feed=feed, metrics=metrics)
            worker = await stack.enter_async_context(opening)
            executor, folders, results = worker.executor, worker.folders, worker.results
        else:
            root = stack.enter_context(working_root(store, settings, works=False))
            folders = WorkingFolders(root, artifacts, None)
            results = None
        tasks = Tasks(store, registry, executor, settings, feed)
        stack.push_async_callback(tasks.aclose)
        experiments = Experiments(store, executor, artifacts, folders, settings, feed, results)
        stack.push_async_callback(experiments.aclose)
        if not isinstance(executor, Unplaced):
            await experiments.open()
        if worker is not None:
            worker.executor.start()  # now that what a former server left is looked after
            preempting = asyncio.create_task(_preempt(worker, closing))
            stack.callback(preempting.cancel)
        services = AppServices(
            store=store,
            catalogue=catalogue,
            settings=settings,
            artifacts=artifacts,
            metrics=metrics,
            feed=feed,
            transfers=Transfers(),
            sessions=sessions,
            tasks=tasks,
            experiments=experiments,
            scenes=Scenes(
                store, artifacts, None if worker is None else worker.renderers, settings.max_scenes
            ),
            broker=broker,
            closing=closing,
        )
        stack.callback(closing.set)  # streams end before the drivers close
        await stack.enter_async_context(kept_for(services, settings.keep_finished))
        yield services


async def _preempt(worker: Worker, closing: asyncio.Event) -> None:
    """Have the worker's runs saved and given back at closing, while the server answers its last requests."""
    await closing.wait()
    worker.executor.preempt()

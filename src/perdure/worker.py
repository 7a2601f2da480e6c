"""The worker: claims the tasks and experiments of a store, and works on them in processes of this machine.

`perdure serve` contains a worker; `perdure worker` is a worker alone. This module composes it from bodies,
limits, isolation, working folders and the executor.
"""

import asyncio
import glob
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from perdure.artifacts import Artifacts
from perdure.drivers.experiments import body as experiment_body
from perdure.drivers.experiments import requirements
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.experiments.provisions import Provisions
from perdure.drivers.experiments.results import ResultStorage
from perdure.drivers.experiments.scene_renderers import SceneRenderers
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.task_body import BODY as TASK_BODY
from perdure.drivers.task_provisions import TaskProvisions
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import KIND as TASK
from perdure.errors import Invalid, IsolationUnavailable
from perdure.execution.body import Body
from perdure.execution.celery_worker import CeleryWorker
from perdure.execution.child_limits import ChildLimits
from perdure.execution.isolation import Isolation, check_isolation, close_to_others, hold_ids
from perdure.execution.local import LocalExecutor
from perdure.execution.user_ids import UserIds
from perdure.numerics import Numerics
from perdure.observability import Metrics, json_line
from perdure.places import artifacts_beside, open_artifacts, working_root
from perdure.settings import Settings, warn_of_unknown_variables
from perdure.stores.base import Store
from perdure.stores.feed import Feed
from perdure.stores.location import shown_url
from perdure.stores.open import open_configured
from perdure.tracing import exporting

__all__ = ["KINDS", "Worker", "opened_worker", "require_shared", "work"]

KINDS = (TASK, EXPERIMENT)
"""The kinds of runs that a worker can work on."""

PROBE_SECONDS = 5.0  # without a write, after which the store tests whether it can be written

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Worker:
    """An executor and its working folders.

    Attributes
    ----------
    executor
        Claims runs once it is started.
    folders
        Where experiments run.
    results
        Stores what experiments wrote, once it is opened.
    renderers
        Draw scenes of experiments, for a server.
    """

    executor: LocalExecutor
    folders: WorkingFolders
    results: ResultStorage
    renderers: SceneRenderers


@asynccontextmanager
async def opened_worker(
    store: Store,
    settings: Settings,
    artifacts: Artifacts,
    registry: TaskRegistry,
    *,
    feed: Feed,
    metrics: Metrics,
    kinds: Collection[str] = KINDS,
    tags: Collection[str] = (),
) -> AsyncIterator[Worker]:
    """Open a worker for a store; the caller opens its results and starts its executor.

    When it closes, the leases are given back. The store stays the caller's.

    Parameters
    ----------
    registry
        The tasks that can be computed.
    feed, metrics
        Notifies of changes of the runs; counts attempts and ends.
    kinds
        Which kinds of runs are worked on, of `KINDS`.
    tags
        If any are given, only runs with one of them are worked on.

    Raises
    ------
    IsolationUnavailable
        If owners can't have the user ids that the settings name.
    SettingsMissing
        If neither the settings nor the store say where working folders are.
    """
    with working_root(store, settings) as root, _isolation(store, settings, root) as isolation:
        folders = WorkingFolders(root, artifacts, isolation)
        results = ResultStorage(store, folders, feed)
        bodies = _bodies(store, settings, registry, folders, results)
        identity = f"{store.identity}-{secrets.token_hex(4)}" if store.shared else store.identity
        renderers = SceneRenderers(
            artifacts, identity, bodies[EXPERIMENT].limits, settings.max_scenes, isolation
        )
        executor = LocalExecutor(
            store,
            {kind: bodies[kind] for kind in kinds},
            identity=identity,
            tags=tags,
            isolation=isolation,
            metrics=metrics,
            feed=feed,
        )
        log.info("numerics", fingerprint=registry.numerics.fingerprint)
        try:
            await executor.open()
            yield Worker(executor, folders, results, renderers)
        finally:
            await renderers.aclose()
            await executor.aclose()
            await results.aclose()


def work(
    settings: Settings,
    *,
    kinds: Collection[str] = (),
    tags: Collection[str] = (),
    announce: Callable[[str], None] = print,
    accept_loss: bool = False,
) -> None:
    """Work on the runs of a store until SIGTERM or SIGINT, then give their leases back.

    A second SIGINT ends at once.

    Parameters
    ----------
    settings
        Name the store and the limits.
    kinds, tags
        Which runs are worked on; by default all.
    announce
        Called with a line that describes the worker, once it works.
    accept_loss
        Whether to open a store that lacks something that was acknowledged.

    Raises
    ------
    Invalid
        If there is no such kind, or the settings name a broker that can't be used.
    MissingExtra
        If they name a broker, and Celery isn't installed.
    StoreNotFound
        If there is no such store: a worker creates none, since it would find no runs there.
    StoreLocked
        If a server or another worker has the store open, and it can't be shared.
    PerdureError
        If the store can't be opened.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise Invalid(f"A worker can't work on runs of the kind {kind!r}, only of {', '.join(KINDS)}.")
    registry = TaskRegistry(settings.tasks, Numerics(others=settings.other_numerics))
    store = open_configured(settings, create=False, accept_loss=accept_loss, probe_every=PROBE_SECONDS)
    try:
        with exporting(settings.traces):
            asyncio.run(_work(store, settings, registry, kinds or KINDS, tags, announce))
    finally:
        store.close()


async def _work(
    store: Store,
    settings: Settings,
    registry: TaskRegistry,
    kinds: Collection[str],
    tags: Collection[str],
    announce: Callable[[str], None],
) -> None:
    require_shared(store, settings)
    ended = asyncio.Event()
    with _signals(ended), Feed(store) as feed:
        artifacts, metrics = open_artifacts(store, settings), Metrics()
        async with (
            opened_worker(
                store, settings, artifacts, registry, feed=feed, metrics=metrics, kinds=kinds, tags=tags
            ) as worker,
            AsyncExitStack() as consuming,
        ):
            if EXPERIMENT in kinds:
                await worker.results.open()
            worker.executor.start()
            if settings.broker is not None:
                celery = CeleryWorker(worker.executor, store, settings.broker, metrics, tags)
                await consuming.enter_async_context(celery)
            warn_of_unknown_variables()
            with suppress(BrokenPipeError):  # the line has no reader; the worker continues
                announce(_announcement(settings, kinds, tags))
            await ended.wait()
            log.info("worker_ending", meaning="its runs resume when another worker claims them")
            worker.executor.preempt()


def require_shared(store: Store, settings: Settings) -> None:
    """Raise `Invalid` if there is a broker, and the store can't be shared with the workers that it wakes."""
    if settings.broker is not None and not store.shared:
        raise Invalid(
            f"PERDURE_BROKER needs a store that several processes share, and {shown_url(settings.store)} is "
            "open in one process at a time. Name another store in PERDURE_STORE, or unset PERDURE_BROKER: "
            "then the server has a worker of its own."
        )


@contextmanager
def _signals(ended: asyncio.Event) -> Iterator[None]:
    """Set an event at the first signal that asks for the end; a second one has its default effect."""
    loop, numbers = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)

    def end() -> None:
        ended.set()
        release()

    def release() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        release()


def _announcement(settings: Settings, kinds: Collection[str], tags: Collection[str]) -> str:
    """Return the line to print when the worker works: text for people, or JSON for programs."""
    shown = shown_url(settings.store)
    if settings.log_json:
        return json_line("working", store=shown, kinds=list(kinds), tags=list(tags))
    what = " and ".join(f"{kind}s" for kind in kinds)
    tagged = f" tagged {' or '.join(tags)}" if tags else ""
    return f"Perdure works on {what}{tagged} of {shown}"


def _bodies(
    store: Store, settings: Settings, registry: TaskRegistry, folders: WorkingFolders, results: ResultStorage
) -> dict[str, Body]:
    """Return the body of each kind of run."""
    limits = ChildLimits(
        cpu_seconds=settings.max_task_cpu_seconds,
        memory=settings.max_task_memory_bytes,
        open_files=settings.max_task_open_files,
        file_bytes=settings.max_task_file_bytes,
        folder_bytes=settings.max_task_folder_bytes,
    )
    limits_of_experiments = ChildLimits(
        seconds=settings.max_experiment_seconds,
        cpu_seconds=settings.max_experiment_cpu_seconds,
        memory=settings.max_experiment_memory_bytes,
        open_files=settings.max_experiment_open_files,
        file_bytes=settings.max_experiment_file_bytes,
        folder_bytes=settings.max_experiment_folder_bytes,
    )
    return {
        TASK: Body(
            path=TASK_BODY,
            slots=settings.max_task_processes,
            limits=limits,
            waits=not settings.allow_tasks,
            lacks=registry.lacks,
            provide=TaskProvisions(registry, store).provide,
        ),
        EXPERIMENT: Body(
            path=experiment_body.BODY,
            slots=settings.max_simulations,
            limits=limits_of_experiments,
            begins_paused=True,
            waits=not settings.allow_experiments,
            resumes=settings.resume == "always",
            replays=True,
            shows=True,
            lacks=partial(requirements.lacks, numerics=registry.numerics),
            provide=Provisions(
                store, folders, settings.max_savepoint_bytes, registry.numerics, results.take
            ).provide,
        ),
    }


@contextmanager
def _isolation(store: Store, settings: Settings, root: Path) -> Iterator[Isolation | None]:
    """Yield the users that children run as; None is this process's user."""
    if settings.run_as is None:
        yield None
        return
    if sys.platform != "linux" or os.geteuid() != 0:
        raise IsolationUnavailable(reason="it requires Linux, and a server that is started as root")
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
    """Yield the paths that only the server may open: the store's files, and the folder of artifacts."""
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

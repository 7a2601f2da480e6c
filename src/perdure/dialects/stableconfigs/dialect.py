"""The dialect: creates, reports, stops and expires tasks as the StableConfigs server does.

Its tasks are ordinary runs; only their answers expire, and then the run is deleted. Other tasks don't belong
to this dialect, and have no answer here.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from operator import itemgetter
from typing import Any

import structlog

from perdure.clock import steady
from perdure.dialects.stableconfigs.answers import ended, under_way
from perdure.drivers.session_requests import ADMINISTRATOR, Owner
from perdure.drivers.stable_configurations import DIALECT_TASK
from perdure.drivers.task_spec import TaskSpec
from perdure.drivers.tasks import KIND, NewTask, Tasks, TaskView
from perdure.drivers.views import ended_runs
from perdure.errors import PerdureError, RunFinished, RunNotFound, TriggerRefused, WrongKind
from perdure.lifecycle import FINAL
from perdure.run import Key, Run
from perdure.stores.base import Store
from perdure.stores.feed import Feed, Subscription
from perdure.stores.run_list import Cursor, RunFilter, RunOrder
from perdure.supervision import keep_going

__all__ = ["StableConfigs"]

PAGE = 1_000  # runs

log = structlog.get_logger(__name__)


class StableConfigs:
    """The dialect on a store.

    Parameters
    ----------
    tasks
        The driver; its opener closes it.
    store
        Holds the runs.
    result_expires
        Seconds for which the answer of an ended task is kept.
    feed
        Notifies of changes; by default the dialect makes its own.
    """

    def __init__(self, tasks: Tasks, store: Store, result_expires: float, feed: Feed | None = None) -> None:
        self._tasks = tasks
        self._store = store
        self._expires = result_expires
        self._feed = feed or Feed(store)
        self._unfinished: Subscription | None = None  # to its unfinished tasks, while `expiring`
        self._until: dict[str, float] = {}  # expiry of each answer, ascending
        self._unforgotten: set[str] = set()  # tasks with an expired answer that couldn't be deleted
        self._more = asyncio.Event()

    @asynccontextmanager
    async def expiring(self) -> AsyncIterator[None]:
        """Delete tasks with an expired answer during the block."""
        with self._feed.subscribe() as unfinished:
            self._until, left = await asyncio.to_thread(self._left)
            for run_id in left:
                unfinished.add(run_id)
            self._unfinished = unfinished
            tasks = [
                asyncio.create_task(keep_going("ended tasks", lambda: self._note_ended(unfinished))),
                asyncio.create_task(keep_going("expiry", self._expire)),
            ]
            try:
                yield
            finally:
                self._unfinished = None
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def start(self, owner: str, question: dict[str, Any], key: Key | None) -> str:
        """Queue a task and return its id."""
        created = await self._tasks.create(owner, NewTask.of(DIALECT_TASK.name, question), key)
        self._look_after(created.run.id)
        return created.run.id

    async def status(self, owner: Owner, task_id: str) -> tuple[int, dict[str, Any]]:
        """Return the status code and body for a task; raise `RunNotFound` if there is none any more."""
        view = await self._view(owner, task_id)
        if view.run.state not in FINAL:
            self._look_after(task_id)  # its server may have ended when the task ends
            return under_way(view)
        # A task that ended just now may not be recorded yet.
        if task_id in self._unforgotten or steady() >= self._until.get(task_id, math.inf):
            raise RunNotFound(run=task_id)
        return await asyncio.to_thread(ended, view)  # there may be many configurations

    async def terminate(self, owner: Owner, task_id: str) -> None:
        """Stop a task; its processes have ended on return. A task that has ended isn't changed."""
        view = await self._view(owner, task_id)
        if view.run.state not in FINAL:
            with suppress(RunFinished, TriggerRefused):  # it has ended meanwhile
                await self._tasks.stop(owner, task_id)

    async def _view(self, owner: Owner, task_id: str) -> TaskView:
        try:
            view = await self._tasks.view(owner, task_id)
        except WrongKind:
            raise RunNotFound(run=task_id) from None
        if not _is_ours(view.run):
            raise RunNotFound(run=task_id)
        return view

    def _left(self) -> tuple[dict[str, float], list[str]]:
        """Return when the answers expire that are older than this process, and the tasks without one.

        No answer expires at once.
        """
        tasks, order = RunFilter(kind=KIND), RunOrder.CREATED
        cursor: Cursor | None = None
        ended: dict[str, float] = {}
        unfinished: list[str] = []
        earliest = steady.earliest(self._expires)
        while runs := self._store.runs(tasks, order=order, cursor=cursor, limit=PAGE):
            for run in filter(_may_be_ours, runs):
                if run.state in FINAL:
                    ended[run.id] = max(earliest, steady.from_wall(run.updated) + self._expires)
                else:
                    unfinished.append(run.id)
            cursor = Cursor.behind(runs[-1], order)
        return dict(sorted(ended.items(), key=itemgetter(1))), unfinished

    def _look_after(self, run_id: str) -> None:
        """Expire the answer of an unfinished task later, if answers expire here."""
        if self._unfinished is not None:
            self._unfinished.add(run_id)

    async def _note_ended(self, unfinished: Subscription) -> None:
        async for run_id in ended_runs(self._store, unfinished):
            self._until.setdefault(run_id, steady() + self._expires)
            self._more.set()

    async def _expire(self) -> None:
        """Delete each of the dialect's tasks when its answer has expired."""
        while True:
            while self._until:
                run_id, until = next(iter(self._until.items()))
                await asyncio.sleep(max(0.0, until - steady()))
                try:
                    await self._forget(run_id)
                except Exception as error:  # it stays until the next start; other answers still expire
                    self._unforgotten.add(run_id)
                    log.warning("task_not_forgotten", run=run_id, reason=str(error), exc_info=error)
                del self._until[run_id]
            self._more.clear()
            await self._more.wait()

    async def _forget(self, run_id: str) -> None:
        with suppress(RunNotFound):  # it belongs to another owner, or was deleted meanwhile
            await self._view(ADMINISTRATOR, run_id)
            await self._tasks.delete(ADMINISTRATOR, run_id)


def _may_be_ours(run: Run) -> bool:
    """Return False for another's task; what is damaged is found, and logged, when it is to be forgotten."""
    try:
        return _is_ours(run)
    except PerdureError:
        return True


def _is_ours(run: Run) -> bool:
    return TaskSpec.from_blob(run.spec).task == DIALECT_TASK.name

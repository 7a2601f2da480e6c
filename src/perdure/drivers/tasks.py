"""Tasks: long computations that wait in a queue and run in processes of their own.

The store is authoritative; the executor only receives wake-ups. So requests are answered from the store, and
nothing is lost with a message, a worker or the server.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, cast

import msgspec

from perdure.drivers.examination import Finding
from perdure.drivers.kept_files import KeptFiles
from perdure.drivers.run_access import find_run
from perdure.drivers.session_requests import Owner
from perdure.drivers.task_body import read_input
from perdure.drivers.task_examination import examine_task
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.task_spec import TaskSpec
from perdure.drivers.threads import Threads
from perdure.drivers.uninterrupted import Uninterrupted, uninterrupted
from perdure.drivers.views import views_of
from perdure.errors import (
    Damaged,
    InvalidTaskInput,
    KindNotAllowed,
    RunFinished,
    RunNotFound,
    TaskUnfinished,
    TriggerRefused,
    check_limit,
)
from perdure.execution.executor import Executor
from perdure.execution.presence import Workers
from perdure.execution.traces import forget_trace, keep_trace
from perdure.lifecycle import FINAL, DesiredState, RunStatus, check
from perdure.run import NO_LABEL, Execution, Key, Label, LogLine, Run, new_run, new_run_id
from perdure.settings import Settings
from perdure.state.codec import decode, unpack
from perdure.state.savepoint import SavepointInfo
from perdure.stores.base import Store
from perdure.stores.commands import Created, CreateRun, DeleteRun, SetDesiredState
from perdure.stores.feed import Feed
from perdure.stores.quota import Quota
from perdure.tasks import Task

__all__ = ["KIND", "NewTask", "TaskView", "Tasks"]

KIND = "task"
PATIENCE = 10.0  # seconds to wait for an end; executors take a fraction of one


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task to be queued.

    Attributes
    ----------
    task
        The task's name.
    input
        Its input as JSON text.
    timeout
        Time-out in seconds of running time; None leaves it to the task and the settings.
    """

    task: str
    input: bytes
    timeout: float | None = None

    @classmethod
    def of(cls, task: str, given: Any, timeout: float | None = None) -> "NewTask":
        """Convert an input decoded from JSON; raise `InvalidTaskInput` if it has no JSON form."""
        try:
            text = json.dumps(given, sort_keys=True, allow_nan=False)
        except ValueError as error:
            raise InvalidTaskInput(task=task, reason=str(error)) from error
        return cls(task=task, input=text.encode(), timeout=timeout)


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """The current state of a task.

    Attributes
    ----------
    run, execution
        The stored run and its execution.
    place
        Its place in the queue, counted from 1; None if it doesn't wait. Owners take turns, so that another
        owner's later task may come first.
    missing
        A sentence that says what every server and worker lacks to compute it, while none computes it; empty
        if nothing.
    """

    run: Run
    execution: Execution
    place: int | None = None
    missing: str = ""

    def in_state(self, state: RunStatus) -> "TaskView":
        """Return the view as it was when the run reached a state."""
        return msgspec.structs.replace(self, run=msgspec.structs.replace(self.run, state=state))

    @property
    def progress(self) -> dict[str, Any] | None:
        """The latest report."""
        return cast("dict[str, Any] | None", self._report.get("progress"))

    @property
    def result(self) -> Any:
        """Its result, or its partial result; None if it has neither."""
        result = self.execution.result
        return self.partial if result is None else decode(result)

    @property
    def partial(self) -> Any:
        """The partial result of a task that hasn't ended, or was ended from outside."""
        return self._report.get("partial")

    @property
    def _report(self) -> dict[str, Any]:
        report = self.execution.progress
        return {} if report is None else cast("dict[str, Any]", unpack(report))


class Tasks:
    """The driver of tasks.

    Parameters
    ----------
    store
        Where runs are kept; its opener closes it.
    registry
        The tasks that can be requested.
    executor
        Wakes the workers; its opener closes it.
    settings
        Quotas and time-outs.
    feed
        Notifies of changes; by default the driver makes its own.
    """

    def __init__(
        self,
        store: Store,
        registry: TaskRegistry,
        executor: Executor,
        settings: Settings,
        feed: Feed | None = None,
    ) -> None:
        self.registry = registry
        self._store = store
        self._files = KeptFiles(store)
        self._feed = feed or Feed(store)
        self._executor = executor
        self._settings = settings
        self._quota = Quota(
            unfinished=settings.max_runs,
            ended=settings.max_ended_runs,
            result_bytes=settings.max_result_bytes,
        )
        self._workers = Workers(store)
        self._threads = Threads()
        self._uninterrupted = Uninterrupted()

    @property
    def offered(self) -> Iterable[Task[Any, Any]]:
        """The tasks that can be requested."""
        return self.registry if self._settings.allow_tasks else ()

    # Creation and control -----------------------------------------------------------------------------------

    @uninterrupted
    async def create(
        self, owner: str, request: NewTask, key: Key | None = None, label: Label = NO_LABEL
    ) -> Created:
        """Queue a task; durable on return.

        Raises
        ------
        TaskNotFound, InvalidTask, InvalidTaskInput, LimitExceeded
            If the request is invalid; nothing was queued.
        QuotaExceeded
            If the owner has too many unfinished runs.
        KindNotAllowed
            If this server runs no tasks.
        """
        self._check_allowed()
        if key is not None:
            made = await self._threads.read(lambda: self._store.run_by_key(owner, key))
            if made is not None:
                return Created(made, replayed=True)

        def prepare() -> tuple[TaskSpec, Mapping[str, bytes], float]:
            self._store.check_quota(owner, self._quota)
            task = self.registry.get(request.task)
            read_input(task, request.input)
            return *self.registry.spec(request.task, request.input), self._timeout(task, request.timeout)

        spec, files, timeout = await self._threads.compute(prepare)
        if files:
            await self._files.keep(spec.sha256, files)
        run = new_run(new_run_id(), KIND, owner, spec.to_blob(), label)
        execution = Execution(run_id=run.id, kind=KIND, owner=owner, timeout=timeout, needs=spec.needs)
        created = await asyncio.wrap_future(
            self._store.submit(CreateRun(run, key=key, quota=self._quota, execution=execution))
        )
        await keep_trace(self._store, created.run.id)
        await self._executor.submit(created.run.id)
        return created

    @uninterrupted
    async def stop(self, owner: Owner, run_id: str) -> Run:
        """End a task permanently, and return when its processes have ended; a waiting task never starts.

        Raises
        ------
        TriggerRefused
            If it has ended already.
        """
        check(KIND, (await self._find(owner, run_id)).state, RunStatus.STOPPED)
        await asyncio.wrap_future(self._store.submit(SetDesiredState(run_id, DesiredState.STOPPED)))
        await self._executor.cancel(run_id)
        return await self._ended(owner, run_id)

    async def pause(self, owner: Owner, run_id: str) -> Run:
        """Pause a task, whether it runs or waits; its time-out is paused too."""
        return await self._want(owner, run_id, DesiredState.PAUSED)

    async def go_on(self, owner: Owner, run_id: str) -> Run:
        """Resume a paused task; raise `KindNotAllowed` if this server runs no tasks."""
        self._check_allowed()
        return await self._want(owner, run_id, DesiredState.STARTED)

    @uninterrupted
    async def delete(self, owner: Owner, run_id: str) -> None:
        """Delete a task with its result; an unfinished task is stopped first."""
        run = await self._find(owner, run_id)
        if run.state not in FINAL:
            with suppress(RunFinished, TriggerRefused):  # the task has ended meanwhile
                await self.stop(owner, run.id)
        await asyncio.wrap_future(self._store.submit(DeleteRun(run.id)))
        await forget_trace(self._store, run.id)

    async def aclose(self) -> None:
        """Wait for pending requests; the executor handles running tasks."""
        await self._uninterrupted.wait()

    # Reading ------------------------------------------------------------------------------------------------

    async def view(self, owner: Owner, run_id: str) -> TaskView:
        """Return the state of a task.

        Another owner's task doesn't exist; a run of another kind raises `WrongKind`.
        """
        return await self._threads.read(lambda: self.view_of(find_run(self._store, owner, run_id, KIND)))

    def view_of(self, run: Run) -> TaskView:
        """Return the state of a task; blocking."""
        execution = self._store.execution(run.id)
        before = self._store.waiting_before(run.id)
        waits = run.state not in FINAL and not execution.worked_on(self._store.clock())
        return TaskView(
            run=run,
            execution=execution,
            place=None if before is None else before + 1,
            missing=self._missing(run, execution) if waits else "",
        )

    async def result(self, owner: Owner, run_id: str, *, partial: bool = False) -> tuple[Run, Any]:
        """Return a task that has ended with its result; for a failed task, its partial result or None.

        Parameters
        ----------
        partial
            Whether to return the partial result of a task that hasn't ended.

        Raises
        ------
        TaskUnfinished
            If it hasn't ended.
        """

        def read() -> tuple[Run, Any]:
            run = find_run(self._store, owner, run_id, KIND)
            if run.state not in FINAL and not partial:
                raise TaskUnfinished(run=run_id, state=run.state.value)
            return run, TaskView(run=run, execution=self._store.execution(run.id)).result

        return await self._threads.read(read)

    async def lines(self, owner: Owner, run_id: str, after: int, limit: int) -> Sequence[LogLine]:
        """Return a page of a task's output lines."""
        await self._find(owner, run_id)
        return await self._threads.read(lambda: self._store.log_lines(run_id, after, limit))

    async def savepoints(self, owner: Owner, run_id: str) -> Sequence[SavepointInfo]:
        """Return the savepoints that are kept, oldest first."""
        await self._find(owner, run_id)
        return await self._threads.read(lambda: self._store.savepoints(run_id))

    async def examine(self, owner: Owner, run_id: str) -> list[Finding]:
        """Check every checksum of a task's stored data."""
        run = await self._find(owner, run_id)
        return await self._threads.compute(lambda: examine_task(self._store, run))

    def events(self, owner: Owner, run_id: str) -> AsyncGenerator[TaskView | None, None]:
        """Yield the state of a task, now and after each change, until it ends.

        None at the end if it is deleted.
        """
        return views_of(self._feed, run_id, lambda: self.view(owner, run_id), _event_fields)

    # The work -----------------------------------------------------------------------------------------------

    def _check_allowed(self) -> None:
        if not self._settings.allow_tasks:
            raise KindNotAllowed(kind=KIND, setting="PERDURE_ALLOW_TASKS")

    async def _want(self, owner: Owner, run_id: str, desired: DesiredState) -> Run:
        check(KIND, (await self._find(owner, run_id)).state, RunStatus(desired.value))
        await asyncio.wrap_future(self._store.submit(SetDesiredState(run_id, desired)))
        await self._executor.submit(run_id)
        return await self._find(owner, run_id)

    async def _ended(self, owner: Owner, run_id: str) -> Run:
        """Wait until a task has ended, but at limit `PATIENCE`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE), aclosing(self.events(owner, run_id)) as views:
                async for view in views:
                    if view is None:
                        raise RunNotFound(run=run_id)
        return await self._find(owner, run_id)

    async def _find(self, owner: Owner, run_id: str) -> Run:
        return await self._threads.read(lambda: find_run(self._store, owner, run_id, KIND))

    def _missing(self, run: Run, execution: Execution) -> str:
        needs = execution.needs
        if not needs:  # runs of an earlier version don't record what they need
            with suppress(Damaged):
                needs = TaskSpec.from_blob(run.spec).needs
        return self._workers.lack(KIND, needs, run.tags, self.registry.lacks(needs))

    def _timeout(self, task: Task[Any, Any], asked: float | None) -> float:
        """Return a task's time-out; raise `LimitExceeded` if the requested one exceeds the limit."""
        limit = self._settings.max_task_timeout
        check_limit("The timeout of a task", asked or 0.0, limit, "PERDURE_MAX_TASK_TIMEOUT")
        return min(asked or task.timeout or self._settings.task_timeout, limit)


def _event_fields(view: TaskView) -> tuple[object, ...]:
    """Return the parts of a view whose change is an event; the renewal of a lease is none."""
    execution = view.execution
    return (
        view.run.state,
        view.place,
        execution.desired,
        execution.attempt,
        execution.seconds,
        execution.progress,
    )

"""The driver of tasks on both stores, with an executor that only remembers what it was told."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from msgspec.structs import replace

from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import NewTask, Tasks
from perdure.errors import (
    EndedRunsExceeded,
    InvalidTaskInput,
    KeyReused,
    LimitExceeded,
    PerdureError,
    QuotaExceeded,
    ResultBytesExceeded,
    RunFinished,
    RunNotFound,
    TaskNotFound,
    TaskUnfinished,
    TriggerRefused,
    WrongKind,
)
from perdure.execution.unplaced import Unplaced
from perdure.lifecycle import DesiredState, Outcome, RunStatus
from perdure.run import Change, Execution, Key, LogLine
from perdure.settings import Settings
from perdure.state.codec import encode
from perdure.stores.base import Store
from perdure.stores.commands import CreateRun, DeleteRun, Finish, Lease, Renew, Report
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, a_run

ADD = NewTask.of("add", {"numbers": [1, 2, 3]})


class Told:
    """An executor that starts nothing, and keeps what it was told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.told: list[tuple[str, str]] = []

    async def submit(self, run_id: str) -> None:
        self.told.append(("submit", run_id))

    async def cancel(self, run_id: str) -> None:
        self.told.append(("cancel", run_id))
        await Unplaced(self._store).cancel(run_id)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path)
    with closing(made):
        yield made


@pytest.fixture
def executor(store: Store) -> Told:
    return Told(store)


def tasks_on(store: Store, executor: Told, **settings: Any) -> Tasks:
    registry = TaskRegistry(["tests.support.small_tasks"])
    return Tasks(store, registry, executor, Settings(**settings))


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), WAIT))  # type: ignore[arg-type]


def taken(store: Store, run_id: str) -> int:
    """Work on a run, as an executor would."""
    return store.submit(Lease(run_id, "worker", 3600.0)).result(WAIT).fence


def finished(store: Store, run_id: str, result: bytes | None = None) -> None:
    change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED)
    store.submit(Finish(run_id, taken(store, run_id), change, result=result)).result(WAIT)


def test_a_task_is_queued_with_its_input_and_the_executor_told(store: Store, executor: Told) -> None:
    async def work() -> None:
        created = await tasks_on(store, executor).create("me", ADD)
        assert executor.told == [("submit", created.run.id)]
        view = await tasks_on(store, executor).view("me", created.run.id)
        assert (view.run.kind, view.run.owner, view.run.state) == ("task", "me", RunStatus.CREATED)
        assert (view.execution.timeout, view.execution.desired, view.place) == (90.0, DesiredState.STARTED, 1)
        assert view.progress is None

    run(work)


def test_a_repeated_request_makes_one_task(store: Store, executor: Told) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor, max_runs=1)
        first = await tasks.create("me", ADD, Key("key", b"body"))
        again = await tasks.create("me", ADD, Key("key", b"body"))
        assert (again.run, again.replayed) == (first.run, True)
        with pytest.raises(KeyReused):
            await tasks.create("me", ADD, Key("key", b"another"))
        with pytest.raises(QuotaExceeded):
            await tasks.create("me", ADD)
        assert len(store.runs()) == 1

    run(work)


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (NewTask.of("ad", {}), TaskNotFound, "Did you mean 'add'"),
        (NewTask.of("add", {}), InvalidTaskInput, "input.numbers is missing"),
        (NewTask.of("add", [1]), InvalidTaskInput, "input must be an object, got a list"),
        (NewTask.of("add", {"numbers": ["\ud800"]}), InvalidTaskInput, "JSON"),
        (NewTask.of("add", {"numbers": []}, 1e9), LimitExceeded, "PERDURE_MAX_TASK_TIMEOUT"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_wrong_request_is_refused_before_it_is_queued(
    store: Store, executor: Told, request_: NewTask, error: type[PerdureError], words: str
) -> None:
    async def work() -> None:
        with pytest.raises(error, match=words):
            await tasks_on(store, executor).create("me", request_)
        assert (list(store.runs()), executor.told) == ([], [])

    run(work)


def test_an_input_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(InvalidTaskInput):
        NewTask.of("add", {"numbers": [float("nan")]})


def test_limits_hold_for_requests_that_all_passed_the_look_before(
    store: Store, executor: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor, max_ended_runs=1)
        first, second = [(await tasks.create("me", ADD)).run.id for _ in range(2)]
        # What a request sees that looks while the first one's end isn't committed yet:
        monkeypatch.setattr(store, "check_quota", lambda owner, quota: None)
        await tasks.stop("me", first)
        for _ in range(2):
            with pytest.raises(EndedRunsExceeded, match="perdure runs delete"):
                await tasks.create("me", ADD)
        await tasks.delete("me", first)
        await tasks.create("me", ADD)
        full = tasks_on(store, executor, max_result_bytes=1)
        change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED)
        store.submit(Finish(second, taken(store, second), change, result=encode({"total": 6}))).result(WAIT)
        with pytest.raises(ResultBytesExceeded, match=second):
            await full.create("me", ADD)

    run(work)


@pytest.mark.parametrize(
    ("task", "asked", "settings", "timeout"),
    [
        ("add", None, {}, 90.0),
        ("add", None, {"task_timeout": 7.0}, 7.0),
        ("add", 3.0, {"task_timeout": 7.0}, 3.0),
        ("spin", None, {"task_timeout": 7.0}, 3600.0),
        ("spin", None, {"max_task_timeout": 60.0}, 60.0),
        ("spin", 9.0, {"max_task_timeout": 60.0}, 9.0),
    ],
)
def test_a_timeout_is_the_requests_else_the_tasks_else_the_settings(
    store: Store, executor: Told, task: str, asked: float | None, settings: Any, timeout: float
) -> None:
    async def work() -> None:
        given = {"numbers": []} if task == "add" else {}
        request = NewTask.of(task, given, asked)
        created = await tasks_on(store, executor, **settings).create("me", request)
        assert store.execution(created.run.id).timeout == timeout

    run(work)


def test_places_are_counted_in_the_queue(store: Store, executor: Told) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor)
        ids = [(await tasks.create("me", ADD)).run.id for _ in range(4)]
        taken(store, ids[0])
        await tasks.pause("me", ids[1])
        assert [(await tasks.view("me", id)).place for id in ids] == [None, None, 1, 2]
        await tasks.go_on("me", ids[1])
        finished(store, ids[2])
        assert [(await tasks.view("me", id)).place for id in ids] == [None, 1, None, 2]
        assert executor.told[-2:] == [("submit", ids[1])] * 2

    run(work)


def test_a_waiting_task_that_is_stopped_never_starts(store: Store, executor: Told) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor)
        run_id = (await tasks.create("me", ADD)).run.id
        stopped = await tasks.stop("me", run_id)
        assert (stopped.state, stopped.outcome) == (RunStatus.STOPPED, Outcome.TERMINATED)
        assert executor.told[-1] == ("cancel", run_id)
        with pytest.raises(RunFinished):
            store.submit(Lease(run_id, "worker", 9.0)).result(WAIT)
        for again in (tasks.stop, tasks.pause, tasks.go_on):
            with pytest.raises(TriggerRefused):
                await again("me", run_id)

    run(work)


def test_stopping_returns_when_the_worker_has_let_go(store: Store, executor: Told) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor)
        run_id = (await tasks.create("me", ADD)).run.id
        fence = taken(store, run_id)
        stopping = asyncio.create_task(tasks.stop("me", run_id))
        async with aclosing(tasks.events("me", run_id)) as views:
            async for view in views:
                assert view is not None
                if view.execution.desired is DesiredState.STOPPED and view.run.state is RunStatus.STARTED:
                    assert not stopping.done()
                    change = Change(state=RunStatus.STOPPED, outcome=Outcome.TERMINATED)
                    store.submit(Finish(run_id, fence, change)).result(WAIT)
        assert (await stopping).state is RunStatus.STOPPED

    run(work)


def test_the_result_is_there_once_a_task_has_ended(store: Store, executor: Told) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor)
        ids = [(await tasks.create("me", ADD)).run.id for _ in range(2)]
        with pytest.raises(TaskUnfinished, match="has no result yet"):
            await tasks.result("me", ids[0])
        finished(store, ids[0], encode({"total": 6}))
        ended, result = await tasks.result("me", ids[0])
        assert (ended.state, result) == (RunStatus.COMPLETED, {"total": 6})
        fence = taken(store, ids[1])
        report = msgspec.msgpack.encode({"progress": {"done": 1}, "partial": {"total": 1}})
        store.submit(Report(ids[1], fence, progress=report)).result(WAIT)
        store.submit(Finish(ids[1], fence, Change(state=RunStatus.STOPPED))).result(WAIT)
        assert (await tasks.result("me", ids[1]))[1] == {"total": 1}, "what there is of it"

    run(work)


def test_events_tell_every_change_and_end_with_the_task(store: Store, executor: Told) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor)
        run_id = (await tasks.create("me", ADD)).run.id
        seen: list[tuple[Any, ...]] = []
        async with aclosing(tasks.events("me", run_id)) as views:
            async for view in views:
                assert view is not None
                seen.append((view.run.state.value, view.execution.attempt, view.place, view.progress))
                if len(seen) == 1:
                    fence = taken(store, run_id)
                elif len(seen) == 2:
                    store.submit(Renew(run_id, fence, 9.0)).result(WAIT)
                    store.submit(Report(run_id, fence, lines=[LogLine(text="x", time=0.0)])).result(WAIT)
                    report = msgspec.msgpack.encode({"progress": {"done": 1}})
                    store.submit(Report(run_id, fence, progress=report)).result(WAIT)
                elif len(seen) == 3:
                    store.submit(Finish(run_id, fence, Change(state=RunStatus.COMPLETED))).result(WAIT)
        assert seen == [
            ("created", 0, 1, None),
            ("started", 1, None, None),
            ("started", 1, None, {"done": 1}),
            ("completed", 1, None, {"done": 1}),
        ]

    run(work)


def test_events_end_when_a_task_is_deleted(store: Store, executor: Told) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor)
        run_id = (await tasks.create("me", ADD)).run.id
        seen = []
        async with aclosing(tasks.events("me", run_id)) as views:
            async for view in views:
                seen.append(view)
                if len(seen) == 1:
                    store.submit(DeleteRun(run_id)).result(WAIT)
        assert seen[1:] == [None]
        with pytest.raises(RunNotFound):
            await anext(tasks.events("me", run_id))

    run(work)


def test_a_task_that_runs_is_stopped_before_it_is_forgotten(store: Store, executor: Told) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor)
        run_id = (await tasks.create("me", ADD)).run.id
        await tasks.delete("me", run_id)
        assert executor.told[-1] == ("cancel", run_id)
        with pytest.raises(RunNotFound):
            store.run(run_id)

    run(work)


def test_lines_are_read_page_by_page(store: Store, executor: Told) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor)
        run_id = (await tasks.create("me", ADD)).run.id
        lines = [LogLine(text=f"line {number}", time=time.time()) for number in range(3)]
        store.submit(Report(run_id, taken(store, run_id), lines=lines)).result(WAIT)
        assert [line.text for line in await tasks.lines("me", run_id, 1, 1)] == ["line 1"]

    run(work)


def test_another_owners_task_does_not_exist_and_a_session_is_no_task(store: Store, executor: Told) -> None:
    async def work() -> None:
        tasks = tasks_on(store, executor)
        theirs = (await tasks.create("them", ADD)).run.id
        store.submit(CreateRun(a_run("session", owner="me"))).result(WAIT)
        for run_id, error in ((theirs, RunNotFound), ("session", WrongKind)):
            for ask in (tasks.view, tasks.stop, tasks.pause, tasks.go_on, tasks.delete, tasks.result):
                with pytest.raises(error):
                    await ask("me", run_id)
            with pytest.raises(error):
                await tasks.lines("me", run_id, 0, 1)
            with pytest.raises(error):
                await anext(tasks.events("me", run_id))
        assert (await tasks.view(None, theirs)).run.owner == "them"

    run(work)


def test_what_is_damaged_of_a_task_is_found(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"

    async def make() -> str:
        with closing(SqliteStore(path)) as store:
            tasks = tasks_on(store, Told(store))
            run_id = (await tasks.create("me", ADD)).run.id
            finished(store, run_id, encode({"total": 6}))
            assert await tasks.examine("me", run_id) == []
            return run_id

    async def examine(run_id: str) -> list[str]:
        with closing(SqliteStore(path)) as store:
            return [finding.place for finding in await tasks_on(store, Told(store)).examine("me", run_id)]

    run_id = asyncio.run(make())
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE specs SET spec = x'00'; UPDATE results SET result = x'00'")
    assert asyncio.run(examine(run_id)) == ["spec", "execution"]


@pytest.mark.parametrize(("task", "missing"), [("add", ""), ("gone", "No task 'gone' is served here. ")])
def test_a_run_of_a_released_version_says_whether_its_task_is_missing(
    store: Store, executor: Told, task: str, missing: str
) -> None:
    """It has no needs of its own."""

    async def work() -> None:
        spec = encode([task, "tests.support.small_tasks", b"{}"], schema=1)
        made = replace(a_run("old", owner="me", kind="task"), spec=spec)
        execution = Execution(run_id="old", kind="task", owner="me")
        store.submit(CreateRun(made, execution=execution)).result(WAIT)
        view = await tasks_on(store, executor).view("me", "old")
        assert view.execution.needs == ""
        assert view.missing.startswith(missing)
        assert (view.missing == "") is (missing == "")

    run(work)

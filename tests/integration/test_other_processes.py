"""Whoever waits for a change notices those of other processes, of which no message comes: by the poll.

Both sides share one store object; the deaf side hears of no commit, not even of its own.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.deaf import DeafStore
from tests.support.small import NEW, STEP, bath, catalogue_of, sessions_on
from tests.support.zips import opened, zip_of

from perdure.artifacts import Artifacts
from perdure.dialects.stableconfigs.dialect import StableConfigs
from perdure.drivers import tasks as tasks_module
from perdure.drivers import views as views_module
from perdure.drivers.experiments import steering
from perdure.drivers.experiments.experiment_requests import NewExperiment
from perdure.drivers.experiments.experiments import Experiments
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.sessions import Sessions
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import NewTask, Tasks
from perdure.drivers.views import ended_runs
from perdure.errors import RunNotFound, StoreUnavailable
from perdure.execution.local import LocalExecutor
from perdure.lifecycle import FINAL, DesiredState, Outcome, RunStatus
from perdure.observability import Metrics
from perdure.run import Change, Execution, Run
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, CreateRun, DeleteRun, Finish, Lease, Report, SetDesiredState
from perdure.stores.feed import Feed
from perdure.stores.memory import MemoryStore
from perdure.testing.executors import BODIES, Trial
from perdure.testing.store_samples import WAIT, a_run, queued

OFTEN = 0.002  # seconds between two polls
QUESTION = {"monomers": [["a"], ["a*"]], "constraints": [], "gen": 1, "min_polymers": 0}


class Idle:
    """An executor that works on nothing; another process does."""

    async def submit(self, run_id: str) -> None:
        pass

    async def cancel(self, run_id: str) -> None:
        pass


class Looked(DeafStore):
    """A deaf store that says when somebody has looked how far a run is, and so waits for its next change."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._looked = threading.Event()

    def execution(self, run_id: str) -> Execution:
        found = self.store.execution(run_id)
        self._looked.set()
        return found

    async def looked(self) -> None:
        assert await asyncio.to_thread(self._looked.wait, WAIT)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        await asyncio.wait_for(work(), WAIT)

    asyncio.run(within())


def bring(store: Store, run_id: str, **change: Any) -> None:
    """Change a run as another process does."""
    store.submit(ChangeRun(run_id, store.run(run_id).version, Change(**change))).result(WAIT)


def finished(store: Store, run_id: str) -> None:
    """Work off a task as another process does."""
    fence = store.submit(Lease(run_id, "another", 60.0)).result(WAIT).fence
    change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED)
    store.submit(Finish(run_id, fence, change)).result(WAIT)


def tasks_at(store: Store, feed: Feed, executor: Idle) -> Tasks:
    return Tasks(store, TaskRegistry(["tests.support.small_tasks"]), executor, Settings(), feed)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody who waits for a state give up before the test does."""
    monkeypatch.setattr(tasks_module, "PATIENCE", 1e6)
    monkeypatch.setattr(steering, "PATIENCE", 1e6)


def test_a_session_that_is_stepped_stopped_and_deleted_elsewhere_is_followed() -> None:
    async def work() -> None:
        store = MemoryStore()
        elsewhere = sessions_on(store)
        deaf = DeafStore(store)
        with Feed(deaf, every=OFTEN) as feed:
            here = Sessions(deaf, catalogue_of(bath()), Settings(), Metrics(), feed)
            stopped, deleted = [(await elsewhere.create("me", NEW)).run.id for _ in range(2)]
            async with aclosing(here.events("me", stopped)) as events:
                assert (await anext(events)).position == 0
                for position in (1, 2):
                    await elsewhere.step("me", stopped, STEP)
                    assert (await anext(events)).position == position
                await elsewhere.stop("me", stopped)
                assert [(each.state, each.position) async for each in events] == [(RunStatus.STOPPED, 2)]
            async with aclosing(here.events("me", deleted)) as events:
                await anext(events)
                await elsewhere.step("me", deleted, STEP)
                await anext(events)
                await elsewhere.delete("me", deleted)
                assert [(each.deleted, each.position) async for each in events] == [(True, 1)]

    run(work)


def test_a_task_that_is_worked_off_elsewhere_is_followed_to_its_end() -> None:
    async def work() -> None:
        store = MemoryStore()
        deaf = DeafStore(store)
        with Feed(deaf, every=OFTEN) as feed:
            tasks = tasks_at(deaf, feed, Idle())
            run_id = (await tasks.create("me", NewTask.of("add", {"numbers": [1]}))).run.id
            seen = []
            async with aclosing(tasks.events("me", run_id)) as views:
                async for view in views:
                    assert view is not None
                    seen.append((view.run.state.value, view.progress))
                    if len(seen) == 1:
                        fence = store.submit(Lease(run_id, "another", 60.0)).result(WAIT).fence
                    elif len(seen) == 2:
                        report = msgspec.msgpack.encode({"progress": {"done": 1}})
                        store.submit(Report(run_id, fence, progress=report)).result(WAIT)
                    elif len(seen) == 3:
                        store.submit(Finish(run_id, fence, Change(state=RunStatus.COMPLETED))).result(WAIT)
            assert seen == [
                ("created", None),
                ("started", None),
                ("started", {"done": 1}),
                ("completed", {"done": 1}),
            ]

    run(work)


@pytest.mark.usefixtures("impatient")
def test_who_stops_a_task_hears_that_another_process_has_ended_it() -> None:
    async def work() -> None:
        store = MemoryStore()
        deaf = Looked(store)
        with Feed(deaf, every=OFTEN) as feed:
            tasks = tasks_at(deaf, feed, Idle())
            run_id = (await tasks.create("me", NewTask.of("add", {"numbers": [1]}))).run.id
            stopping = asyncio.create_task(tasks.stop("me", run_id))
            await deaf.looked()
            assert store.execution(run_id).desired is DesiredState.STOPPED
            bring(store, run_id, state=RunStatus.STOPPED, outcome=Outcome.TERMINATED)
            assert (await stopping).outcome is Outcome.TERMINATED

    run(work)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("trigger", ["paused", "stopped"])
def test_who_steers_an_experiment_hears_that_another_process_obeyed(tmp_path: Path, trigger: str) -> None:
    async def work() -> None:
        store = MemoryStore()
        deaf, now = Looked(store), time.time()
        made = Run(id="run", kind="experiment", owner="me", spec=b"", created=now, updated=now)
        store.submit(
            CreateRun(made, execution=Execution(run_id="run", kind="experiment", owner="me"))
        ).result(WAIT)
        bring(store, "run", state=RunStatus.STARTED)
        artifacts = Artifacts(str(tmp_path / "artifacts"))
        with Feed(deaf, every=OFTEN) as feed:
            driver = Experiments(
                deaf, Idle(), artifacts, WorkingFolders(tmp_path, artifacts), Settings(), feed
            )
            triggered = asyncio.create_task(driver.trigger("me", "run", trigger))
            await deaf.looked()
            assert store.execution("run").desired.value == trigger
            bring(store, "run", state=RunStatus(trigger))
            assert (await triggered).state.value == trigger
            await driver.aclose()

    run(work)


def test_what_an_experiment_wrote_is_stored_when_it_has_ended_elsewhere(tmp_path: Path) -> None:
    class Submitted(Idle):
        def __init__(self) -> None:
            self.submitted = asyncio.Event()

        async def submit(self, run_id: str) -> None:
            self.submitted.set()

    class Folders(WorkingFolders):
        stored = threading.Event()

        def discard(self, run: str) -> None:
            super().discard(run)
            self.stored.set()

    async def work() -> None:
        store, executor = MemoryStore(), Submitted()
        deaf, artifacts = DeafStore(store), Artifacts(str(tmp_path / "artifacts"))
        files = {"simulation_config.json": b"{}", "main_script.py": b"pass\n"}
        artifacts.experiments("me").create("example", opened(zip_of(files)))
        folders = Folders(tmp_path / "working", artifacts)
        with Feed(deaf, every=OFTEN) as feed:
            driver = Experiments(deaf, executor, artifacts, folders, Settings(), feed)
            await driver.open()
            making = asyncio.create_task(driver.create("me", "run", NewExperiment(experiment="example")))
            await executor.submitted.wait()
            bring(store, "run", state=RunStatus.PAUSED)
            assert (await making).state is RunStatus.PAUSED
            assert folders.find("run") is not None
            bring(store, "run", state=RunStatus.STOPPED, outcome=Outcome.TERMINATED)
            assert await asyncio.to_thread(folders.stored.wait, WAIT)
            assert folders.find("run") is None
            await driver.aclose()

    run(work)


@pytest.mark.parametrize("every", [OFTEN, 3600.0])
def test_an_attempt_obeys_the_state_that_another_process_desires_also_when_no_hint_comes(
    every: float,
) -> None:
    async def work() -> None:
        store = MemoryStore()
        deaf = DeafStore(store)
        with Feed(deaf, every=every) as feed:
            identity = secrets.token_hex(8)
            async with LocalExecutor(deaf, BODIES, identity=identity, feed=feed) as executor:
                trial = Trial(store, executor)
                await trial.submit(do="stop_when_asked")
                await trial.until_reported()
                store.submit(SetDesiredState("run", DesiredState.PAUSED)).result(WAIT)
                await trial.until(lambda: store.run("run").state is RunStatus.PAUSED)
                store.submit(SetDesiredState("run", DesiredState.STOPPED)).result(WAIT)
                ended, execution = await trial.until_final()
                assert (ended.outcome, execution.attempt) == (Outcome.TERMINATED, 1)

    run(work)


@pytest.mark.parametrize("ends", ["before", "after"])
def test_the_answer_of_a_task_that_ended_elsewhere_expires(ends: str) -> None:
    async def work() -> None:
        store = MemoryStore()
        deaf = DeafStore(store)
        with Feed(deaf, every=OFTEN) as feed, Feed(store) as hearing:
            registry = TaskRegistry(["perdure.drivers.stable_configurations"])
            tasks = Tasks(deaf, registry, Idle(), Settings(), feed)
            dialect = StableConfigs(tasks, deaf, 0.0, feed)
            left = await dialect.start("me", QUESTION, None)  # by a server that is gone
            if ends == "before":
                finished(store, left)
            with hearing.subscribe(left) as changes:
                async with dialect.expiring():
                    made = await dialect.start("me", QUESTION, None)
                    changes.add(made)
                    finished(store, made)
                    if ends == "after":
                        finished(store, left)
                    remaining = {left, made}
                    while remaining:
                        for run_id in set(remaining):
                            with suppress(RunNotFound):
                                store.run(run_id)
                                continue
                            remaining.remove(run_id)
                        if remaining:
                            await changes.wait()
                            changes.take()

    run(work)


def test_each_run_that_ends_is_reported_once_and_a_deleted_one_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_module, "AGAIN", 0.0)

    class Failing(DeafStore):
        fails = 2

        def run(self, run_id: str) -> Run:
            if run_id == "b" and self.store.run("b").state in FINAL and self.fails:
                self.fails -= 1
                raise StoreUnavailable(reason="the disk is away")
            return self.store.run(run_id)

    async def work() -> None:
        store = MemoryStore()
        for id in ("a", "b", "c"):
            queued(store, id)
        store.submit(CreateRun(a_run("gone"))).result(WAIT)
        deaf = Failing(store)
        with Feed(deaf, every=OFTEN) as feed, feed.subscribe("a", "b", "c", "gone") as changes:
            async with aclosing(ended_runs(deaf, changes)) as ended:
                store.submit(DeleteRun("gone")).result(WAIT)
                finished(store, "a")
                assert await anext(ended) == "a"
                finished(store, "b")
                assert await anext(ended) == "b"
                assert deaf.fails == 0
                bring(store, "a", reason="its results are stored")
                finished(store, "c")
                assert await anext(ended) == "c"

    run(work)

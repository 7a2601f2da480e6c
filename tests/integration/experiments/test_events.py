"""The events of an experiment: no state is left out, each is told once, and what is told is true then."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from perdure.artifacts import Artifacts
from perdure.drivers.experiments.experiment_requests import ExperimentView
from perdure.drivers.experiments.experiments import KIND, Experiments
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.views import views_of
from perdure.lifecycle import DesiredState, RunStatus
from perdure.run import Change, Execution, Run
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, CreateRun, DeleteRun, Lease, Report
from perdure.stores.feed import Feed
from perdure.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Nobody:
    """An executor that works on nothing."""

    async def submit(self, run_id: str) -> None:
        pass

    async def cancel(self, run_id: str) -> None:
        pass


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    now = time.time()
    run = Run(id="run", kind=KIND, owner="ada", spec=b"", created=now, updated=now)
    execution = Execution(run_id="run", kind=KIND, owner="ada", desired=DesiredState.PAUSED)
    made.submit(CreateRun(run, execution=execution)).result()
    return made


@pytest.fixture
async def driver(store: MemoryStore, tmp_path: Path) -> AsyncIterator[Experiments]:
    artifacts = Artifacts(str(tmp_path / "artifacts"))
    folders = WorkingFolders(tmp_path / "working", artifacts)
    driver = Experiments(store, Nobody(), artifacts, folders, Settings())
    yield driver
    await driver.aclose()
    store.close()


def bring(store: Store, *states: RunStatus) -> None:
    for state in states:
        store.submit(ChangeRun("run", store.run("run").version, Change(state=state))).result()


def told(view: ExperimentView | None) -> RunStatus:
    assert view is not None
    return view.run.state


async def test_a_slow_reader_is_told_of_every_state_once(driver: Experiments, store: MemoryStore) -> None:
    async with aclosing(driver.events("ada", "run")) as events:
        assert told(await anext(events)) is RunStatus.CREATED
        bring(store, RunStatus.PAUSED, RunStatus.STARTED, RunStatus.PAUSED)
        assert told(await anext(events)) is RunStatus.PAUSED
        bring(store, RunStatus.STARTED, RunStatus.PAUSED, RunStatus.STARTED, RunStatus.STOPPED)
        states = [told(view) async for view in events]
    assert [state.value for state in states] == [
        "started",
        "paused",
        "started",
        "paused",
        "started",
        "stopped",
    ]


async def test_a_reader_of_a_run_that_is_deleted_is_told_how_it_ended(
    driver: Experiments, store: MemoryStore
) -> None:
    async with aclosing(driver.events("ada", "run")) as events:
        assert told(await anext(events)) is RunStatus.CREATED
        bring(store, RunStatus.PAUSED, RunStatus.STOPPED)
        store.submit(DeleteRun("run")).result()
        assert [told(view) if view else None async for view in events] == [
            RunStatus.PAUSED,
            RunStatus.STOPPED,
            None,
        ]


async def test_what_happens_while_it_is_first_looked_at_is_told_once(store: MemoryStore) -> None:
    looks = 0

    async def look() -> ExperimentView:
        nonlocal looks
        looks += 1
        if looks == 1:
            bring(store, RunStatus.PAUSED, RunStatus.STARTED)
            await asyncio.sleep(0)  # the changes arrive
        run = store.run("run")
        return ExperimentView(run=run, execution=store.execution("run"), stored=False)

    async with aclosing(views_of(Feed(store), "run", look, told)) as events:
        assert told(await anext(events)) is RunStatus.STARTED
        bring(store, RunStatus.STOPPED)
        assert [told(view) async for view in events] == [RunStatus.STOPPED]


async def test_a_report_is_told_with_the_state_of_the_run(driver: Experiments, store: MemoryStore) -> None:
    async with aclosing(driver.events("ada", "run")) as events:
        bring(store, RunStatus.PAUSED)
        assert told(await anext(events)) is RunStatus.PAUSED
        execution = await asyncio.wrap_future(store.submit(Lease("run", "somebody", 5.0)))
        report = msgspec.msgpack.encode({"simulation_time": 1.0, "state": "a state of its own"})
        store.submit(Report("run", execution.fence, progress=report, seconds=None, lines=())).result()
        seen = [await anext(events)]
        while seen[-1] is None or seen[-1].progress is None:
            seen.append(await anext(events))
        state = store.run("run").state.value
        assert seen[-1].progress == {"simulation_time": 1.0, "state": state}

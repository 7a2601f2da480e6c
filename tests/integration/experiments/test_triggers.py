"""Requests that steer one experiment at once: each is told what has come of its own, and nobody waits."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from perdure.artifacts import Artifacts
from perdure.dialects.nrp.router import NRP
from perdure.drivers.experiments import steering
from perdure.drivers.experiments.experiment_requests import NewExperiment
from perdure.drivers.experiments.experiments import KIND, Experiments
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.errors import TriggerOverruled, TriggerRefused
from perdure.lifecycle import DesiredState, Outcome, RunStatus
from perdure.run import Change, Execution, Key, Run
from perdure.settings import Settings
from perdure.stores.commands import ChangeRun, CreateRun, SetDesiredState
from perdure.stores.memory import MemoryStore
from perdure.web.failures import failure_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Supervisor:
    """An executor that brings a run where it is wanted when a test says so.

    Attributes
    ----------
    asked
        How often it was told to look.
    """

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.asked = asyncio.Semaphore(0)

    async def submit(self, run_id: str) -> None:
        self.asked.release()

    async def cancel(self, run_id: str) -> None:
        self.asked.release()

    def bring(self, *states: RunStatus) -> None:
        for state in states:
            run = self.store.run("run")
            self.store.submit(ChangeRun("run", run.version, Change(state=state))).result()


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    now = time.time()
    run = Run(id="run", kind=KIND, owner="ada", spec=b"", state=RunStatus.STARTED, created=now, updated=now)
    execution = Execution(run_id="run", kind=KIND, owner="ada", desired=DesiredState.STARTED)
    made.submit(CreateRun(run, execution=execution)).result()
    return made


@pytest.fixture
def supervisor(store: MemoryStore) -> Supervisor:
    return Supervisor(store)


@pytest.fixture
async def driver(
    store: MemoryStore, supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Experiments]:
    monkeypatch.setattr(steering, "PATIENCE", 1e6)  # who waits for it, waits for ever
    artifacts = Artifacts(str(tmp_path / "artifacts"))
    folders = WorkingFolders(tmp_path / "working", artifacts)
    driver = Experiments(store, supervisor, artifacts, folders, Settings())
    yield driver
    await driver.aclose()
    store.close()


def asking(driver: Experiments, trigger: str) -> asyncio.Task[Run]:
    return asyncio.create_task(driver.trigger("ada", "run", trigger))


async def test_a_wish_that_another_replaced_is_refused_at_once(
    driver: Experiments, supervisor: Supervisor
) -> None:
    pausing = asking(driver, "paused")
    await supervisor.asked.acquire()
    assert (await driver.trigger("ada", "run", "started")).state is RunStatus.STARTED
    with pytest.raises(TriggerOverruled) as refused:
        await pausing
    assert str(refused.value) == (
        "The experiment is started and didn't become paused: another request wants it started."
    )
    failure = failure_of(refused.value, "request", NRP.all_statuses)
    assert failure.status == 400
    assert NRP.error(failure)["type"] == "State Transition error"


async def test_a_state_that_was_come_to_and_left_is_answered(
    driver: Experiments, supervisor: Supervisor, store: MemoryStore
) -> None:
    pausing = asking(driver, "paused")
    await supervisor.asked.acquire()
    supervisor.bring(RunStatus.PAUSED)
    store.submit(SetDesiredState("run", DesiredState.STARTED)).result()
    supervisor.bring(RunStatus.STARTED)
    assert (await pausing).state is RunStatus.PAUSED


async def test_a_state_before_the_wish_is_no_answer_to_it(
    driver: Experiments, supervisor: Supervisor
) -> None:
    supervisor.bring(RunStatus.PAUSED, RunStatus.STARTED)
    pausing = asking(driver, "paused")
    await supervisor.asked.acquire()
    assert (await driver.trigger("ada", "run", "started")).state is RunStatus.STARTED
    with pytest.raises(TriggerOverruled):
        await pausing


async def test_a_start_is_answered_though_the_run_has_completed_since(
    driver: Experiments, supervisor: Supervisor, store: MemoryStore
) -> None:
    supervisor.bring(RunStatus.PAUSED)
    starting = asking(driver, "started")
    await supervisor.asked.acquire()
    supervisor.bring(RunStatus.STARTED)
    ended = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED)
    store.submit(ChangeRun("run", store.run("run").version, ended)).result()
    run = await starting
    assert (run.state, run.outcome) == (RunStatus.STARTED, None)


@pytest.mark.parametrize("desired", ["paused", "started", "completed"])
async def test_an_end_that_is_wanted_stays_wanted(
    driver: Experiments, supervisor: Supervisor, store: MemoryStore, desired: str
) -> None:
    stopping = asking(driver, "stopped")
    await supervisor.asked.acquire()
    if desired == "started":  # which it is: it changes nothing
        assert (await driver.trigger("ada", "run", desired)).state is RunStatus.STARTED
    else:
        with pytest.raises(TriggerOverruled, match="another request wants it stopped"):
            await driver.trigger("ada", "run", desired)
    assert store.execution("run").desired is DesiredState.STOPPED
    supervisor.bring(RunStatus.STOPPED)
    assert (await stopping).state is RunStatus.STOPPED


async def told(asked: Awaitable[Run]) -> RunStatus | str:
    try:
        return (await asked).state
    except TriggerRefused as refused:
        return refused.code


@pytest.mark.parametrize("clients", [2, 4])
async def test_nobody_waits_for_what_another_has_replaced(
    driver: Experiments, supervisor: Supervisor, store: MemoryStore, clients: int
) -> None:
    """Clients pause and start as fast as it goes, beside a supervisor that misses most wishes."""

    async def steer(trigger: str) -> list[RunStatus | str]:
        return [await told(driver.trigger("ada", "run", trigger)) for _ in range(50)]

    async def supervise() -> None:
        while True:
            await supervisor.asked.acquire()
            desired = RunStatus(store.execution("run").desired.value)
            if store.run("run").state is not desired:
                supervisor.bring(desired)

    supervising = asyncio.create_task(supervise())
    wishes = ["paused", "started"] * (clients // 2)
    answers = await asyncio.gather(*map(steer, wishes))
    supervising.cancel()
    for wish, came_of_it in zip(wishes, answers, strict=True):
        assert set(came_of_it) <= {wish, "trigger_refused", "trigger_overruled"}
        assert wish in came_of_it


async def test_a_repeated_creation_waits_as_the_first_request_did(
    driver: Experiments, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, now = Key("once", b"body"), time.time()
    run = Run(id="made", kind=KIND, owner="ada", spec=b"", created=now, updated=now)
    execution = Execution(run_id="made", kind=KIND, owner="ada", desired=DesiredState.PAUSED)
    store.submit(CreateRun(run, key=key, execution=execution)).result()
    find = store.run_by_key

    def find_and_bring(owner: str, key: Key) -> Run | None:
        """Return the run as it is found, and initialize it then."""
        found = find(owner, key)
        store.submit(ChangeRun("made", run.version, Change(state=RunStatus.PAUSED))).result()
        return found

    monkeypatch.setattr(store, "run_by_key", find_and_bring)
    created = await driver.make("ada", NewExperiment(experiment="pendulum"), key)
    assert (created.replayed, created.run.state) == (True, RunStatus.PAUSED)

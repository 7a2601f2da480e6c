"""A storage that takes its time: who stops or pauses a run that is being fetched doesn't wait for it."""

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support import object_store
from tests.support.experiment_runs import Signal
from tests.support.object_store import ObjectStore
from tests.support.processes import marked
from tests.support.zips import opened, zip_of

from perdure.artifacts import Artifacts
from perdure.drivers.experiments.body import BODY
from perdure.drivers.experiments.experiment_requests import NewExperiment
from perdure.drivers.experiments.experiments import KIND, Experiments
from perdure.drivers.experiments.provisions import Provisions
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.session_requests import ADMINISTRATOR
from perdure.execution.body import Body
from perdure.execution.local import LocalExecutor
from perdure.lifecycle import RunStatus
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


WAIT = 240.0


class Gate:
    """Closed, it keeps whoever reads from the storage waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.waiting = threading.Event()
        self._open = threading.Event()
        self._open.set()

    def close(self) -> None:
        def fails(number: int, name: str) -> str | None:
            if name == "read" and not self._open.is_set():
                self.waiting.set()
                self._open.wait(WAIT)
            return None

        self.waiting.clear()
        self._open.clear()
        self._monkeypatch.setattr(ObjectStore, "fails", staticmethod(fails))

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    object_store.reset()
    made = Gate(monkeypatch)
    yield made
    made.open()
    object_store.reset()


@pytest.mark.parametrize("wanted", ["stopped", "paused"])
async def test_nobody_waits_for_a_fetch_that_is_not_wanted_any_more(
    tmp_path: Path, gate: Gate, wanted: str
) -> None:
    here = Signal(tmp_path / "here")
    script = f"file_logger.info('begun')\n{here.code}while True:\n    nrp.run_loop(10)\n"
    artifacts, store = Artifacts("objects://slow"), MemoryStore()
    zipped = zip_of({"simulation_config.json": b"{}", "main_script.py": script.encode()})
    artifacts.experiments("ada").create("slow", opened(zipped))
    folders = WorkingFolders(tmp_path / "working", artifacts)
    identity = secrets.token_hex(8)

    @asynccontextmanager
    async def driving() -> AsyncIterator[tuple[LocalExecutor, Experiments]]:
        bodies = {
            KIND: Body(path=BODY, slots=2, begins_paused=True, provide=Provisions(store, folders).provide)
        }
        executor = LocalExecutor(store, bodies, identity=identity)
        driver = Experiments(store, executor, artifacts, folders, Settings())
        await executor.open()
        await driver.open()  # as a server does: before runs are taken up again
        executor.start()
        try:
            yield executor, driver
        finally:
            gate.open()
            await driver.aclose()
            await executor.aclose()

    async with driving() as (_, driver):
        run = (await driver.make("ada", NewExperiment(experiment="slow"))).run
        await driver.trigger("ada", run.id, "started")
        await asyncio.to_thread(here.wait)
    gate.close()
    async with driving() as (executor, driver):
        await executor.submit(run.id)
        assert await asyncio.to_thread(gate.waiting.wait, WAIT)
        brought = await driver.trigger("ada", run.id, wanted)
        assert gate.waiting.is_set()
        assert brought.state is RunStatus(wanted)
        assert store.execution(run.id).attempt == 1
        gate.open()
        if wanted == "paused":
            assert (await driver.trigger("ada", run.id, "started")).state is RunStatus.STARTED
            brought = await driver.trigger("ada", run.id, "stopped")
        await driver.stored(brought)
        view = await driver.view(ADMINISTRATOR, run.id)
        assert (view.stored, view.run.reason) == (True, "It was terminated on request.")
    if wanted == "stopped":  # on its way back to the savepoint of its worker's end, or to savepoint 0 before
        log = artifacts.results("ada").file(run.id, f"main_script_{run.id}.log")
        assert b"".join(artifacts.results("ada").read(run.id, log)) in (b"begun\n", b"")
    assert list((tmp_path / "working").iterdir()) == []
    assert not marked(identity)
    store.close()

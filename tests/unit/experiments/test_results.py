"""What ended runs wrote is stored once, whole, whichever server or version of Perdure has ended them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.unit.experiments.test_storage import artifacts, folders, kept_of, launch, results

from perdure.artifacts import Artifacts
from perdure.drivers.experiments.results import ResultStorage
from perdure.drivers.experiments.script_position import FILES
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.experiments.working_folder import WorkingFolder
from perdure.lifecycle import RunStatus
from perdure.run import Change, Execution, Run
from perdure.state.codec import encode
from perdure.state.savepoint import Savepoint
from perdure.stores.commands import CreateRun, Finish, Lease, MarkStored, Renew, encoded
from perdure.stores.feed import Feed
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT

__all__ = ["artifacts", "folders"]


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    with closing(MemoryStore()) as made:
        yield made


class SharedStore(MemoryStore):
    """A store that other processes use, as it says; `looked` is set when somebody has read an execution."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.looked = threading.Event()

    def execution(self, run_id: str) -> Execution:
        found = super().execution(run_id)
        self.looked.set()
        return found


@pytest.fixture
def shared() -> Iterator[SharedStore]:
    with closing(SharedStore()) as made:
        yield made


def ended(store: MemoryStore, folder: WorkingFolder, kept: Any = None, stored: int | None = None) -> None:
    """Make a run that has ended, with a savepoint if there is something kept of its files."""
    create(store, folder, RunStatus.STOPPED, kept, stored)


def worked(store: MemoryStore, folders: WorkingFolders, folder: WorkingFolder, kept: Any) -> Execution:
    """Make a run that a worker works on in a folder; return its execution."""
    create(store, folder, RunStatus.CREATED, kept)
    leased = store.submit(Lease("run-1", "worker", 60.0)).result(WAIT)
    folders.assign(folder, leased.fence)
    return leased


def create(
    store: MemoryStore, folder: WorkingFolder, state: RunStatus, kept: Any, stored: int | None = None
) -> None:
    """Make a run in a state."""
    spec = ExperimentSpec(
        experiment="pendulum",
        version=folder.version,
        configuration="simulation_config.json",
        script=None,
        seed=1,
        sim_id="1",
    )
    run = Run(
        id="run-1",
        kind="experiment",
        owner="ada",
        spec=spec.to_blob(),
        state=state,
        created=0.0,
        updated=0.0,
    )
    savepoint = None
    if kept is not None:
        savepoint = encoded(Savepoint(timestamp=1, entities={FILES: encode(kept)}))
    execution = Execution(run_id="run-1", kind="experiment", owner="ada", stored=stored)
    store.submit(CreateRun(run, savepoint, execution=execution)).result(WAIT)


def stored(store: MemoryStore, folders: WorkingFolders) -> int:
    """Store what the run wrote, as a server does when it starts; return the version."""

    async def work() -> int:
        storing = ResultStorage(store, folders, Feed(store))
        try:
            storing.begin("run-1")
            return await storing.stored("run-1")
        finally:
            await storing.aclose()

    return asyncio.run(work())


def test_what_a_run_of_an_earlier_version_wrote_is_stored_if_its_folder_is_there(
    artifacts: Artifacts, folders: WorkingFolders, store: MemoryStore, tmp_path: Path
) -> None:
    folder = launch(artifacts, folders)
    (folder.files / "a.log").write_bytes(b"1")
    ended(store, folder, stored=0)  # no row says whether they are
    assert stored(store, folders) > 0
    assert results(artifacts) == {"a.log": b"1"}
    assert list((tmp_path / "work").iterdir()) == []


def test_an_attempt_that_broke_off_before_its_files_were_laid_out_does_not_count(
    artifacts: Artifacts, folders: WorkingFolders, store: MemoryStore
) -> None:
    first = launch(artifacts, folders)
    (first.files / "a.log").write_bytes(b"1")
    kept = kept_of(artifacts, first)
    second = folders.make("run-1", "ada", "pendulum", first.version, resumes=True)
    ended(store, second, kept)
    stored(store, folders)
    assert results(artifacts) == {"a.log": b"1"}


def test_what_another_server_has_stored_meanwhile_stays(
    artifacts: Artifacts, folders: WorkingFolders, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = launch(artifacts, folders)
    (folder.files / "a.log").write_bytes(b"of the savepoint")
    ended(store, folder, kept_of(artifacts, folder))
    (folder.files / "a.log").write_bytes(b"of the end")
    found, look = [], folders.find

    def find(run: str) -> WorkingFolder | None:
        if not found:  # the other one stores them between this server's looks at store and folder
            found.append(run)
            version = folders.finish(folder)
            assert version is not None
            store.submit(MarkStored("run-1", version.version)).result(WAIT)
            folders.discard("run-1")
        return look(run)

    monkeypatch.setattr(folders, "find", find)
    assert stored(store, folders) == 1
    assert results(artifacts) == {"a.log": b"of the end"}


END = Change(state=RunStatus.STOPPED)


@pytest.fixture
def elsewhere(artifacts: Artifacts, tmp_path: Path) -> WorkingFolders:
    """The folders of a server on another host."""
    return WorkingFolders(tmp_path / "elsewhere", artifacts)


def test_a_server_leaves_the_files_to_the_worker_that_has_ended_the_run(
    artifacts: Artifacts,
    folders: WorkingFolders,
    elsewhere: WorkingFolders,
    shared: SharedStore,
    tmp_path: Path,
) -> None:
    folder = launch(artifacts, folders)
    (folder.files / "a.log").write_bytes(b"of the savepoint")
    leased = worked(shared, folders, folder, kept_of(artifacts, folder))
    (folder.files / "a.log").write_bytes(b"of the end")
    shared.submit(Finish("run-1", leased.fence, END)).result(WAIT)

    async def work() -> int:
        with Feed(shared) as feed:
            server = ResultStorage(shared, elsewhere, feed)
            worker = ResultStorage(shared, folders, feed)
            server.begin("run-1")
            shared.looked.clear()
            assert await asyncio.to_thread(shared.looked.wait, WAIT)
            worker.take(leased)
            worker.begin("run-1")
            version = await server.stored("run-1")
            await worker.stored("run-1")
            await asyncio.gather(server.aclose(), worker.aclose())
            return version

    assert asyncio.run(work()) == 1
    assert results(artifacts) == {"a.log": b"of the end"}
    assert [*(tmp_path / "work").iterdir()] == []
    assert not shared.execution("run-1").leased(shared.clock())


def test_a_server_stores_the_files_of_the_savepoint_when_the_worker_has_died(
    artifacts: Artifacts, folders: WorkingFolders, elsewhere: WorkingFolders, shared: SharedStore
) -> None:
    folder = launch(artifacts, folders)
    (folder.files / "a.log").write_bytes(b"of the savepoint")
    leased = worked(shared, folders, folder, kept_of(artifacts, folder))
    (folder.files / "a.log").write_bytes(b"of the end")
    shared.submit(Finish("run-1", leased.fence, END)).result(WAIT)
    shared.submit(Renew("run-1", leased.fence, -1.0)).result(WAIT)  # nobody has renewed it for as long
    assert stored(shared, elsewhere) == 1
    assert results(artifacts) == {"a.log": b"of the savepoint"}
    assert stored(shared, folders) == 1  # when a worker is started again on the host of the dead one
    assert results(artifacts) == {"a.log": b"of the savepoint"}
    assert folders.find("run-1") is None


def test_a_worker_that_is_started_again_in_time_stores_what_is_in_its_folder(
    artifacts: Artifacts, folders: WorkingFolders, shared: SharedStore
) -> None:
    folder = launch(artifacts, folders)
    leased = worked(shared, folders, folder, kept_of(artifacts, folder))
    (folder.files / "a.log").write_bytes(b"of the end")
    shared.submit(Finish("run-1", leased.fence, END)).result(WAIT)
    shared.submit(Renew("run-1", leased.fence, -1.0)).result(WAIT)
    assert stored(shared, folders) == 1
    assert results(artifacts) == {"a.log": b"of the end"}


@pytest.mark.parametrize("former", ["worker", "creator"])
def test_a_folder_of_a_run_that_others_have_worked_on_since_does_not_count(
    artifacts: Artifacts, folders: WorkingFolders, shared: SharedStore, former: str
) -> None:
    folder = launch(artifacts, folders)
    (folder.files / "a.log").write_bytes(b"of the savepoint")
    leased = worked(shared, folders, folder, kept_of(artifacts, folder))
    (folder.files / "a.log").write_bytes(b"outdated")
    if former == "creator":
        folders.assign(folder, 0)
    shared.submit(Renew("run-1", leased.fence, -1.0)).result(WAIT)
    other = shared.submit(Lease("run-1", "another worker", 60.0)).result(WAIT)
    shared.submit(Finish("run-1", other.fence, END)).result(WAIT)
    shared.submit(Renew("run-1", other.fence, -1.0)).result(WAIT)
    assert stored(shared, folders) == 1
    assert results(artifacts) == {"a.log": b"of the savepoint"}


def test_the_folder_of_a_run_that_another_process_is_making_is_left_alone(
    artifacts: Artifacts, folders: WorkingFolders, shared: SharedStore
) -> None:
    launch(artifacts, folders)

    async def work() -> None:
        with Feed(shared) as feed:
            storing = ResultStorage(shared, folders, feed)
            await storing.open()
            await storing.aclose()

    asyncio.run(work())
    assert folders.find("run-1") is not None

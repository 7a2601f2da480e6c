"""What ended runs wrote is stored once, whole, whichever server or version of Perdure has ended them."""

import asyncio
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
from perdure.drivers.experiments.storage import WorkingFolder, WorkingFolders
from perdure.lifecycle import RunStatus
from perdure.run import Execution, Run
from perdure.state.codec import encode
from perdure.state.savepoint import Savepoint
from perdure.stores.commands import CreateRun, MarkStored, encoded
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT

__all__ = ["artifacts", "folders"]


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    with closing(MemoryStore()) as made:
        yield made


def ended(store: MemoryStore, folder: WorkingFolder, kept: Any = None, stored: int | None = None) -> None:
    """Make a run that has ended, with a savepoint if there is something kept of its files."""
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
        state=RunStatus.STOPPED,
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
        storing = ResultStorage(store, folders)
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

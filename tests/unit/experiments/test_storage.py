"""Working folders: fresh at launch, found again after a crash, gone only when all is stored."""

import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from tests.support import object_store
from tests.support.zips import PENDULUM, opened, zip_of

from perdure.artifacts import Artifacts, CalledOff, Condition
from perdure.drivers.experiments.body import ContextKeeper
from perdure.drivers.experiments.files import Files, _hash, lacking, remove_folder
from perdure.drivers.experiments.storage import WorkingFolder, WorkingFolders
from perdure.errors import ArtifactsUnavailable, ExperimentNotFound, FileLost, InvalidName, UploadFailed
from perdure.execution.context import RunContext
from perdure.execution.isolation import hand_over
from perdure.lifecycle import RunStatus
from perdure.run import Run


@pytest.fixture
def artifacts() -> Artifacts:
    object_store.reset()
    made = Artifacts("objects://bucket", wait=lambda seconds: None)
    made.experiments("ada").create("pendulum", opened(zip_of(PENDULUM)))
    return made


@pytest.fixture
def folders(artifacts: Artifacts, tmp_path: Path) -> WorkingFolders:
    return WorkingFolders(tmp_path / "work", artifacts)


def launch(artifacts: Artifacts, folders: WorkingFolders, run: str = "run-1") -> WorkingFolder:
    version = artifacts.experiments("ada").pin("pendulum", run)
    return folders.make(run, "ada", "pendulum", version)


def files(folder: Path) -> dict[str, bytes]:
    return {str(it.relative_to(folder)): it.read_bytes() for it in folder.rglob("*") if it.is_file()}


def results(artifacts: Artifacts, run: str = "run-1") -> dict[str, bytes]:
    of_ada = artifacts.results("ada")
    found = of_ada.get(run)
    stored = {} if found is None else found.files
    return {path: b"".join(of_ada.read(run, file)) for path, file in stored.items()}


def run_in(state: RunStatus) -> Run:
    return Run(id="run-1", kind="experiment", owner="ada", spec=b"", state=state, created=0.0, updated=0.0)


def test_a_folder_has_the_experiment_and_is_found_again(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    made = launch(artifacts, folders)
    assert files(made.files) == PENDULUM
    assert made.former is None
    assert folders.find("run-1") == made
    assert folders.find("run-2") is None


def test_what_was_written_and_changed_is_stored_and_the_folder_goes(
    artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path
) -> None:
    made = launch(artifacts, folders)
    (made.files / "main_script.py_1.log").write_bytes(b"a line\n")
    (made.files / "engines" / "pendulum.py").write_bytes(b"rewritten")
    (made.files / "__pycache__").mkdir()
    (made.files / "__pycache__" / "x.pyc").write_bytes(b"x")
    folders.finish(made)
    assert results(artifacts) == {"main_script.py_1.log": b"a line\n", "engines/pendulum.py": b"rewritten"}
    assert list((tmp_path / "work").iterdir()) == []
    assert folders.find("run-1") is None


def test_a_failed_upload_leaves_the_folder_and_is_made_up_for(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    made = launch(artifacts, folders)
    (made.files / "out.log").write_bytes(b"precious")
    before = files(made.files)
    object_store.fail(0, "before", once=False)
    with pytest.raises(UploadFailed, match="run-1"):
        folders.finish(made)
    assert files(made.files) == before
    assert folders.reconcile(lambda run: run_in(RunStatus.STOPPED)).ended == ["run-1"]
    with pytest.raises(UploadFailed, match="run-1"):
        folders.finish(made)
    assert files(made.files) == before
    object_store.heal()
    folders.finish(made)
    assert results(artifacts) == {"out.log": b"precious"}
    assert folders.find("run-1") is None


def test_links_lead_nowhere(artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.log").write_bytes(b"secret")
    made = launch(artifacts, folders)
    (made.files / "link.log").symlink_to(secret / "key.log")
    (made.files / "folder").symlink_to(secret)
    (made.files / "loop").symlink_to(made.files)
    (made.files / "inside.log").symlink_to(made.files / "main_script.py")
    os.mkfifo(made.files / "pipe.log")
    (made.files / "right.log").write_bytes(b"1")
    folders.finish(made)
    assert results(artifacts) == {"right.log": b"1"}
    assert (secret / "key.log").read_bytes() == b"secret"


def test_names_that_no_storage_takes_are_written_otherwise(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    made = launch(artifacts, folders)
    for name in (b"a\nb", b"a\\b", b"\xff", b"C:x"):
        Path(os.fsdecode(os.fsencode(made.files) + b"/" + name)).write_bytes(name)
    (made.files / ("\n" * 200)).write_bytes(b"long")
    folders.finish(made)
    stored = results(artifacts)
    assert {path: data for path, data in stored.items() if "/" not in path} == {
        "a%0Ab": b"a\nb",
        "a%5Cb": b"a\\b",
        "%FF": b"\xff",
        "C%3Ax": b"C:x",
    }
    assert [data for path, data in stored.items() if path.startswith("unnamed/")] == [b"long"]


def test_a_new_attempt_has_a_fresh_folder_and_the_former_beside_it(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    first = launch(artifacts, folders)
    (first.files / "out.log").write_bytes(b"first")
    second = launch(artifacts, folders)
    assert files(second.files) == PENDULUM
    assert second.former is not None
    assert files(second.former) == {**PENDULUM, "out.log": b"first"}
    (second.files / "out.log").write_bytes(b"second, which broke off before it had caught up")
    third = launch(artifacts, folders)
    assert third.former is not None
    assert files(third.former) == {**PENDULUM, "out.log": b"first"}
    remove_folder(third.former)
    (third.files / "out.log").write_bytes(b"third")
    fourth = launch(artifacts, folders)
    assert fourth.former is not None
    assert files(fourth.former) == {**PENDULUM, "out.log": b"third"}


def test_a_resumed_run_gets_the_experiment_as_it_was(artifacts: Artifacts, folders: WorkingFolders) -> None:
    made = launch(artifacts, folders)
    experiments = artifacts.experiments("ada")
    experiments.delete("pendulum")
    again = folders.make("run-1", "ada", "pendulum", made.version)
    assert files(again.files) == PENDULUM


def keeper(folder: WorkingFolder) -> ContextKeeper:
    return ContextKeeper(create_autospec(RunContext), folder.former)


def test_what_the_former_attempt_wrote_counts_until_the_last_has_caught_up(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    first = launch(artifacts, folders)
    (first.files / "a.log").write_bytes(b"1")
    (first.files / "b.log").write_bytes(b"1, and more")
    second = launch(artifacts, folders)
    (second.files / "b.log").write_bytes(b"2")
    keeper(second).arrived()
    third = launch(artifacts, folders)
    (third.files / "b.log").write_bytes(b"3")
    (third.files / "c.log").write_bytes(b"3")
    folders.finish(third)
    assert results(artifacts) == {"a.log": b"1", "b.log": b"1, and more", "c.log": b"3"}


def test_what_an_attempt_that_has_caught_up_wrote_counts(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    first = launch(artifacts, folders)
    (first.files / "a.log").write_bytes(b"1")
    (first.files / "b.log").write_bytes(b"1")
    second = launch(artifacts, folders)
    (second.files / "b.log").write_bytes(b"2, and more")
    keeper(second).arrived()
    folders.finish(second)
    assert results(artifacts) == {"a.log": b"1", "b.log": b"2, and more"}


def described(folder: Path, path: str, content: bytes) -> dict[str, Mapping[str, Any]]:
    """Return what a savepoint says of a large file."""
    written = Files(folder)
    (folder / path).write_bytes(content)
    return lacking(written.snapshot())


def test_a_fork_is_given_the_files_of_its_parent_wherever_they_are(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    content = bytes(range(256)) * 300
    parent = launch(artifacts, folders)
    wanted = described(parent.files, "a\nb.bin", content)
    (parent.files / "a\nb.bin").write_bytes(content + b"and what came later")

    def taken(run: str) -> dict[str, bytes]:
        fork = launch(artifacts, folders, run)
        assert folders.take_along(fork, "run-1", wanted, beginning=False) == []
        found = folders.find(run)
        assert found is not None
        assert found.former is not None
        return files(found.former)

    assert taken("fork-1") == {"a\nb.bin": content}, "in its folder"
    again = launch(artifacts, folders)
    assert taken("fork-2") == {"a\nb.bin": content}, "in that of the attempt before"
    (again.files / "a\nb.bin").write_bytes(content[:-1])
    assert taken("fork-3") == {"a\nb.bin": content}, "in that of the attempt before, still"
    assert again.former is not None
    remove_folder(again.former)
    folders.finish(again)
    lost = launch(artifacts, folders, "fork-4")
    assert folders.take_along(lost, "run-1", wanted, beginning=False) == ["a\nb.bin"], (
        "the attempt hadn't caught up"
    )
    artifacts.results("ada").put("run-1", "a%0Ab.bin", [content, b"and more"])
    assert taken("fork-5") == {"a\nb.bin": content}, "among its results"


def test_a_fork_has_the_experiments_files_itself(artifacts: Artifacts, folders: WorkingFolders) -> None:
    content = bytes(range(256)) * 300
    artifacts.experiments("ada").put("pendulum", "data.bin", [content], Condition())
    parent = launch(artifacts, folders)
    wanted = described(parent.files, "data.bin", content)
    folders.finish(parent)
    assert results(artifacts) == {}
    fork = launch(artifacts, folders, "fork-1")
    assert folders.take_along(fork, "run-1", wanted, beginning=False) == []


def test_a_fork_has_what_it_began_with_for_as_long_as_it_runs_and_its_forks_have_it_too(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    content = bytes(range(256)) * 300
    parent = launch(artifacts, folders)
    written = Files(parent.files)
    (parent.files / "large.bin").write_bytes(content)
    (parent.files / "small.txt").write_bytes(b"small")
    state: Any = written.snapshot()
    fork = launch(artifacts, folders, "fork-1")
    assert folders.take_along(fork, "run-1", state["written"], beginning=True) == []
    folders.discard("run-1")
    inherited: dict[str, Any] = {name: {**was, "content": None} for name, was in state["written"].items()}
    for run, place in (("fork-1", "run-1"), ("fork-2", "fork-1"), ("fork-3", "fork-2")):
        if run != "fork-1":
            fork = launch(artifacts, folders, run)
            assert folders.inherit(fork, place, inherited) == []
        fork = launch(artifacts, folders, run)  # another attempt
        assert fork.beginning is not None
        assert files(fork.beginning) == {"large.bin": content, "small.txt": b"small"}
        if run == "fork-2":
            folders.finish(fork)
    folders.forget("fork-2", "ada", "pendulum")
    assert folders.inherit(launch(artifacts, folders, "fork-4"), "fork-2", inherited) == [*inherited]


def test_a_link_is_no_file_of_a_parent(artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path) -> None:
    parent = launch(artifacts, folders)
    wanted = described(parent.files, "a.bin", bytes(100_000))
    (parent.files / "a.bin").unlink()
    os.mkfifo(parent.files / "a.bin")
    fork = launch(artifacts, folders, "fork-1")
    assert folders.take_along(fork, "run-1", wanted, beginning=False) == ["a.bin"]
    (parent.files / "a.bin").unlink()
    (tmp_path / "secret").write_bytes(bytes(100_000))
    (parent.files / "a.bin").symlink_to(tmp_path / "secret")
    assert folders.take_along(fork, "run-1", wanted, beginning=False) == ["a.bin"]


@pytest.mark.parametrize("path", ["../stolen", "/tmp/perdure-stolen", "a/../../stolen", ""])
def test_a_savepoint_that_names_a_file_elsewhere_gets_nothing_written(
    artifacts: Artifacts, folders: WorkingFolders, path: str
) -> None:
    """What a savepoint says is its simulation's word, which may have another user's rights."""
    launch(artifacts, folders)
    fork = launch(artifacts, folders, "run-2")
    wanted = {path: {"size": 1, "hash": _hash([b"x"]), "whole": True, "content": b"x"}}
    with pytest.raises(FileLost, match="isn't within"):
        folders.take_along(fork, "run-1", wanted, beginning=False)
    assert not list(fork.files.parent.parent.glob("**/stolen"))


def test_a_file_in_a_linked_folder_is_no_file_of_a_parent(
    artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path
) -> None:
    parent, fork = launch(artifacts, folders), launch(artifacts, folders, "run-2")
    (tmp_path / "elsewhere").mkdir()
    wanted = {"sub/a.bin": described(tmp_path / "elsewhere", "a.bin", b"a" * 100_000)["a.bin"]}
    (parent.files / "sub").symlink_to(tmp_path / "elsewhere")
    assert folders.take_along(fork, "run-1", wanted, beginning=False) == ["sub/a.bin"]


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to give a folder away")
def test_a_link_to_a_file_of_somebody_else_is_not_stored(
    artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path
) -> None:
    """Where the kernel lets another user link to what that user can't read."""
    (tmp_path / "secret").write_text("secret")
    made = launch(artifacts, folders)
    (made.files / "own.txt").write_text("own")
    hand_over(made.files, 345_678)
    os.link(tmp_path / "secret", made.files / "linked.txt")
    folders.finish(made)
    assert results(artifacts) == {"own.txt": b"own"}


def test_a_copy_that_a_crash_broke_off_is_no_folder(
    artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path
) -> None:
    first = launch(artifacts, folders)
    (first.files / "a.log").write_bytes(b"1")
    first.files.rename(first.files.with_name("former"))
    first.files.with_name("fetching").mkdir()
    (first.files.with_name("fetching") / "half").write_bytes(b"x")
    second = launch(artifacts, folders)
    assert files(second.files) == PENDULUM
    folders.finish(second)
    assert results(artifacts) == {"a.log": b"1"}


@pytest.mark.parametrize("at", range(20))
def test_a_launch_that_fails_leaves_no_folder(
    artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path, at: int
) -> None:
    version = artifacts.experiments("ada").pin("pendulum", "run-1")
    object_store.fail(at, "before", once=True)
    try:
        folders.make("run-1", "ada", "pendulum", version)
    except ArtifactsUnavailable:
        assert list((tmp_path / "work").iterdir()) == []
    else:
        assert not object_store.failed()


@pytest.mark.parametrize("former", [False, True])
@pytest.mark.parametrize("at", range(1 + 2 * len(PENDULUM)))
def test_a_launch_that_is_called_off_leaves_what_was_there(
    artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path, at: int, former: bool
) -> None:
    if former:
        (launch(artifacts, folders).files / "a.log").write_bytes(b"1")
    version = artifacts.experiments("ada").pin("pendulum", "run-1")
    asked = iter(range(at + 100))
    with pytest.raises(CalledOff):
        folders.make("run-1", "ada", "pendulum", version, lambda: next(asked) >= at)
    left = {path.name for path in (tmp_path / "work").rglob("*") if path.parent.name == "run-1"}
    if not former:
        assert left == set()
    else:
        assert "fetching" not in left
        assert files(launch(artifacts, folders).files) == PENDULUM
        (folder,) = [folders.find("run-1")]
        assert folder is not None
        folders.finish(folder)
        assert results(artifacts) == {"a.log": b"1"}


def test_who_finishes_a_folder_waits_for_who_makes_it(
    artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path
) -> None:
    first = launch(artifacts, folders)
    (first.files / "a.log").write_bytes(b"1")
    stopping, reading, go = threading.Event(), threading.Event(), threading.Event()

    def called_off() -> bool:
        reading.set()
        go.wait(60)
        return stopping.is_set()

    with ThreadPoolExecutor(2) as threads:
        making = threads.submit(folders.make, "run-1", "ada", "pendulum", first.version, called_off)
        assert reading.wait(60)
        stopping.set()
        finishing = threads.submit(folders.finish, first)
        assert not finishing.done()
        go.set()
        assert isinstance(making.exception(), CalledOff)
        finishing.result()
    assert results(artifacts) == {"a.log": b"1"}
    assert list((tmp_path / "work").iterdir()) == []


def test_an_experiment_that_is_gone_leaves_no_folder(folders: WorkingFolders, tmp_path: Path) -> None:
    with pytest.raises(ExperimentNotFound):
        folders.make("run-1", "ada", "other", 1)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("run", ["..", "../x", "", "a/b", "x" * 65])
def test_an_id_that_is_none_never_becomes_a_path(folders: WorkingFolders, run: str) -> None:
    with pytest.raises(InvalidName):
        folders.make(run, "ada", "pendulum", 1)
    with pytest.raises(InvalidName):
        folders.discard(run)


@pytest.mark.parametrize("state", [RunStatus.PAUSED, RunStatus.STARTED])
def test_folders_of_runs_that_go_on_are_kept(
    artifacts: Artifacts, folders: WorkingFolders, state: RunStatus
) -> None:
    made = launch(artifacts, folders)
    assert folders.reconcile(lambda run: run_in(state)).kept == ["run-1"]
    assert files(made.files) == PENDULUM


def test_all_of_a_deleted_run_goes(artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path) -> None:
    launch(artifacts, folders)
    artifacts.results("ada").put("run-1", "early.log", [b"1"])
    artifacts.experiments("ada").delete("pendulum")
    assert folders.reconcile(lambda run: None).removed == ["run-1"]
    assert list((tmp_path / "work").iterdir()) == []
    assert results(artifacts) == {}
    assert not any("/files/" in path or "/pins/" in path for path in object_store.ObjectStore.objects)


def test_half_made_and_half_removed_folders_go(folders: WorkingFolders, tmp_path: Path) -> None:
    (tmp_path / "work" / "run-1" / "files").mkdir(parents=True)
    (tmp_path / "work" / ".run-2.going" / "files").mkdir(parents=True)
    assert folders.reconcile(lambda run: run_in(RunStatus.STARTED)).removed == ["run-1"]
    assert list((tmp_path / "work").iterdir()) == []


def test_broken_off_uploads_are_swept_away(tmp_path: Path) -> None:
    object_store.reset()
    times = [1.7e9]
    artifacts = Artifacts("objects://bucket", clock=lambda: times[-1], wait=lambda seconds: None)
    folders = WorkingFolders(tmp_path / "work", artifacts)
    object_store.fail(1, "before", once=False)
    with pytest.raises(ArtifactsUnavailable):
        artifacts.results("ada").put("run-1", "a.log", [b"1"])
    assert object_store.ObjectStore.objects
    folders.sweep()  # which says in the log that it can't, and goes on
    object_store.heal()
    folders.sweep()
    assert object_store.ObjectStore.objects, "it may still be under way"
    times.append(times[-1] + 2 * 86_400)
    folders.sweep()
    assert object_store.ObjectStore.objects == {}


def test_there_need_be_no_folder_at_all(folders: WorkingFolders) -> None:
    assert folders.reconcile(lambda run: None).failed == {}
    folders.discard("run-1")

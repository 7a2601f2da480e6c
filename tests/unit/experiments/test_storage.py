"""Working folders: fresh at launch, found again after a crash, gone only when all is stored."""

import hashlib
import itertools
import os
import random
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support import object_store
from tests.support.results import store_files
from tests.support.zips import PENDULUM, opened, zip_of

from perdure.artifacts import Artifacts, CalledOff
from perdure.drivers.experiments.saved_files import SavedFiles
from perdure.drivers.experiments.script_position import FILES
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.experiments.working_folder import WorkingFolder
from perdure.errors import ArtifactsUnavailable, CorruptBlob, ExperimentNotFound, InvalidName, UploadFailed
from perdure.execution.isolation import hand_over
from perdure.lifecycle import RunStatus
from perdure.run import Run
from perdure.state.codec import decode, encode
from perdure.state.savepoint import Savepoint
from perdure.stores.commands import Blob, CreateRun, DeleteRun, SweepBlobs, UseBlobs, encoded
from perdure.stores.memory import MemoryStore


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


def finish(folders: WorkingFolders, folder: WorkingFolder) -> None:
    folders.finish(folder)
    folders.discard(folder.run)


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
    finish(folders, made)
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
        finish(folders, made)
    assert files(made.files) == before
    assert folders.reconcile(lambda run: run_in(RunStatus.STOPPED)).ended == ["run-1"]
    with pytest.raises(UploadFailed, match="run-1"):
        finish(folders, made)
    assert files(made.files) == before
    object_store.heal()
    finish(folders, made)
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
    finish(folders, made)
    assert results(artifacts) == {"right.log": b"1"}
    assert (secret / "key.log").read_bytes() == b"secret"


def test_names_that_no_storage_takes_are_written_otherwise(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    made = launch(artifacts, folders)
    for name in (b"a\nb", b"a\\b", b"\xff", b"C:x"):
        Path(os.fsdecode(os.fsencode(made.files) + b"/" + name)).write_bytes(name)
    (made.files / ("\n" * 200)).write_bytes(b"long")
    finish(folders, made)
    stored = results(artifacts)
    assert {path: data for path, data in stored.items() if "/" not in path} == {
        "a%0Ab": b"a\nb",
        "a%5Cb": b"a\\b",
        "%FF": b"\xff",
        "C%3Ax": b"C:x",
    }
    assert [data for path, data in stored.items() if path.startswith("unnamed/")] == [b"long"]


def kept_of(artifacts: Artifacts, folder: WorkingFolder) -> Any:
    """Return what a savepoint holds of what is in a folder besides its experiment."""
    blobs, numbers = artifacts.blobs(folder.owner), itertools.count(1)
    written = {
        path: [0o644, *((folder.files / path).stat().st_size, 0, 0)]
        for path, content in files(folder.files).items()
        if PENDULUM.get(path) != content
    }
    listed = {"written": written, "folders": {}, "links": {}, "removed": []}
    saved = SavedFiles(
        blobs, lambda new: [Blob(next(numbers), "ada", it, False) for it, _ in new], folder.files
    )
    savepoint = Savepoint(timestamp=1, entities={FILES: encode({"files": listed, "beginning": None})})
    return decode(saved.save(savepoint)[0].entities[FILES])


LARGE = random.Random(1).randbytes(200_000)


def test_a_new_attempt_has_a_fresh_folder_and_nothing_of_the_former_one(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    first = launch(artifacts, folders)
    (first.files / "out.log").write_bytes(b"first")
    (first.files / "large.bin").write_bytes(LARGE)
    kept = kept_of(artifacts, first)
    (first.files / "large.bin").write_bytes(b"written anew")
    second = launch(artifacts, folders)
    folders.lay_out(second, kept)
    assert files(second.files) == PENDULUM
    assert files(second.saved) == {"out.log": b"first", "large.bin": LARGE}
    assert not second.found.exists()
    folders.settle(second)
    assert not second.saved.exists()
    third = launch(artifacts, folders)
    folders.lay_out(third, {**kept, "beginning": kept})
    folders.lay_out(third, {**kept, "beginning": kept})
    assert files(third.found) == files(third.saved) == {"out.log": b"first", "large.bin": LARGE}


def test_what_the_savepoint_holds_counts_until_an_attempt_has_come_as_far(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    first = launch(artifacts, folders)
    (first.files / "a.log").write_bytes(b"1")
    (first.files / "engines" / "pendulum.py").write_bytes(b"rewritten")
    kept = kept_of(artifacts, first)
    second = launch(artifacts, folders)
    folders.lay_out(second, kept)
    (second.files / "a.log").write_bytes(b"2, on its way back")
    finish(folders, second)
    assert results(artifacts) == {"a.log": b"1", "engines/pendulum.py": b"rewritten"}


def test_what_an_attempt_that_has_come_as_far_wrote_counts(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    first = launch(artifacts, folders)
    (first.files / "a.log").write_bytes(b"1")
    kept = kept_of(artifacts, first)
    second = launch(artifacts, folders)
    folders.lay_out(second, kept)
    (second.files / "b.log").write_bytes(b"2")
    folders.settle(second)
    finish(folders, second)
    assert results(artifacts) == {"b.log": b"2"}


@pytest.mark.parametrize("gone", [False, True])
def test_where_there_is_no_folder_what_the_savepoint_holds_is_stored(
    artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path, gone: bool
) -> None:
    first = launch(artifacts, folders)
    (first.files / "large.bin").write_bytes(LARGE)
    (first.files / "main_script.py").write_bytes(b"changed")
    kept = kept_of(artifacts, first)
    if gone:
        shutil.rmtree(tmp_path / "work")
    recovered = folders.recover("run-1", "ada", "pendulum", first.version, kept)
    assert folders.find("run-1") == recovered
    finish(folders, recovered)
    assert results(artifacts) == {"large.bin": LARGE, "main_script.py": b"changed"}
    assert list((tmp_path / "work").iterdir()) == []


def test_of_a_run_without_a_savepoint_nothing_is_stored(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    version = launch(artifacts, folders).version
    finish(folders, folders.recover("run-1", "ada", "pendulum", version, None))
    assert results(artifacts) == {}


def test_a_savepoint_whose_blob_is_missing_is_an_error_that_says_so(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    first = launch(artifacts, folders)
    (first.files / "large.bin").write_bytes(LARGE)
    kept = kept_of(artifacts, first)
    for path in [path for path in object_store.ObjectStore.objects if "/blobs/" in path]:
        del object_store.ObjectStore.objects[path]
    second = launch(artifacts, folders)
    with pytest.raises(CorruptBlob, match=r"ada/blobs/.* is missing"):
        folders.lay_out(second, kept)


def test_a_resumed_run_gets_the_experiment_as_it_was(artifacts: Artifacts, folders: WorkingFolders) -> None:
    made = launch(artifacts, folders)
    experiments = artifacts.experiments("ada")
    experiments.delete("pendulum")
    again = folders.make("run-1", "ada", "pendulum", made.version)
    assert files(again.files) == PENDULUM


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
    finish(folders, made)
    assert results(artifacts) == {"own.txt": b"own"}


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


@pytest.mark.parametrize("at", range(1 + 2 * len(PENDULUM)))
def test_a_launch_that_is_called_off_leaves_no_folder(
    artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path, at: int
) -> None:
    version = launch(artifacts, folders).version
    asked = iter(range(at + 100))
    with pytest.raises(CalledOff):
        folders.make("run-1", "ada", "pendulum", version, lambda: next(asked) >= at)
    assert folders.find("run-1") is None or at == 0


def test_who_removes_a_folder_waits_for_who_makes_it(
    artifacts: Artifacts, folders: WorkingFolders, tmp_path: Path
) -> None:
    first = launch(artifacts, folders)
    (first.files / "a.log").write_bytes(b"1")
    reading, go = threading.Event(), threading.Event()

    def called_off() -> bool:
        reading.set()
        go.wait(60)
        return False

    with ThreadPoolExecutor(2) as threads:
        making = threads.submit(folders.make, "run-1", "ada", "pendulum", first.version, called_off)
        assert reading.wait(60)
        discarding = threads.submit(folders.discard, "run-1")
        assert not discarding.done()
        go.set()
        assert making.result().run == "run-1"  # whole, until the other thread removes it
        discarding.result()
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
    store_files(artifacts.results("ada"), "run-1", {"early.log": b"1"})
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
    object_store.fail(2, "before", once=False)
    with pytest.raises(UploadFailed):
        store_files(artifacts.results("ada"), "run-1", {"a.log": b"1"})
    assert object_store.ObjectStore.objects
    with closing(MemoryStore()) as store:
        folders.sweep(store)  # which says in the log that it can't, and goes on
        object_store.heal()
        folders.sweep(store)
        assert object_store.ObjectStore.objects, "it may still be under way"
        times.append(times[-1] + 2 * 86_400)
        folders.sweep(store)
    assert object_store.ObjectStore.objects == {}


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("how", ["before", "after"])
def test_a_sweep_that_breaks_off_anywhere_is_made_up_for_and_takes_nothing_that_is_named(
    artifacts: Artifacts, folders: WorkingFolders, at: int, how: str
) -> None:
    with closing(MemoryStore()) as store:
        digests = [hashlib.sha256(name.encode()).hexdigest() for name in "abc"]
        used = store.submit(UseBlobs("ada", [(digest, 1) for digest in digests])).result()
        for blob, name in zip(used, "abc", strict=True):
            artifacts.blobs("ada").write(blob.number, blob.hash, name.encode())
        named = Savepoint(timestamp=0, entities={}, blobs=frozenset({used[0].number}))
        store.submit(CreateRun(run_in(RunStatus.STARTED), encoded(named))).result()
        object_store.fail(at, how, once=True)
        folders.sweep(store, seconds=-1)
        object_store.heal()
        folders.sweep(store, seconds=-1)
        assert store.submit(SweepBlobs(-1)).result() == []
        assert artifacts.blobs("ada").read(used[0].number, used[0].hash) == b"a"
        assert sum("/blobs/" in path for path in object_store.ObjectStore.objects) == 1
        store.submit(DeleteRun("run-1")).result()
        folders.sweep(store)
        assert sum("/blobs/" in path for path in object_store.ObjectStore.objects) == 1, "for an hour"
        folders.sweep(store, seconds=-1)
    assert not any("/blobs/" in path for path in object_store.ObjectStore.objects)


def test_a_sweep_that_is_called_off_removes_nothing_more_and_the_next_one_does(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    with closing(MemoryStore()) as store:
        digests = [hashlib.sha256(name.encode()).hexdigest() for name in "abc"]
        for blob, name in zip(
            store.submit(UseBlobs("ada", [(digest, 1) for digest in digests])).result(), "abc", strict=True
        ):
            artifacts.blobs("ada").write(blob.number, blob.hash, name.encode())
        closing_down = iter([False, True])
        folders.sweep(store, -1, lambda: next(closing_down))
        assert sum("/blobs/" in path for path in object_store.ObjectStore.objects) == 2
        folders.sweep(store, -1)
        assert not any("/blobs/" in path for path in object_store.ObjectStore.objects)


def test_stores_that_share_a_storage_leave_each_others_blobs_alone(
    artifacts: Artifacts, folders: WorkingFolders
) -> None:
    digest = hashlib.sha256(b"equal").hexdigest()
    with closing(MemoryStore()) as one, closing(MemoryStore()) as two:
        for store in (one, two):
            (mine,) = store.submit(UseBlobs("ada", [(digest, 5)])).result()
            artifacts.blobs("ada").write(mine.number, digest, b"equal")
        folders.sweep(one, -1)
    assert artifacts.blobs("ada").read(mine.number, digest) == b"equal"


def test_what_writes_of_blobs_left_that_were_killed_is_swept_after_an_hour(tmp_path: Path) -> None:
    times = [time.time()]
    artifacts = Artifacts(str(tmp_path / "artifacts"), clock=lambda: times[-1])
    folders = WorkingFolders(tmp_path / "work", artifacts)
    blobs = artifacts.blobs("ada")
    digest = hashlib.sha256(b"whole").hexdigest()
    blobs.write(1, digest, b"whole")
    (whole,) = (path for path in (tmp_path / "artifacts").rglob("*") if path.is_file())
    cut_off = whole.with_name(".0123456789abcdef")
    cut_off.write_bytes(b"ha")
    with closing(MemoryStore()) as store:
        folders.sweep(store)
        assert cut_off.exists(), "it may still be under way"
        times.append(times[-1] + 2 * 3600)
        folders.sweep(store)
    assert not cut_off.exists()
    assert blobs.read(1, digest) == b"whole"


def test_there_need_be_no_folder_at_all(folders: WorkingFolders) -> None:
    assert folders.reconcile(lambda run: None).failed == {}
    folders.discard("run-1")

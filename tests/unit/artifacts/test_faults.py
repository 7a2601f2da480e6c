"""A storage that fails at any of its operations: nothing half-made is seen, nothing is lost."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support import object_store
from tests.support.zips import PENDULUM, opened, zip_of

from perdure.artifacts import Artifacts, Condition
from perdure.artifacts.filesets import GRACE_SECONDS
from perdure.errors import ArtifactsUnavailable, ExperimentNotFound, PerdureError, UploadFailed

HOW = ["before", "after", "torn"]
CHANGED = {**PENDULUM, "main_script.py": b"changed\n"}


def now() -> float:
    return 1.7e9


def artifacts(url: str, clock: Callable[[], float] = now) -> Artifacts:
    return Artifacts(url, clock=clock, wait=lambda seconds: None)


def seen(url: str) -> dict[str, dict[str, bytes]]:
    """Return all experiments, each file with its checksum checked."""
    ada = artifacts(url).experiments("ada")
    return {
        found.name: {path: b"".join(ada.read(found.name, file)) for path, file in found.files.items()}
        for found in ada.all()
    }


def every_failure() -> Iterator[int]:
    """Yield 0, 1, … until an operation of that number isn't reached any more; each begins with nothing."""
    at = 0
    while True:
        object_store.reset()
        yield at
        if not object_store.failed():
            return
        at += 1
        assert at < 500


def tried(work: Callable[[], object], at: int, how: str, once: bool) -> bool:
    """Do something while operations fail, and return whether it was acknowledged."""
    object_store.fail(at, how, once=once)
    try:
        work()
    except ArtifactsUnavailable:
        return False
    return True


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("how", HOW)
def test_an_experiment_is_there_whole_or_not_at_all(objects: str, how: str, once: bool) -> None:
    def create() -> None:
        artifacts(objects).experiments("ada").create("pendulum", opened(zip_of(PENDULUM)))

    for at in every_failure():
        acknowledged = tried(create, at, how, once)
        with object_store.healed():
            assert seen(objects) in (
                [{"pendulum": PENDULUM}] if acknowledged else [{}, {"pendulum": PENDULUM}]
            )
            create()
            artifacts(objects, lambda: now() + 2 * GRACE_SECONDS).sweep()
            files = [path for path in object_store.ObjectStore.objects if "/files/" in path]
            assert len(files) == len(PENDULUM), "what was broken off is swept away"
            assert seen(objects) == {"pendulum": PENDULUM}


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("how", HOW)
def test_a_file_is_the_former_or_the_new_one(objects: str, how: str, once: bool) -> None:
    def put() -> None:
        artifacts(objects).experiments("ada").put("pendulum", "main_script.py", [b"changed\n"], Condition())

    for at in every_failure():
        artifacts(objects).experiments("ada").create("pendulum", opened(zip_of(PENDULUM)))
        acknowledged = tried(put, at, how, once)
        with object_store.healed():
            assert seen(objects)["pendulum"] in ([CHANGED] if acknowledged else [PENDULUM, CHANGED])
            put()
            assert seen(objects) == {"pendulum": CHANGED}


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("how", HOW)
def test_a_deletion_deletes_all_or_nothing(objects: str, how: str, once: bool) -> None:
    def delete() -> None:
        artifacts(objects).experiments("ada").delete("pendulum")

    for at in every_failure():
        artifacts(objects).experiments("ada").create("pendulum", opened(zip_of(PENDULUM)))
        acknowledged = tried(delete, at, how, once)
        with object_store.healed():
            assert seen(objects) in ([{}] if acknowledged else [{}, {"pendulum": PENDULUM}])
            with suppress(ExperimentNotFound):
                delete()
            assert seen(objects) == {}
            artifacts(objects, lambda: now() + 2 * GRACE_SECONDS).sweep()
            assert object_store.ObjectStore.objects == {}


@pytest.mark.parametrize("how", HOW)
def test_a_fetch_copies_all_or_nothing(objects: str, how: str, tmp_path: Path) -> None:
    for at in every_failure():
        ada = artifacts(objects).experiments("ada")
        ada.create("pendulum", opened(zip_of(PENDULUM)))
        object_store.fail(at, how, once=True)
        folder = tmp_path / f"{at}"
        try:
            ada.fetch("pendulum", ada.pin("pendulum", "run"), folder)
        except PerdureError:
            assert not folder.exists()
        else:
            found = {str(it.relative_to(folder)): it.read_bytes() for it in folder.rglob("*") if it.is_file()}
            assert found == PENDULUM


WRITTEN = {"main_script.py_0.log": b"line\n" * 100, "data/out.csv": b"1,2\n", "empty": b""}


def working_folder(folder: Path) -> None:
    for path, data in WRITTEN.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def stored(url: str) -> dict[str, bytes]:
    results = artifacts(url).results("ada")
    found = results.get("run")
    files = {} if found is None else found.files
    return {path: b"".join(results.read("run", file)) for path, file in files.items()}


@pytest.mark.parametrize("how", HOW)
def test_an_upload_gets_over_any_single_failure(objects: str, how: str, tmp_path: Path) -> None:
    working_folder(tmp_path)
    for at in every_failure():
        object_store.fail(at, how, once=True)
        artifacts(objects).results("ada").upload("run", tmp_path)
        with object_store.healed():
            assert stored(objects) == WRITTEN


@pytest.mark.parametrize("how", HOW)
def test_an_upload_that_fails_for_good_says_so_and_may_be_repeated(
    objects: str, how: str, tmp_path: Path
) -> None:
    def upload() -> None:
        artifacts(objects).results("ada").upload("run", tmp_path)

    working_folder(tmp_path)
    for at in every_failure():
        object_store.fail(at, how, once=False)
        acknowledged = True
        try:
            upload()
        except UploadFailed as error:
            acknowledged = False
            assert error.values["folder"] == str(tmp_path)
        with object_store.healed():
            assert stored(objects) in ([WRITTEN] if acknowledged else [{}, WRITTEN])
            upload()
            assert stored(objects) == WRITTEN
        left = {str(it.relative_to(tmp_path)): it.read_bytes() for it in tmp_path.rglob("*") if it.is_file()}
        assert left == WRITTEN

"""Experiments are made whole, changed under readers, kept for runs, and removed."""

import os
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.zips import PENDULUM, opened, unzipped, zip_of

from perdure.artifacts import ArtifactLimits, Artifacts, Condition
from perdure.artifacts.experiments import ANY, Experiments
from perdure.artifacts.filesets import GRACE_SECONDS, FileSets
from perdure.errors import (
    ArtifactNotFound,
    ArtifactsUnavailable,
    CorruptBlob,
    ExperimentExists,
    ExperimentNotFound,
    FileChanged,
    Invalid,
    InvalidName,
    LimitExceeded,
    TooMany,
)

NOTHING = Condition()


class Clock:
    """A clock that tests put forward."""

    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def artifacts(url: str, clock: Clock) -> Artifacts:
    return Artifacts(url, clock=clock)


@pytest.fixture
def ada(artifacts: Artifacts) -> Experiments:
    return artifacts.experiments("ada")


def test_programs_stay_executable_and_results_of_runs_are_left_out(ada: Experiments, tmp_path: Path) -> None:
    tool = zipfile.ZipInfo("pendulum/tool.sh")
    tool.external_attr = 0o100755 << 16
    own = [("pendulum/.perdure/perdure.db", b"a store"), ("pendulum/.perdure/results/1/x.log", b"x")]
    entries = [(f"pendulum/{path}", data) for path, data in PENDULUM.items()]
    ada.create("pendulum", opened(zip_of([(tool, b"#!/bin/sh\n"), *entries, *own])))
    files = ada.get("pendulum")
    assert set(files.files) == {*PENDULUM, "tool.sh"}
    assert {path for path, file in files.files.items() if file.executable} == {"tool.sh"}
    ada.put("pendulum", "tool.sh", [b"#!/bin/sh\nexit 0\n"], NOTHING)
    version = ada.pin("pendulum", "run")
    ada.fetch("pendulum", version, tmp_path / "fetched")
    assert os.access(tmp_path / "fetched" / "tool.sh", os.X_OK)
    assert not os.access(tmp_path / "fetched" / "main_script.py", os.X_OK)
    sent = b"".join(ada.zipped("pendulum", ada.get("pendulum")))
    with zipfile.ZipFile(opened(sent)) as archive:
        assert archive.getinfo("tool.sh").external_attr >> 16 == 0o100755
        assert archive.getinfo("main_script.py").external_attr >> 16 == 0o100644


def test_empty_folders_are_kept_fetched_and_sent(ada: Experiments, tmp_path: Path) -> None:
    entries = [("empty/", b""), ("data/frames/", b""), ("logs/", b""), *PENDULUM.items()]
    made = ada.create("pendulum", opened(zip_of(entries)))
    assert made.files.folders == ("data/frames", "empty", "logs")
    assert ada.create("pendulum", opened(zip_of(entries))).replayed
    with pytest.raises(ExperimentExists):
        ada.create("pendulum", opened(zip_of(entries[1:])))
    ada.put("pendulum", "data/frames/1", [b"1"], NOTHING)
    ada.remove("pendulum", "data/frames/1", NOTHING)
    with pytest.raises(InvalidName):
        ada.put("pendulum", "data", [b"1"], NOTHING)
    ada.fetch("pendulum", ada.pin("pendulum", "run"), tmp_path / "work")
    assert all(list((tmp_path / "work" / name).iterdir()) == [] for name in ("empty", "data/frames", "logs"))
    with zipfile.ZipFile(opened(b"".join(ada.zipped("pendulum", ada.get("pendulum"))))) as archive:
        assert {name for name in archive.namelist() if name.endswith("/")} == {
            "data/frames/",
            "empty/",
            "logs/",
        }


def create(experiments: Experiments, name: str = "pendulum", **changed: bytes) -> None:
    experiments.create(name, opened(zip_of({**PENDULUM, **changed})))


def content(experiments: Experiments, name: str = "pendulum") -> dict[str, bytes]:
    files = experiments.get(name)
    return {path: b"".join(experiments.read(name, file)) for path, file in files.files.items()}


def fetched(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def all_objects(artifacts: Artifacts, kind: str = "files") -> list[str]:
    objects = artifacts._objects
    return [
        f"{name}/{part}"
        for name in objects.names(f"ada/experiments/{kind}")
        for part in objects.names(f"ada/experiments/{kind}/{name}")
    ]


def test_an_experiment_is_read_back_as_it_was_sent(ada: Experiments) -> None:
    create(ada)
    assert content(ada) == PENDULUM
    assert unzipped(b"".join(ada.zipped("pendulum", ada.get("pendulum")))) == PENDULUM


def test_experiments_are_listed_by_name(ada: Experiments) -> None:
    for name in ("b", "B", "a.1"):
        create(ada, name)
    assert [found.name for found in ada.all()] == ["B", "a.1", "b"]
    assert [found.size for found in ada.all()] == [sum(map(len, PENDULUM.values()))] * 3


def test_a_large_file_comes_back_whole(ada: Experiments) -> None:
    data = bytes(range(256)) * 40_000  # more than is read at once
    ada.create("large", opened(zip_of({"data": data, "none": b""})))
    assert content(ada, "large") == {"data": data, "none": b""}


def test_owners_do_not_reach_each_others(artifacts: Artifacts) -> None:
    for owner in ("ada", "Ada", "../ada", "ada/experiments"):
        create(artifacts.experiments(owner), owner=owner.encode())
    for owner in ("ada", "Ada", "../ada", "ada/experiments"):
        assert content(artifacts.experiments(owner))["owner"] == owner.encode()
    assert artifacts.experiments("grace").all() == []
    with pytest.raises(ExperimentNotFound):
        artifacts.experiments("grace").get("pendulum")


@pytest.mark.parametrize("name", ["..", "a/b", "../../grace/experiments/x", ""])
def test_names_that_are_none_are_refused_everywhere(ada: Experiments, name: str, tmp_path: Path) -> None:
    for call in (
        lambda: create(ada, name),
        lambda: ada.get(name),
        lambda: ada.delete(name),
        lambda: ada.put(name, "a", [b""], NOTHING),
        lambda: ada.fetch(name, 1, tmp_path / "x"),
    ):
        with pytest.raises(InvalidName):
            call()


def test_the_same_zip_again_changes_nothing(ada: Experiments, artifacts: Artifacts) -> None:
    create(ada)
    before, files = ada.get("pendulum"), all_objects(artifacts)
    again = ada.create("pendulum", opened(zip_of(PENDULUM)))
    assert again.replayed
    assert again.files == before == ada.get("pendulum")
    assert all_objects(artifacts) == files


def test_another_zip_of_the_same_name_is_refused(ada: Experiments, artifacts: Artifacts) -> None:
    create(ada)
    files = all_objects(artifacts)
    with pytest.raises(ExperimentExists):
        create(ada, more=b"1")
    assert content(ada) == PENDULUM
    assert all_objects(artifacts) == files


def test_a_zip_that_breaks_off_leaves_nothing(ada: Experiments, artifacts: Artifacts) -> None:
    data = bytearray(zip_of({"a": b"right", "b": b"wrong" * 1000}))
    data[data.rindex(b"PK\x01\x02") - 5] ^= 0xFF  # in the bytes of the last file
    with pytest.raises(Invalid):
        ada.create("broken", opened(bytes(data)))
    assert ada.all() == []
    assert all_objects(artifacts) == []


def test_an_owner_has_so_many_experiments_only(url: str) -> None:
    few = Artifacts(url, ArtifactLimits(experiments=2)).experiments("ada")
    create(few, "a")
    create(few, "b")
    with pytest.raises(TooMany, match="PERDURE_MAX_EXPERIMENTS"):
        create(few, "c")
    create(few, "a")
    few.delete("a")
    create(few, "c")


def test_a_file_is_replaced_added_and_removed(ada: Experiments) -> None:
    create(ada)
    file, new = ada.put("pendulum", "main_script.py", [b"chan", b"ged"], NOTHING)
    assert (file.size, new) == (7, False)
    assert ada.put("pendulum", "data/new", [b"1"], NOTHING)[1]
    ada.remove("pendulum", "engines/pendulum.py", NOTHING)
    assert content(ada) == {
        "simulation_config.json": PENDULUM["simulation_config.json"],
        "main_script.py": b"changed",
        "data/new": b"1",
    }
    with pytest.raises(ArtifactNotFound):
        ada.remove("pendulum", "engines/pendulum.py", NOTHING)
    with pytest.raises(ArtifactNotFound):
        ada.file("pendulum", "engines/pendulum.py")
    with pytest.raises(ExperimentNotFound):
        ada.put("other", "a", [b""], NOTHING)


def test_a_change_is_made_of_the_file_that_was_meant_only(ada: Experiments) -> None:
    create(ada)
    was = ada.file("pendulum", "main_script.py").sha256
    ada.put("pendulum", "main_script.py", [b"1"], Condition(frozenset({was})))
    for condition in (
        Condition(frozenset({was})),
        Condition(is_none_of=frozenset({ANY})),
        Condition(is_none_of=frozenset({ada.file("pendulum", "main_script.py").sha256})),
    ):
        with pytest.raises(FileChanged):
            ada.put("pendulum", "main_script.py", [b"2"], condition)
        with pytest.raises(FileChanged):
            ada.remove("pendulum", "main_script.py", condition)
    with pytest.raises(FileChanged):
        ada.put("pendulum", "new", [b"2"], Condition(frozenset({ANY})))
    ada.put("pendulum", "new", [b"2"], Condition(is_none_of=frozenset({ANY})))
    ada.put("pendulum", "new", [b"3"], Condition(frozenset({ANY})))
    assert content(ada)["new"] == b"3"


def test_files_stay_within_limits_and_paths(url: str) -> None:
    small = Artifacts(url, ArtifactLimits(files=4, bytes=100)).experiments("ada")
    create(small)
    for path, data in (("x", b"y" * 100), ("main_script.py/x", b""), ("engines", b"")):
        with pytest.raises((LimitExceeded, InvalidName)):
            small.put("pendulum", path, [data], NOTHING)
    small.put("pendulum", "fourth", [b""], NOTHING)
    with pytest.raises(LimitExceeded, match="PERDURE_MAX_EXPERIMENT_FILES"):
        small.put("pendulum", "fifth", [b""], NOTHING)


def test_who_reads_while_a_file_is_replaced_gets_it_as_it_was(ada: Experiments) -> None:
    create(ada)
    before = ada.get("pendulum")
    archive = ada.zipped("pendulum", before)
    ada.put("pendulum", "main_script.py", [b"changed"], NOTHING)
    ada.remove("pendulum", "engines/pendulum.py", NOTHING)
    assert unzipped(b"".join(archive)) == PENDULUM


def test_downloads_and_launches_all_the_while_get_whole_files(
    ada: Experiments, clock: Clock, tmp_path: Path
) -> None:
    versions = [bytes([number]) * 50_000 for number in range(30)]
    ada.create("e", opened(zip_of({"data": versions[0], "other": b"1"})))
    done, turns = threading.Event(), [threading.Semaphore(0) for _ in range(3)]

    def let_read() -> None:
        """Return when each reader has ended what it was reading: nothing is read for as long as it stays."""
        for turn in turns:
            while turn.acquire(blocking=False):
                pass
            assert turn.acquire(timeout=60)

    def download() -> None:
        ended = False
        while not ended:
            ended = done.is_set()
            assert unzipped(b"".join(ada.zipped("e", ada.get("e"))))["data"] in versions
            turns[0].release()

    def launch(reader: int) -> None:
        ended, number = False, 0
        while not ended:
            ended, number = done.is_set(), number + 1
            run = f"run-{reader}-{number}"
            folder = tmp_path / run
            ada.fetch("e", ada.pin("e", run), folder)
            found = fetched(folder)
            assert found.keys() == {"data", "other"}
            assert found["data"] in versions
            ada.unpin("e", run)
            turns[reader].release()

    with ThreadPoolExecutor(3) as threads:
        working = [threads.submit(download), threads.submit(launch, 1), threads.submit(launch, 2)]
        try:
            for number, data in enumerate(versions):
                ada.put("e", "data", [data], NOTHING)
                clock.now += GRACE_SECONDS / 10  # so that what is old goes meanwhile
                if number % 5 == 0:
                    let_read()
        finally:
            done.set()
        for one in working:
            one.result()
    assert content(ada, "e")["data"] == versions[-1]


def test_a_version_that_is_removed_before_it_is_pinned_is_not_the_one_that_a_run_gets(
    ada: Experiments, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(ada)
    pin = FileSets.pin

    def late(sets: FileSets, name: str, number: int, run: str) -> None:
        if number == 1:
            for data in (b"2", b"3"):
                ada.put(name, "data", [data], NOTHING)
                clock.now += 2 * GRACE_SECONDS
            ada.put(name, "data", [b"4"], NOTHING)
        pin(sets, name, number, run)

    monkeypatch.setattr(FileSets, "pin", late)
    version = ada.pin("pendulum", "run")
    assert version > 1
    assert ada.version("pendulum", version).version == version


def test_two_who_change_different_files_at_once_both_succeed(ada: Experiments) -> None:
    create(ada)
    together = threading.Barrier(4)

    def put(number: int) -> None:
        together.wait()
        ada.put("pendulum", f"file{number}", [b"%d" % number], NOTHING)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(put, range(4)))
    assert content(ada) == {**PENDULUM, **{f"file{number}": b"%d" % number for number in range(4)}}


def test_of_two_who_replace_the_same_file_at_once_one_is_refused(ada: Experiments) -> None:
    create(ada)
    was = Condition(frozenset({ada.file("pendulum", "main_script.py").sha256}))
    together = threading.Barrier(4)

    def put(number: int) -> bool:
        together.wait()
        try:
            ada.put("pendulum", "main_script.py", [b"%d" % number], was)
        except FileChanged:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(put, range(4)))
    assert outcomes.count(True) == 1
    assert content(ada)["main_script.py"] == b"%d" % outcomes.index(True)


def test_what_another_process_wrote_first_is_not_overwritten(url: str) -> None:
    """Two processes share no locks, only the storage."""
    one, other = (Artifacts(url).experiments("ada") for _ in range(2))
    create(one)
    real = one._sets._objects.create

    def create_after_the_other(key: str, data: bytes) -> None:
        one._sets._objects.create = real  # type: ignore[method-assign]
        other.put("pendulum", "theirs", [b"1"], NOTHING)
        real(key, data)

    one._sets._objects.create = create_after_the_other  # type: ignore[method-assign]
    one.put("pendulum", "ours", [b"2"], NOTHING)
    assert content(one) == content(other) == {**PENDULUM, "theirs": b"1", "ours": b"2"}


def test_a_deleted_experiment_is_gone_and_its_name_free(ada: Experiments, artifacts: Artifacts) -> None:
    create(ada)
    ada.delete("pendulum")
    assert ada.all() == []
    assert all_objects(artifacts) == []
    with pytest.raises(ExperimentNotFound):
        ada.delete("pendulum")
    create(ada, other=b"1")
    assert content(ada)["other"] == b"1"


def test_a_pinned_version_outlives_changes_and_deletion(
    ada: Experiments, artifacts: Artifacts, clock: Clock, tmp_path: Path
) -> None:
    create(ada)
    version = ada.pin("pendulum", "run-1")
    ada.put("pendulum", "main_script.py", [b"changed"], NOTHING)
    clock.now += 2 * GRACE_SECONDS
    ada.put("pendulum", "main_script.py", [b"again"], NOTHING)
    ada.delete("pendulum")
    artifacts.sweep()
    ada.fetch("pendulum", version, tmp_path / "one")
    assert fetched(tmp_path / "one") == PENDULUM
    assert ada.pin("pendulum", "fork", version) == version
    ada.unpin("pendulum", "run-1")
    artifacts.sweep()
    ada.fetch("pendulum", version, tmp_path / "two")
    ada.unpin("pendulum", "fork")
    with pytest.raises(ExperimentNotFound):
        ada.fetch("pendulum", version, tmp_path / "three")
    assert not (tmp_path / "three").exists()
    clock.now += 2 * GRACE_SECONDS
    artifacts.sweep()
    assert [all_objects(artifacts, kind) for kind in ("files", "versions", "pins")] == [[], [], []]


def test_what_isnt_there_cant_be_pinned(ada: Experiments, artifacts: Artifacts) -> None:
    create(ada)
    for name, version in (("other", None), ("pendulum", 7)):
        with pytest.raises(ExperimentNotFound):
            ada.pin(name, "run", version)
    assert all_objects(artifacts, "pins") == []


def test_a_deletion_while_a_run_is_launched_leaves_it_all_or_refuses_it(
    ada: Experiments, tmp_path: Path
) -> None:
    create(ada)
    real = ada._sets.pin

    def pin(*arguments: object) -> None:
        ada.delete("pendulum")
        real(*arguments)  # type: ignore[arg-type]

    ada._sets.pin = pin  # type: ignore[method-assign,assignment]
    with pytest.raises(ExperimentNotFound):
        ada.pin("pendulum", "run")


def test_what_was_replaced_goes_after_a_day(ada: Experiments, artifacts: Artifacts, clock: Clock) -> None:
    create(ada)
    for number in range(5):
        ada.put("pendulum", "main_script.py", [b"%d" % number], NOTHING)
    assert len(all_objects(artifacts)) == 8
    clock.now += 2 * GRACE_SECONDS
    ada.put("pendulum", "main_script.py", [b"last"], NOTHING)
    # The one before the last is kept for another day: until now it was the newest.
    assert len(all_objects(artifacts)) == 4
    assert content(ada)["main_script.py"] == b"last"
    clock.now += 2 * GRACE_SECONDS
    artifacts.sweep()
    assert len(all_objects(artifacts)) == 3
    assert len(all_objects(artifacts, "versions")) == 1
    assert content(ada)["main_script.py"] == b"last"


def test_a_working_folder_has_no_logs_and_caches(ada: Experiments, tmp_path: Path) -> None:
    left_out = [
        "a.log",
        "x/.a.log",
        "a.log.zip",
        "logs/a",
        "x/logs/b",
        "__pycache__/a.pyc",
        "x/__pycache__/b",
    ]
    kept = ["logs.txt", "a.logs", "log/a", "x/y/z"]
    ada.create("e", opened(zip_of(dict.fromkeys([*left_out, *kept], b"1"))))
    ada.fetch("e", ada.pin("e", "run"), tmp_path / "work")
    assert sorted(fetched(tmp_path / "work")) == sorted(kept)


def test_a_working_folder_is_fresh(ada: Experiments, tmp_path: Path) -> None:
    create(ada)
    (tmp_path / "work").mkdir()
    with pytest.raises(FileExistsError):
        ada.fetch("pendulum", ada.pin("pendulum", "run"), tmp_path / "work")


def test_bytes_that_changed_in_the_storage_are_noticed(
    ada: Experiments, artifacts: Artifacts, tmp_path: Path
) -> None:
    create(ada)
    file = ada.file("pendulum", "main_script.py")
    key = f"ada/experiments/files/pendulum/{file.object}"
    for wrong in (b"nrp.run_loop(99)\n", b"", b"nrp.run_loop(10)\n\n\n"[: file.size - 1]):
        artifacts._objects.remove(key)
        artifacts._objects.write(key, [wrong])
        with pytest.raises(CorruptBlob):
            b"".join(ada.read("pendulum", file))
        with pytest.raises(CorruptBlob):
            ada.fetch("pendulum", ada.pin("pendulum", "run"), tmp_path / "work")
        assert not (tmp_path / "work").exists()


def test_a_damaged_version_is_no_older_one(ada: Experiments, artifacts: Artifacts) -> None:
    create(ada)
    ada.put("pendulum", "new", [b"1"], NOTHING)
    key = "ada/experiments/versions/pendulum/0000000002"
    data = artifacts._objects.read(key)
    artifacts._objects.remove(key)
    artifacts._objects.create(key, data.replace(b"pendulum.py", b"pendulum.px"))
    with pytest.raises(CorruptBlob):
        ada.get("pendulum")


def test_a_url_that_no_storage_has_is_refused() -> None:
    with pytest.raises(Invalid, match="PERDURE_ARTIFACTS"):
        Artifacts("nowhere://x")


def test_a_folder_that_cant_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactsUnavailable):
        create(Artifacts(str(tmp_path / "file" / "below")).experiments("ada"))

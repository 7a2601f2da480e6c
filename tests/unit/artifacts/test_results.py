"""What simulations wrote is stored, listed, read and removed; an upload may be repeated."""

import os
import tracemalloc
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.support.results import store_files
from tests.support.zips import opened, unzipped

from perdure.artifacts import Artifacts, Content
from perdure.artifacts.filesets import FileSets, Locks
from perdure.artifacts.objects import Objects
from perdure.artifacts.results import OwnerResults
from perdure.errors import ArtifactNotFound, InvalidName, UploadFailed


@pytest.fixture
def results(url: str) -> OwnerResults:
    return Artifacts(url, wait=lambda seconds: None).results("ada")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def stored(results: OwnerResults, run: str = "run") -> dict[str, bytes]:
    found = results.get(run)
    files = {} if found is None else found.files
    return {path: b"".join(results.read(run, file)) for path, file in files.items()}


def test_files_are_stored_read_and_zipped(results: OwnerResults) -> None:
    store_files(results, "run", {"a.log": b"12", "data/b": b""})
    store_files(results, "run", {"a.log": b"3"})
    assert stored(results) == {"a.log": b"3", "data/b": b""}
    assert unzipped(b"".join(results.zipped("run", results.get("run")))) == {"a.log": b"3", "data/b": b""}
    assert results.file("run", "a.log").size == 1
    with pytest.raises(ArtifactNotFound):
        results.file("run", "b")
    with pytest.raises(InvalidName):
        results.file("run", "../a")


def test_holes_are_read_back_and_neither_sent_nor_stored(
    results: OwnerResults, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, sent = Objects.write, 0

    def counted(self: Objects, key: str, chunks: Iterable[bytes]) -> None:
        nonlocal sent
        data = list(chunks)
        sent += sum(map(len, data))
        write(self, key, data)

    monkeypatch.setattr(Objects, "write", counted)
    hole = bytes(4_000_000)
    files = {
        "only": [hole] * 3,
        "begins": [hole, hole, b"end"],
        "ends": [b"begin", *[hole] * 3],
        "between": [b"begin", hole, b"middle", hole, hole[1:], b"end"],
        "short": [b"begin", bytes(1_000), b"end"],
        "zero": [b"\0"],
    }
    sets = FileSets(Objects(url), "ada/results", Locks())
    added = {path: sets.add("run", iter(chunks)) for path, chunks in files.items()}
    sets.commit("run", lambda current: Content(added))
    for path, chunks in files.items():
        assert results.file("run", path).size == sum(map(len, chunks))
    assert stored(results) == {path: b"".join(chunks) for path, chunks in files.items()}
    assert sent == len(b"end" + b"begin" + b"beginmiddleend" + b"begin" + bytes(1_000) + b"end" + b"\0")
    zipped = unzipped(b"".join(results.zipped("run", results.get("run"))))
    assert zipped["between"] == b"".join(files["between"])


def test_runs_and_owners_have_their_own(results: OwnerResults, url: str) -> None:
    store_files(results, "run", {"a": b"1"})
    assert stored(results, "other") == {}
    assert Artifacts(url).results("grace").get("run") is None
    with pytest.raises(ArtifactNotFound):
        Artifacts(url).results("grace").file("run", "a")


def test_nothing_is_left_of_what_is_deleted(results: OwnerResults) -> None:
    results.delete("run")
    store_files(results, "run", {"a": b"1"})
    results.delete("run")
    assert results.get("run") is None
    assert b"".join(results.zipped("run", None)) != b""


def test_an_upload_that_is_repeated_changes_nothing(results: OwnerResults, work: Path) -> None:
    (work / "a.log").write_bytes(b"1")
    first = results.upload("run", work)
    assert first is not None
    assert results.upload("run", work) == first
    (work / "b.log").write_bytes(b"2")
    second = results.upload("run", work)
    assert second is not None
    assert second.files["a.log"] == first.files["a.log"]
    (work / "a.log").unlink()
    results.upload("run", work)
    assert stored(results) == {"a.log": b"1", "b.log": b"2"}


def test_what_the_folder_began_with_is_left_out(results: OwnerResults, work: Path) -> None:
    (work / "same").write_bytes(b"1")
    began = results.upload("began", work)
    assert began is not None
    assert results.upload("run", work, fetched=began.content) is None
    (work / "same").write_bytes(b"2")
    results.upload("run", work, fetched=began.content)
    assert stored(results) == {"same": b"2"}


def test_programs_and_empty_folders_that_a_run_made_are_stored(results: OwnerResults, work: Path) -> None:
    for name in ("given", "made/void", "__pycache__"):
        (work / name).mkdir(parents=True)
    (work / "tool.sh").write_bytes(b"#!/bin/sh\n")
    (work / "data").write_bytes(b"1")
    began = results.upload("began", work)
    assert began is not None
    assert began.folders == ("given", "made/void")
    assert not any(file.executable for file in began.files.values())
    (work / "void").mkdir()
    (work / "tool.sh").chmod(0o755)
    found = results.upload("run", work, fetched=began.content)
    assert found is not None
    assert found.folders == ("void",)
    assert {path: file.executable for path, file in found.files.items()} == {"tool.sh": True}
    with zipfile.ZipFile(opened(b"".join(results.zipped("run", found)))) as archive:
        assert sorted(archive.namelist()) == ["tool.sh", "void/"]
        assert archive.getinfo("tool.sh").external_attr >> 16 == 0o100755
    (work / "tool.sh").chmod(0o644)
    again = results.upload("run", work, fetched=began.content._replace(files={}))
    assert again is not None
    assert not again.files["tool.sh"].executable


def test_a_file_that_cant_be_read_fails_the_upload(
    results: OwnerResults, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "closed").write_bytes(b"1")
    real = os.open

    def refuse(path: str, *arguments: Any, **more: Any) -> int:
        if path == "closed":  # root, as whom tests may run, would be let in by the system
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UploadFailed, match="Permission denied"):
        results.upload("run", work)
    assert results.get("run") is None


def test_a_folder_that_is_gone_fails_the_upload(results: OwnerResults, work: Path) -> None:
    with pytest.raises(UploadFailed):
        results.upload("run", work / "none")


def test_a_large_file_takes_little_memory_up_and_down(tmp_path: Path) -> None:
    results = Artifacts(str(tmp_path / "kept")).results("ada")
    (tmp_path / "work").mkdir()
    with (tmp_path / "work" / "large").open("wb") as file:
        file.truncate(60_000_000)
    tracemalloc.start()
    try:
        found = results.upload("run", tmp_path / "work")
        assert found is not None
        assert sum(len(chunk) for chunk in results.read("run", found.files["large"])) == 60_000_000
        for _ in results.zipped("run", found):
            pass
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()

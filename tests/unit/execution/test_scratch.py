"""The folders for the temporary files of children."""

import tempfile
from pathlib import Path

import pytest

from perdure.execution.scratch import Scratch


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_run_finds_its_folder_under_the_same_name_and_empty(root: Path) -> None:
    scratch = Scratch("store")
    folder = scratch.make("run")
    (folder / "left").write_text("x")
    assert folder.parent == root
    assert folder.stat().st_mode & 0o777 == 0o700
    assert scratch.make("other") != folder
    assert scratch.make("run") == folder
    assert list(folder.iterdir()) == []


def test_a_server_removes_what_the_former_one_of_its_store_left_and_nothing_else(root: Path) -> None:
    kept = Scratch("another").make("run")
    (root / "perdure-mine").mkdir()
    left = Scratch("store").make("run")
    (left / "closed" / "inner").mkdir(parents=True)
    (left / "closed" / "inner" / "file").write_text("x")
    (left / "closed").chmod(0)
    Scratch("store").open()
    assert sorted(root.iterdir()) == sorted([kept, root / "perdure-mine"])


def test_what_a_link_in_a_folder_leads_to_stays_as_it_is(root: Path) -> None:
    mine = root / "mine"
    mine.mkdir(mode=0o500)
    (root / "file").write_text("x")
    scratch = Scratch("store")
    folder = scratch.make("run")
    (folder / "closed").mkdir(mode=0)
    (folder / "folder").symlink_to(mine)
    (folder / "file").symlink_to(root / "file")
    scratch.remove(folder)
    assert not folder.exists()
    assert mine.stat().st_mode & 0o777 == 0o500
    assert (root / "file").read_text() == "x"

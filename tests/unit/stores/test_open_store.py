"""A URL names a store, or the error says which ones there are."""

from contextlib import closing
from pathlib import Path

import pytest

from perdure.errors import Invalid
from perdure.stores.memory import MemoryStore
from perdure.stores.open import open_store
from perdure.stores.sqlite import SqliteStore


def test_memory_is_a_memory_store() -> None:
    with closing(open_store("memory://")) as store:
        assert isinstance(store, MemoryStore)


def test_three_slashes_lead_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(open_store("sqlite:///runs/mine.db")):
        assert (tmp_path / "runs" / "mine.db").is_file()


def test_four_slashes_lead_from_the_root(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/a%20b%23/mine.db")):
        assert (tmp_path / "a b#" / "mine.db").is_file()


@pytest.mark.parametrize("url", ["sqlite:///{}", "sqlite:///{}/new/"])
def test_a_folder_gets_the_usual_file(tmp_path: Path, url: str) -> None:
    with closing(open_store(url.format(tmp_path))) as store:
        assert isinstance(store, SqliteStore)
        assert store.path.name == "perdure.db"
        assert store.path.is_file()


def test_retention_is_passed_on() -> None:
    for url in ("memory://", "sqlite:///unused.db"):
        with pytest.raises(Invalid, match="at least 1 savepoint"):
            open_store(url, keep=0)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "perdure.db",
        "mysql://host/db",
        "sqlite://",
        "sqlite:///",
        "sqlite:my.db",
        "sqlite://host/file",
        "memory://x",
        "sqlite:///a?b",
    ],
)
def test_anything_else_is_told_what_there_is(url: str) -> None:
    with pytest.raises(Invalid, match=r"sqlite:///relative/path.*memory://"):
        open_store(url)

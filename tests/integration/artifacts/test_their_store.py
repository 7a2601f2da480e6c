"""The artifacts of a store that hosts share: all reach them, and they belong to that store alone."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.support import object_store

from perdure.api.app import create_app
from perdure.artifacts import Artifacts
from perdure.errors import ArtifactsNotShared, WrongArtifacts
from perdure.places import check_artifacts, open_artifacts
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.sqlite import SqliteStore


class Shared(SqliteStore):
    """A store that says that several hosts can share it."""

    shared: ClassVar[bool] = True


@pytest.fixture(autouse=True)
def objects() -> Iterator[None]:
    object_store.reset()
    yield
    object_store.reset()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Shared]:
    with closing(Shared(tmp_path / "one.db")) as opened:
        yield opened


def settings(folder: Path, **others: Any) -> Settings:
    return Settings(artifacts=str(folder), working_folders=folder.parent / "working", **others)


def opened(store: Shared, configured: Settings) -> None:
    """Open the app of a store, and close it."""

    async def run() -> None:
        app = create_app(store, Catalogue(), configured, dialects=())
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(run())


def test_a_folder_of_one_host_is_refused_unless_it_is_said_to_be_shared(
    store: Shared, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    for url in (str(folder), f"file://{folder}", "memory://files"):
        with pytest.raises(ArtifactsNotShared, match="PERDURE_ARTIFACTS_SHARED=yes"):
            open_artifacts(store, Settings(artifacts=url))
    open_artifacts(store, Settings(artifacts=str(folder), artifacts_shared=True))


def test_a_url_that_all_hosts_reach_needs_no_word_of_it(store: Shared) -> None:
    open_artifacts(store, Settings(artifacts="objects://reached"))


def test_a_store_that_is_not_shared_takes_any_and_marks_none(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "one.db")) as alone:
        opened(alone, settings(tmp_path / "files"))
    assert not (tmp_path / "files").exists()


def test_the_first_use_gives_the_artifacts_to_the_store_and_later_ones_find_them(
    store: Shared, tmp_path: Path
) -> None:
    configured = settings(tmp_path / "files", artifacts_shared=True)
    for _ in range(2):
        opened(store, configured)
        assert (tmp_path / "files" / ".store").read_text() == store.identity


def test_artifacts_of_another_store_are_refused(store: Shared, tmp_path: Path) -> None:
    configured = settings(tmp_path / "files", artifacts_shared=True)
    opened(store, configured)
    with closing(Shared(tmp_path / "two.db")) as other, pytest.raises(WrongArtifacts, match=store.identity):
        opened(other, configured)
    assert (tmp_path / "files" / ".store").read_text() == store.identity


def test_a_folder_that_is_not_mounted_is_refused_and_nothing_is_written_there(
    store: Shared, tmp_path: Path
) -> None:
    opened(store, settings(tmp_path / "files", artifacts_shared=True))
    with pytest.raises(WrongArtifacts, match="nothing was ever stored"):
        opened(store, settings(tmp_path / "elsewhere", artifacts_shared=True))
    assert not (tmp_path / "elsewhere").exists()


def test_a_first_use_that_was_cut_off_after_the_mark_is_completed(store: Shared) -> None:
    artifacts = Artifacts("objects://cut-off")
    artifacts.give_to(store.identity)
    check_artifacts(store, artifacts)
    with pytest.raises(WrongArtifacts):
        check_artifacts(store, Artifacts("objects://empty"))


def test_two_processes_that_use_a_store_for_the_first_time_agree(store: Shared) -> None:
    check_artifacts(store, Artifacts("objects://agreed"))
    check_artifacts(store, Artifacts("objects://agreed"))


def test_a_copy_of_a_store_under_another_identity_gets_artifacts_of_its_own(
    store: Shared, tmp_path: Path
) -> None:
    check_artifacts(store, Artifacts("objects://first"))
    store.backup(tmp_path / "copy.db")
    with closing(Shared(tmp_path / "copy.db")) as copy:
        assert copy.identity != store.identity
        with pytest.raises(WrongArtifacts):
            check_artifacts(copy, Artifacts("objects://first"))
        check_artifacts(copy, Artifacts("objects://second"))
        with pytest.raises(WrongArtifacts):
            check_artifacts(copy, Artifacts("objects://third"))


def test_the_mark_is_no_owner_and_no_copy_has_it(store: Shared, tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path / "files"))
    check_artifacts(store, artifacts)
    artifacts.sweep()
    assert artifacts.copy(str(tmp_path / "copy")) == (0, 0)
    assert Artifacts(str(tmp_path / "copy")).store() is None

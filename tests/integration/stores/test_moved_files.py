"""Files that are deleted, renamed, replaced or cut under a running store: nothing more is acknowledged."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from perdure.errors import AcknowledgedLost, StoreUnavailable
from perdure.stores.commands import Append, CreateRun, Unleased
from perdure.stores.sqlite import SqliteStore
from perdure.stores.tail import Tail
from perdure.testing.store_samples import WAIT, a_run, a_step, an_entry, created

STEPS = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(folder / "perdure.db")) as store:
        created(store, steps=STEPS)
        yield store


def delete(file: Path) -> None:
    file.unlink()


def rename(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))


def replace(file: Path) -> None:
    shutil.copy(file, file.with_name("copy"))
    file.with_name("copy").replace(file)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def rename_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


def refused(store: SqliteStore, name: str) -> None:
    """Check that nothing is acknowledged, again and again, and that it is told why."""
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=name):
            store.submit(Append("run", Unleased(0), STEPS, [an_entry(STEPS + 1)])).result(WAIT)
        with pytest.raises(StoreUnavailable, match=name):
            store.submit(CreateRun(a_run("new"))).result(WAIT)
        assert name in (store.unavailable or "")


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("move", [delete, rename, replace, cut, empty, rename_folder])
def test_nothing_is_acknowledged_when_a_file_is_not_where_it_was(
    folder: Path, store: SqliteStore, move: Callable[[Path], None], suffix: str
) -> None:
    file = folder / f"perdure.db{suffix}"
    move(file)
    refused(store, "perdure.db" if move is rename_folder else file.name)


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("move", [delete, rename, replace, rename_folder])
def test_an_idle_store_tells_at_once_and_serves_nothing_from_other_files(
    folder: Path, store: SqliteStore, move: Callable[[Path], None], suffix: str
) -> None:
    move(folder / f"perdure.db{suffix}")
    assert "while it was open" in (store.unavailable or "")
    for read in (lambda: store.run("run"), lambda: list(store.steps("run")), store.check):
        with pytest.raises(StoreUnavailable, match="while it was open"):
            read()


def test_files_that_are_put_back_are_used_again(folder: Path, store: SqliteStore) -> None:
    rename_folder(folder / "perdure.db")
    refused(store, "perdure.db")
    folder.with_name("elsewhere").rename(folder)
    steps = len(store.steps("run"))
    assert steps in (STEPS, STEPS + 1)  # the one that was refused while it was elsewhere may be there
    store.submit(Append("run", Unleased(0), steps, [an_entry(steps + 1)])).result(WAIT)
    assert store.unavailable is None
    assert list(store.steps("run"))[:STEPS] == [a_step(at) for at in range(1, STEPS + 1)]


def test_no_new_file_is_made_in_place_of_one_that_was_deleted(folder: Path, store: SqliteStore) -> None:
    (folder / "perdure.db").unlink()
    refused(store, "perdure.db")
    assert not (folder / "perdure.db").exists()
    store.close()
    assert not (folder / "perdure.db").exists()
    with pytest.raises(AcknowledgedLost, match="there is no such file"):
        SqliteStore(folder / "perdure.db")
    assert not (folder / "perdure.db").exists()


def test_what_a_deleted_log_held_is_in_the_database_when_the_store_is_closed(
    folder: Path, store: SqliteStore
) -> None:
    (folder / "perdure.db-wal").unlink()
    store.close()
    with closing(SqliteStore(folder / "perdure.db")) as again:
        assert list(again.steps("run")) == [a_step(at) for at in range(1, STEPS + 1)]
        assert again.check() == []


def test_a_copy_in_place_of_the_store_is_left_as_it_is_by_closing(folder: Path, store: SqliteStore) -> None:
    replace(folder / "perdure.db")
    before = (folder / "perdure.db").read_bytes()
    refused(store, "perdure.db")
    store.close()
    assert (folder / "perdure.db").read_bytes() == before


@pytest.mark.parametrize("spoil", [delete, rename, replace])
def test_a_tail_that_is_not_in_place_is_written_anew(
    folder: Path, store: SqliteStore, spoil: Callable[[Path], None]
) -> None:
    tail = folder / "perdure.db.tail"
    spoil(tail)
    for position in (STEPS + 1, STEPS + 2):
        store.submit(Append("run", Unleased(0), position - 1, [an_entry(position)])).result(WAIT)
        mark = Tail(tail).read()
        assert mark is not None
        assert mark.position == position
    assert store.unavailable is None


def test_a_tail_that_another_opening_put_in_place_is_left_as_it_is(folder: Path, store: SqliteStore) -> None:
    path = folder / "perdure.db.tail"
    mark = Tail(path).read()
    assert mark is not None
    rename(path)
    tail = Tail(path)
    tail.renew(msgspec.structs.replace(mark, opening=mark.opening + 1))
    tail.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="another server has opened the store"):
        store.submit(Append("run", Unleased(0), STEPS, [an_entry(STEPS + 1)])).result(WAIT)
    assert path.read_bytes() == before


# Who may read them ------------------------------------------------------------------------------------------


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_only_their_user_may_read_the_files_of_a_store(folder: Path, store: SqliteStore) -> None:
    assert modes(folder) == dict.fromkeys(
        ["perdure.db", "perdure.db-wal", "perdure.db-shm", "perdure.db.lock", "perdure.db.tail"], 0o600
    )
    assert folder.stat().st_mode & 0o777 == 0o700


def test_files_that_others_could_read_are_closed_to_them_and_a_folder_that_was_there_is_not(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    SqliteStore(tmp_path).close()
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    with closing(SqliteStore(tmp_path)) as store:
        created(store)
        assert set(modes(tmp_path).values()) == {0o600}
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_the_name_of_each_new_folder_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    SqliteStore(tmp_path / "a" / "b" / "perdure.db").close()
    assert [tmp_path, tmp_path / "a"] == [path for path in synced if path in (tmp_path, tmp_path / "a")]
    assert tmp_path / "a" / "b" in synced

"""A store that lost something it acknowledged says so, and goes on without it only when told to."""

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from perdure.errors import AcknowledgedLost
from perdure.stores.commands import Append, CreateRun, Unleased, encoded
from perdure.stores.sqlite import SqliteStore
from perdure.stores.tail import SLOT, Tail
from perdure.testing.store_samples import WAIT, a_run, a_savepoint, an_entry

STEPS = 12
HEADER, FRAME = 32, 24 + 4096  # bytes of the log


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of a store as a killed server leaves them: what it wrote last is in the log."""
    folder = tmp_path_factory.mktemp("killed")
    with closing(SqliteStore(folder / "open" / "perdure.db")) as store:
        store.submit(CreateRun(a_run(), encoded(a_savepoint()))).result(WAIT)
        for at in range(STEPS):
            store.submit(Append("run", Unleased(0), at, [an_entry(at + 1)])).result(WAIT)
        # By another process: closing a file here would let go of SQLite's locks on it.
        subprocess.run(["cp", "-r", folder / "open", folder / "files"], check=True)
    (folder / "files" / "perdure.db-shm").unlink()
    return folder / "files"


@pytest.fixture
def path(killed: Path, tmp_path: Path) -> Path:
    return fresh(killed, tmp_path / "store")


def fresh(killed: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(killed, folder)
    return folder / "perdure.db"


def log_of(path: Path) -> Path:
    return path.with_name("perdure.db-wal")


def tail_of(path: Path) -> Tail:
    return Tail(path.with_name("perdure.db.tail"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return what counts of the files: an empty log is none, and SQLite makes its index of it each time."""
    kept = (path for path in folder.iterdir() if path.suffix not in (".lock", ".db-shm"))
    return {path.name: content for path in kept if (content := path.read_bytes())}


def positions(path: Path, *, accept_loss: bool = False) -> list[int]:
    with closing(SqliteStore(path, accept_loss=accept_loss)) as store:
        return [step.position for step in store.steps("run")]


def all_there_or_refused(path: Path) -> bool:
    """Open a store; return whether it was refused and left as it was, else check that all steps are there."""
    before = contents(path.parent)
    try:
        found = positions(path)
    except AcknowledgedLost as error:
        assert "perdure serve --accept-loss" in str(error)
        assert contents(path.parent) == before
        return True
    assert found == list(range(1, STEPS + 1))
    return False


def test_a_store_whose_server_was_killed_opens_with_all_its_steps(path: Path) -> None:
    assert log_of(path).stat().st_size > STEPS * FRAME
    assert positions(path) == list(range(1, STEPS + 1))
    assert positions(path) == list(range(1, STEPS + 1))


# Damage to the log ------------------------------------------------------------------------------------------


@given(cut=st.integers(0, 60 * FRAME))
@settings(max_examples=40, deadline=None)
def test_a_log_that_was_cut_anywhere_is_found(
    cut: int, killed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = fresh(killed, tmp_path_factory.getbasetemp() / "cut")
    size = log_of(path).stat().st_size
    os.truncate(log_of(path), min(cut, size))
    assert all_there_or_refused(path) == (cut < size)


@pytest.mark.parametrize("frame", [0, 1, -1])
def test_a_log_that_was_cut_at_a_transaction_is_found(path: Path, frame: int) -> None:
    frames = (log_of(path).stat().st_size - HEADER) // FRAME
    os.truncate(log_of(path), HEADER + (frame % frames) * FRAME)
    assert all_there_or_refused(path)


@given(at=st.integers(0, 200 * FRAME), bit=st.integers(0, 7))
@settings(max_examples=80, deadline=None)
def test_a_bit_that_flips_anywhere_in_the_log_is_found(
    at: int, bit: int, killed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = fresh(killed, tmp_path_factory.getbasetemp() / "flipped")
    content = bytearray(log_of(path).read_bytes())
    content[at % len(content)] ^= 1 << bit
    log_of(path).write_bytes(content)
    assert all_there_or_refused(path)


def test_a_bit_that_flips_in_any_header_of_the_log_is_found(path: Path) -> None:
    content = log_of(path).read_bytes()
    frames = range(HEADER, len(content), FRAME)
    for at in [*range(HEADER), *(frame + at for frame in frames[:: len(frames) // 3] for at in range(24))]:
        log_of(path).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert all_there_or_refused(path), at


def test_a_log_that_was_deleted_while_no_server_ran_is_found(path: Path) -> None:
    log_of(path).unlink()
    assert all_there_or_refused(path)


def test_a_database_that_was_deleted_while_no_server_ran_is_found(path: Path) -> None:
    path.unlink()
    assert all_there_or_refused(path)
    log_of(path).unlink()
    assert all_there_or_refused(path)
    path.touch()
    assert all_there_or_refused(path)


def test_a_log_whose_frames_are_all_in_the_database_may_go(path: Path) -> None:
    positions(path)  # closing brings them in
    assert not log_of(path).exists()
    log_of(path).write_bytes(b"what is left of an older log")
    assert not all_there_or_refused(path)


# What is missing --------------------------------------------------------------------------------------------


def test_what_is_missing_is_told_and_accepted_once(path: Path) -> None:
    os.truncate(log_of(path), log_of(path).stat().st_size - 3 * FRAME)
    with pytest.raises(AcknowledgedLost) as error:
        SqliteStore(path)
    told = error.value.values["missing"]
    assert f"step {STEPS} of the run 'run'" in told
    assert "are missing" in told
    with structlog.testing.capture_logs() as logged:
        kept = positions(path, accept_loss=True)
    assert [entry["missing"] for entry in logged if entry["event"] == "loss_accepted"] == [told]
    assert kept == list(range(1, len(kept) + 1))
    assert 0 < len(kept) < STEPS
    assert positions(path) == kept  # it is asked once
    with closing(SqliteStore(path)) as store:
        store.submit(Append("run", Unleased(0), len(kept), [an_entry(len(kept) + 1)])).result(WAIT)
    assert positions(path) == [*kept, len(kept) + 1]


def test_accepting_a_loss_where_nothing_is_lost_changes_nothing(path: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        assert positions(path, accept_loss=True) == list(range(1, STEPS + 1))
    assert not [entry for entry in logged if entry["event"] == "loss_accepted"]


def restored_here(path: Path, backup: Path) -> Path:
    log_of(path).unlink(missing_ok=True)
    shutil.copy(backup, path)
    return path


def restored_elsewhere(path: Path, backup: Path) -> Path:
    folder = path.with_name("elsewhere")
    folder.mkdir()
    return Path(shutil.copy(backup, folder / "perdure.db"))


@pytest.mark.parametrize("restore", [restored_here, restored_elsewhere])
def test_a_backup_is_restored_by_accepting_what_it_lacks_or_in_a_new_folder(
    path: Path, tmp_path: Path, restore: Callable[[Path, Path], Path]
) -> None:
    positions(path)
    backup = Path(shutil.copy(path, tmp_path / "backup.db"))
    with closing(SqliteStore(path)) as store:
        store.submit(Append("run", Unleased(0), STEPS, [an_entry(STEPS + 1)])).result(WAIT)
    path = restore(path, backup)
    if restore is restored_here:
        with pytest.raises(AcknowledgedLost):
            SqliteStore(path)
        assert positions(path, accept_loss=True) == list(range(1, STEPS + 1))
    assert positions(path) == list(range(1, STEPS + 1))


def test_another_store_in_place_of_this_one_is_not_taken_for_it(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(SqliteStore(other)) as store:
        for number in range(50):
            store.submit(CreateRun(a_run(f"r{number}"))).result(WAIT)
    log_of(path).unlink()
    shutil.copy(other, path)
    with pytest.raises(AcknowledgedLost, match="another store"):
        SqliteStore(path)


# The tail itself --------------------------------------------------------------------------------------------


def test_a_tail_that_is_older_than_the_store_is_normal(path: Path) -> None:
    tail = tail_of(path)
    mark = tail.read()
    assert mark is not None
    tail.renew(replace(mark, batch=mark.batch - 3))
    tail.close()
    assert not all_there_or_refused(path)


@pytest.mark.parametrize("content", [None, b"", b"\0" * 2 * SLOT, os.urandom(2 * SLOT), b"x"])
def test_a_tail_that_a_power_cut_took_is_normal(path: Path, content: bytes | None) -> None:
    if content is None:
        tail_of(path).path.unlink()
    else:
        tail_of(path).path.write_bytes(content)
    assert not all_there_or_refused(path)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_slot_leaves_the_other(path: Path, slot: int) -> None:
    tail = tail_of(path)
    content = bytearray(tail.path.read_bytes())
    content[slot * SLOT + 10] ^= 0xFF
    tail.path.write_bytes(content)
    mark = tail.read()
    assert mark is not None
    assert mark.batch >= STEPS
    assert not all_there_or_refused(path)
    log_of(path).unlink(missing_ok=True)


def test_the_tail_names_what_was_acknowledged_last(path: Path) -> None:
    mark = tail_of(path).read()
    assert mark is not None
    assert (mark.run, mark.position) == ("run", STEPS)

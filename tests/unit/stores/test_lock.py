"""The lock: shared by those who share it, and taken by the next one when its file was removed."""

from pathlib import Path

import pytest

from perdure.errors import StoreLocked
from perdure.stores import lock as module
from perdure.stores.lock import Lock


def test_those_who_share_a_lock_keep_out_one_who_does_not_and_name_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b'{"pid": 1, "host": "dead", "since": 0, "command": "killed"}')
    first, second = Lock(path, tmp_path, shared=True), Lock(path, tmp_path, shared=True)
    for left in (first, second):
        with pytest.raises(StoreLocked, match="another process"):
            Lock(path, tmp_path)
        left.release()
    alone = Lock(path, tmp_path)
    with pytest.raises(StoreLocked, match="process "):
        Lock(path, tmp_path, shared=True)
    alone.release()


def test_a_removed_lock_is_free_and_its_file_gone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(3):
        lock = Lock(path, tmp_path)
        with pytest.raises(StoreLocked):
            Lock(path, tmp_path)
        lock.remove()
        lock.remove()
        assert not path.exists()


def test_whoever_locked_a_file_that_was_removed_takes_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it, its holder removes it, and another takes its place."""
    path = tmp_path / "lock"
    first = Lock(path, tmp_path)
    real = module.fcntl.flock
    others: list[Lock | None] = []

    def flock(file: int, kind: int) -> None:
        if not others:
            others.append(None)
            first.remove()
            others.append(Lock(path, tmp_path))
        real(file, kind)

    monkeypatch.setattr(module.fcntl, "flock", flock)
    with pytest.raises(StoreLocked):
        Lock(path, tmp_path)
    assert others[1] is not None
    others[1].release()

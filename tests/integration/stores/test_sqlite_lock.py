"""One process writes a store: whoever comes second is told who was first."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from perdure.errors import StoreLocked
from perdure.stores.lock import Lock
from perdure.stores.sqlite import SqliteStore

SERVE = """
import sys
from perdure.stores.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
store.close()
"""

FORK = """
import os, sys, time
from pathlib import Path
from perdure.stores.lock import Lock
lock = Lock(Path(sys.argv[1]), Path(sys.argv[1]))
if os.fork() == 0:
    print("the child lives", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_server(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVE, str(path), "--marked"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "open\n"
            yield server
        finally:
            server.kill()


def test_a_second_server_is_told_who_holds_the_store(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    with another_server(path) as server:
        with pytest.raises(StoreLocked) as error:
            SqliteStore(path)
        message = str(error.value)
        assert f"process {server.pid} on {os.uname().nodename} since 20" in message
        assert "--marked" in message
        assert str(path) in message


def test_a_second_opening_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        with pytest.raises(StoreLocked, match=f"process {os.getpid()} "):
            SqliteStore(tmp_path)
        assert store.unavailable is None


def test_a_killed_server_holds_nothing(tmp_path: Path) -> None:
    with another_server(tmp_path) as server:
        server.send_signal(signal.SIGKILL)
        server.wait()
        SqliteStore(tmp_path).close()


def test_a_server_that_ended_names_itself_no_longer(tmp_path: Path) -> None:
    SqliteStore(tmp_path).close()
    assert (tmp_path / "perdure.db.lock").read_bytes() == b""


def test_a_holder_that_has_not_yet_named_itself_still_holds(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    lock = Lock(file, tmp_path / "guarded")
    file.write_bytes(b"")
    with pytest.raises(StoreLocked, match="in use by another process"):
        Lock(file, tmp_path / "guarded")
    lock.release()
    lock.release()
    Lock(file, tmp_path / "guarded").release()


def test_a_forked_child_does_not_hold_the_lock_of_a_killed_server(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORK, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "the child lives\n"
            with pytest.raises(StoreLocked):
                Lock(tmp_path / "lock", tmp_path)
            server.kill()
            server.wait()
            Lock(tmp_path / "lock", tmp_path).release()
        finally:
            server.kill()

"""``perdure doctor`` and ``perdure runs list`` on damaged stores: all of it is told, nothing stops them."""

import functools
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import httpx
import pytest
from tests.support.commands import BATH, perdure
from tests.support.server import ROOT, running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


Make = Callable[..., list[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[Path, list[str]]]:
    """Makes folders with a store of so many runs, each of five keyed steps; each is made once."""

    @functools.cache
    def made(runs: int) -> tuple[Path, list[str]]:
        folder, ids = tmp_path_factory.mktemp("made"), []
        with running(folder / "s.db", BATH) as server:
            for _ in range(runs):
                body = {"kind": "session", "scenarios": {"bath": ["base"]}}
                ids.append(httpx.post(f"{server.url}/runs", json=body).json()["id"])
                for number in range(5):
                    headers = {"Idempotency-Key": f"step-{number}"}
                    httpx.post(f"{server.url}/runs/{ids[-1]}/steps", headers=headers).raise_for_status()
            assert server.stop() == 0
        return folder, ids

    return made


@pytest.fixture
def make(path: Path, made: Callable[[int], tuple[Path, list[str]]]) -> Make:
    """Leaves a copy of such a store, and returns the ids of its runs."""

    def make(runs: int = 3) -> list[str]:
        folder, ids = made(runs)
        shutil.copytree(folder, path.parent, dirs_exist_ok=True)
        return list(ids)

    return make


def execute(path: Path, sql: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(sql)


def doctor(path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    done = perdure("doctor", "--store", f"sqlite:///{path}", "--models", BATH, *more)
    assert "Traceback" not in done.stderr
    return done


def test_one_damaged_spec_hides_neither_the_list_nor_the_other_runs(path: Path, make: Make) -> None:
    first, second, third = make()
    execute(path, "UPDATE specs SET spec = zeroblob(30) WHERE run = 2")
    execute(path, "UPDATE steps SET outputs = zeroblob(30) WHERE run = 1 AND position = 3")
    listed = perdure("runs", "list", "--store", f"sqlite:///{path}")
    assert listed.returncode == 0, listed.stderr
    assert all(run in listed.stdout for run in (first, second, third))
    assert listed.stdout.count("damaged") == 1
    report = doctor(path)
    assert report.returncode == 1
    assert f"{second}  spec: " in report.stdout
    assert f"{first}  step 3, outputs: " in report.stdout
    assert "3 runs checked, 2 faults found, 1 repaired" in report.stdout


def test_one_damaged_record_is_told_and_the_others_are_checked(path: Path, make: Make) -> None:
    first, second, _ = make()
    execute(path, "UPDATE runs SET state = 'startec' WHERE number = 2")
    execute(path, "UPDATE steps SET outputs = zeroblob(30) WHERE run = 1 AND position = 3")
    report = doctor(path)
    assert report.returncode == 1
    assert f"store  run {second}: " in report.stdout
    assert f"{first}  step 3, outputs: " in report.stdout
    assert "2 runs checked, 2 faults found, 1 repaired" in report.stdout


@pytest.mark.parametrize(
    "damage", ["text = 'steq-0'", "position = 2", "body_hash = zeroblob(8)", "ordinal = 9"]
)
def test_a_damaged_key_is_told(path: Path, make: Make, damage: str) -> None:
    (run,) = make(1)
    execute(path, f"UPDATE step_keys SET {damage} WHERE text = 'step-0'")
    report = doctor(path)
    assert report.returncode == 1
    assert f"store  run {run}: the checksum of the key 'ste" in report.stdout
    assert "1 faults found, 0 repaired" in report.stdout


@pytest.mark.parametrize(
    "table", ["runs", "specs", "steps", "step_keys", "savepoints", "runs_live", "sqlite_autoindex_runs_1"]
)
def test_an_overwritten_page_is_told_and_does_not_stop_the_doctor(path: Path, make: Make, table: str) -> None:
    make()
    with closing(apsw.Connection(str(path))) as connection:
        query = "SELECT max(pageno) FROM dbstat WHERE name = ?"
        ((page,),) = connection.execute(query, (table,))
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    report = doctor(path)
    assert report.returncode == 1
    assert "store  SQLite: " in report.stdout or "store  the file can't be read" in report.stdout
    assert "faults found, 0 repaired" in report.stdout


def test_outputs_in_the_wrong_place_are_told(path: Path, make: Make) -> None:
    (run,) = make(1)
    execute(
        path,
        "UPDATE steps SET outputs = (SELECT outputs FROM steps WHERE position = 3) WHERE position = 4",
    )
    for _ in range(2):
        report = doctor(path)
        assert report.returncode == 1
        assert f"{run}  step 4, outputs: " in report.stdout
        assert "1 faults found, 0 repaired" in report.stdout


def test_runs_without_their_models_are_said_to_be_unchecked(path: Path, make: Make) -> None:
    make(1)
    report = perdure("doctor", "--store", f"sqlite:///{path}", "--models", "tests.support.small:changed")
    assert report.returncode == 0
    assert "(NOT checked)" in report.stdout
    assert "0 faults found" in report.stdout
    assert "--models" in report.stdout


def test_a_bar_appears_within_one_long_item() -> None:
    code = (
        "import time; from perdure.cli import output; output.PATIENCE = 0.2\n"
        "for _ in output.with_progress(['the only one'], 'Checking'): time.sleep(5)"
    )
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT / "src")}
    begun = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", code], stderr=slave, env=environment) as process:
        os.close(slave)
        shown = b""
        while b"Checking" not in shown:
            shown += read(lambda: os.read(master, 1000))
        taken = time.monotonic() - begun
        running_still = process.poll() is None
        process.kill()
    os.close(master)
    assert running_still, f"it appeared after {taken:.1f} s, when the item had ended"


def read(once: Callable[[], bytes]) -> bytes:
    """Read from a terminal, whose end Linux reports as an error."""
    try:
        data = once()
    except OSError:
        data = b""
    assert data, "the process ended without a bar"
    return data

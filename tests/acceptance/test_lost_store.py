"""A server whose store is moved away or damaged, as its operator sees it: /ready and the commands."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.support.commands import BATH, perdure
from tests.support.server import running

NEW = {"kind": "session", "scenarios": {"bath": ["base"]}}
STEPS = 20


def begun(url: str) -> str:
    """Make a session, take its first steps, and return its id."""
    run = str(httpx.post(f"{url}/runs", json=NEW).json()["id"])
    httpx.post(f"{url}/runs/{run}/steps", json={"steps": STEPS}).raise_for_status()
    return run


def delete(file: Path) -> None:
    file.unlink()


def replace(file: Path) -> None:
    shutil.copy(file, file.with_name("copy"))
    file.with_name("copy").replace(file)


@pytest.mark.parametrize(("move", "suffix"), [(delete, "-wal"), (replace, "")])
def test_a_server_whose_store_is_moved_away_acknowledges_nothing_and_says_so(
    tmp_path: Path, move: Callable[[Path], None], suffix: str
) -> None:
    path = tmp_path / "s.db"
    with running(path, BATH) as server:
        run = begun(server.url)
        move(tmp_path / f"s.db{suffix}")
        ready = httpx.get(f"{server.url}/ready")
        assert ready.status_code == 503
        assert f"s.db{suffix} was" in ready.json()["error"]["message"]
        for _ in range(3):
            assert httpx.post(f"{server.url}/runs/{run}/steps").status_code == 503
        assert httpx.get(f"{server.url}/healthy").status_code == 200
        report = perdure("doctor", "--store", f"sqlite:///{path}")
        assert report.returncode == 1
        assert f"s.db{suffix} was" in report.stdout
        assert server.stop() == 0


def test_a_store_that_lost_steps_is_served_only_when_that_is_accepted(tmp_path: Path) -> None:
    path, url = tmp_path / "s.db", f"sqlite:///{tmp_path}/s.db"
    with running(path, BATH) as server:
        run = begun(server.url)
        server.kill()
    log = tmp_path / "s.db-wal"
    os.truncate(log, log.stat().st_size - 1)  # of the last transaction
    for command in (["serve", BATH, "--port", "0"], ["doctor"]):
        refused = perdure(*command, "--store", url)
        assert refused.returncode == 1
        assert f"step {STEPS} of the run '{run}'" in refused.stderr
        assert "--accept-loss" in refused.stderr
    with running(path, BATH, options=["--accept-loss"]) as server:
        kept = httpx.get(f"{server.url}/runs/{run}").json()["step"]
        assert 0 < kept < STEPS
        taken = httpx.post(f"{server.url}/runs/{run}/steps").json()["steps"]
        assert [step["step"] for step in taken] == [kept + 1]
        server.kill()
    with running(path, BATH) as server:
        assert httpx.get(f"{server.url}/runs/{run}").json()["step"] == kept + 1

"""The example runs as it stands: with `application.run()`, with uvicorn, and with its script."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.support.bptk_servers import EXAMPLE, MANAGER
from tests.support.processes import end

SESSION = {"scenario_managers": [MANAGER], "scenarios": ["interactive_scenario"], "equations": ["customers"]}
RUN = "import application; application.application.run(port=0)"
UVICORN = ["-m", "uvicorn", "application:application", "--port", "0"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(
        EXAMPLE, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "state")
    )
    return tmp_path


def started(command: list[str], folder: Path) -> tuple[subprocess.Popen[str], httpx.Client]:
    """Start a server, and return it with a client once it has said where it answers."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHON": sys.executable, "PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if found := re.search(r"http://[\w.:]+", line):
                return process, httpx.Client(base_url=found[0], timeout=240)
        raise AssertionError(said)
    except BaseException:
        end(process)
        raise


def ended(process: subprocess.Popen[str], client: httpx.Client, number: int) -> None:
    client.close()
    process.send_signal(number)
    assert process.stdout is not None
    try:
        process.stdout.read()
        process.wait(timeout=30)
    finally:
        end(process)


def test_it_goes_on_after_a_kill_whichever_way_it_is_run(folder: Path) -> None:
    process, client = started([sys.executable, "-c", RUN], folder)
    try:
        instance = client.post("/start-instance").json()["instance_uuid"]
        client.post(f"/{instance}/begin-session", json=SESSION).raise_for_status()
        assert step(client, instance) == {"1.0": 0.0}
    finally:
        ended(process, client, signal.SIGKILL)
    assert (folder / "state" / f"{instance}.json").is_file()
    process, client = started([sys.executable, *UVICORN], folder)
    try:
        assert step(client, instance) == {"2.0": 1000.0}
    finally:
        ended(process, client, signal.SIGTERM)
    assert process.returncode in (0, -signal.SIGTERM)
    process, client = started(["./run_server.sh"], folder)
    try:
        assert step(client, instance).keys() == {"3.0"}
    finally:
        ended(process, client, signal.SIGTERM)


def test_perdure_serves_the_factory(folder: Path) -> None:
    command = [sys.executable, "-m", "perdure", "serve", "model:bptk_factory", "--port", "0"]
    process, client = started(command, folder)
    try:
        assert MANAGER in client.get("/scenarios").json()
        instance = client.post("/start-instance").json()["instance_uuid"]
        client.post(f"/{instance}/begin-session", json=SESSION).raise_for_status()
        assert step(client, instance) == {"1.0": 0.0}
        assert client.get("/runs").json()["runs"][0]["step"] == 1
    finally:
        ended(process, client, signal.SIGTERM)
    assert process.returncode == 0


def step(client: httpx.Client, instance: str) -> dict[str, float]:
    answer = client.post(f"/{instance}/run-step")
    assert answer.status_code == 200, answer.text
    found: dict[str, float] = answer.json()[MANAGER]["interactive_scenario"]["customers"]
    return found

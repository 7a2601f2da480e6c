"""Runs of experiments on a real server: folders sent, runs made, steered, followed and read."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import httpx
from tests.support.processes import marked
from tests.support.waiting import PAUSE
from tests.support.zips import unzipped, zip_of

ROOT = Path(__file__).parents[2]
EMPTY = {"simulation_config.json": b"{}"}
"""An experiment without engines, whose steps are 0.01 s long and never end."""


def example(name: str) -> dict[str, bytes]:
    """Return the files of an example."""
    folder = ROOT / "examples" / "experiments" / name
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def send(client: httpx.Client, name: str, files: Mapping[str, bytes]) -> str:
    """Make an experiment; return its name."""
    sent = client.post(
        "/experiments",
        params={"name": name},
        content=zip_of(files),
        headers={"Content-Type": "application/zip"},
    )
    assert sent.status_code in (200, 201), sent.text
    return name


def made(client: httpx.Client, experiment: str, **given: Any) -> dict[str, Any]:
    """Make a run; return what is told of it."""
    response = client.post("/runs", json={"kind": "experiment", "experiment": experiment, **given})
    assert response.status_code == 201, response.text
    told: dict[str, Any] = response.json()
    return told


def scripted(client: httpx.Client, name: str, script: str, **files: bytes) -> str:
    """Make a run of an experiment that is nothing but a script; return its id, paused."""
    told = made(
        client, send(client, name.replace(" ", "-"), {**EMPTY, "main_script.py": script.encode(), **files})
    )
    assert told["state"] == "paused", told
    run_id: str = told["id"]
    return run_id


def put(client: httpx.Client, run_id: str, state: str) -> dict[str, Any]:
    """Bring a run to a state."""
    response = client.put(f"/runs/{run_id}/state", json={"state": state})
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    assert told["state"] == state, told
    return told


def events(client: httpx.Client, run_id: str) -> Generator[dict[str, Any], None, None]:
    """Yield what a run's events tell, until it ends."""
    with client.stream("GET", f"/runs/{run_id}/events") as stream:
        assert stream.status_code == 200
        for line in stream.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def ended(client: httpx.Client, run_id: str) -> dict[str, Any]:
    """Follow a run to its end; return what is told of it then."""
    for _ in events(client, run_id):
        pass
    told: dict[str, Any] = client.get(f"/runs/{run_id}").json()
    return told


def lines(client: httpx.Client, run_id: str) -> list[str]:
    """Return the texts of a run's log lines."""
    return [line["text"] for line in client.get(f"/runs/{run_id}/logs").json()["lines"]]


def files(client: httpx.Client, run_id: str) -> dict[str, bytes]:
    """Return what a run wrote, its id left out of the names; not the log with the times of its lines."""
    response = client.get(f"/runs/{run_id}/files.zip")
    while response.status_code == 503:  # on a busy machine, storing them takes longer than a request waits
        assert response.json()["error"]["code"] == "results_pending", response.text
        time.sleep(PAUSE)
        response = client.get(f"/runs/{run_id}/files.zip")
    assert response.status_code == 200, response.text
    found = unzipped(response.content)
    sim_id = client.get(f"/runs/{run_id}").json()["sim_id"]
    found.pop(f"simulation_{sim_id}.log", None)
    return {name.replace(f"_{sim_id}.", "."): data for name, data in found.items()}


def identity(folder: Path) -> str:
    """Return the name by which processes of a folder's store are marked."""
    return hashlib.sha256(bytes(folder / "perdure.db")).hexdigest()[:16]


def kill_simulation(folder: Path, run_id: str) -> None:
    """Kill the simulation server of a run, of the store in a folder."""
    for pid in marked(identity(folder)):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
        if command.endswith(run_id.encode()) and b"guard.py" not in command:
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError(f"run {run_id} has no simulation server")


class Signal:
    """A named pipe by which a script tells that it has come to a place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)

    @property
    def code(self) -> str:
        """What the script has to say there."""
        return f"open({str(self.path)!r}, 'w').close()\n"

    def wait(self) -> None:
        """Wait until it has."""
        self.path.read_bytes()

    release = wait

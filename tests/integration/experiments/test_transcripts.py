"""Trajectories and log lines on a real server: read at any time, and stored at the end, killed or not."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.experiment_runs import EMPTY, Signal, ended, example, made, put, scripted, send
from tests.support.served import Served, served
from tests.support.zips import unzipped

SCRIPT = """
print("printed", flush=True)
try:
    while True:
        nrp.run_loop(100)
        file_logger.warning("%g s", nrp.simulation_time)
{gate}
except NRPSimulationTimeout:
    pass
"""
NUMBERS = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server"), tokens="ada:token-a,grace:token-g") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client("token-a") as made:
        yield made


def walk(client: httpx.Client, script: str) -> str:
    """Make a run of the example of Python engines under another script; return its id, paused."""
    files = {**example("exchange"), "main_script.py": script.encode()}
    config = json.loads(files["simulation_config.json"])
    config = config | {"SimulationTimeout": 10, "Savepoint": {"every": 0.5}}
    files["simulation_config.json"] = json.dumps(config).encode()
    run_id: str = made(client, send(client, f"walk-{next(NUMBERS)}", files), seed=5)["id"]
    return run_id


def trajectory(client: httpx.Client, run_id: str) -> list[Any]:
    """Read a run's trajectory."""
    answer = client.get(f"/runs/{run_id}/trajectory")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def results(client: httpx.Client, run_id: str) -> dict[str, bytes]:
    """Return all files that are stored of a run."""
    return unzipped(client.get(f"/runs/{run_id}/files.zip").raise_for_status().content)


def test_a_trajectory_is_read_while_it_grows_and_stored_at_the_end(
    client: httpx.Client, tmp_path: Path
) -> None:
    gate = Signal(tmp_path / "gate")
    run_id = walk(client, SCRIPT.format(gate=f"        {gate.code}"))
    assert trajectory(client, run_id) == []
    put(client, run_id, "started")
    gate.wait()
    early = trajectory(client, run_id)
    put(client, run_id, "paused")
    seen = trajectory(client, run_id)
    assert 0 < len(early) <= len(seen)
    assert seen[: len(early)] == early
    put(client, run_id, "started")
    for _ in range(9):
        gate.wait()
    assert ended(client, run_id)["state"] == "completed"
    whole = trajectory(client, run_id)
    assert len(whole) == 1000
    assert whole[: len(seen)] == seen
    assert {row["t"] for row in whole} == {step / 100 for step in range(1000)}
    stored = results(client, run_id)
    text = stored[f"main_script_{run_id}.trajectory.jsonl"].decode()
    assert [json.loads(line) for line in text.splitlines()] == whole
    logged = stored[f"simulation_{run_id}.log"].decode().splitlines()
    said = client.get(f"/runs/{run_id}/logs").json()["lines"]
    assert [line.split(maxsplit=2)[1:] for line in logged] == [[line["level"], line["text"]] for line in said]
    assert [line["text"] for line in said][:3] == ["printed", "1 s", "2 s"]
    assert logged[1].split()[1] == "warning"


def test_a_fork_has_its_parents_trajectory_up_to_its_savepoint(client: httpx.Client) -> None:
    parent = walk(client, SCRIPT.format(gate=""))
    put(client, parent, "started")
    assert ended(client, parent)["state"] == "completed"
    whole = trajectory(client, parent)
    savepoint = client.get(f"/runs/{parent}/savepoints").json()["savepoints"][-2]["timestamp"]
    fork = client.post(f"/runs/{parent}/fork", json={"savepoint": savepoint}).json()["id"]
    assert trajectory(client, fork) == whole[: savepoint // 10_000_000]
    put(client, fork, "started")
    assert ended(client, fork)["state"] == "completed"
    assert trajectory(client, fork) == whole


def test_a_trajectory_is_its_owners_and_an_experiments(client: httpx.Client, server: Served) -> None:
    run_id = scripted(client, "owned", "nrp.run_loop()\n")
    with server.client("token-g") as grace:
        assert grace.get(f"/runs/{run_id}/trajectory").status_code == 404
    assert httpx.get(f"{server.url}/runs/{run_id}/trajectory").status_code == 401
    session = client.post("/runs", json={"kind": "session", "scenarios": {"bath": ["base"]}}).json()["id"]
    answer = client.get(f"/runs/{session}/trajectory")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "wrong_kind")


def test_without_rows_and_lines_there_are_no_files_of_them(client: httpx.Client) -> None:
    run_id = made(client, send(client, "silent", {**EMPTY, "main_script.py": b"nrp.run_loop(5)\n"}))["id"]
    put(client, run_id, "started")
    assert ended(client, run_id)["state"] == "completed"
    assert trajectory(client, run_id) == []
    assert set(results(client, run_id)) == {f"main_script_{run_id}.log"}


def test_a_run_that_ended_without_a_process_has_its_transcript(tmp_path: Path) -> None:
    gate = Signal(tmp_path / "gate")
    with served(tmp_path, max_log_lines=2) as server, server.client() as client:
        run_id = walk(client, SCRIPT.format(gate=f"        {gate.code}"))
        put(client, run_id, "started")
        for _ in range(4):
            gate.wait()
        put(client, run_id, "paused")
        seen = trajectory(client, run_id)
        server.process.kill()
        server.process.wait()
    with served(tmp_path, max_log_lines=2) as server, server.client() as client:
        assert trajectory(client, run_id) == seen
        put(client, run_id, "stopped")
        stored = results(client, run_id)
    text = stored[f"main_script_{run_id}.trajectory.jsonl"].decode()
    assert [json.loads(line) for line in text.splitlines()] == seen
    first, *rest = stored[f"simulation_{run_id}.log"].decode().splitlines()
    assert first.endswith("older lines aren't kept; PERDURE_MAX_LOG_LINES says how many of a run are.")
    assert len(rest) == 2

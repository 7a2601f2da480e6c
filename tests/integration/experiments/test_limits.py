"""What experiments may use, how many an owner may have, and how many runs that have ended."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.experiment_runs import put, scripted
from tests.support.served import Served, served

LIMITS = {
    "max_experiment_memory_bytes": 400_000_000,
    "max_experiment_cpu_seconds": 5,
    "max_experiment_open_files": 64,
    "max_experiment_file_bytes": 2_000_000,
    "max_experiment_folder_bytes": 20_000_000,
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with served(tmp_path_factory.mktemp("server"), **LIMITS) as server, server.client() as made:
        yield made


def until_over(client: httpx.Client, run_id: str) -> dict[str, Any]:
    """Follow a run until its script has ended, and return it."""
    with client.stream("GET", f"/runs/{run_id}/events") as events:
        for line in events.iter_lines():
            if any(f'"state":"{state}"' in line for state in ("completed", "failed", "stopped")):
                break
    answer = client.get(f"/runs/{run_id}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.parametrize(
    ("name", "script", "words"),
    [
        ("memory", "held = []\nwhile True:\n    held.append(bytearray(b'1') * 10_000_000)\n", "memory"),
        ("cpu", "while True:\n    pass\n", "CPU"),
        ("files", "held = [open('main_script.py') for _ in range(100)]\n", "Too many open files"),
        ("written", "open('x', 'wb').write(bytes(3_000_000))\n", "File too large"),
        (
            "folder",
            "import os\nn = 0\nwhile True:\n    n += 1\n    os.makedirs(f'{n}')\n"
            "    with open(f'{n}/x', 'wb') as file:\n        file.write(b'1' * 1_000_000)\n",
            "its folder reached the limit of bytes",
        ),
        ("hole", "open('x', 'wb').truncate(3_000_000)\n", "File too large"),
    ],
)
def test_an_experiment_that_uses_more_than_it_may_fails_and_says_so(
    client: httpx.Client, name: str, script: str, words: str
) -> None:
    run_id = scripted(client, name, script)
    put(client, run_id, "started")
    over = until_over(client, run_id)
    assert (over["state"], words in over["reason"]) == ("failed", True), over


def test_an_experiment_that_runs_longer_than_it_may_fails_and_says_so(tmp_path: Path) -> None:
    """Running time counts, not the time that it is paused: it is paused when its process is ready."""
    with served(tmp_path, max_experiment_seconds=20) as server, server.client() as client:
        run_id = scripted(client, "long", "import time\nprint('begun')\ntime.sleep(3600)\n")
        put(client, run_id, "started")
        over = until_over(client, run_id)
        assert (over["state"], over["outcome"]) == ("failed", "timed_out"), over
        assert "running time" in over["reason"]
        assert [line["text"] for line in client.get(f"/runs/{run_id}/logs").json()["lines"]] == ["begun"]


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_paused_experiments_of_one_owner_leave_slots_to_others(tmp_path: Path) -> None:
    def make(client: httpx.Client) -> httpx.Response:
        return client.post("/runs", json={"kind": "experiment", "experiment": "mine"})

    tokens = tmp_path / "tokens"
    tokens.write_text("ada:one\nbob:two\n")
    tokens.chmod(0o600)
    with (
        served(tmp_path, tokens_file=tokens, max_simulations=2) as server,
        server.client("one") as ada,
        server.client("two") as bob,
    ):
        scripted(ada, "mine", "nrp.run_loop(1)\n")
        full = make(ada)
        assert refused(full) == (409, "slots_taken")
        assert "PERDURE_MAX_SIMULATIONS_PER_OWNER" in full.json()["error"]["message"]
        scripted(bob, "mine", "nrp.run_loop(1)\n")
        assert refused(make(bob)) == (409, "slots_taken")


def test_results_are_limited_in_bytes_and_the_refusal_names_the_largest_runs(tmp_path: Path) -> None:
    task = {"kind": "task", "task": "stable_configurations", "input": {"monomers": [["a"]]}}

    with served(tmp_path, max_result_bytes=50_000) as server, server.client() as client:
        runs = {}
        for name, size in (("small", 10_000), ("large", 60_000)):
            run_id = scripted(client, name, f"open('x', 'wb').write(b'1' * {size})\n")
            put(client, run_id, "started")
            until_over(client, run_id)
            put(client, run_id, "stopped")
            (stored,) = [
                file["size"]
                for file in client.get(f"/runs/{run_id}/files").json()["files"]
                if file["path"] == "x"
            ]
            assert stored == size  # what was written is stored, also beyond the limit
            runs[name] = run_id
        full = client.post("/runs", json={"kind": "experiment", "experiment": "small"})
        assert refused(full) == (429, "result_bytes_exceeded")
        told = full.json()["error"]
        assert told["details"]["runs"] == [runs["large"], runs["small"]]
        assert f"{runs['large']} (6" in told["message"]
        assert client.post("/runs", json=task).is_success  # it is of another kind
    with served(tmp_path, max_result_bytes=50_000) as server, server.client() as client:
        body = {"kind": "experiment", "experiment": "small"}
        assert refused(client.post("/runs", json=body)) == (429, "result_bytes_exceeded")
        assert client.delete(f"/runs/{runs['large']}").status_code == 204
        assert client.post("/runs", json=body).status_code == 201


def test_results_of_tasks_are_limited_in_bytes(tmp_path: Path) -> None:
    task = {"kind": "task", "task": "stable_configurations", "input": {"monomers": [["a"]]}}

    with served(tmp_path, max_result_bytes=1) as server, server.client() as client:
        run_id = client.post("/runs", json=task).json()["id"]
        until_over(client, run_id)
        full = client.post("/runs", json=task)
        assert refused(full) == (429, "result_bytes_exceeded")
        assert full.json()["error"]["details"]["runs"] == [run_id]
        assert client.delete(f"/runs/{run_id}").status_code == 204
        assert client.post("/runs", json=task).is_success


def test_ended_runs_are_limited_and_the_refusal_says_what_to_delete(tmp_path: Path) -> None:
    session = {"kind": "session", "scenarios": {"bath": ["base"]}}
    task = {"kind": "task", "task": "stable_configurations", "input": {"monomers": [["a"]]}}

    def made(server: Served) -> None:
        with server.client() as client:
            runs = [client.post("/runs", json=session).json()["id"] for _ in range(2)]
            for run_id in runs:
                assert client.put(f"/runs/{run_id}/state", json={"state": "stopped"}).status_code == 200
            for body in (session, task):
                full = client.post("/runs", json=body)
                assert refused(full) == (429, "ended_runs_exceeded")
                assert "perdure runs delete" in full.json()["error"]["message"]
            assert refused(client.post(f"/runs/{runs[0]}/fork")) == (429, "ended_runs_exceeded")
            assert client.delete(f"/runs/{runs[0]}").status_code == 204
            assert client.post("/runs", json=session).status_code == 201

    with served(tmp_path, max_ended_runs=2) as server:
        made(server)

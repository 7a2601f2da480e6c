"""A server that is killed while it steps agents loses nothing, and goes on with the same numbers."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from tests.support.server import Server, running

MODELS = "tests.support.bptk_agents:town_catalogue"
BODY = {
    "kind": "session",
    "scenarios": {"town": ["base"]},
    "outputs": ["burden", "late", "agents/person", "individuals/person/age"],
    "seed": 11,
}
EVERY = {"PERDURE_SAVEPOINT_EVERY": "3"}
STEPS = 16
KILLED_AFTER = (5, 11)


def steps(server: Server, run_id: str, count: int) -> list[Any]:
    answer = httpx.post(f"{server.url}/runs/{run_id}/steps", json={"steps": count}, timeout=240)
    assert answer.is_success, answer.text
    return [step["results"] for step in answer.json()["steps"]]


def new(server: Server) -> str:
    created = httpx.post(f"{server.url}/runs", json=BODY, timeout=240)
    assert created.is_success, created.text
    run_id: str = created.json()["id"]
    return run_id


def test_agents_go_on_after_kill_9_with_the_same_numbers(tmp_path: Path) -> None:
    with running(tmp_path / "one.db", MODELS, EVERY) as server:
        whole = steps(server, new(server), STEPS)
    taken: list[Any] = []
    run_id = ""
    for stop in (*KILLED_AFTER, STEPS):
        with ExitStack() as stack:
            server = stack.enter_context(running(tmp_path / "two.db", MODELS, EVERY))
            run_id = run_id or new(server)
            taken += steps(server, run_id, stop - len(taken))
            if stop < STEPS:
                server.kill()
    assert taken == whole

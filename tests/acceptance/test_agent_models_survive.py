"""Sessions on models of Mesa and SimPy go on with the same numbers, killed with the server and forked."""

from pathlib import Path
from typing import Any

import httpx
from tests.support.agent_models import NAMES
from tests.support.server import Server, running

MODELS = "tests.support.agent_models:catalogue"
SESSION = {"kind": "session", "scenarios": {name: ["base"] for name in NAMES}, "seed": 11}
OFTEN = {"PERDURE_SAVEPOINT_EVERY": "3"}
LATER = {
    "pasture": {"base": {"inputs": {"birth_rate": 0.3}}},
    "bank": {"base": {"inputs": {"customers_per_minute": 2.5}}},
}


def client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=240)


def answered(http: httpx.Client, path: str, body: Any) -> Any:
    response = http.post(path, json=body)
    assert response.is_success, response.text
    return response.json()


def stepped(http: httpx.Client, run: str, steps: int, **more: Any) -> list[Any]:
    answer = answered(http, f"/runs/{run}/steps", {"steps": steps, **more})
    return [step["results"] for step in answer["steps"]]


def test_killed_and_forked_they_go_on_with_the_same_numbers(tmp_path: Path) -> None:
    store = tmp_path / "agents.db"
    with running(store, MODELS, OFTEN) as server, client(server) as http:
        whole = answered(http, "/runs", SESSION)["id"]
        expected = [*stepped(http, whole, 4), *stepped(http, whole, 4, settings=LATER)]
        killed = answered(http, "/runs", SESSION)["id"]
        assert stepped(http, killed, 4) == expected[:4]
        assert stepped(http, killed, 1, settings=LATER) == expected[4:5]
        server.kill()
    with running(store, MODELS, OFTEN) as server, client(server) as http:
        parts = http.get(f"/runs/{killed}").json()["parts"]
        assert parts["pasture/base"] == {"kept": "saved", "reason": None}
        assert parts["bank/base"]["kept"] == "replayed"
        assert "are generators" in parts["bank/base"]["reason"]
        assert stepped(http, killed, 3) == expected[5:]
        fork = answered(http, f"/runs/{whole}/fork", {"step": 2})["id"]
        assert stepped(http, fork, 2) == expected[2:4]
        assert stepped(http, fork, 4, settings=LATER) == expected[4:]
    assert len({str(step) for step in expected}) == 8

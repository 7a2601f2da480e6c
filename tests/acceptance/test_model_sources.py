"""A model has the same bits whatever it is written in, also in a session that is killed on the way."""

from pathlib import Path
from typing import Any

import httpx
from tests.support.server import running
from tests.support.sir_models import SOURCES, model

from perdure.engines.system_dynamics import simulate

OUTPUTS = ["susceptible", "infectious", "recovered", "infection", "recovery"]
STEPS = 161
KILLED_AT = 57


def test_an_epidemic_from_four_sources_is_killed_and_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    managers = {source: ["base"] for source in SOURCES}
    new = {"kind": "session", "scenarios": managers, "outputs": OUTPUTS}
    store = tmp_path / "s.db"
    with running(store, "tests.support.sir_models:catalogue") as server:
        run = posted(f"{server.url}/runs", new)["id"]
        posted(f"{server.url}/runs/{run}/steps", {"steps": KILLED_AT})
        server.kill()
    with running(store, "tests.support.sir_models:catalogue") as server:
        posted(f"{server.url}/runs/{run}/steps", {"steps": STEPS - KILLED_AT, "expected_step": KILLED_AT + 1})
        found = (
            httpx.get(f"{server.url}/runs/{run}/results", timeout=240).raise_for_status().json()["results"]
        )
        assert server.stop() == 0
    times, values = simulate(model("python"), {"outputs": OUTPUTS})
    assert len(times) == STEPS
    for manager in managers:
        assert found[manager]["base"]["values"] == {name: list(values[name]) for name in OUTPUTS}, manager


def posted(url: str, body: dict[str, Any]) -> Any:
    return httpx.post(url, json=body, timeout=240).raise_for_status().json()

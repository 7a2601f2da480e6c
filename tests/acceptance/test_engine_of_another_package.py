"""Models of any engine, one of another package among them, served: stepped, forked, killed and resumed."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.processes import below, until_gone
from tests.support.server import ROOT, running

PACKAGE = ROOT / "tests" / "packages" / "perdure-random-walk"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the package into a folder, without a network; return the environment that finds it."""
    folder = tmp_path_factory.mktemp("installed")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *offline, "--target", folder, PACKAGE],
        check=True,
        timeout=240,
    )
    former = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), former]))}


class Native:
    """A session by the native API."""

    def __init__(self, url: str, manager: str, outputs: list[str]) -> None:
        self.manager = manager
        new = {"kind": "session", "scenarios": {manager: ["base"]}, "outputs": outputs, "seed": 7}
        self.id = _post(url, "/runs", new)["id"]

    def step(self, url: str, number: int, inputs: dict[str, Any]) -> Any:
        body = {"expected_step": number, "settings": {self.manager: {"base": {"inputs": inputs}}}}
        taken = _post(url, f"/runs/{self.id}/steps", body, f"step-{number}")
        return taken["steps"][0]["results"][self.manager]["base"]

    def results(self, url: str) -> Any:
        found = httpx.get(f"{url}/runs/{self.id}/results").raise_for_status().json()
        return found["results"][self.manager]["base"]


class Bptk:
    """A session by BPTK's routes."""

    def __init__(self, url: str, manager: str, outputs: list[str]) -> None:
        self.manager = manager
        self.id = _post(url, "/start-instance", {"timeout": {"days": 1}})["instance_uuid"]
        session = {"scenario_managers": [manager], "scenarios": ["base"], "equations": outputs, "seed": 7}
        _post(url, f"/{self.id}/begin-session", session)

    def step(self, url: str, number: int, inputs: dict[str, Any]) -> Any:
        numbers = {name: value for name, value in inputs.items() if isinstance(value, int | float)}
        others = {name: value for name, value in inputs.items() if name not in numbers}
        settings = {self.manager: {"base": {"constants": numbers, "inputs": others}}}
        body = {"settings": settings}
        return _post(url, f"/{self.id}/run-step", body, f"step-{number}")[self.manager]["base"]

    def results(self, url: str) -> Any:
        found = httpx.get(f"{url}/{self.id}/session-results").raise_for_status().json()
        return found[self.manager]["base"]["equations"]


def _post(url: str, path: str, body: Any, key: str | None = None) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = httpx.post(f"{url}{path}", json=body, headers=headers, timeout=240)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


WALK = {2: {"wind": 1.5}, 4: {"wind": -0.25, "names": ["a", "b", "c", "d", "e"]}, 6: {"wind": 3}}
SHOP = {2: {"tills": 1}, 4: {"customers_per_minute": 6.5}, 6: {"tills": 5, "minutes_per_customer": 0.5}}
STEPS = 8
KINDS: tuple[type[Native | Bptk], ...] = (Native, Bptk)


@pytest.mark.parametrize(
    ("models", "manager", "outputs", "given"),
    [
        ("perdure_random_walk:model", "smWalk", ["mean", "places"], WALK),
        ("perdure.examples:catalogue", "checkout", ["waiting", "served", "mean_stay"], SHOP),
    ],
)
def test_it_is_stepped_with_changed_inputs_killed_resumed_and_forked_to_the_same_numbers(
    tmp_path: Path,
    installed: dict[str, str],
    models: str,
    manager: str,
    outputs: list[str],
    given: dict[int, dict[str, Any]],
) -> None:
    def taken(session: Native | Bptk, url: str, numbers: Iterable[int]) -> list[Any]:
        return [session.step(url, number, given.get(number, {})) for number in numbers]

    store = tmp_path / "s.db"
    with running(store, models, installed) as server:
        sessions = [
            (kind(server.url, manager, outputs), kind(server.url, manager, outputs)) for kind in KINDS
        ]
        undisturbed = [taken(whole, server.url, range(1, STEPS + 1)) for whole, _ in sessions]
        begun = [taken(killed, server.url, range(1, 4)) for _, killed in sessions]
        assert begun == [answers[:3] for answers in undisturbed]
        engines = below(server.process.pid)
        server.kill()
    assert len(engines) > 4 and all(until_gone(pid) for pid in engines)
    with running(store, models, installed) as server:
        url = server.url
        for (whole, killed), answers in zip(sessions, undisturbed, strict=True):
            assert taken(killed, url, [3]) == answers[2:3]  # which is recorded, and isn't taken again
            assert taken(killed, url, range(4, STEPS + 1)) == answers[3:]
            assert killed.results(url) == whole.results(url)
        for run in (sessions[0][1].id, _session(url)):
            values = httpx.get(f"{url}/runs/{run}/results").json()["results"][manager]["base"]["values"]
            fork = _post(url, f"/runs/{run}/fork", {"step": 5})["id"]
            body = {"settings": {manager: {"base": {"inputs": given[6]}}}}
            (step,) = _post(url, f"/runs/{fork}/steps", body)["steps"]
            sixth = {name: column[5] for name, column in values.items()}
            assert (step["step"], step["results"][manager]["base"]["values"]) == (6, sixth)
        assert server.stop() == 0


def _session(url: str) -> str:
    """Return the run that began last, which an instance has."""
    return str(
        httpx.get(f"{url}/runs", params={"kind": "session"}).raise_for_status().json()["runs"][0]["id"]
    )


def test_it_is_listed_run_as_a_whole_and_named_by_nobody_who_asks(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    with running(tmp_path / "s.db", "perdure_random_walk:model", installed) as server:
        url = server.url
        (model,) = httpx.get(f"{url}/models").json()["managers"].values()
        assert (model["engine"], model["inputs"]) == ("random_walk", {"wind": 0.0, "names": None})
        assert model["constants"] == {"wind": 0.0}
        assert model["elements"] == {"input": ["wind", "names"], "output": ["mean", "spread", "places"]}
        assert httpx.get(f"{url}/scenarios").json() == {"smWalk": ["base"]}
        listed = _post(url, "/equations", {"scenarioManager": "smWalk", "scenario": "base"})
        assert listed == {
            "stocks": [],
            "flows": [],
            "converters": ["mean", "places", "spread"],
            "constants": ["names", "wind"],
            "points": [],
        }
        body = {"scenario_managers": ["smWalk"], "scenarios": ["base"], "equations": ["mean"]}
        settings = {"smWalk": {"base": {"constants": {"wind": 2.0}, "runspecs": {"stoptime": 3}}}}
        whole = _post(url, "/run", {**body, "settings": settings})["smWalk"]["base"]["equations"]["mean"]
        assert list(whole) == ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0"]
        new = {"kind": "session", "scenarios": {"smWalk": ["base"]}}
        for wrong in ({**new, "engine": "python_json"}, {**new, "config": {"walkers": 9}}):
            assert httpx.post(f"{url}/runs", json=wrong).status_code == 422
        run = _post(url, "/runs", new)["id"]
        for refused, says in (
            ({"constants": {"winds": 1.0}}, "Did you mean"),
            ({"inputs": {"names": ["one"]}}, "There are 5 walkers"),
            ({"points": {"wind": [[0, 1]]}}, "a step takes constants and inputs"),
        ):
            answer = httpx.post(f"{url}/runs/{run}/steps", json={"settings": {"smWalk": {"base": refused}}})
            assert answer.status_code == 422 and says in answer.text, answer.text

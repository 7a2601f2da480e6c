"""A server whose owners may run no code: experiments and tasks are a 403 on every route to them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.experiment_runs import scripted
from tests.support.served import served

NETWORK = {"kind": "task", "task": "stable_configurations", "input": {"network": "a\na*\n"}}
SCRIPT = "open('ran', 'w').close()\n"


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store in which a former server, that allowed it, left an experiment paused."""
    folder = tmp_path_factory.mktemp("server")
    with served(folder) as server, server.client() as client:
        return folder, scripted(client, "left", SCRIPT)


@pytest.fixture(scope="module")
def client(left: tuple[Path, str]) -> Iterator[httpx.Client]:
    with served(left[0], allow_experiments="false", allow_tasks="false") as server, server.client() as it:
        yield it


def refused(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 403, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_runs_of_both_kinds_are_refused_and_the_setting_is_named(client: httpx.Client) -> None:
    before = client.get("/runs").json()
    for body, setting in (
        ({"kind": "experiment", "experiment": "left"}, "PERDURE_ALLOW_EXPERIMENTS"),
        (NETWORK, "PERDURE_ALLOW_TASKS"),
        ({"kind": "task", "task": "unknown", "input": {}}, "PERDURE_ALLOW_TASKS"),
    ):
        error = refused(client.post("/runs", json=body))["error"]
        assert error["code"] == "kind_not_allowed"
        assert setting in error["message"]
    assert client.get("/runs").json() == before
    assert client.get("/tasks").json() == {"tasks": []}


def test_dialects_refuse_them_in_their_own_shapes(client: httpx.Client) -> None:
    nrp = refused(client.post("/simulation", json={"experimentID": "left"}))
    assert (nrp["type"], nrp["data"]) == ("Client error", "kind_not_allowed")
    stable = refused(client.post("/task", json={"monomers": [["a"]], "gen_count": 1, "constraints": []}))
    assert stable["status"] == "Forbidden"
    assert "PERDURE_ALLOW_TASKS" in stable["message"]


def test_what_was_left_waits_and_can_be_stopped(left: tuple[Path, str], client: httpx.Client) -> None:
    path = f"/runs/{left[1]}"
    assert (
        refused(client.put(f"{path}/state", json={"state": "started"}))["error"]["code"] == "kind_not_allowed"
    )
    refused(client.post(f"{path}/fork", json={"savepoint": 0}))
    assert client.get(path).json()["state"] == "paused"
    assert client.put(f"{path}/state", json={"state": "stopped"}).json()["state"] == "stopped"
    assert "ran" not in [file["path"] for file in client.get(f"{path}/files").json()["files"]]
    assert client.delete(path).status_code == 204


def test_sessions_go_on_as_ever(client: httpx.Client) -> None:
    made = client.post("/runs", json={"kind": "session", "scenarios": {"bath": ["base"]}})
    assert made.status_code == 201
    assert client.post(f"/runs/{made.json()['id']}/steps").status_code == 200

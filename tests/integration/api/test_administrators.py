"""An administrator's token: what the Unix socket may, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.support.in_process import Client, in_process

from perdure.settings import Settings

SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}}
ADA, GRACE = ({"headers": {"Authorization": f"Bearer {it}"}} for it in ("one", "two"))


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    tokens = {"ada": (SecretStr("one"),), "grace": (SecretStr("two"),)}
    settings = Settings(store="memory://", tokens=tokens, administrators=("grace",))
    with in_process(settings) as made:
        yield made


def test_an_administrator_sees_and_changes_every_owners_runs(client: Client) -> None:
    run = client.post("/runs", json=SESSION, **ADA).json()["id"]
    assert client.post(f"/runs/{run}/steps", **GRACE).status_code == 200
    assert run in [it["id"] for it in client.get("/runs", **GRACE).json()["runs"]]
    assert client.get("/runs?owner=ada", **GRACE).json()["runs"]
    assert client.request("DELETE", f"/runs/{run}", **GRACE).status_code == 204


def test_what_an_administrator_makes_is_her_own(client: Client) -> None:
    run = client.post("/runs", json=SESSION, **GRACE).json()
    assert run["owner"] == "grace"
    assert client.get(f"/runs/{run['id']}", **ADA).status_code == 404


def test_an_administrator_may_check_and_back_up_the_store_and_others_may_not(
    client: Client, tmp_path: Path
) -> None:
    folder = {"folder": str(tmp_path / "backup")}
    for path, body in (("/check", {}), ("/backup", folder)):
        refused = client.post(path, json=body, **ADA)
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "administrator_only"
    assert not (tmp_path / "backup").exists()
    assert client.post("/check", **GRACE).json() == {"problems": [], "repaired": []}
    assert client.post("/backup", json=folder, **GRACE).status_code == 201


def test_an_administrator_is_one_in_the_dialects_too(client: Client) -> None:
    instance = client.post("/start-instance", **ADA).json()["instance_uuid"]
    begin = {"scenario_managers": ["bath"], "scenarios": ["base"], "equations": ["water"]}
    assert client.post(f"/{instance}/begin-session", json=begin, **GRACE).status_code == 200
    assert client.post(f"/{instance}/run-step", **GRACE).status_code == 200
    task = client.post("/task", json={"monomers": "a", "constraints": ""}, **ADA)
    assert task.status_code < 300, task.text
    assert client.get("/simulation", **GRACE).json() == []

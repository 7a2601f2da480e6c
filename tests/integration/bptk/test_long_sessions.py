"""A long session can be read as a whole, however many values one request may ask for."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bptk_servers import CONFIGURATIONS
from tests.support.small import bath, catalogue_of

from perdure.api.app import create_app
from perdure.bptk import BptkServer, FileAdapter
from perdure.dialects.bptk import json_stream
from perdure.dialects.bptk.client import BptkClient, InProcess
from perdure.settings import Settings
from perdure.stores.sqlite import SqliteStore

STEPS = 400
SESSION = {"scenario_managers": ["bath"], "scenarios": ["base"], "equations": ["water", "inflow"]}


@pytest.fixture(params=CONFIGURATIONS)
def client(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BptkClient]:
    monkeypatch.setenv("PERDURE_MAX_VALUES_PER_REQUEST", "100")
    catalogue = catalogue_of(bath())
    if request.param == "perdure serve":
        store = SqliteStore(tmp_path / "perdure.db")
        client = BptkClient(InProcess(create_app(store, catalogue, Settings(), on_closed=store.close)))
    else:
        adapter = None if request.param == "memory" else FileAdapter("compressed" in request.param, tmp_path)
        server = BptkServer("tests", lambda: catalogue, adapter, None, "externalized" in request.param)
        client = server.test_client()
    with client as opened:
        yield opened


@pytest.mark.parametrize("piece", [1, 1 << 16])
def test_all_that_was_acknowledged_is_read(
    client: BptkClient, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "PIECE", piece)  # a long answer, or an ordinary one
    instance = client.post("/start-instance").get_json()["instance_uuid"]
    assert client.get(f"/{instance}/session-results").get_json() == {}
    client.post(f"/{instance}/begin-session", json=SESSION)
    assert client.get(f"/{instance}/flat-session-results").get_json() == {}
    many = {"settings": {}, "numberSteps": 50}
    assert client.post(f"/{instance}/run-steps", json={**many, "numberSteps": 51}).status_code == 422
    steps = [
        step["bath"]["base"]
        for _ in range(STEPS // 50)
        for step in client.post(f"/{instance}/run-steps", json=many).get_json()
    ]
    for name in ("water", "inflow"):
        expected = {time: value for step in steps for time, value in step[name].items()}
        assert len(expected) == STEPS
        answer = client.get(f"/{instance}/session-results")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.get_json()["bath"]["base"]["equations"][name] == expected
        flat = client.get(f"/{instance}/flat-session-results").get_json()
        assert flat["bath"]["base"]["equations"][name] == list(expected.values())
    saved = client.get("/save-state")
    assert saved.status_code in (200, 409)  # without an adapter there is nothing to save to
    for entry in saved.get_json() if saved.status_code == 200 else ():
        assert entry["step"] == STEPS
        results = entry["state"]["results_log"]
        assert [json.dumps(results[f"{at}.0"]["bath"]["base"]) for at in range(STEPS)] == list(
            map(json.dumps, steps)
        )

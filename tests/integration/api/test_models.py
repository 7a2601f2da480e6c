"""Models over HTTP: what sessions can be made of, whatever it is called; and the service's metrics."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import httpx
from tests.support.in_process import in_process
from tests.support.served import catalogue


def test_managers_are_listed_with_all_that_a_client_needs(client: httpx.Client) -> None:
    managers = client.get("/models").json()["managers"]
    assert managers.keys() == {"bath", "Ж/ü %2F", "extremes"}
    assert client.get("/models").json()["unusable"] == {}
    bath = managers["bath"]
    assert bath["model"] == "bath"
    times = {"starttime": 0.0, "stoptime": 1000.0, "dt": 1.0, "timestep": 1.0}
    assert bath["run_specs"] == {**times, "method": "euler"}
    assert bath["scenarios"]["full"]["constants"] == {"tap": 9.0}
    assert bath["elements"] == {
        "stock": ["water"],
        "flow": ["inflow", "outflow"],
        "constant": ["tap", "leak"],
    }
    assert bath["constants"] == {"tap": 2.0, "leak": 0.1}
    assert bath["points"] == {"curve": [[0.0, 0.0], [10.0, 1.0]]}
    assert bath["units"] == {}
    assert bath["problems"] == []


def test_units_of_a_manager_are_answered_with_its_model() -> None:
    models = catalogue()
    units = {"water": "litres", "time": "minutes"}
    models.register_scenario_manager({"bath": {"units": units, "scenarios": {"slow": {}}}})
    with in_process(models=models) as client:
        assert client.get("/models/bath").json()["units"] == units


def test_a_manager_is_read_by_any_name(client: httpx.Client) -> None:
    found = client.get(f"/models/{quote('Ж/ü %2F', safe='')}")
    assert found.json() == client.get("/models").json()["managers"]["Ж/ü %2F"]
    missing = client.get("/models/baht")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "scenario_not_found"
    assert "Did you mean 'bath'?" in missing.json()["error"]["message"]


def test_metrics_count_steps(client: httpx.Client, run: str) -> None:
    def steps() -> float:
        found = re.search(r"^perdure_steps_total (\S+)$", client.get("/metrics").text, re.MULTILINE)
        assert found is not None
        return float(found[1])

    before = steps()
    client.post(f"/runs/{run}/steps", json={"steps": 3})
    assert steps() == before + 3
    assert client.get("/metrics").headers["Content-Type"].startswith("text/plain")


def test_a_manager_that_cannot_be_served_is_listed_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "crowd.json").write_text(json.dumps({"smCrowd": {"type": "abm", "scenarios": {"base": {}}}}))
    models = catalogue()
    models.load(tmp_path)
    with in_process(models=models) as client:
        found = client.get("/models").json()
        assert found["unusable"].keys() == {"smCrowd"}
        assert "bath" in found["managers"]
        for answer in (
            client.get("/models/smCrowd"),
            client.post("/runs", json={"kind": "session", "scenarios": {"smCrowd": ["base"]}}),
        ):
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (404, "manager_unusable")
            assert found["unusable"]["smCrowd"] in error["message"]

"""Models whose file says how often results are kept: runs, sessions and routes answer that often."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.in_process import in_process
from tests.support.xmile_models import flow, model_of, stock

from perdure.engines.system_dynamics import Model, simulate
from perdure.scenarios import Catalogue

SAVED = [0.0, 1.5, 3.0]  # every 1.5, of the dt 0.25
LEVELS = [1.0, 7.0, 13.0]  # the stock gains 4 in a unit of time
SCENARIOS: dict[str, Any] = {"base": {}, "coarse": {"runspecs": {"dt": 1.0}}}


@pytest.fixture
def model(tmp_path: Path) -> Model:
    found = model_of(
        tmp_path, stock("level", "1", into="gain") + flow("gain", "4"), start=0.0, stop=3.0, dt=0.25
    )
    found.save_every = 1.5
    return found


@pytest.fixture
def models(model: Model) -> Catalogue:
    catalogue = Catalogue()
    catalogue.register_model(model, "sm", SCENARIOS)
    return catalogue


def test_a_bulk_run_answers_at_the_save_interval_and_every_dt_that_does_not_divide_it(
    model: Model, models: Catalogue
) -> None:
    results: Any = models.run_scenarios(equations="level", return_format="dict")
    assert results["sm"]["base"]["equations"]["level"] == dict(zip(SAVED, LEVELS, strict=True))
    assert [*results["sm"]["coarse"]["equations"]["level"]] == [0.0, 1.0, 2.0, 3.0]
    assert [*model.simulate("level")["level"].items()] == [*zip(SAVED, LEVELS, strict=True)]
    assert simulate(model, {"outputs": ["level"], "timestep": 0.75})[0] == [0.0, 0.75, 1.5, 2.25, 3.0]


def test_a_session_steps_by_the_save_interval_unless_it_asks_for_another(models: Catalogue) -> None:
    new = {"kind": "session", "scenarios": {"sm": ["base"]}, "outputs": ["level"]}
    with in_process(models=models) as client:
        run_specs = client.get("/models").json()["managers"]["sm"]["run_specs"]
        assert (run_specs["dt"], run_specs["timestep"], run_specs["method"]) == (0.25, 1.5, "euler")
        found = {}
        for name, asked in (("own", {}), ("other", {"dt": 0.75})):
            run = client.post("/runs", json={**new, **asked}).raise_for_status().json()
            client.post(f"/runs/{run['id']}/steps", json={"steps": 3}).raise_for_status()
            results = client.get(f"/runs/{run['id']}/results").raise_for_status().json()["results"]
            found[name] = results["sm"]["base"]
            assert run["specs"]["sm"]["base"]["timestep"] == asked.get("dt", 1.5)
    assert (found["own"]["time"], found["own"]["values"]["level"]) == (SAVED, LEVELS)
    assert (found["other"]["time"], found["other"]["values"]["level"]) == ([0.0, 0.75, 1.5], [1.0, 4.0, 7.0])


def test_a_later_interval_or_method_of_the_file_does_not_change_a_session(
    model: Model, models: Catalogue
) -> None:
    config = models.scenario("sm", "base").config(["level"], seed=0)
    before = simulate(model, config)
    model.save_every, model.method = None, "rk4"
    assert simulate(model, config) == before
    assert (config["timestep"], config["method"]) == (1.5, "euler")


def test_the_routes_of_bptk_run_at_the_save_interval_and_step_as_bptk_does(models: Catalogue) -> None:
    body = {"scenario_managers": ["sm"], "scenarios": ["base"], "equations": ["level"]}
    with in_process(models=models) as client:
        run = client.post("/run", json=body).raise_for_status().json()["sm"]["base"]
        assert run["equations"]["level"] == {"0.0": 1.0, "1.5": 7.0, "3.0": 13.0}
        finer = {"sm": {"base": {"runspecs": {"dt": 1.0}}}}
        run = client.post("/run", json={**body, "settings": finer}).raise_for_status().json()["sm"]["base"]
        assert [*run["equations"]["level"]] == ["0.0", "1.0", "2.0", "3.0"]
        instance = client.post("/start-instance").raise_for_status().json()["instance_uuid"]
        client.post(f"/{instance}/begin-session", json=body).raise_for_status()
        steps = [client.post(f"/{instance}/run-step", json={"settings": {}}).json() for _ in range(2)]
        assert [step["sm"]["base"]["level"] for step in steps] == [{"0.0": 1.0}, {"1.0": 5.0}]

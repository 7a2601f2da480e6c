"""Requests that set a constant of a scenario in another spelling than the scenario does."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.in_process import in_process
from tests.support.xmile_models import aux, model_of

from perdure.bptk import bptk
from perdure.errors import InvalidOverride
from perdure.scenarios import Catalogue

SCENARIOS = {"base": {"constants": {"Growth Rate": 3}}}
TWICE = {"Growth_Rate": 5, "growth rate": 6}


@pytest.fixture
def models(tmp_path: Path) -> Catalogue:
    catalogue = Catalogue()
    catalogue.register_model(
        model_of(tmp_path, aux("Growth Rate", "2") + aux("y", "Growth Rate*10")), "sm", SCENARIOS
    )
    return catalogue


def test_a_session_and_a_run_begin_with_the_constants_of_the_request(models: Catalogue) -> None:
    asked = {"scenario_managers": ["sm"], "scenarios": ["base"], "equations": ["y"]}
    with in_process(models=models) as client:
        instance = client.post("/start-instance").raise_for_status().json()["instance_uuid"]

        def answers(constants: dict[str, float]) -> list[Any]:
            body = {**asked, "settings": {"sm": {"base": {"constants": constants}}}}
            return [client.post(path, json=body) for path in ("/run", f"/{instance}/begin-session")]

        run, begun = answers({"growth_rate": 5})
        assert set(run.raise_for_status().json()["sm"]["base"]["equations"]["y"].values()) == {50.0}
        begun.raise_for_status()
        step = client.post(f"/{instance}/run-step", json={"settings": {}}).raise_for_status().json()
        assert [*step["sm"]["base"]["y"].values()] == [50.0]
        for refused in answers(TWICE):
            assert refused.status_code in (400, 422)
            assert "is the same name in another spelling" in refused.text


def test_programs_set_a_constant_of_a_scenario_by_any_spelling(tmp_path: Path) -> None:
    made: Any = bptk()
    made.register_model(
        model_of(tmp_path, aux("Growth Rate", "2") + aux("y", "Growth Rate*10")), "sm", SCENARIOS
    )
    scenario = made.get_scenario("sm", "base")
    assert scenario.get_property_value("growth_rate") == 3
    scenario.set_property_value("growth_rate", 7.0)
    assert made.run_scenarios(["base"], ["sm"], equations=["y"])["y"].tolist() == [70.0] * 5
    with pytest.raises(InvalidOverride, match="is the same name in another spelling"):
        made.register_scenarios({"two": {"constants": TWICE}}, "sm")
    made.destroy()

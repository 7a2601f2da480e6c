"""What is registered is copied and frozen: a list that changes later changes no scenario."""

from typing import Any

import numpy as np
import pytest

from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics import functions as sd
from perdure.scenarios import Catalogue, Scenario
from perdure.scenarios.system_dynamics import SystemDynamicsModel


def looked_up() -> Model:
    model = Model(starttime=0.0, stoptime=2.0, dt=1.0, name="table")
    model.points["table"] = [[0.0, 1.0], [2.0, 1.0]]
    factor = model.constant("factor")
    factor.equation = 1.0
    model.converter("y").equation = sd.lookup(sd.time(), "table") * factor
    return model


def answers(catalogue: Catalogue, manager: str = "smTable") -> dict[str, list[float]]:
    found = catalogue.run_scenarios(scenario_managers=manager, equations="y", return_format="dict")
    assert isinstance(found, dict)
    return {name: list(each["equations"]["y"].values()) for name, each in found[manager].items()}


def test_one_list_changed_between_three_registrations_gives_three_tables() -> None:
    catalogue, table = Catalogue(), [[0.0, 1.0], [2.0, 1.0]]
    constants = {"factor": 1.0}
    catalogue.register_model(looked_up())
    for number in (1, 2, 3):
        table[0][1] = table[1][1] = float(number)
        constants["factor"] = 10.0**number
        definition = {"points": {"table": table}, "constants": constants}
        catalogue.register_scenarios({f"s{number}": definition}, "smTable")
    assert answers(catalogue) == {"base": [1.0] * 3, "s1": [10.0] * 3, "s2": [200.0] * 3, "s3": [3000.0] * 3}


@pytest.mark.parametrize("make", [list, tuple, np.array], ids=["list", "tuple", "array"])
def test_base_values_are_those_that_were_registered(make: Any) -> None:
    table = [[0.0, 4.0], [2.0, 4.0]]
    given = make(table)
    definition: dict[str, Any] = {
        "model": looked_up(),
        "base_points": {"table": given},
        "base_constants": {"factor": 2.0},
        "scenarios": {"before": {}},
    }
    catalogue = Catalogue()
    catalogue.register_scenario_manager({"m": definition})
    table[0][1] = 9.0
    if not isinstance(given, tuple):
        given[1][1] = 9.0
    definition["base_points"]["table"] = [[0.0, 9.0]]
    definition["base_constants"]["factor"] = 9.0
    catalogue.register_scenarios({"after": {}}, "m")
    assert answers(catalogue, "m") == {"before": [8.0] * 3, "after": [8.0] * 3}


def test_a_scenario_cannot_be_changed() -> None:
    run_specs, constants, points = {"stoptime": 5.0}, {"factor": 1.0}, {"table": [[0.0, 1.0]]}
    model = looked_up()
    scenario = Scenario(
        "m", "s", SystemDynamicsModel(model), model.fingerprint(), constants, points, run_specs
    )
    config = scenario.config(["y"], seed=0)
    run_specs["stoptime"], constants["factor"], points["table"][0][1] = 6.0, 2.0, 2.0
    points["other"] = []
    assert scenario.config(["y"], seed=0) == config
    parts: list[Any] = [scenario.constants, scenario.points, scenario.run_specs]
    for part in parts:
        with pytest.raises(TypeError):
            part["new"] = 1.0
    with pytest.raises(TypeError):
        scenario.points["table"][0][1] = 3.0


def test_a_registered_model_stays_as_it_was() -> None:
    catalogue, model = Catalogue(), looked_up()
    catalogue.register_model(model)
    fingerprint = catalogue.manager("smTable").fingerprint
    model.points["table"] = [[0.0, 7.0]]
    model.constant("factor").equation = 7.0
    model.converter("y").equation = 7.0
    model.converter("new").equation = 7.0
    model.stoptime = 9.0
    catalogue.register_scenarios({"later": {}}, "smTable")
    assert answers(catalogue) == {"base": [1.0] * 3, "later": [1.0] * 3}
    assert "new" not in catalogue.scenario("smTable", "later").model.elements
    assert catalogue.scenario("smTable", "later").fingerprint == fingerprint
    catalogue.register_model(model, scenario_manager="again")
    assert answers(catalogue, "again") == {"base": [7.0] * 10}

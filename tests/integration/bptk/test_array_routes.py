"""Cells of arrays over BPTK's routes: listed, run, set in a step, and refused as a whole."""

from collections.abc import Iterator

import pytest

from perdure.bptk import BptkServer, Model, bptk
from perdure.dialects.bptk.client import BptkClient


def factory() -> bptk:
    model = Model(starttime=0.0, stoptime=3.0, dt=1.0, name="shops")
    price, stock, sales = model.constant("price"), model.stock("stock"), model.flow("sales")
    price.setup_named_vector({"north": 4.0, "south": 5.0})
    stock.setup_named_vector({"north": 64.0, "south": 32.0})
    sales.equation = stock * 0.5
    stock.equation = -sales
    model.converter("revenue").equation = sales.dot(price)
    made = bptk()
    made.register_model(
        model, scenario_manager="sm", scenario={"base": {}, "dear": {"constants": {"price[north]": 8.0}}}
    )
    return made


@pytest.fixture
def client() -> Iterator[BptkClient]:
    with BptkServer(__name__, factory).test_client() as made:
        yield made


def test_cells_are_listed_beside_their_arrays(client: BptkClient) -> None:
    listed = client.post("/equations", json={"scenarioManager": "sm", "scenario": "base"}).get_json()
    assert listed["stocks"] == ["stock", "stock[north]", "stock[south]"]
    assert listed["constants"] == ["price", "price[north]", "price[south]"]


def test_scenarios_set_cells_and_results_name_them(client: BptkClient) -> None:
    body = {
        "scenario_managers": ["sm"],
        "scenarios": ["base", "dear"],
        "equations": ["revenue", "stock[south]"],
    }
    found = client.post("/run", json=body).get_json()["sm"]
    assert found["base"]["equations"]["revenue"]["0.0"] == 32.0 * 4.0 + 16.0 * 5.0
    assert found["dear"]["equations"]["revenue"]["0.0"] == 32.0 * 8.0 + 16.0 * 5.0
    assert found["dear"]["equations"]["stock[south]"]["3.0"] == 4.0


def test_a_step_of_a_session_sets_a_cell(client: BptkClient) -> None:
    instance = client.post("/start-instance").get_json()["instance_uuid"]
    body = {"scenario_managers": ["sm"], "scenarios": ["base"], "equations": ["revenue", "price[south]"]}
    assert client.post(f"/{instance}/begin-session", json=body).status_code == 200
    client.post(f"/{instance}/run-step", json={"settings": {}})
    settings = {"settings": {"sm": {"base": {"constants": {"price[south]": 0.0}}}}}
    answer = client.post(f"/{instance}/run-step", json=settings).get_json()
    assert answer["sm"]["base"]["revenue"] == {"1.0": 16.0 * 4.0}
    wrong = {"settings": {"sm": {"base": {"constants": {"price": 0.0}}}}}
    refused = client.post(f"/{instance}/run-step", json=wrong)
    assert refused.status_code == 422
    assert "it is an array; set its cells, price[north], price[south]" in refused.get_json()["error"]


def test_an_array_as_a_whole_has_no_values(client: BptkClient) -> None:
    body = {"scenario_managers": ["sm"], "scenarios": ["base"], "equations": ["stock"]}
    refused = client.post("/run", json=body)
    assert refused.status_code == 404
    assert "stock[north]" in refused.get_json()["error"]

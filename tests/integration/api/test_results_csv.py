"""Results as CSV in a spreadsheet: names are text there, numbers are numbers."""

import csv
import io

import pytest

from perdure.api.app import create_app
from perdure.dialects.bptk.client import BptkClient, InProcess
from perdure.engines.system_dynamics import Model
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "＝", "＠"])
def test_names_that_begin_like_a_formula_are_quoted_as_text_and_numbers_are_not(first: str) -> None:
    name = f"{first}HYPERLINK(1)"
    output = name if first != "@" else "-HYPERLINK(1)"  # no element's name begins with @
    model = Model(starttime=-1.0, stoptime=3.0, dt=1.0, name="m")
    stock = model.stock(output)
    stock.initial_value = -5.0
    stock.equation = -1.0
    calm = model.converter("calm")
    calm.equation = stock * 1.0
    made = Catalogue()
    made.register_model(model, scenario_manager=name, scenario={name: {}, "calm": {}})
    with BptkClient(InProcess(create_app(MemoryStore(), made, Settings()))) as client:
        new = {"kind": "session", "scenarios": {name: [name, "calm"]}, "outputs": [output, "calm"]}
        run = client.post("/runs", json=new).get_json()["id"]
        assert client.post(f"/runs/{run}/steps").status_code == 200
        text = client.get(f"/runs/{run}/results?format=csv").data.decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [
        ["step", "manager", "scenario", "time", f"'{output}", "calm"],
        ["1", f"'{name}", f"'{name}", "-1.0", "-5.0", "-5.0"],
        ["1", f"'{name}", "calm", "-1.0", "-5.0", "-5.0"],
    ]

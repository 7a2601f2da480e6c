"""Scenarios on models from XMILE files, as BPTK-Py has them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from perdure.cli import app
from perdure.cli.models import load_catalogue
from perdure.engines.system_dynamics import Model, simulate
from perdure.engines.system_dynamics.json_writing import document_of
from perdure.errors import InvalidOverride, ModelError
from perdure.scenarios import Catalogue

FIXTURES = Path(__file__).parents[2] / "fixtures" / "sd_models"
SIR = FIXTURES.parent / "sir" / "sir.stmx"
TEACUP = FIXTURES / "samples" / "teacup" / "teacup.stmx"


@pytest.fixture
def tea(tmp_path: Path) -> Catalogue:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tea.stmx").write_bytes(TEACUP.read_bytes())
    (tmp_path / "scenarios").mkdir()
    scenarios = {
        "base": {},
        "cold": {"constants": {"roomTemperature": "2+3*4"}},
        "still": {"constants": {"teacupTemperature": 100, "heatLossToRoom": 1}},
    }
    definition = {"source": "models/tea.stmx", "model": "simulation_models/tea", "scenarios": scenarios}
    (tmp_path / "scenarios" / "tea.json").write_text(json.dumps({"smTea": definition}))
    catalogue = Catalogue()
    catalogue.load(tmp_path / "scenarios")
    assert not catalogue.unusable
    return catalogue


def last_of(catalogue: Catalogue, scenario: str, element: str) -> float:
    results: Any = catalogue.run_scenarios(scenario, "smTea", element, return_format="dict")
    values: dict[float, float] = results["smTea"][scenario]["equations"][element]
    return values[30.0]


def test_a_source_in_a_scenario_file_is_the_model_with_the_names_of_bptk(tea: Catalogue) -> None:
    assert set(tea.scenario("smTea", "base").elements) == {
        "teacupTemperature",
        "heatLossToRoom",
        "characteristicTime",
        "roomTemperature",
    }
    assert last_of(tea, "base", "teacupTemperature") == pytest.approx(75.374001)


def test_a_constant_may_be_an_equation_of_numbers(tea: Catalogue) -> None:
    assert last_of(tea, "cold", "roomTemperature") == 14.0
    with pytest.raises(ModelError, match="is no number and no equation of numbers"):
        tea.register_scenarios({"bad": {"constants": {"roomTemperature": "import os"}}}, "smTea")


def test_a_scenario_may_make_a_constant_of_any_variable(tea: Catalogue) -> None:
    assert last_of(tea, "still", "teacupTemperature") == 100.0
    assert last_of(tea, "still", "heatLossToRoom") == 1.0
    assert last_of(tea, "base", "teacupTemperature") == pytest.approx(75.374001)
    still, base = (tea.scenario("smTea", name) for name in ("still", "base"))
    assert still.fingerprint != base.fingerprint
    with pytest.raises(InvalidOverride, match="a constant is a finite number"):
        tea.register_scenarios({"bad": {"constants": {"roomTemperature": None}}}, "smTea")


def test_a_model_file_is_registered_by_its_path_and_served_with_its_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tea.stmx").write_bytes(TEACUP.read_bytes())
    monkeypatch.chdir(tmp_path)
    catalogue = Catalogue()
    catalogue.register_model("tea.stmx", "smTea")
    assert "teacupTemperature" in catalogue.scenario("smTea", "base").elements
    served = load_catalogue("tea.stmx")
    (manager,) = served
    assert "teacup temperature" in {name.lower() for name in served.scenario(manager.name, "base").elements}


def test_a_model_file_is_checked_from_the_command_line() -> None:
    good = CliRunner().invoke(app, ["models", "check", str(TEACUP)])
    assert good.exit_code == 0
    assert "0 to 30 Time, steps of 0.125, euler" in good.output
    bad = FIXTURES / "tests" / "subscript_subranges" / "test_subscript_subrange.xmile"
    listed = CliRunner().invoke(app, ["models", "check", str(bad), "--json"])
    assert listed.exit_code == 1
    assert json.loads(listed.output)["problems"] == [
        "line 60: Subrange Vals: 'Subrange_of_Dim1' is no element of the dimension 'dim1'",
    ]


def test_a_vensim_source_keeps_the_names_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "tea.mdl").write_bytes(TEACUP.with_suffix(".mdl").read_bytes())
    (tmp_path / "scenarios").mkdir()
    scenarios = {"base": {}, "cold": {"constants": {"Room Temperature": "2+3*4"}}}
    (tmp_path / "scenarios" / "tea.json").write_text(
        json.dumps({"smTea": {"source": "tea.mdl", "scenarios": scenarios}})
    )
    catalogue = Catalogue()
    catalogue.load(tmp_path / "scenarios")
    assert not catalogue.unusable
    assert last_of(catalogue, "base", "Teacup Temperature") == pytest.approx(75.374, rel=1e-4)
    assert last_of(catalogue, "cold", "Room Temperature") == 14.0


def test_serving_a_vensim_file_and_checking_it(tmp_path: Path) -> None:
    path = tmp_path / "tea.mdl"
    path.write_bytes(TEACUP.with_suffix(".mdl").read_bytes())
    served = load_catalogue(str(path))
    (manager,) = served
    assert "Teacup Temperature" in served.scenario(manager.name, "base").elements
    answer = CliRunner().invoke(app, ["models", "check", str(path)])
    assert (answer.exit_code, answer.output.splitlines()[:2]) == (
        0,
        ["tea.mdl: tea", "0 to 30 Minute, steps of 0.125, euler"],
    )
    path.write_text("a = DELAY CONVEYOR(1,2,3,4,5,6) ~~|\nb = nobody ~~|\n")
    answer = CliRunner().invoke(app, ["models", "check", str(path)])
    assert answer.exit_code == 1
    assert "can't be served: line 1: a: DELAY CONVEYOR isn't supported" in answer.output
    assert "can't be served: line 2: b: there is no variable 'nobody'" in answer.output


def test_a_json_model_is_converted_served_checked_and_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    converted = CliRunner().invoke(app, ["models", "convert", str(SIR), "sir.json"])
    assert converted.exit_code == 0, converted.output
    served = load_catalogue("sir.json")
    (manager,) = served
    original = Model.from_xmile(SIR)
    assert manager.fingerprint == original.fingerprint()
    assert {*served.scenario(manager.name, "base").elements} == {*original.outputs}
    shown = CliRunner().invoke(app, ["models", "check", "sir.json"])
    assert (shown.exit_code, shown.output.splitlines()[1]) == (0, "0 to 40, steps of 0.25, euler")
    back = CliRunner().invoke(app, ["models", "convert", "sir.json", "sir.xmile"])
    assert back.exit_code == 0, back.output
    infectious = {"outputs": ["infectious"]}
    assert simulate(Model.from_xmile("sir.xmile"), infectious) == simulate(original, infectious)

    (tmp_path / "scenarios").mkdir()
    scenarios = {"base": {}, "still": {"constants": {"infectious": "50*2"}}}
    (tmp_path / "scenarios" / "sir.json").write_text(
        json.dumps({"smTea": {"source": "sir.json", "scenarios": scenarios}})
    )
    catalogue = Catalogue()
    catalogue.load(tmp_path / "scenarios")
    assert not catalogue.unusable
    assert last_of(catalogue, "base", "infectious") == simulate(original, infectious)[1]["infectious"][120]
    assert last_of(catalogue, "still", "infectious") == 100.0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{\n"specs": oops}', "line 2: it is no JSON: Expecting value"),
        (b"\xff\xff", "it is no JSON: 'utf-8' codec"),
        (b"[" * 100_000, "it is no JSON: maximum recursion depth"),
        (b"[]", "Model is an object, not []."),
        (
            b'{"specs": {"starttime": 0, "stoptime": 1, "dt": 1}, "entities":'
            b' {"flows": [{"name": "f", "equation": {"type": "ref", "name": "g"}}]}}',
            "The equation of 'f' uses 'g', which the model doesn't define.",
        ),
        (
            b'{"specs": {"starttime": 0, "stoptime": 1, "dt": 1, "timestep": "daily"}, "entities": {}}',
            "Model.specs.timestep is a finite number, not 'daily'.",
        ),
    ],
)
def test_what_is_wrong_with_a_json_model_is_a_problem_of_its_file(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(content)
    shown = CliRunner().invoke(app, ["models", "check", str(path), "--json"])
    assert shown.exit_code == 1
    (found,) = json.loads(shown.output)["problems"]
    assert found.casefold().startswith(problem.casefold())


def test_a_json_model_keeps_its_save_interval(tmp_path: Path) -> None:
    model = Model.from_xmile(SIR)
    model.save_every = 0.5
    path = tmp_path / "sir.json"
    path.write_text(json.dumps(document_of(model)))
    read = Model.from_file(path)
    assert read.save_every == 0.5
    times, values = simulate(read, {"outputs": ["infectious"]})
    assert times[:2] == [0.0, 0.5]
    assert values == simulate(model, {"outputs": ["infectious"]})[1]

"""The catalogue: what can be registered, what is refused, and what bulk runs return."""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import structlog
from tests.support.small import bath

from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics import functions as sd
from perdure.errors import (
    Invalid,
    InvalidOverride,
    InvalidScenario,
    ModelError,
    OutputNotFound,
    ScenarioNotFound,
)
from perdure.examples import catalogue as examples
from perdure.scenarios import Catalogue
from perdure.scenarios.files import load_model


def with_bath(**scenarios: Any) -> Catalogue:
    catalogue = Catalogue()
    catalogue.register_scenario_manager({"bath": {"model": bath(stoptime=3.0), "scenarios": scenarios}})
    return catalogue


def test_a_model_is_registered_under_the_names_bptk_gives_it() -> None:
    catalogue = Catalogue()
    catalogue.register_model(bath())
    assert list(catalogue.managers) == ["smBath"]
    assert list(catalogue.manager("smBath").scenarios) == ["base"]
    catalogue.register_model(bath(), scenario_manager="tub", scenario={"hot": {"constants": {"tap": 9.0}}})
    assert catalogue.scenario("tub", "hot").constants == {"tap": 9.0}


@pytest.mark.parametrize(
    ("name", "manager"),
    [("SIR", "smSir"), ("Test Model", "smTest model"), ("ßeta", "smSseta"), ("", "sm"), ("x2Y", "smX2y")],
)
def test_a_manager_is_named_as_bptk_names_it(name: str, manager: str) -> None:
    catalogue, model = Catalogue(), bath()
    model.name = name
    catalogue.register_model(model)
    assert list(catalogue.managers) == [manager]


def test_a_scenario_goes_before_its_managers_base_values() -> None:
    catalogue = Catalogue()
    catalogue.register_scenario_manager(
        {
            "bath": {
                "model": bath(),
                "base_constants": {"tap": 1.0, "leak": 0.5},
                "scenarios": {"one": {}, "two": {"constants": {"tap": 7.0}}},
            }
        }
    )
    assert catalogue.scenario("bath", "one").constants == {"tap": 1.0, "leak": 0.5}
    assert catalogue.scenario("bath", "two").constants == {"tap": 7.0, "leak": 0.5}


def test_managers_may_span_files_and_take_scenarios_later() -> None:
    catalogue = with_bath(one={})
    catalogue.register_scenario_manager({"bath": {"scenarios": {"two": {}}}})
    catalogue.register_scenarios({"three": {}}, "bath")
    assert list(catalogue.manager("bath").scenarios) == ["one", "two", "three"]


def test_if_one_manager_is_wrong_none_is_registered() -> None:
    catalogue = with_bath(one={})
    wrong = {"constants": {"tap": "much"}}
    with pytest.raises(InvalidOverride):
        catalogue.register_scenario_manager(
            {
                "bath": {"base_constants": {"tap": 9.0}, "scenarios": {"two": {}}},
                "tub": {"model": bath(), "scenarios": {"fine": {}, "wrong": wrong}},
            }
        )
    assert list(catalogue.managers) == ["bath"]
    assert list(catalogue.manager("bath").scenarios) == ["one"]
    assert catalogue.manager("bath").base_constants == {}
    with pytest.raises(InvalidOverride):
        catalogue.register_scenarios({"two": {}, "wrong": wrong}, "bath")
    assert list(catalogue.manager("bath").scenarios) == ["one"]


def water(catalogue: Catalogue, manager: str = "bath") -> dict[str, list[float]]:
    found = catalogue.run_scenarios(scenario_managers=manager, equations="water", return_format="dict")
    assert isinstance(found, dict)
    return {name: list(each["equations"]["water"].values()) for name, each in found[manager].items()}


FILLING = {"slow": [5.0, 6.5, 7.85, 9.065], "fast": [5.0, 8.5, 11.65, 14.485]}


def test_a_scenario_registered_again_replaces_the_one_before() -> None:
    catalogue = with_bath(slow={}, other={"constants": {"tab": 1.0}})
    with structlog.testing.capture_logs() as logs:
        catalogue.register_scenarios({"slow": {"constants": {"tap": 4.0}}, "other": {}}, "bath")
    assert water(catalogue) == {"slow": FILLING["fast"], "other": FILLING["slow"]}
    assert catalogue.manager("bath").problems == []
    assert [(line["event"], line["scenario"]) for line in logs] == [
        ("scenario_replaced", "slow"),
        ("scenario_replaced", "other"),
    ]
    catalogue.register_scenario_manager({"bath": {"scenarios": {"slow": {}}}})
    assert water(catalogue) == {"slow": FILLING["slow"], "other": FILLING["slow"]}


def test_a_notebook_cell_can_be_run_twice() -> None:
    catalogue = Catalogue()
    for tap in (2.0, 4.0):
        catalogue.register_model(bath(stoptime=3.0), scenario_manager="bath", scenario={"slow": {}})
        catalogue.register_scenarios({"base": {}, "mine": {"constants": {"tap": tap}}}, "bath")
    assert water(catalogue) == dict.fromkeys(("slow", "base"), FILLING["slow"]) | {"mine": FILLING["fast"]}


def test_a_manager_registered_twice_keeps_its_model_and_takes_the_scenarios() -> None:
    catalogue = with_bath(slow={})
    before = catalogue.manager("bath").fingerprint
    other = bath(stoptime=3.0)
    other.constant("tap").equation = 100.0
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            catalogue.register_scenario_manager(
                {"bath": {"model": other, "scenarios": {"fast": {"constants": {"tap": 4.0}}}}}
            )
    assert water(catalogue) == FILLING
    assert catalogue.manager("bath").fingerprint == before
    kept = [line["problem"] for line in logs if line["event"] == "manager_kept"]
    assert len(kept) == 2
    assert catalogue.manager("bath").problems == kept[:1]
    assert "keeps the model that it was first registered with" in kept[0]


def test_a_model_that_was_changed_is_taken_when_it_is_registered_again() -> None:
    catalogue, model = Catalogue(), bath(stoptime=3.0)
    catalogue.register_model(model, "bath", {"slow": {}, "mine": {"constants": {"tap": 4.0}}})
    model.constant("tap").equation = 4.0
    assert water(catalogue)["slow"] == FILLING["slow"]
    catalogue.register_model(model, "bath")
    assert water(catalogue) == dict.fromkeys(("slow", "mine", "base"), FILLING["fast"])
    assert catalogue.scenario("bath", "slow").fingerprint == model.fingerprint()
    model.stoptime = 1.0
    catalogue.register_model(model, "bath")
    assert water(catalogue)["mine"] == FILLING["fast"][:2]


def test_a_second_definition_keeps_the_model_that_the_first_names(tmp_path: Path) -> None:
    for name in ("tub", "sink"):
        source = "from tests.support.small import bath\n\nmodel = bath()\n"
        (tmp_path / f"{name}.py").write_text(source)
    catalogue = Catalogue()
    catalogue.register_scenario_manager({"bath": {"model": "tub", "scenarios": {"1": {}}}}, folder=tmp_path)
    again = {"bath": {"model": "./tub.py", "scenarios": {"2": {}}}}
    catalogue.register_scenario_manager(again, folder=tmp_path)
    assert catalogue.manager("bath").problems == []
    for number, other in enumerate(("sink", "tests.support.small.bath"), 3):
        definition = {"bath": {"model": other, "scenarios": {str(number): {}}}}
        catalogue.register_scenario_manager(definition, folder=tmp_path)
        assert str(tmp_path / "tub.py") in catalogue.manager("bath").problems[-1]
    assert list(catalogue.manager("bath").scenarios) == ["1", "2", "3", "4"]


FUNCTION_IN_FILE = """from tests.support.small import bath


def half(model, t, x):
    return x / 2.0


def model():
    made = bath()
    made.converter("halved").equation = made.function("half", half)(made.stock("water"))
    return made
"""


def test_a_models_file_may_change_after_it_is_registered(tmp_path: Path) -> None:
    file = tmp_path / "tub.py"
    file.write_text(FUNCTION_IN_FILE)
    catalogue = Catalogue()
    catalogue.register_scenario_manager({"tub": {"model": "tub", "scenarios": {"1": {}}}}, folder=tmp_path)
    before = catalogue.scenario("tub", "1").fingerprint
    assert before == catalogue.manager("tub").fingerprint
    file.write_text(FUNCTION_IN_FILE.replace("2.0", "3.0"))
    catalogue.register_scenarios({"2": {}}, "tub")
    assert catalogue.scenario("tub", "2").fingerprint == before
    file.unlink()
    catalogue.register_scenarios({"3": {}}, "tub")
    assert catalogue.scenario("tub", "3").fingerprint == before
    assert catalogue.scenario("tub", "1").fingerprint == before


def test_a_model_that_cant_be_identified_is_refused_when_it_is_registered() -> None:
    model = bath()
    model.converter("odd").equation = model.function("lost", eval("lambda model, t: 1.0"))()
    catalogue = Catalogue()
    with pytest.raises(ModelError, match="can't be identified"):
        catalogue.register_model(model)
    assert list(catalogue) == []


def test_numbers_of_numpy_become_plain_floats() -> None:
    model = bath()
    model.run_specs(np.float64(0), np.int64(9), np.float32(0.5))
    model.points["curve"] = [[0.0, 0.0], [1.0, 1.0]]
    scenario = {
        "constants": {"tap": np.int64(3), "leak": np.float64(0.5)},
        "points": {"curve": np.array([[0, 1], [2, 3]])},
        "runspecs": {"stoptime": np.int32(5)},
    }
    catalogue = Catalogue()
    catalogue.register_model(model, scenario={"s": scenario})
    config = catalogue.scenario("smBath", "s").config(["water"], seed=1, timestep=np.float64(1.0))
    numbers = [config[key] for key in ("starttime", "stoptime", "dt", "timestep")]
    numbers += [
        *config["constants"].values(),
        *(number for pair in config["points"]["curve"] for number in pair),
    ]
    assert numbers == [0.0, 5.0, 0.5, 1.0, 3.0, 0.5, 0.0, 1.0, 2.0, 3.0]
    assert {type(number) for number in numbers} == {float}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(config)) == config


def test_any_name_works() -> None:
    names = ["1", "a/b", "größer α", " ", "../x", "a\nb"]
    catalogue = with_bath(**{name: {} for name in names})
    results = catalogue.run_scenarios(equations=["water"], return_format="dict")
    assert isinstance(results, dict)
    assert list(results["bath"]) == names
    streams = {catalogue.scenario("bath", name).stream for name in names}
    assert len(streams) == len(names)


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ({"scenarios": {}}, "no model"),
        ({"model": bath(), "scenario": {}}, "unknown key 'scenario'. Did you mean 'scenarios'"),
        ({"model": bath(), "type": "agents"}, "'agents'"),
        ({"model": bath(), "source": "x.stmx"}, "x.stmx"),
        ({"model": bath(), "scenarios": {"s": {"constant": {}}}}, "Did you mean 'constants'"),
        ({"model": bath(), "scenarios": {"s": 5}}, "not an object"),
        ({"model": bath(), "scenarios": {"s": {"constants": [1]}}}, "not an object"),
        ({"model": bath(), "scenarios": {"s": {"runspecs": {"step": 1}}}}, "unknown run specs: step"),
        ({"model": "no/such/file"}, "no model 'no/such/file'"),
        ({"model": "json.dumps_"}, "no 'dumps_'"),
        ({"model": "json.JSONDecoder"}, "not a Model"),
        ({"model": 5}, "the model of the manager 'bath' is 5"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_definition_is_refused_with_its_place(definition: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidScenario) as refused:
        Catalogue().register_scenario_manager({"bath": definition})
    assert words in str(refused.value)


def test_a_wrong_value_is_found_when_it_is_registered() -> None:
    with pytest.raises(InvalidOverride, match="'tap'"):
        with_bath(s={"constants": {"tap": "much"}})
    with pytest.raises(Invalid, match="dt"):
        with_bath(s={"runspecs": {"dt": -1.0}})


@pytest.mark.parametrize("table", [5, [5], [[0]], "ab", [["a", "b"]], None, {"0": 1}, []], ids=repr)
def test_points_that_are_none_are_refused(table: Any) -> None:
    model = bath()
    model.points["curve"] = [[0.0, 0.0], [1.0, 1.0]]
    with pytest.raises(InvalidOverride, match="'curve'"):
        Catalogue().register_model(model, scenario={"s": {"points": {"curve": table}}})


def test_a_constant_that_the_model_lacks_is_left_out_and_told() -> None:
    with structlog.testing.capture_logs() as logs:
        catalogue = with_bath(s={"constants": {"tab": 3.0}, "points": {"curve": [[0, 1]]}})
    assert catalogue.scenario("bath", "s").constants == {}
    problems = catalogue.manager("bath").problems
    assert "Did you mean 'tap'?" in problems[0]
    assert "'curve'" in problems[1]
    assert [line["problem"] for line in logs] == problems


def with_numbers() -> Model:
    model = Model(starttime=0.0, stoptime=2.0, dt=1.0, name="numbers")
    level, number, formula = model.stock("level"), model.converter("number"), model.converter("formula")
    level.initial_value = number * 10.0
    level.equation = model.flow("inflow")
    model.flow("inflow").equation = number + sd.delay(model, number, 1.0, 0.0)
    model.biflow("change").equation = 5.0
    number.equation = 2
    formula.equation = number * 1.0
    return model


def test_a_converter_that_is_a_number_is_set_as_a_constant_is() -> None:
    catalogue = Catalogue()
    catalogue.register_scenario_manager(
        {
            "m": {
                "model": with_numbers(),
                "base_constants": {"number": 3.0},
                "scenarios": {"base": {}, "set": {"constants": {"number": 4.0}}},
            }
        }
    )
    found = catalogue.run_scenarios(equations="level,formula", return_format="dict")
    assert isinstance(found, dict)
    values = {name: [list(v.values()) for v in s["equations"].values()] for name, s in found["m"].items()}
    assert values == {
        "base": [[30.0, 33.0, 39.0], [3.0, 3.0, 3.0]],
        "set": [[40.0, 44.0, 52.0], [4.0, 4.0, 4.0]],
    }
    assert catalogue.manager("m").problems == []


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("level", "a stock"),
        ("inflow", "a flow"),
        ("change", "a biflow"),
        ("formula", "a converter with a formula"),
    ],
)
def test_a_scenario_that_sets_another_element_is_told_what_that_is(name: str, what: str) -> None:
    catalogue = Catalogue()
    catalogue.register_model(with_numbers(), "m")
    with pytest.raises(InvalidOverride) as refused:
        catalogue.register_scenarios({"wrong": {"constants": {name: 1.0}}}, "m")
    assert f"{name!r} can't be set to 1.0: it is {what};" in str(refused.value)
    assert "the scenario 'wrong' of 'm'" in str(refused.value)


def test_many_constants_that_the_model_lacks_are_one_problem_with_their_number() -> None:
    constants = {f"tap{number}": 1.0 for number in range(40_000)}
    with structlog.testing.capture_logs() as logs:
        catalogue = with_bath(s={"constants": {**constants, "tap": 3.0}})
    assert catalogue.scenario("bath", "s").constants == {"tap": 3.0}
    (problem,) = catalogue.manager("bath").problems
    assert "40000 constants, 'tap0' first" in problem
    assert [line["problem"] for line in logs] == [problem]


def test_unknown_names_are_errors_with_the_nearest_one() -> None:
    catalogue = with_bath(slow={})
    with pytest.raises(ScenarioNotFound, match="Did you mean 'bath'"):
        catalogue.manager("bat")
    with pytest.raises(ScenarioNotFound, match="Did you mean 'slow'"):
        catalogue.scenario("bath", "slowly")
    with pytest.raises(ScenarioNotFound, match="Did you mean 'slow'"):
        catalogue.run_scenarios(scenarios="slo")
    with pytest.raises(OutputNotFound, match="Did you mean 'water'"):
        catalogue.run_scenarios(equations="waters")


def test_bulk_runs_return_what_is_asked_for_in_every_form() -> None:
    catalogue = with_bath(slow={}, fast={"constants": {"tap": 4.0}})
    tree = catalogue.run_scenarios("slow", "bath", "water,inflow", return_format="dict")
    assert tree == {
        "bath": {
            "slow": {
                "equations": {
                    "water": {0.0: 5.0, 1.0: 6.5, 2.0: 7.85, 3.0: 9.065},
                    "inflow": {0.0: 2.0, 1.0: 2.0, 2.0: 2.0, 3.0: 2.0},
                }
            }
        }
    }
    text = catalogue.run_scenarios("slow", "bath", "water", return_format="json")
    assert isinstance(text, str)
    assert json.loads(text)["bath"]["slow"]["equations"]["water"]["3.0"] == 9.065
    with pytest.raises(Invalid, match="df, dict, json"):
        catalogue.run_scenarios(return_format="xml")


def test_a_data_frame_has_time_as_its_index_and_plain_names_for_one_scenario() -> None:
    catalogue = with_bath(slow={}, fast={"constants": {"tap": 4.0}})
    one = catalogue.run_scenarios("slow", "bath", "water")
    assert isinstance(one, pd.DataFrame)
    assert list(one.columns) == ["water"]
    assert one.index.name == "t"
    assert list(one.index) == [0.0, 1.0, 2.0, 3.0]
    both = catalogue.run_scenarios(equations="water", series_names={"bath_fast_water": "hot"})
    assert isinstance(both, pd.DataFrame)
    assert list(both.columns) == ["bath_slow_water", "hot"]


def test_bulk_runs_depend_on_the_seed_alone() -> None:
    catalogue = examples()

    def run(**more: Any) -> Any:
        return catalogue.run_scenarios(equations="inventory", return_format="dict", **more)

    every = run(seed=5)
    alone = run(seed=5, scenario_managers="supply_chain", scenarios="uncertain")
    assert every["supply_chain"]["uncertain"] == alone["supply_chain"]["uncertain"]
    assert run(seed=6) != every


def test_scenario_files_are_read_with_models_beside_them(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    source = "from tests.support.small import bath\n\n\ndef simulation_model():\n    return bath()\n"
    (tmp_path / "models" / "tub.py").write_text(source)
    (tmp_path / "scenarios").mkdir()
    first = {"tub": {"type": "sd", "model": "models/tub", "scenarios": {"1": {}}}}
    (tmp_path / "scenarios" / "a.json").write_text(json.dumps(first))
    (tmp_path / "scenarios" / "b.json").write_text(json.dumps({"tub": {"scenarios": {"2": {}}}}))
    catalogue = Catalogue()
    catalogue.load(tmp_path / "scenarios")
    assert list(catalogue.manager("tub").scenarios) == ["1", "2"]
    assert load_model("tests.support.small.bath").fingerprint() == bath().fingerprint()


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": 1}', "[" * 100_000])
def test_a_file_that_is_no_scenario_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "wrong.json").write_text(content)
    with pytest.raises(InvalidScenario, match=r"wrong\.json"):
        Catalogue().load(tmp_path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def model(:\n", ["tub.py, line 1: SyntaxError"]),
        ("\nimport no_such_thing\n", ["tub.py, line 2: ModuleNotFoundError", "no_such_thing"]),
        ("def f():\n    return 1 / 0\n\n\nf()\n", ["tub.py, line 2: ZeroDivisionError: division by zero"]),
        ("def model():\n    return 1 / 0\n", ["tub.py, line 2: ZeroDivisionError"]),
        ("def model(needed): ...\n", ["TypeError", "needed"]),
        ("raise SystemExit(0)\n", ["tub.py, line 1: SystemExit"]),
        ("import json\njson.loads('{')\n", ["tub.py, line 2: JSONDecodeError"]),
    ],
)
def test_what_goes_wrong_in_a_models_file_is_told_with_its_place(
    tmp_path: Path, source: str, words: list[str]
) -> None:
    (tmp_path / "tub.py").write_text(source)
    modules = set(sys.modules)
    with pytest.raises(InvalidScenario) as refused:
        load_model("tub", tmp_path)
    for word in words:
        assert word in str(refused.value)
    if "def model" not in source:
        assert set(sys.modules) == modules


def test_a_unit_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidScenario, match="the unit of 'water' in the manager 'smBath' is 3, not a text"):
        Catalogue().register_scenario_manager({"smBath": {"model": bath(), "units": {"water": 3}}})

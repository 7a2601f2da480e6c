"""Models of any engine in the catalogue: what is refused, what is set, and what identifies them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.any_engines import Dying, Sealed, Summing
from tests.support.engine_models import catalogue_with, summing
from tests.support.small import bath

from perdure.cli.models import load_catalogue
from perdure.engines.python_script import PythonJsonEngine
from perdure.errors import InvalidOverride, InvalidRunSpecs, InvalidScenario, ModelChanged
from perdure.scenarios import Catalogue, EngineModel

SCRIPT = """
from nrp_core.engines.python_json import EngineScript
class Script(EngineScript):
    def runLoop(self, timestep_ns): pass
"""


def scripted(folder: Path, **given: Any) -> EngineModel:
    folder.mkdir(exist_ok=True)
    (folder / "a.py").write_text(SCRIPT)
    config = {"folder": str(folder), "script": "a.py"}
    return summing("python_json", config=config, **given)


def local_engine() -> type[Summing]:
    class Local(Summing): ...

    return Local


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"engine": "python_jsn"},
            r"no installed package has an engine 'python_jsn'\. Did you mean 'python_json'",
        ),
        ({"engine": "system_dynamics"}, "register a Model of system dynamics itself"),
        ({"engine": 7}, "is 7, not a class or its name"),
        ({"outputs": []}, "at least one output"),
        ({"outputs": "total"}, "is 'total', not a list of names"),
        ({"outputs": None}, "is None, not a list of names"),
        ({"inputs": ["rate"]}, r"is \['rate'\], not a mapping of names to values"),
        ({"config": [1]}, r"is \[1\], not a mapping"),
        ({"version": 2}, "is 2, not a text"),
        ({"upgrade": "later"}, "'later', no function"),
        ({"timeout": 0}, "is 0, not a positive number of seconds"),
        ({"timeout": float("nan")}, "not a positive number of seconds"),
        ({"outputs": [""]}, "names are text"),
        ({"name": ""}, "needs a name"),
        ({"config": {"seed": 1}}, "has 'seed', which is each session's own"),
        ({"config": {"a": {1, 2}}}, "isn't plain data"),
        ({"engine": local_engine(), "isolated": True}, "define it at the top of a module"),
        ({"engine": lambda: Summing(), "isolated": True}, "define it at the top of a module"),
    ],
)
def test_what_is_wrong_with_a_model_is_said_where_it_is_made(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidScenario, match=says):
        summing(**{"engine": Summing, **given})


def test_the_times_of_a_model_and_of_its_scenarios_are_checked() -> None:
    with pytest.raises(InvalidRunSpecs):
        summing(dt=0.0)
    for wrong in ({"dt": -1.0}, {"stoptime": -5.0}, {"method": "rk4"}):
        with pytest.raises(InvalidRunSpecs):
            catalogue_with(summing(), other={"runspecs": wrong})


def test_scenarios_set_inputs_in_place_of_the_models_and_constants_are_inputs_too() -> None:
    catalogue = catalogue_with(
        summing(),
        constants={"constants": {"rate": 2.0}},
        inputs={"constants": {"rate": 2.0}, "inputs": {"rate": [1, {"a": None}], "note": "x"}},
    )
    configs = {name: it.config(["total"], seed=0) for name, it in catalogue.manager("sum").scenarios.items()}
    assert configs["base"]["inputs"] == {"rate": 1.0}
    assert configs["constants"]["inputs"] == {"rate": 2.0}
    assert configs["inputs"]["inputs"] == {"rate": [1, {"a": None}], "note": "x"}
    assert all(config["constants"] == {} for config in configs.values())


def test_unknown_inputs_are_left_out_and_listed_and_wrong_ones_refused() -> None:
    catalogue = catalogue_with(summing(), other={"inputs": {"rat": 1.0}, "description": "kept"})
    (problem,) = catalogue.manager("sum").problems
    assert "sets the input 'rat', which the model doesn't have. Did you mean 'rate'?" in problem
    assert catalogue.scenario("sum", "other").others == {"description": "kept"}
    with pytest.raises(InvalidOverride, match="a constant is a finite number"):
        catalogue_with(summing(), other={"constants": {"rate": float("nan")}})
    with pytest.raises(InvalidScenario, match="unknown key 'input'"):
        catalogue_with(summing(), other={"input": {"rate": 1.0}})


def test_a_run_in_bulk_is_that_of_single_steps_also_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "deaths").write_text("0")
    config = {"dies_at": 3, "deaths": str(tmp_path / "deaths")}
    for model in (
        summing(stoptime=3.0),
        summing(Sealed, stoptime=3.0),
        summing(Dying, config=config, stoptime=3.0),
    ):
        catalogue = catalogue_with(model, faster={"constants": {"rate": 2.5}})
        results = catalogue.run_scenarios(equations="total", return_format="dict")["sum"]
        assert results["base"]["equations"]["total"] == {0.0: 0.0, 1.0: 1.0, 2.0: 2.0, 3.0: 3.0}
        assert list(results["faster"]["equations"]["total"].values()) == [0.0, 2.5, 5.0, 7.5]


def test_what_computes_a_model_identifies_it_and_its_times_and_inputs_do_not(tmp_path: Path) -> None:
    same = {
        summing(**given).fingerprint() for given in ({}, {"dt": 0.5}, {"inputs": {}}, {"outputs": ["total"]})
    }
    (tmp_path / "a.py").write_text("")
    others = {
        summing(Sealed).fingerprint(),
        summing(config={"begin": 1.0}).fingerprint(),
        summing(version="2").fingerprint(),
        summing("python_json", config={"folder": str(tmp_path), "script": "a.py"}).fingerprint(),
    }
    assert len(same) == 1 and len(others) == 4 and not same & others


def test_a_script_is_identified_by_the_files_of_its_folder_wherever_that_is(tmp_path: Path) -> None:
    one, other = scripted(tmp_path / "one"), scripted(tmp_path / "other")
    (tmp_path / "one" / "__pycache__").mkdir()
    (tmp_path / "one" / "__pycache__" / "a.pyc").write_text("x")
    assert one.fingerprint() == other.fingerprint()
    (tmp_path / "other" / "data.csv").write_text("1")
    assert other.fingerprint() == one.fingerprint()  # as it was when it was first asked for
    assert scripted(tmp_path / "other").fingerprint() != one.fingerprint()
    assert PythonJsonEngine.isolated and one.isolated


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"script": "a.py"}, "the config of 'sum' is wrong: KeyError: 'folder'"),
        ({"folder": "."}, "KeyError: 'script'"),
        ({"folder": ".", "script": "nowhere.py"}, "There is no script 'nowhere.py' in the folder '.'"),
    ],
)
def test_a_script_that_is_not_there_is_said_when_its_model_is_registered(
    config: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidScenario, match=says):
        catalogue_with(summing("python_json", config=config))


def test_an_engine_of_a_file_is_found_in_its_process_and_an_edited_one_refused(tmp_path: Path) -> None:
    file = tmp_path / "walk.py"
    text = """
from perdure.scenarios import EngineModel
class Walk:
    isolated = True
    finished = False
    def initialize(self, config): self.time = 0.0
    def validate(self, inputs): pass
    def step(self, inputs): self.time += 1.0; return {"place": 2.0 * self.time}
    def snapshot(self): return self.time
    def restore(self, state): self.time = state
    def close(self): pass
    time = 0.0
model = EngineModel(name="walk", engine=Walk, outputs=["place"], stoptime=2.0)
"""
    file.write_text(text)
    catalogue = Catalogue()
    catalogue.register_model(str(file))
    results = catalogue.run_scenarios(return_format="dict")["smWalk"]["base"]["equations"]
    assert list(results["place"].values()) == [2.0, 4.0, 6.0]
    file.write_text(text.replace("2.0 * self", "3.0 * self"))
    with pytest.raises(ModelChanged, match="'walk' has changed since it was registered"):
        catalogue.run_scenarios(return_format="dict")


def test_an_engine_without_a_source_needs_a_version() -> None:
    engine = type("Made", (Summing,), {"__module__": "nowhere_at_all"})
    with pytest.raises(InvalidScenario, match="has no source file; give the model a version"):
        summing(engine).fingerprint()
    assert summing(engine, version="1").fingerprint() != summing(engine, version="2").fingerprint()
    results = catalogue_with(summing(local_engine(), stoptime=1.0)).run_scenarios(return_format="dict")
    assert list(results["sum"]["base"]["equations"]["total"].values()) == [0.0, 1.0]


def test_it_is_registered_as_models_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = summing()
    catalogue = Catalogue()
    catalogue.register_model(model)
    catalogue.register_scenario_manager({"smSum": {"model": model, "scenarios": {"later": {}}}})
    assert list(catalogue.manager("smSum").scenarios) == ["base", "later"]
    catalogue.register_scenario_manager({"smSum": {"model": bath(), "scenarios": {}}})
    assert "keeps the model that it was first registered with" in catalogue.manager("smSum").problems[0]
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sum.py").write_text(
        "from tests.support.engine_models import summing\nmodel = summing(name='of a file')\n"
    )
    (tmp_path / "scenarios").mkdir()
    definition = {"m": {"model": "models/sum", "base_constants": {"rate": 4.0}, "scenarios": {"s": {}}}}
    (tmp_path / "scenarios" / "m.json").write_text(json.dumps(definition))
    loaded = Catalogue()
    loaded.load(tmp_path / "scenarios")
    assert loaded.scenario("m", "s").config([], seed=0)["inputs"] == {"rate": 4.0}
    module = tmp_path / "served_models.py"
    module.write_text(
        "from tests.support.engine_models import summing\nmodels = [summing(name='a'), summing(name='b')]\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert list(load_catalogue(f"{module}:models").managers) == ["smA", "smB"]

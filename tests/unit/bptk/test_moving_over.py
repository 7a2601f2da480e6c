"""What programs of BPTK-Py's users call besides the main names: they run with only the import changed."""

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import structlog
from tests.support.programs import run_program

from perdure.bptk import Model, bptk
from perdure.bptk import sd_functions as sd
from perdure.errors import Invalid, InvalidOverride, MissingExtra, ModelError, ScenarioNotFound


def growth() -> Model:
    model = Model(starttime=0.0, stoptime=2.0, dt=1.0, name="growth")
    size, births, rate = model.stock("size"), model.flow("births"), model.constant("rate")
    size.initial_value = 8.0
    size.equation = births
    births.equation = size * rate
    rate.equation = 0.5
    return model


@pytest.fixture
def made() -> Iterator[Any]:
    one = bptk()
    one.register_model(growth())
    one.register_scenarios({"fast": {"constants": {"rate": 1.0}}}, "smGrowth")
    yield one
    one.destroy()


# Names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        "from perdure.bptk.bptk import bptk\nbptk()",
        "from perdure.bptk.bptk import bptk\nfrom perdure.bptk import bptk as again\nassert bptk is again",
        "from perdure.bptk import bptk\nimport perdure.bptk.bptk\nassert perdure.bptk.bptk is bptk",
        "import perdure.bptk as BPTK_Py\nBPTK_Py.bptk(); BPTK_Py.Model(); BPTK_Py.sd_functions.time()",
        "from perdure.bptk import *\nbptk(), Model(), sd_functions.time(), Module, Agent, BptkServer",
        "from perdure.bptk.server import BptkServer\nBptkServer('x')",
        "from perdure.bptk.externalstateadapter import FileAdapter, ExternalStateAdapter",
        "from perdure.bptk.sddsl import Module\nfrom perdure.bptk.modeling import Model, Agent",
    ],
)
def test_the_ways_to_import_work(program: str) -> None:
    ended = run_program(program)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "program",
    [
        "from perdure.bptk.externalstateadapter import FileAdapter",
        "from perdure.bptk.sddsl import Module",
        "from perdure.bptk.modeling import Model, Agent",
    ],
)
def test_a_module_may_be_the_first_that_a_new_interpreter_imports(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_name_that_is_nowhere_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="nothing"):
        exec("from perdure.bptk.bptk import nothing", {})


# Models -----------------------------------------------------------------------------------------------------


def test_a_models_elements_are_its_equations() -> None:
    model = growth()
    assert sorted(model.equations) == ["births", "rate", "size"]
    assert model.equations["size"](2.0) == model.memoize("size", 2.0) == model.equation("size", 2.0) == 18.0


@pytest.mark.parametrize("backend", [None, "python", "rust"])
def test_either_engine_may_be_asked_for(backend: str | None) -> None:
    assert list(growth().simulate(["size"], backend=backend)["size"]) == [8.0, 12.0, 18.0]
    with pytest.raises(Invalid, match="julia"):
        growth().simulate("size", backend="julia")


def test_flows_and_converters_take_an_initial_value_that_has_no_effect() -> None:
    model = growth()
    model.biflow("b").equation = model.converter("c").equation = 1.0
    with structlog.testing.capture_logs() as lines:
        for element in (
            model.flow("births"),
            model.biflow("b"),
            model.converter("c"),
            model.constant("rate"),
        ):
            assert element.initial_value == 0.0
            element.initial_value = 7.0
            assert element.initial_value == 7.0
    assert [line["event"] for line in lines] == ["initial_value_without_effect"] * 4
    assert list(model.simulate("size")["size"]) == [8.0, 12.0, 18.0]
    with pytest.raises(ModelError, match="bool"):
        model.flow("births").initial_value = True


@pytest.mark.parametrize("elementwise", [True, False])
def test_functions_take_elementwise(elementwise: bool) -> None:
    model = growth()
    double = model.function("double", lambda view, t, x: 2.0 * x, elementwise=elementwise)
    model.converter("twice").equation = double(model.stock("size"))
    assert model.converter("twice")(1.0) == 24.0
    assert model.function("again", lambda view, t: 1.0, False)() is not None


def test_the_mean_of_exprnd_may_be_called_l() -> None:
    drawn = []
    for mean in (sd.exprnd(l=2.0), sd.exprnd(2.0), sd.exprnd(mean=2.0)):
        model = Model(starttime=0.0, stoptime=3.0, dt=1.0, name="draws")
        model.converter("wait").equation = mean
        drawn.append(list(model.simulate("wait")["wait"]))
    assert drawn[0] == drawn[1] == drawn[2]
    for wrong in ({}, {"mean": 1.0, "l": 1.0}, {"k": 1.0}):
        with pytest.raises(ModelError, match=r"exprnd\(l=2\.0\)"):
            sd.exprnd(**wrong)


# Runs and scenarios -----------------------------------------------------------------------------------------


def test_calls_with_positions_only_mean_what_they_mean_in_bptk(made: Any) -> None:
    names = {"smGrowth_fast_size": "quick"}
    frame = made.run_scenarios(
        ["base", "fast"], ["smGrowth"], [], [], [], [], ["size"], names, False, "df", "rust"
    )
    assert list(frame.columns) == ["smGrowth_base_size", "quick"]
    made.begin_session(["fast"], ["smGrowth"], {}, [], [], [], [], [], ["size"], 0.0, 1.0, "python", 3)
    assert made.run_step() == {"smGrowth": {"fast": {"size": {0.0: 8.0}}}}
    assert made.get_scenarios(["smGrowth"], ["fast"], "sd").keys() == {"fast"}
    assert made.get_scenarios([], [], "abm") == {}
    with pytest.raises(Invalid, match="type"):
        made.get_scenarios([], [], "xyz")


def test_a_cache_that_is_reset_changes_nothing(made: Any) -> None:
    before = made.run_scenarios(equations="size", return_format="dict")
    made.reset_scenario_cache(scenario_manager="smGrowth", scenario="base")
    assert made.run_scenarios(equations="size", return_format="dict") == before
    with pytest.raises(ScenarioNotFound):
        made.reset_scenario_cache("smGrowth", "bose")


def test_scenarios_are_read_from_their_files_again_and_others_go(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "models" / "bath.py").write_text(
        "from perdure.bptk import Model\n"
        "model = Model(starttime=0.0, stoptime=1.0, dt=1.0, name='bath')\n"
        "model.constant('tap').equation = 2.0\n"
    )
    file = tmp_path / "scenarios" / "one.json"

    def write(tap: float) -> None:
        scenarios = {"base": {"constants": {"tap": tap}}}
        file.write_text(json.dumps({"smBath": {"model": "models/bath", "scenarios": scenarios}}))

    write(3.0)
    made = bptk(configuration={"scenario_storage": str(tmp_path / "scenarios")})
    made.register_model(growth())
    made.register_scenarios({"own": {}}, "smBath")
    write(4.0)
    assert made.get_scenario("smBath", "base").constants == {"tap": 3.0}
    made.reset_scenario("smBath", "base")
    assert made.get_scenario("smBath", "base").constants == {"tap": 4.0}
    made.reset_scenario("smBath", "own")
    assert made.get_scenario_names("smBath") == ["base"]
    with pytest.raises(ScenarioNotFound):
        made.reset_scenario("smBath", "own")
    write(5.0)
    made.reset_all_scenarios()
    assert made.get_scenario_names(format="dict") == {"smBath": ["base"]}
    assert made.get_scenario("smBath", "base").constants == {"tap": 5.0}
    made.begin_session(["base"], ["smBath"], equations=["tap"])
    assert made.run_step(flat=True) == {"smBath": {"base": {"tap": 5.0}}}
    made.destroy()


def test_exported_tables_have_a_row_for_each_scenario_and_time(made: Any, tmp_path: Path) -> None:
    tables = made.export_scenarios(
        "smGrowth",
        equations=["size", "births"],
        interactive_scenario="base",
        interactive_equations=["size"],
        interactive_settings={"rate": (0.0, 2.0, 1.0)},
    )
    assert list(tables) == ["scenario", "indicator", "interactive"]
    assert tables["scenario"].values.tolist() == [
        [8.0, 4.0, "base", 0.0],
        [12.0, 6.0, "base", 1.0],
        [18.0, 9.0, "base", 2.0],
        [8.0, 8.0, "fast", 0.0],
        [16.0, 16.0, "fast", 1.0],
        [32.0, 32.0, "fast", 2.0],
    ]
    assert list(tables["scenario"].columns) == ["size", "births", "scenario", "time"]
    assert tables["scenario"].index.name == "id"
    indicators = tables["indicator"]
    assert list(indicators.columns) == ["base", "fast", "indicator", "time"]
    assert indicators.values.tolist()[3] == [4.0, 8.0, "births", 0.0]
    assert tables["interactive"].values.tolist() == [
        [8.0, 0.0, 0.0],
        [8.0, 0.0, 1.0],
        [8.0, 0.0, 2.0],
        [8.0, 1.0, 0.0],
        [16.0, 1.0, 1.0],
        [32.0, 1.0, 2.0],
    ]
    assert made.get_scenario("smGrowth", "base").constants == {}
    assert made.export_scenarios("smGrowth", ["base"], ["size"], filename=tmp_path / "out.xlsx") is None
    book = openpyxl.load_workbook(tmp_path / "out.xlsx")
    assert book.sheetnames == ["scenario", "indicator", "interactive"]
    assert [cell.value for cell in book["scenario"][3]] == [1, 12, "base", 1]
    with pytest.raises(InvalidOverride):
        made.export_scenarios(
            "smGrowth", interactive_scenario="base", interactive_settings={"rte": (0.0, 1.0, 1.0)}
        )


@pytest.mark.parametrize(
    ("package", "extra", "call"),
    [
        ("pandas", "pandas", lambda made: made.run_scenarios(return_format="df")),
        ("openpyxl", "excel", lambda made: made.export_scenarios("smGrowth", filename="x.xlsx")),
    ],
)
def test_a_package_that_is_not_there_names_its_extra(
    made: Any, monkeypatch: pytest.MonkeyPatch, package: str, extra: str, call: Any
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    monkeypatch.setattr(
        "perdure.dialects.bptk.exporting.find_spec", lambda name: None if name == package else find(name)
    )
    with pytest.raises(MissingExtra, match=rf"perdure\[{extra}\]"):
        call(made)


def test_an_update_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    bptk.update()
    assert "pip install --upgrade perdure" in capsys.readouterr().out

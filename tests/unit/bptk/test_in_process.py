"""BPTK's names in this process: what a script or a notebook of a BPTK user calls."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import perdure.bptk
from perdure.bptk import Model, bptk
from perdure.bptk import sd_functions as sd
from perdure.errors import Invalid, InvalidOverride, OutputNotFound, ScenarioNotFound


def growth(dt: float = 1.0) -> Model:
    model = Model(starttime=1.0, stoptime=3.0, dt=dt, name="growth")
    size, rate = model.stock("size"), model.constant("rate")
    size.initial_value = 1.0
    size.equation = size * rate * sd.lookup(sd.time(), "season")
    rate.equation = 1.0
    model.points["season"] = [[0.0, 1.0], [10.0, 1.0]]
    return model


@pytest.fixture
def made() -> Iterator[Any]:
    one = bptk()
    one.register_model(growth(), scenario={"base": {}, "fast": {"constants": {"rate": 3.0}}})
    yield one
    one.destroy()


def begin(made: Any, **more: Any) -> None:
    made.begin_session(
        **{"scenarios": ["base"], "scenario_managers": ["smGrowth"], "equations": ["size"], **more}
    )


def test_a_session(made: Any) -> None:
    begin(made)
    assert made.progress() == 0.0
    assert made.run_step() == {"smGrowth": {"base": {"size": {1.0: 1.0}}}}
    settings = {"smGrowth": {"base": {"constants": {"rate": 0.5, "unknown": 1.0}}}}
    assert made.run_step(settings, flat=True) == {"smGrowth": {"base": {"size": 2.0}}}
    assert made.progress() == pytest.approx(2 / 3)
    assert made.run_step() == {"smGrowth": {"base": {"size": {3.0: 3.0}}}}
    assert made.run_step() == {"msg": "Stoptime reached"}
    assert made.progress() == 1.0
    assert made.session_results()[2.0] == {"smGrowth": {"base": {"size": {2.0: 2.0}}}}
    by_name = made.session_results(index_by_time=False)
    assert by_name == {"smGrowth": {"base": {"equations": {"size": {1.0: 1.0, 2.0: 2.0, 3.0: 3.0}}}}}
    flat = made.session_results(index_by_time=False, flat=True)
    assert flat == {"smGrowth": {"base": {"equations": {"size": [1.0, 2.0, 3.0]}}}}
    made.end_session()
    assert made.session_results() == {}
    assert made.run_step() is None
    assert made.progress() == 0.0


def test_a_session_replaces_the_former_one_and_begins_with_its_settings(made: Any) -> None:
    begin(made)
    made.run_step()
    made.lock()
    assert made.is_locked()
    begin(made, settings='{"smGrowth": {"base": {"constants": {"rate": 2.0}}}}', scenarios="base,fast")
    assert not made.is_locked()
    made.run_step()
    stepped = made.run_step(flat=True)
    assert stepped == {"smGrowth": {"base": {"size": 3.0}, "fast": {"size": 4.0}}}
    made.unlock()


def test_the_distance_of_answers() -> None:
    made = bptk()
    made.register_model(growth(dt=0.5))
    made.register_model(growth(dt=0.4), scenario_manager="odd")
    try:
        begin(made)
        times = [list(made.run_step()["smGrowth"]["base"]["size"]) for _ in range(3)]
        assert times == [[1.0], [2.0], [3.0]]
        begin(made, dt=0.5)
        assert [list(made.run_step()["smGrowth"]["base"]["size"]) for _ in range(2)] == [[1.0], [1.5]]
        begin(made, scenario_managers=["odd"])
        assert [list(made.run_step()["odd"]["base"]["size"]) for _ in range(2)] == [[1.0], [1.4]]
    finally:
        made.destroy()


def test_what_is_wrong_is_an_error_that_names_it(made: Any) -> None:
    for wrong, error in (
        ({"scenarios": ["bose"]}, ScenarioNotFound),
        ({"scenario_managers": ["smGrwth"]}, ScenarioNotFound),
        ({"equations": ["siz"]}, OutputNotFound),
        ({"equations": []}, Invalid),
        ({"agents": ["person"]}, OutputNotFound),
        ({"backend": "julia"}, Invalid),
        ({"starttime": 2.0}, Invalid),
        ({"settings": {"smGrowth": {"base": {"constants": {"rate": "1"}}}}}, InvalidOverride),
    ):
        with pytest.raises(error):
            begin(made, **wrong)
    begin(made)
    with pytest.raises(InvalidOverride):
        made.run_step({"smGrowth": {"base": {"constants": {"rate": float("nan")}}}})
    assert made.run_step(flat=True) == {"smGrowth": {"base": {"size": 1.0}}}


def test_whole_runs_and_listings(made: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made.register_scenarios({"slow": {"constants": {"rate": 0.5}}}, scenario_manager="smGrowth")
    made.register_scenario_manager({"other": {"model": growth(), "scenarios": {"base": {}}}})
    found = made.run_scenarios(
        scenarios="slow", scenario_managers="smGrowth", equations="size", return_format="dict"
    )
    assert found["smGrowth"]["slow"]["equations"]["size"] == {1.0: 1.0, 2.0: 1.5, 3.0: 2.25}
    assert made.get_scenario_names() == ["base", "fast", "slow", "base"]
    assert made.get_scenario_names("other", format="dict") == {"other": ["base"]}
    assert made.get_scenarios("smGrowth", ["base", "fast"]).keys() == {"base", "fast"}
    assert made.get_scenarios(scenarios="base").keys() == {"smGrowth_base", "other_base"}
    assert made.get_scenario("smGrowth", "fast").constants == {"rate": 3.0}
    made.list_scenarios("other")
    made.list_equations(["other"])
    printed = capsys.readouterr().out
    assert "*** other ***\n\tbase\n" in printed
    assert "\tstock:\tsize\n" in printed
    with pytest.raises(Invalid):
        made.get_scenario_names(format="tuple")


def test_scenario_files_are_registered(tmp_path: Path) -> None:
    (tmp_path / "simulation_models").mkdir()
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "simulation_models" / "bath.py").write_text(
        "from perdure.bptk import Model\n"
        "model = Model(starttime=0.0, stoptime=1.0, dt=1.0, name='bath')\n"
        "model.constant('tap').equation = 2.0\n"
    )
    (tmp_path / "scenarios" / "one.json").write_text(
        '{"smBath": {"model": "simulation_models/bath", "scenarios": {"base": {}}}}'
    )
    made = bptk(configuration={"scenario_storage": str(tmp_path / "scenarios"), "linewidth": 3})
    assert made.get_scenario_names(format="dict") == {"smBath": ["base"]}


def test_nothing_is_left_when_it_is_destroyed() -> None:
    before = set(threading.enumerate())
    made = bptk()
    made.register_model(growth())
    begin(made)
    made.run_step()
    assert len(threading.enumerate()) > len(before)
    made.destroy()
    made.destroy()
    for thread in set(threading.enumerate()) - before:  # those that are on their way out
        thread.join(timeout=30)
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended meanwhile


PROGRAM = """
import sys
from perdure.bptk import Model, BptkServer, bptk

def factory():
    model = Model(starttime=0.0, stoptime=1.0, dt=1.0, name="bath")
    model.constant("tap").equation = 2.0
    made = bptk()
    made.register_model(model)
    return made

made = factory()
made.begin_session(["base"], ["smBath"], equations=["tap"])
print(made.run_step(flat=True))
client = BptkServer("program", factory).test_client()
print(client.get("/scenarios").get_json())
"""


def test_a_program_that_closes_nothing_ends() -> None:
    ended = run_python(PROGRAM)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[0] == "{'smBath': {'base': {'tap': 2.0}}}"
    assert ended.stdout.splitlines()[-1] == "{'smBath': ['base']}"


def test_a_models_file_imports_neither_a_web_framework_nor_what_only_servers_use() -> None:
    others = "{'starlette', 'fastapi', 'uvicorn', 'httpx', 'anyio', 'pydantic', 'rich', 'structlog'}"
    ended = run_python(
        "import sys\n"
        "from perdure.bptk import Model, sd_functions\n"
        f"print({others} & sys.modules.keys())\n"
        "from perdure.bptk import bptk\n"
        "bptk()\n"
        f"print({others} & sys.modules.keys())\n"
    )
    assert ended.stdout.split() == ["set()", "set()"], ended.stderr


def test_the_face_has_what_the_issue_names_and_no_more() -> None:
    assert sorted(perdure.bptk.__all__) == dir(perdure.bptk)
    for name in perdure.bptk.__all__:
        assert getattr(perdure.bptk, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = perdure.bptk.nothing


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_version_is_perdures() -> None:
    assert perdure.bptk.__version__ == perdure.__version__


def test_a_level_of_logging_that_there_is_not_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(Invalid, match="loglevel is one of DEBUG, INFO, WARN, WARNING, ERROR, not 'LOUD'"):
        bptk(loglevel="LOUD")

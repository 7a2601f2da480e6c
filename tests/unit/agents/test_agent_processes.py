"""Which models of agents get a process of their own, and what keeps one from starting."""

import importlib
import os
import random
import re
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.support.bptk_agents import Town
from tests.support.engine_models import engine_processes

from perdure.bptk import DataCollector, SimultaneousScheduler
from perdure.dialects.bptk.agent_query import AgentQuery, series_of
from perdure.engines.reference import EngineReference
from perdure.errors import EvaluationFailed, Invalid, InvalidScenario, ModelChanged
from perdure.execution.isolated_engine import IsolatedEngine, engines_process
from perdure.execution.spare_processes import spares
from perdure.scenarios import Catalogue, Scenario
from perdure.state.codec import encode

TEXT = """
import random
from perdure.bptk import Agent, Model

class Walker(Agent):
    def initialize(self):
        self.agent_type, self.state, self.place = "walker", "walking", 0.0

    def act(self, time, round_no, step_no):
        self.place += random.random()

class Walk(Model):
    length = 0.0

    def instantiate_model(self):
        self.register_agent_factory("walker", lambda i, model, given: Walker(i, model, given))
        places = self.function("places", lambda model, t: sum(a.place + self.length for a in model.agents))
        self.converter("shown").equation = places()
"""
DEFINITION = {
    "runspecs": {"starttime": 1, "stoptime": 3, "dt": 1},
    "agents": [{"name": "walker", "count": 2}],
}


class Helper:
    """What isn't plain data."""


def scenario_of(model: Any, folder: Path | None = None, **more: Any) -> Scenario:
    made = Catalogue()
    definition = {"type": "abm", "model": model, "scenarios": {"base": DEFINITION}, **more}
    made.register_scenario_manager({"m": definition}, folder=folder)
    return made.scenario("m", "base")


def shown(scenario: Scenario) -> list[float]:
    """Return what a scenario answers in each step."""
    with closing(scenario.start(scenario.config(["shown"], seed=1))) as engine:
        assert isinstance(engine, IsolatedEngine) is scenario.model.isolated  # type: ignore[attr-defined]
        return [engine.step({})["shown"] for _ in range(3)]


def is_isolated(model: Any) -> bool:
    isolated: bool = town_of(model).model.isolated  # type: ignore[attr-defined]
    return isolated


def town_of(model: Any, **more: Any) -> Scenario:
    return scenario_of(model, scenarios={"base": {}}, **more)


def test_a_model_of_a_file_is_found_in_its_process_and_an_edited_one_refused(tmp_path: Path) -> None:
    file = tmp_path / "walk.py"
    file.write_text(TEXT + "model = Walk\n")
    scenario = scenario_of("walk", tmp_path)
    assert scenario.model.isolated  # type: ignore[attr-defined]
    assert len({*shown(scenario)}) == 3
    file.write_text(file.read_text().replace("random.random()", "2.0 * random.random()"))
    with pytest.raises(ModelChanged, match="'Walk' has changed since it was registered"):
        shown(scenario)


def test_outputs_and_errors_are_those_of_a_model_that_is_stepped_here(tmp_path: Path) -> None:
    text = TEXT.replace('"walker", "walking", 0.0', '"walker", 5, 0.0')  # a state that is a number
    failing = "    def end_round(self, time, *place): 1 / (3 - time)\n"
    (tmp_path / "walk.py").write_text(f"{text}{failing}model = Walk\n")
    scenario = scenario_of("walk", tmp_path)
    found = []
    for make in (scenario.model.make_engine, scenario.model.make_engine_here):  # type: ignore[attr-defined]
        with closing(make()) as engine:
            engine.initialize(scenario.config(["shown", "agents/walker"], seed=1))
            answers = [engine.step({}) for _ in range(2)]
            with pytest.raises(EvaluationFailed) as raised:
                engine.step({})
        found.append((encode(answers), str(raised.value)))
    assert found[0] == found[1]
    assert answers[0]["agents/walker"] == {5: 2}
    assert re.search(r"ZeroDivisionError: .*division by zero \(walk\.py, line 19\)\.$", found[0][1])


@pytest.mark.parametrize("state", ["'walking'", "5", "Way.SLOW"])
def test_complete_runs_have_a_process_too_and_answer_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    text = f"import enum\nclass Way(enum.Enum):\n    SLOW = 1\n{TEXT}".replace('"walking"', state)
    marked = text.replace(
        "class Walk(", "with open('processes', 'a') as file: file.write(f'{os.getpid()} ')\nclass Walk("
    )
    (tmp_path / "walk.py").write_text(f"import os\n{marked}model = Walk\n")
    monkeypatch.chdir(tmp_path)
    scenario = scenario_of("walk", tmp_path)
    model: Any = scenario.model
    config = scenario.config([], seed=1)
    starts, answers = [], []
    for here in (False, True):
        monkeypatch.setattr(engines_process, "here", here)
        starts.append(model.kinds_at_start(config))
        answers.append(model.run_config(config))
    assert starts[0] == starts[1]
    assert answers[0] == answers[1]
    assert answers[0][0] == 1.0 and [*answers[0][1]] == [1, 2, 3]
    assert [*starts[0]] == ["walker"] and len(starts[0]["walker"]["states"]) == 1
    assert len({*(tmp_path / "processes").read_text().split()}) == 3


BECOMING = """
    def act(self, time, round_no, step_no):
        with open({log!r}, "a") as file: file.write(f"{{os.getpid()}} ")
        if time > 1: self.state = {state}
"""


@pytest.mark.parametrize(
    ("state", "name"),
    [("Way.SLOW", "Way.SLOW"), ("Manner.CALM", "calm"), ("2.5", "2.5"), ("None", "None"), ("np.int8(3)", 3)],
)
def test_states_that_are_no_texts_are_answered_by_name_and_computed_once(
    tmp_path: Path, state: str, name: str | int
) -> None:
    log = str(tmp_path / "log")
    kinds = "class Way(enum.Enum):\n    SLOW = 1\nclass Manner(str, enum.Enum):\n    CALM = 'calm'\n"
    text = TEXT.replace("class Walk(", f"{BECOMING.format(log=log, state=state)}\nclass Walk(")
    (tmp_path / "walk.py").write_text(f"import enum, os\nimport numpy as np\n{kinds}{text}model = Walk\n")
    scenario = scenario_of("walk", tmp_path)
    model: Any = scenario.model
    _, collected = model.run_config(scenario.config([], seed=1))
    assert [{*found["walker"]} for found in collected.values()] == [{"walking"}, {name}, {name}]
    assert series_of(collected, AgentQuery(agents=["walker"], states=[name]), gaps=True) == {  # type: ignore[list-item]
        "walker": {name: {2: 2, 3: 2}}
    }
    pids = Path(log).read_text().split()
    assert len(pids) == 6 and len({*pids}) == 1 and int(pids[0]) != os.getpid()
    with closing(
        scenario.start(scenario.config(["agents/walker", f"agents/walker/{name}"], seed=1))
    ) as engine:
        engine.step({})
        found = engine.step({})
    assert found["agents/walker"] == {name: 2}
    assert found[f"agents/walker/{name}"] == (2 if isinstance(name, str) else 0)


def test_an_object_as_a_state_is_refused_by_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "walk.py").write_text(TEXT.replace('"walking"', "Walk") + "model = Walk\n")
    scenario = scenario_of("walk", tmp_path)
    with pytest.raises(Invalid, match=r"can't name the state <class .*Walk'> of agents"):
        scenario.model.run_config(scenario.config([], seed=1))  # type: ignore[attr-defined]
    with (
        closing(scenario.start(scenario.config(["agents/walker"], seed=1))) as engine,
        pytest.raises(Invalid, match="A state is a text, a number or a member"),
    ):
        engine.step({})


def test_agents_with_what_no_other_process_can_have_run_here(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    text = TEXT.replace("class Walk(", f"{BECOMING.format(log=log, state='5')}\nclass Walk(")
    (tmp_path / "walk.py").write_text(f"import os\n{text}model = Walk\n")
    given = {"helper": {"type": "Any", "value": Helper()}}
    definition = {**DEFINITION, "agents": [{"name": "walker", "count": 2, "properties": given}]}
    scenario = scenario_of("walk", tmp_path, scenarios={"base": definition})
    with capture_logs() as logged:
        assert scenario.model.run_config(scenario.config([], seed=1))[0] == 1.0  # type: ignore[attr-defined]
    assert [each["event"] for each in logged] == ["agents_run_in_the_servers_process"]
    assert {*map(int, Path(log).read_text().split())} == {os.getpid()}


def test_an_object_is_made_again_in_the_process_if_it_is_known_by_name(tmp_path: Path) -> None:
    (tmp_path / "walk.py").write_text(TEXT + "model = Walk(name='walk')\nmodel.length = 5.0\n")
    scenario = scenario_of("walk", tmp_path)
    assert scenario.model.isolated  # type: ignore[attr-defined]
    isolated = shown(scenario)
    assert min(isolated) > 10.0
    module = sys.modules[type(scenario.model.given).__module__]  # type: ignore[attr-defined]
    module.model.names = module.model.others = []  # which is one list
    given = scenario_of(module.model)
    assert not given.model.isolated  # type: ignore[attr-defined]
    assert shown(given) == isolated


def test_an_object_of_plain_data_is_made_again_from_its_class(tmp_path: Path) -> None:
    text = f"{TEXT.replace('self.length', 'self.numbers[3][0]')}model = Walk\n"
    (tmp_path / "walk.py").write_text(text)
    kind = scenario_of("walk", tmp_path).model.given  # type: ignore[attr-defined]
    numbers = {3: (5.0, np.arange(3), "text")}
    plain = kind(1, 3, dt=1, name="walk", scheduler=SimultaneousScheduler(), data_collector=DataCollector())
    plain.numbers, plain.others = numbers, [1, None]
    here = kind(name="walk")
    here.numbers, here.helper = numbers, Helper()
    found = [scenario_of(plain), scenario_of(here)]
    assert [each.model.isolated for each in found] == [True, False]  # type: ignore[attr-defined]
    for order, isolated in (("F", False), ("C", True)):
        here.numbers, here.helper = np.ones((2, 3), order=order), None  # type: ignore[call-overload]
        assert scenario_of(here).model.isolated is isolated  # type: ignore[attr-defined]
    plain.numbers[3] = 0.0  # what was registered is a copy
    assert shown(found[0]) == shown(found[1])
    assert min(shown(found[0])) > 10.0


def test_classes_that_no_other_process_can_import_are_stepped_here(monkeypatch: pytest.MonkeyPatch) -> None:
    class Local(Town):
        pass

    main = type("Main", (Town,), {"__module__": "__main__"})
    nowhere = ModuleType("a_module_without_a_file")
    monkeypatch.setitem(sys.modules, nowhere.__name__, nowhere)
    noted = nowhere.Noted = type("Noted", (Town,), {"__module__": nowhere.__name__})  # type: ignore[attr-defined]
    renamed = type("Renamed", (Town,), {"__module__": Town.__module__})
    assert [is_isolated(model) for model in (Local, main, noted, renamed)] == [False] * 4
    assert is_isolated(Town)


def test_an_engines_process_starts_no_others_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines_process, "here", True)
    assert not is_isolated(Town)


def test_a_process_that_has_imported_less_of_a_package_still_knows_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "walks_of_tests"
    package.mkdir()
    (package / "__init__.py").write_text("FACTOR = 2.0\n")
    (package / "others.py").write_text("def unused(): pass\n")
    (tmp_path / "walk.py").write_text("import walks_of_tests\n" + TEXT + "model = Walk\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("walks_of_tests.others")
    assert len(shown(scenario_of("walk", tmp_path))) == 3


def test_what_the_process_cannot_import_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WALKS_FOLDER", "somewhere")
    (tmp_path / "walk.py").write_text(f"import os\nos.environ['WALKS_FOLDER']\n{TEXT}model = Walk\n")
    with pytest.raises(
        InvalidScenario, match="process can't import the model 'Walk': KeyError: 'WALKS_FOLDER'"
    ):
        shown(scenario_of("walk", tmp_path))


BUILDING = """
    def instantiate_model(self):
        super().instantiate_model()
        {act}

model = Built
"""


def building(folder: Path, *lines: str) -> Scenario:
    """Return the scenario of a model that does more when it is built."""
    text = BUILDING.format(act="\n        ".join(lines))
    (folder / "walk.py").write_text(
        f"import os, time\nfrom pathlib import Path\n{TEXT}\nclass Built(Walk):{text}"
    )
    return scenario_of("walk", folder)


def test_what_differs_from_one_construction_to_the_next_is_no_change_of_the_model(tmp_path: Path) -> None:
    lines = ["self.made_at = time.time()", "self.constant(f'drawn_{random.random()}').equation = 1.0"]
    lines.append("self.constant('drawn').equation = random.random()")
    scenario, again = building(tmp_path, *lines), scenario_of("walk", tmp_path)
    assert scenario.model.fingerprint() == again.model.fingerprint()
    assert len({*shown(scenario)}) == 3


def test_registering_a_model_draws_nothing_from_the_generators_of_the_program(tmp_path: Path) -> None:
    drawn, numbers = random.getstate(), encode(np.random.get_state()[1])
    building(tmp_path, "self.seen = 1.0")
    assert random.getstate() == drawn
    assert encode(np.random.get_state()[1]) == numbers


def test_the_order_of_terms_and_factors_is_no_change_of_the_model_but_that_of_others_is(
    tmp_path: Path,
) -> None:
    names = tmp_path / "names"
    lines = [
        *(f"{name} = self.constant({name!r})" for name in "abc"),
        "for each in (a, b, c): each.equation = 2.0",
        f"self.converter('sum').equation = eval(Path({str(names)!r}).read_text())",
    ]
    names.write_text("a + b * 2.0 * c + c")
    scenario = building(tmp_path, *lines)
    names.write_text("c + (a + c * b * 2.0)")
    assert len(shown(scenario)) == 3
    assert scenario_of("walk", tmp_path).model.fingerprint() == scenario.model.fingerprint()
    for other in ("a + b * 2.0 * c", "a + b + 2.0 * c + c", "a + b * 2.0 * c - c"):
        names.write_text(other)
        with pytest.raises(ModelChanged, match="builds it differently: the equation of 'sum'"):
            shown(scenario)
        assert scenario_of("walk", tmp_path).model.fingerprint() != scenario.model.fingerprint()
    names.write_text("a - b / c")
    scenario = building(tmp_path, *lines)
    names.write_text("b - a / c")
    with pytest.raises(ModelChanged, match="the equation of 'sum'"):
        shown(scenario)


def test_what_a_process_builds_differently_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WALKS_RATE", "7")
    scenario = building(
        tmp_path,
        "self.rate = float(os.environ.get('WALKS_RATE', '1'))",
        "self.points['curve'] = [[0.0, self.rate], [1.0, 2.0]]",
        "if self.rate > 1: self.only = 2",
    )
    with pytest.raises(ModelChanged) as raised:
        shown(scenario)
    assert "differently: the attribute 'only', the attribute 'rate', the points 'curve'." in str(raised.value)


def test_a_model_is_built_twice_when_it_is_registered_with_all_that_its_manager_says() -> None:
    built = []

    class Counted(Town):
        def instantiate_model(self) -> None:
            built.append(self)
            super().instantiate_model()

    scenario = scenario_of(Counted, timeout=5.0, scenarios={"base": {"runspecs": DEFINITION["runspecs"]}})
    assert scenario.model.outputs
    assert len(built) == 2


def test_a_timeout_is_a_positive_number_of_a_manager_of_agents() -> None:
    assert town_of(Town, timeout=2.5).model.timeout == 2.5  # type: ignore[attr-defined]
    assert town_of(Town, timeout=None).model.timeout is None  # type: ignore[attr-defined]
    for wrong in (0, -1.0, "2", float("inf")):
        with pytest.raises(InvalidScenario, match="not a positive number of seconds"):
            town_of(Town, timeout=wrong)
    made = Catalogue()
    with pytest.raises(InvalidScenario, match="only managers of agents have a timeout"):
        made.register_scenario_manager({"m": {"model": Town, "timeout": 2.0, "scenarios": {"base": {}}}})


def test_a_process_that_could_not_import_a_model_is_not_kept_and_the_next_one_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    failing = (
        f"from pathlib import Path\nif Path({str(mark)!r}).exists(): raise RuntimeError('no database')\n"
    )
    (tmp_path / "walk.py").write_text(f"{failing}{TEXT}model = Walk\n")
    scenario = scenario_of("walk", tmp_path)
    user = Helper()
    spares.open(user)
    try:
        mark.touch()
        with pytest.raises(InvalidScenario, match="RuntimeError: no database"):
            shown(scenario)
        assert engine_processes() == []
        mark.unlink()
        assert len(shown(scenario)) == 3
        assert len(engine_processes()) == 1
    finally:
        spares.close(user)


def test_a_file_whose_import_fails_is_imported_again_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "walk.py"
    file.write_text("1 / 0\n")
    reference = EngineReference(module="a_walk_of_tests", attribute="Walk", file=str(file))
    with pytest.raises(ZeroDivisionError):
        reference.load()
    file.write_text("class Walk: pass\n")
    assert reference.load().__name__ == "Walk"
    del sys.modules["a_walk_of_tests"]

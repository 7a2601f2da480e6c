"""Models that build themselves: subclasses with `instantiate_model`, their hooks, and what comes later."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure.bptk import DataCollector, Model, SimultaneousScheduler, bptk
from perdure.errors import Invalid, InvalidScenario
from perdure.scenarios import Catalogue


class Growth(Model):
    """A model as BPTK's tutorials write it, which counts how often it is built."""

    def __init__(self, name: str = "growth", scheduler: Any = None, data_collector: Any = None) -> None:
        super().__init__(0.0, 2.0, 1.0, name=name, scheduler=scheduler, data_collector=data_collector)
        self.built = 0

    def instantiate_model(self) -> None:
        self.built += 1
        size, rate = self.stock("size"), self.constant("rate")
        size.initial_value = 8.0
        size.equation = size * rate
        rate.equation = 0.5


class Learner(Growth):
    """Doubles its rate before each episode and remembers what came of it."""

    def __init__(self, name: str = "learner") -> None:
        super().__init__(name)
        self.log: list[tuple[str, int]] = []

    def begin_episode(self, episode_no: int) -> None:
        self.log.append(("begin", episode_no))
        self.constant("rate").equation = 2.0**episode_no

    def end_episode(self, episode_no: int) -> None:
        self.log.append(("end", episode_no))


@pytest.fixture
def made() -> Iterator[Any]:
    one = bptk()
    yield one
    one.destroy()


def last(made: Any, manager: str, scenario: str = "base") -> float:
    frame = made.run_scenarios(scenario, manager, equations="size", return_format="df")
    return float(frame["size"].iloc[-1])


def called_before() -> Model:
    model = Growth()
    model.instantiate_model()
    return model


@pytest.mark.parametrize(
    "given",
    [
        Growth,
        Growth(),
        called_before(),
        Growth(scheduler=SimultaneousScheduler(), data_collector=DataCollector()),
    ],
    ids=["class", "object", "called before", "with scheduler"],
)
def test_a_models_hook_builds_its_elements_once(made: Any, given: Any) -> None:
    made.register_scenario_manager({"smBuilt": {"model": given, "scenarios": {"base": {}}}})
    made.register_scenarios({"fast": {"constants": {"rate": 1.0}}}, "smBuilt")
    assert last(made, "smBuilt") == 18.0
    assert last(made, "smBuilt", "fast") == 32.0
    scenario = made.get_scenario("smBuilt", "base")
    assert scenario.model.built == 1
    assert list(scenario.model.stocks) == ["size"]
    made.register_scenario_manager({"smBuilt": {"model": given, "scenarios": {"more": {}}}})
    assert last(made, "smBuilt", "more") == 18.0


def test_a_class_can_be_registered_as_a_model(made: Any) -> None:
    made.register_model(Growth)
    made.register_model(Growth("other"))
    assert made.get_scenario_names(format="dict") == {"smGrowth": ["base"], "smOther": ["base"]}
    assert last(made, "smGrowth") == last(made, "smOther") == 18.0


CLASSES = """
    from perdure.bptk import Model

    class Bath(Model):
        def __init__(self, {parameters}):
            super().__init__(0.0, 1.0, 1.0, name="bath")

        def instantiate_model(self):
            self.constant("tap").equation = 2.0
"""


@pytest.mark.parametrize(
    "parameters", ["name", "name, scheduler, data_collector", "**given", "data_collector=None, size=1"]
)
def test_a_class_is_named_by_its_path_from_the_projects_folder(
    tmp_path: Path, parameters: str, request: pytest.FixtureRequest
) -> None:
    package = f"models_{abs(hash(request.node.name))}"
    (tmp_path / package).mkdir()
    (tmp_path / "scenarios").mkdir()
    (tmp_path / package / "bath.py").write_text(textwrap.dedent(CLASSES).format(parameters=parameters))
    managers = {"smBath": {"model": f"{package}.bath.Bath", "scenarios": {"base": {}}}}
    (tmp_path / "scenarios" / "one.json").write_text(json.dumps(managers))
    catalogue = Catalogue()
    catalogue.load(tmp_path / "scenarios")
    found: Any = catalogue.run_scenarios(return_format="dict")
    assert found["smBath"]["base"]["equations"]["tap"] == {0.0: 2.0, 1.0: 2.0}


def test_what_a_hook_raises_is_told_with_its_place(made: Any) -> None:
    class Broken(Model):
        def instantiate_model(self) -> None:
            raise ValueError("no water")

    with pytest.raises(InvalidScenario, match=r"test_model_subclasses\.py, line \d+: ValueError: no water"):
        made.register_model(Broken(0.0, 1.0, 1.0, "broken"))


# Training ---------------------------------------------------------------------------------------------------


def test_training_gives_a_row_for_each_episode_and_leaves_what_was_learnt(made: Any) -> None:
    given = Learner()
    made.register_model(given)
    frame = made.train_scenarios(["base"], ["smLearner"], 3, equations=["size", "rate"], return_df=True)
    assert list(frame.index) == [0, 1, 2]
    assert frame.to_dict("list") == {"size": [32.0, 72.0, 200.0], "rate": [1.0, 2.0, 4.0]}
    assert last(made, "smLearner") == 200.0
    trained = made.get_scenario("smLearner", "base").model
    assert trained.log == [(what, n) for n in range(3) for what in ("begin", "end")]
    assert given.log == []


def test_scenarios_are_trained_apart(made: Any) -> None:
    made.register_scenario_manager({"smL": {"model": Learner, "scenarios": {"a": {}, "b": {}, "c": {}}}})
    frame = made.train_scenarios("a,b", "smL", episodes=2, equations="size", return_df=True)
    assert frame.to_dict("list") == {"smL_a_size": [32.0, 72.0], "smL_b_size": [32.0, 72.0]}
    renamed = made.train_scenarios(
        "a,b", "smL", equations="size", return_df=True, series_names={"smL_a": "first"}
    )
    assert list(renamed.columns) == ["first_size", "smL_b_size"]
    assert last(made, "smL", "c") == 18.0


def test_training_is_drawn_unless_a_frame_is_asked_for(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    from matplotlib import pyplot

    made.register_model(Learner())
    before = set(pyplot.get_fignums())
    assert made.train_scenarios(["base"], ["smLearner"], 2, equations=["size"]) is None
    drawn = set(pyplot.get_fignums()) - before
    (axes,) = pyplot.figure(drawn.pop()).axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (
        "Training Results",
        "Episodes",
        "Results",
    )
    pyplot.close("all")
    with pytest.raises(Invalid, match="episodes"):
        made.train_scenarios(["base"], ["smLearner"], 0)


# What comes later -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["water.stmx", "models/Water.ITMX", "water.xmile"])
def test_a_missing_file_of_xmile_says_so(made: Any, name: str) -> None:
    with pytest.raises(InvalidScenario, match=f"{name} can't be read: No such file"):
        made.register_model(name, "smWater")
    with pytest.raises(InvalidScenario, match=f"{name} can't be read: No such file"):
        made.register_scenario_manager({"smWater": {"model": name}})


# Programs of the vendor's kind ------------------------------------------------------------------------------

PRELUDE = """
from perdure.bptk import *
from perdure.bptk import sd_functions as sd
BE = "python"
def sim(m, names, be=None):
    d = m.simulate(names, backend=be or BE)
    return {n: [float(x) for x in d[n]] for n in names}
def abm(cls, agents=(), run=(0, 3, 1), props=None, dc=None):
    m = cls(name="m", scheduler=SimultaneousScheduler(), data_collector=dc or DataCollector())
    m.instantiate_model()
    times = dict(zip(("starttime", "stoptime", "dt"), run))
    m.configure({"runspecs": times, "properties": props or {}, "agents": list(agents)})
    return m
class Worker(Agent):
    def initialize(self):
        self.agent_type = "worker"; self.state = "idle"
    def act(self, time, round_no, step_no):
        self.model.enqueue_event(Event("done", self.id, self.job))
class Shop(Model):
    def instantiate_model(self):
        self.register_agent_factory("worker", lambda i, m, p: Worker(i, m, p))
class Inner(Module):
    def __init__(self, model, name, parent=None):
        super().__init__(model, name, parent); self.out = self.converter("out")
    def initialize(self):
        g = self.constant("gain"); g.equation = 3.0; self.out.equation = g * 2.0
class Outer(Module):
    def __init__(self, model, name, parent=None):
        super().__init__(model, name, parent)
        self.level = self.stock("level"); self.inner = Inner(model, "inner", self)
    def initialize(self):
        self.inner.initialize(); f = self.flow("f"); f.equation = self.inner.out
        self.level.initial_value = 1.0; self.level.equation = f
"""


def test_a_program_with_modules_and_classes_of_agents_runs_with_its_import_changed() -> None:
    names: dict[str, Any] = {}
    exec(PRELUDE, names)
    model = names["Model"](0.0, 2.0, 1.0, "mod")
    outer = names["Outer"](model, "outer")
    outer.initialize()
    made = names["bptk"]()
    made.register_model(model)
    made.register_scenarios({"hi": {"constants": {"outer.inner.gain": 5.0}}}, "smMod")
    frame = made.run_scenarios(
        scenarios=["hi"], scenario_managers=["smMod"], equations=["outer.level", "outer.inner.out"]
    )
    assert sorted(model.equations) == ["outer.f", "outer.inner.gain", "outer.inner.out", "outer.level"]
    assert names["sim"](model, ["outer.level"], "rust") == {"outer.level": [1.0, 7.0, 13.0]}
    assert list(frame.columns) == ["outer.level", "outer.inner.out"]
    assert frame.values.tolist() == [[1.0, 10.0], [11.0, 10.0], [21.0, 10.0]]
    assert names["abm"](names["Shop"], [], props={}).agents == []

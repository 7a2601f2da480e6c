"""Scenarios with agents: managers in Python and in files, whole runs, training, and what they share."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.bptk_agents import DEFINITION, Town, town

from perdure.bptk import AgentDataCollector, CSVDataCollector, Model, bptk
from perdure.errors import InvalidScenario
from perdure.scenarios import Catalogue

MODULE = """
from perdure.bptk import Agent, Model

class Tree(Agent):
    def initialize(self):
        self.agent_type = "tree"
    def act(self, time, round_no, step_no):
        self.height += self.model.growth
        if self.height > 3:
            self.state = "tall"
    def begin_episode(self, episode_no):
        self.height = float(episode_no)

class Forest(Model):
    def instantiate_model(self):
        self.register_agent_factory("tree", lambda i, model, p: Tree(i, model, p))
"""

SCENARIO = {
    "runspecs": {"starttime": 1, "stoptime": 3, "dt": 1},
    "properties": {"growth": {"type": "Double", "value": 1.5}},
    "agents": [{"name": "tree", "count": 2, "properties": {"height": {"type": "Double", "value": 0.0}}}],
}


@pytest.fixture
def forest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "forest_of_tests.py").write_text(MODULE)
    managers = {"woods": {"type": "ABM", "model": "forest_of_tests.Forest", "scenarios": {"base": SCENARIO}}}
    (tmp_path / "scenarios" / "woods.json").write_text(json.dumps(managers))
    monkeypatch.chdir(tmp_path)
    made = bptk()
    yield made
    made.destroy()


def test_a_manager_in_a_file_runs_agents(forest: Any) -> None:
    frame = forest.run_scenarios(["base"], ["woods"], agents=["tree"])
    assert frame.to_dict("list") == {
        "woods_base_tree_active": [2.0, 2.0, 0.0],
        "woods_base_tree_tall": [0.0, 0.0, 2.0],
    }
    assert forest.get_scenario("woods", "base").agents[0].height == 4.5
    assert forest.get_scenario_names("woods") == ["base"]
    assert list(forest.get_scenarios(scenario_manager_type="abm")) == ["base"]
    assert forest.get_scenarios(scenario_manager_type="sd") == {}


def test_training_calls_the_hooks_and_keeps_the_agents(forest: Any) -> None:
    frame = forest.train_scenarios(
        ["base"],
        ["woods"],
        episodes=2,
        agents=["tree"],
        agent_states=["tall"],
        agent_properties=["height"],
        agent_property_types=["mean"],
        return_df=True,
    )
    assert frame.to_dict("list") == {"tree_tall_height_mean": [4.5, 5.5]}
    assert forest.get_scenario("woods", "base").agents[1].height == 5.5


def test_a_reset_scenario_runs_anew_and_another_run_is_not_made(forest: Any) -> None:
    first = forest.run_scenarios(["base"], ["woods"], agents=["tree"])
    model = forest.get_scenario("woods", "base")
    assert forest.run_scenarios(["base"], ["woods"], agents=["tree"]).equals(first)
    forest.reset_scenario_cache("woods", "base")
    assert forest.run_scenarios(["base"], ["woods"], agents=["tree"]).equals(first)
    assert forest.get_scenario("woods", "base") is not model


def test_agents_and_system_dynamics_in_one_call(forest: Any) -> None:
    model = Model(0.0, 4.0, 1.0, "bath")
    model.stock("water").equation = 2.0
    forest.register_model(model, "bath")
    asked = {"agents": ["tree"], "agent_states": ["tall"], "equations": ["water"]}
    frame = forest.run_scenarios(["base"], ["woods", "bath"], **asked)
    assert frame["bath_base_water"].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert frame["woods_base_tree_tall"].tolist() == [0.0, 0.0, 0.0, 2.0, 0.0]
    tree = json.loads(forest.run_scenarios(["base"], ["woods", "bath"], return_format="json", **asked))
    assert tree["woods"]["base"] == {"agents": {"tree": {"tall": {"3": 2}}}}
    assert tree["bath"]["base"]["equations"]["water"]["4.0"] == 8.0


def test_collectors_of_agents_and_of_files(tmp_path: Path) -> None:
    model = Town(data_collector=CSVDataCollector(f"{tmp_path}/csv/"))
    made = bptk()
    made.register_scenario_manager({"t": {"type": "abm", "model": model, "scenarios": {"base": DEFINITION}}})
    made.get_scenario("t", "base").run()
    lines = (tmp_path / "csv" / "0_person.csv").read_text().splitlines()
    assert lines[0] == "id;time;age"
    assert lines[1] == "0;0.0;30.5"
    assert made.run_scenarios(["base"], ["t"], agents=["person"]) is None
    collector = AgentDataCollector()
    other = Town(data_collector=collector)
    made.register_scenario_manager({"u": {"type": "abm", "model": other, "scenarios": {"base": DEFINITION}}})
    ran = made.get_scenario("u", "base")
    ran.run()
    assert list(ran.data_collector.get_agent_stats()["person"][0].columns)[-1] == "age"
    axes = ran.data_collector.plot_agent_stats(agent_ids=[0], properties=["age"])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0_person_age"]
    made.destroy()


def test_a_session_in_this_process() -> None:
    made = town()
    made.begin_session(["base"], ["town"], agents=["person"], equations=["burden"], seed=1)
    first = made.run_step()
    assert first["town"]["base"]["burden"] == {0.0: 1.0}
    assert sum(at[0.0] for at in first["town"]["base"]["agents"]["person"].values()) == 12
    made.run_step()
    results = made.session_results(index_by_time=False)["town"]["base"]
    assert list(results["equations"]["burden"]) == [0.0, 1.0]
    assert all(list(series) == [0.0, 1.0] for series in results["agents"]["person"].values())
    made.destroy()


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ({"model": Model}, None),
        ({"model": "json.JSONDecoder"}, "is a JSONDecoder, not a Model"),
        ({"model": Town, "scenarios": {"base": {"agents": [{"count": 1}]}}}, "need a name and a count"),
        (
            {"model": Town, "scenarios": {"base": {"agents": [{"name": "persn", "count": 1}]}}},
            r"no agents of the type 'persn' \(did you mean 'person'\?\); its types are 'person'",
        ),
        ({"model": Town, "scenarios": {"base": {"properties": {"a": 1}}}}, "'a'"),
        ({"model": Town, "scenarios": {"base": {"constants": {"none": 1}}}}, None),
    ],
)
def test_wrong_definitions_are_refused(definition: dict[str, Any], words: str | None) -> None:
    managers = {"one": {"type": "abm", **definition}}
    if words is None:
        Catalogue().register_scenario_manager(managers)
        return
    with pytest.raises(InvalidScenario, match=words):
        Catalogue().register_scenario_manager(managers)


def test_the_fingerprint_follows_the_source_of_the_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for name, growth in (("one", 1), ("two", 1), ("three", 2)):
        (tmp_path / f"trees_{name}.py").write_text(MODULE.replace("> 3", f"> {growth}"))
        (tmp_path / f"woods_{name}.py").write_text(
            f"from trees_{name} import Tree as Oak\nfrom perdure.bptk import Model\n"
            "class Woods(Model):\n    def instantiate_model(self):\n"
            "        self.register_agent_factory('oak', lambda i, m, p: Oak(i, m, p))\n"
        )
        catalogue = Catalogue()
        catalogue.register_scenario_manager({"w": {"type": "abm", "model": f"woods_{name}.Woods"}})
        found.append(catalogue.manager("w").fingerprint)
    again = Catalogue()
    again.register_scenario_manager({"w": {"type": "abm", "model": "woods_one.Woods"}})
    assert again.manager("w").fingerprint == found[0]
    assert len(set(found)) == 3

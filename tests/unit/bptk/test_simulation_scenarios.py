"""Scenarios that a program writes to, as notebooks and dashboards do between two plots."""

import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import structlog

from perdure.bptk import Model, bptk, sd_functions
from perdure.errors import InvalidOverride


class Growth(Model):
    def __init__(self, name: str = "growth") -> None:
        super().__init__(0.0, 2.0, 1.0, name)
        self.log: list[str] = []
        self.lock = threading.Lock()  # can't be copied

    def instantiate_model(self) -> None:
        size, self.rate = self.stock("size"), self.constant("rate")
        size.initial_value = 8.0
        size.equation = size * self.rate * sd_functions.lookup(size, "room")
        self.rate.equation = 0.5
        self.points["room"] = [[0.0, 1.0], [100.0, 1.0]]


@pytest.fixture
def made() -> Iterator[Any]:
    one = bptk()
    one.register_scenario_manager({"sm": {"model": Growth, "base_constants": {"rate": 0.25}}})
    one.register_scenarios({"base": {"description": "as it is"}, "other": {}}, "sm")
    yield one
    one.destroy()


def last(made: Any, scenario: str = "base") -> float:
    frame = made.run_scenarios([scenario], ["sm"], equations=["size"])
    return float(frame["size"].iloc[-1])


def test_constants_written_to_a_scenario_hold_from_the_next_run_on(made: Any) -> None:
    for rate, size in ((1.0, 32.0), (0.5, 18.0)):
        scenario = made.get_scenario("sm", "base")
        scenario.constants["rate"] = rate
        made.reset_scenario_cache(scenario_manager="sm", scenario="base")
        drawn = made.plot_scenarios(["base"], ["sm"], equations=["size"], return_df=True)
        assert drawn["size"].iloc[-1] == last(made) == size
    assert last(made, "other") == 12.5
    scenario.set_property_value("rate", 1.0)
    assert (scenario.get_property_value("rate"), last(made)) == (1.0, 32.0)
    assert made.get_scenarios(["sm"])["base"] is made.get_scenario("sm", "base") is scenario


def test_points_of_a_scenario_are_lists_that_can_be_written_to_in_place(made: Any) -> None:
    made.register_scenarios({"tight": {"points": {"room": [[0.0, 1.0], [100.0, 1.0]]}}}, "sm")
    scenario = made.get_scenario("sm", "tight")
    for point in (0, 1):
        scenario.points["room"][point][1] = 4.0
    assert last(made, "tight") == 32.0
    scenario.points["room"] = [[0.0, 0.0]]
    assert last(made, "tight") == 8.0


def test_a_scenarios_model_has_what_the_scenario_sets_and_can_be_changed(made: Any) -> None:
    scenario = made.get_scenario("sm", "base")
    assert (scenario.name, scenario.scenario_manager) == ("base", "sm")
    assert (scenario.starttime, scenario.stoptime, scenario.dt) == (0.0, 2.0, 1.0)
    assert scenario.model.equation("size", 2.0) == scenario.model.equations["size"](2.0) == 12.5
    assert scenario.model.rate is scenario.model.constant("rate")
    scenario.model.stoptime = 3.0
    assert last(made) == 15.625
    scenario.model.stock("size").initial_value = 16.0
    scenario.model.points["room"] = [[0.0, 2.0]]
    assert last(made) == 16.0 * 1.5**3
    assert last(made, "other") == 12.5
    scenario.model.log.append("changed")
    assert made.get_scenario("sm", "other").model.log == []
    assert made.get_scenario("sm", "other").model.lock is scenario.model.lock


def test_a_session_steps_what_was_written_before_it_began(made: Any) -> None:
    made.get_scenario("sm", "base").constants["rate"] = 1.0
    made.begin_session(["base"], ["sm"], equations=["size"])
    made.run_step()
    made.get_scenario("sm", "base").constants["rate"] = 9.0
    assert made.run_step() == {"sm": {"base": {"size": {1.0: 16.0}}}}


def test_a_wrong_value_is_an_error_of_the_next_run_and_can_be_mended(made: Any) -> None:
    made.get_scenario("sm", "base").constants["rate"] = "fast"
    with pytest.raises(InvalidOverride, match=r"'rate'.*the scenario 'base' of 'sm'"):
        last(made)
    made.get_scenario("sm", "base").constants["rate"] = 1.0
    assert last(made) == 32.0


def test_what_was_written_is_gone_once_the_scenario_is_registered_again_or_reset(made: Any) -> None:
    scenario = made.get_scenario("sm", "base")
    scenario.constants["rate"] = 1.0
    made.register_scenarios({"base": {"constants": {"rate": 0.5}}}, "sm")
    scenario.constants["rate"] = 9.0
    assert last(made) == 18.0
    assert made.get_scenario("sm", "base").constants == {"rate": 0.5}


def test_reading_a_scenario_registers_nothing_anew(made: Any) -> None:
    before = made.catalogue.scenario("sm", "base")
    scenario = made.get_scenario("sm", "base")
    assert scenario.model.elements.keys() == {"size", "rate"}
    with structlog.testing.capture_logs() as logs:
        assert made.catalogue.scenario("sm", "base") is before
        scenario.constants["rate"] = 1.0
        after = made.catalogue.scenario("sm", "base")
        assert made.catalogue.scenario("sm", "base") is after
    assert (after.fingerprint, dict(after.others)) == (before.fingerprint, {"description": "as it is"})
    assert logs == []


def test_a_scenario_has_no_agents_and_says_so(made: Any) -> None:
    with pytest.raises(AttributeError, match="agents"):
        print(made.get_scenario("sm", "base").agents)
    with pytest.raises(AttributeError, match="nonsense"):
        print(made.get_scenario("sm", "base").nonsense)


class Chain(Model):
    """Elements that read each other in a long chain, each the next one."""

    def instantiate_model(self) -> None:
        links = [self.converter(f"c{i}") for i in range(500)]
        for link, following in pairwise(links):
            link.equation = following + 1.0
        links[-1].equation = sd_functions.time()
        self.links = links


def test_long_models_can_be_changed_and_trained() -> None:
    one = bptk()
    one.register_model(Chain(0.0, 1.0, 1.0, "chain"))
    trained: Any = one.train_scenarios(["base"], ["smChain"], 2, equations=["c0"], return_df=True)
    assert trained["c0"].to_list() == [500.0, 500.0]
    model = one.get_scenario("smChain", "base").model
    assert all(link is model.elements[link.name] for link in model.links)
    model.links[-1].equation = 7.0
    frame: Any = one.run_scenarios(["base"], ["smChain"], equations=["c0"])
    assert frame["c0"].to_list() == [506.0, 506.0]
    one.destroy()

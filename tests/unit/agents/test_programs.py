"""Programs in the ways that people write them: each runs, and its sessions resume at every step."""

import random
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest

from perdure.bptk import Agent, DataCollector, DelayedEvent, Event, Model, Module, SimultaneousScheduler
from perdure.bptk import sd_functions as sd
from perdure.errors import InvalidScenario
from perdure.scenarios.agent_model import AgentModel
from perdure.testing.engines import EngineConformance


def number(value: float) -> dict[str, Any]:
    return {"type": "Double", "value": value}


def agents(*specs: tuple[str, int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "count": count, "properties": given} for name, count, given in specs]


def ran(kind: type[Model], stop: int, specs: list[dict[str, Any]], dt: float = 1, **properties: Any) -> Any:
    """Return a model of a class after a run from 0."""
    model = kind(name="m", scheduler=SimultaneousScheduler(), data_collector=DataCollector())
    model.instantiate_model()
    times = {"starttime": 0, "stoptime": stop, "dt": dt}
    model.configure({"runspecs": times, "properties": properties, "agents": specs})
    model.run()
    return model


def check_resumes(
    kind: type[Model], stop: int, specs: list[dict[str, Any]], outputs: list[str], dt: float = 1.0
) -> None:
    """Check the law of engines at every step of a session."""
    config = {
        "starttime": 0.0,
        "stoptime": float(stop),
        "dt": dt,
        "outputs": outputs,
        "definition": {"agents": specs},
        "seed": 2,
    }
    EngineConformance(AgentModel(kind, "m").make_engine_here, config, [{}] * (round(stop / dt) + 1)).check()


# An advertiser broadcasts, customers tell each other; rewards come later ------------------------------------


class Mood(Enum):
    CURIOUS = 1
    KEEN = 2


@dataclass
class Wish:
    strength: float
    moods: list[Mood]


class Customer(Agent):
    def initialize(self) -> None:
        self.state = "potential"
        self.wish = Wish(0.0, [Mood.CURIOUS])
        self.register_event_handler(["potential"], "advert", self.consider)
        self.register_event_handler(["potential", "customer"], "reward", self.rewarded)

    def consider(self, event: Event) -> None:
        self.wish.strength += event.data["appeal"]
        self.wish.moods.append(Mood.KEEN)
        if self.is_event_relevant(self.wish.strength):
            self.state = "customer"
            self.model.enqueue_event(DelayedEvent("reward", self.id, self.id, 1.5))

    def rewarded(self, event: Event) -> None:
        self.reward += 1.0


class Advertiser(Agent):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        appeal = {"appeal": 0.1}
        self.model.broadcast_event("customer", lambda i: Event("advert", self.id, i, data=appeal))
        self.model.random_events("customer", 3, lambda i: Event("advert", self.id, i, data=appeal))


class Market(Model):
    def instantiate_model(self) -> None:
        self.register_agent_factory("customer", lambda i, model, p: Customer(i, model, p, "customer"))
        self.register_agent_factory("advertiser", lambda i, model, p: Advertiser(i, model, p, "advertiser"))


PEOPLE = agents(("customer", 20, {"reward": number(0.0)}), ("advertiser", 1, {}))


def test_a_market_with_broadcasts_random_events_and_delays() -> None:
    random.seed(1)
    model = ran(Market, 8, PEOPLE)
    assert model.agent_count("customer") == 20
    customers = model.agent_count_per_state("customer", "customer")
    assert 0 < customers <= 20
    rewards = sum(agent.reward for agent in model.agents if agent.agent_type == "customer")
    # All events of a step are handled with the handlers of one state, so some are rewarded twice.
    assert rewards > 0
    check_resumes(Market, 8, PEOPLE, ["agents/customer", "agents/customer/customer/reward/total"])


# Elements that are built in `configure`, when the agents are there ------------------------------------------


class Tank(Agent):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        self.level = self.model.evaluate_equation(f"tank{self.id}", time)
        if self.level > self.model.limit:
            self.state = "full"


class Tanks(Model):
    def instantiate_model(self) -> None:
        self.register_agent_factory("tank", lambda i, model, p: Tank(i, model, p, "tank"))

    def configure(self, config: Any) -> None:
        super().configure(config)
        self.set_property("limit", number(3.0))
        for agent in self.agents:
            stock, flow = self.stock(f"tank{agent.id}"), self.flow(f"pour{agent.id}")
            stock.initial_value = 0.0
            stock.equation = flow
            flow.equation = sd.step(agent.rate, 1.0)


TANKS = agents(
    ("tank", 1, {"rate": number(1.0), "level": number(0.0)}),
    ("tank", 1, {"rate": number(2.0), "level": number(0.0)}),
)


def test_elements_that_are_built_for_the_agents() -> None:
    model = ran(Tanks, 6, TANKS)
    assert [agent.level for agent in model.agents] == [4.0, 8.0]
    assert [agent.state for agent in model.agents] == ["full", "full"]
    check_resumes(Tanks, 6, TANKS, ["agents/tank/full", "individuals/tank/level"])


# A second model, of system dynamics, that reads a plain dict ------------------------------------------------


class Plant(Agent):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        self.model.orders["rate"] += 1.0
        self.stock = self.model.sd_model.evaluate_equation("plant.stock", time)


class Line(Module):
    def __init__(self, model: Model, name: str, orders: dict[str, float]) -> None:
        super().__init__(model, name)
        ordered = model.function("ordered", lambda view, t: orders["rate"])
        inflow, stock = self.flow("inflow"), self.stock("stock")
        inflow.equation = ordered()
        stock.initial_value = 0.0
        stock.equation = inflow


class Factory(Model):
    def instantiate_model(self) -> None:
        self.orders = {"rate": 0.0}
        self.sd_model = Model(0.0, 100.0, 1.0, "line")
        self.line = Line(self.sd_model, "plant", self.orders)
        self.register_agent_factory("plant", lambda i, model, p: Plant(i, model, p, "plant"))


PLANTS = agents(("plant", 1, {"stock": number(0.0)}))


def test_a_second_model_reads_what_the_agents_have_ordered_at_each_step() -> None:
    model = ran(Factory, 4, PLANTS)
    # The rate at the end of step t is t + 1.
    assert model.agents[0].stock == 1.0 + 2.0 + 3.0 + 4.0
    check_resumes(Factory, 6, PLANTS, ["individuals/plant/stock"])


# Arrays that agents read and are counted in -----------------------------------------------------------------


class Reader(Agent):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        self.seen = self.model.evaluate_equation("levels[1]", time)


class Levels(Model):
    def instantiate_model(self) -> None:
        self.register_agent_factory("reader", lambda i, model, p: Reader(i, model, p, "reader"))
        levels, flows = self.stock("levels"), self.flow("flows")
        levels.setup_vector(2, [1.0, 2.0])
        flows.setup_vector(2, [0.0, 0.0])
        count = self.function("count", lambda model, t: float(model.agent_count("reader")))
        for i in range(2):
            flows[i].equation = count() * float(i)
        levels.equation = flows
        self.converter("total").equation = levels.arr_sum()


def test_arrays_in_a_hybrid_model() -> None:
    specs = agents(("reader", 3, {"seen": number(0.0)}))
    model = ran(Levels, 2, specs)
    assert [model.evaluate_equation("total", t) for t in range(3)] == [3.0, 6.0, 9.0]
    assert model.agents[0].seen == 8.0
    check_resumes(Levels, 3, specs, ["levels[0]", "total", "individuals/reader/seen"])


# Rounds, steps and hooks ------------------------------------------------------------------------------------


class Clock(Agent):
    def initialize(self) -> None:
        self.times: list[tuple[float, int, int]] = []

    def act(self, time: float, round_no: int, step_no: int) -> None:
        self.times.append((time, round_no, step_no))


class Clocks(Model):
    def instantiate_model(self) -> None:
        self.register_agent_factory("clock", lambda i, model, p: Clock(i, model, p, "clock"))
        self.rounds: list[float] = []

    def begin_round(self, time: float, sim_round: int, step: int) -> None:
        if time == 1.0:
            self.create_agents({"name": "clock", "count": 1})

    def end_round(self, time: float, sim_round: int, step: int) -> None:
        self.rounds.append(time)


def test_a_session_ends_at_the_stop_time_and_a_run_with_the_last_round() -> None:
    specs = agents(("clock", 1, {}))
    assert ran(Clocks, 2, specs, dt=0.5).rounds == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    engine = AgentModel(Clocks, "m").make_engine_here()
    definition = {"agents": specs}
    engine.initialize(
        {"starttime": 0, "stoptime": 2, "dt": 0.5, "outputs": ["agents/clock"], "definition": definition}
    )
    answers = []
    while not engine.finished:
        answers.append(engine.step({})["agents/clock"]["active"])
    assert answers == [1, 1, 2, 2, 2]
    assert engine.model.agents[0].times[-1] == (2.0, 2, 0)
    assert engine.model.agents[1].times[0] == (1.0, 1, 0)
    check_resumes(Clocks, 2, specs, ["agents/clock"], dt=0.5)


@pytest.mark.parametrize(
    "given", [5, [5], [{"name": "a"}], [{"name": "a", "count": -1}], [{"name": "a", "count": "b"}]]
)
def test_agents_that_are_not_a_list_of_names_and_counts_are_refused(given: Any) -> None:

    with pytest.raises(InvalidScenario):
        AgentModel(Clocks, "m").check({"definition": {"agents": given}})

"""Models of agents for tests: a hybrid one with random agents and events in flight, and a small shop."""

import random
from typing import Any

from perdure.bptk import Agent, DelayedEvent, Event, Model, bptk
from perdure.bptk import sd_functions as sd

COUNT = 12

DEFINITION: dict[str, Any] = {
    "runspecs": {"starttime": 0, "stoptime": 10, "dt": 0.5},
    "properties": {"rate": {"type": "Double", "value": 0.3}},
    "agents": [{"name": "person", "count": COUNT, "properties": {"age": {"type": "Double", "value": 30.0}}}],
}
"""A scenario of `Town`."""


class Person(Agent):
    """A person who meets others, remembers them, falls ill and recovers, has children and dies."""

    def initialize(self) -> None:
        self.state = "well"
        self.met: list[Person] = []
        self.best: Person | None = None
        self.diary: dict[float, str] = {}
        self.register_event_handler(["well"], "infection", self.fall_ill)
        self.register_event_handler(["ill"], "recovery", self.recover)
        # Only the construction can make this handler again.
        self.register_event_handler(["well", "ill"], "greeting", lambda event: self.met.append(event.data))

    def fall_ill(self, event: Event) -> None:
        self.state = "ill"
        self.diary[self.model.scheduler.current_time] = f"ill by {event.sender_id}"
        self.model.enqueue_event(DelayedEvent("recovery", self.id, self.id, random.uniform(0.5, 3.0)))

    def recover(self, event: Event) -> None:
        self.state = "well"

    def act(self, time: float, round_no: int, step_no: int) -> None:
        self.age += self.model.dt
        chance = random.random()
        if chance < self.model.rate:
            other = self.model.agents[random.randrange(len(self.model.agents))]
            self.best = other
            self.model.enqueue_event(Event("infection", self.id, other.id))
            self.model.enqueue_event(Event("greeting", self.id, other.id, data=self))
        elif chance > 0.97:
            self.model.create_agent("person", {"age": {"type": "Double", "value": 0.0}})
        elif chance < self.model.rate + 0.03 and len(self.model.agents) > 2:
            self.model.delete_agent(self.id)


class Town(Model):
    """People, and a stock that fills with illness."""

    def instantiate_model(self) -> None:
        self.register_agent_factory("person", lambda i, model, p: Person(i, model, p, "person"))
        self.counts: dict[str, int] = {}
        counts = self.counts
        self.ill_now = self.function("ill", lambda model, t: model.agent_count_per_state("person", "ill"))
        counted = self.function("counted", lambda model, t: float(len(counts)))
        ill, burden, care = self.converter("ill"), self.stock("burden"), self.flow("care")
        ill.equation = self.ill_now() + counted() * 0.0
        cost = self.constant("cost")
        cost.equation = 2.0
        care.equation = ill * cost
        burden.initial_value = 1.0
        burden.equation = care
        self.converter("late").equation = sd.delay(self, burden, 1.5, 0.5) + sd.normal(0.0, 1.0)

    def end_round(self, time: float, sim_round: int, step: int) -> None:
        self.counts[f"{time}"] = len(self.agents)


def town_catalogue() -> Any:
    """Return a catalogue with the manager ``town`` and its scenario ``base``."""
    return town().catalogue


def town() -> "bptk":
    """Return the scenario ``base`` of the manager ``town``."""
    made = bptk()
    made.register_scenario_manager(
        {"town": {"type": "abm", "model": Town, "scenarios": {"base": DEFINITION, "other": DEFINITION}}}
    )
    return made

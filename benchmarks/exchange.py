"""The Mesa model that is measured: 10,000 agents with 10 attributes each, who give money to each other."""

from typing import Any

import mesa

__all__ = ["AGENTS", "Exchange"]

AGENTS = 10_000


class Trader(mesa.Agent):  # type: ignore[misc]
    """An agent with a purse, and some facts about itself."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.wealth = 1.0
        self.given = self.received = 0
        self.age = self.random.randrange(100)
        self.patience, self.luck = self.random.random(), self.random.random()
        self.name = f"trader {self.unique_id}"

    def exchange(self) -> None:
        """Give a part of the wealth to another agent."""
        other = self.model.traders[self.random.randrange(AGENTS)]
        amount = self.wealth * self.patience * 0.1
        self.wealth -= amount
        other.wealth += amount
        self.given += 1
        other.received += 1


class Exchange(mesa.Model):  # type: ignore[misc]
    """The model; it answers the wealth of the richest agent."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.traders = [Trader(self) for _ in range(AGENTS)]
        self.datacollector = mesa.DataCollector({"richest": lambda model: max(model.agents.get("wealth"))})

    def step(self) -> None:
        """Let each agent give once, in random order."""
        self.agents.shuffle_do("exchange")
        self.datacollector.collect(self)

"""A model whose agents keep something of each kind, for states that were stored in a former form."""

import collections
import dataclasses
import enum
import functools
import random
from typing import Any, NamedTuple

import numpy as np

from perdure.bptk import Agent, DelayedEvent, Event, Model

__all__ = ["DEFINITION", "Collection", "Keeper"]

DEFINITION: dict[str, Any] = {
    "properties": {"rate": {"type": "Double", "value": 0.5}},
    "agents": [{"name": "keeper", "count": 3, "properties": {"size": {"type": "Double", "value": 1.0}}}],
}


class Color(enum.Enum):
    RED = 1


class Basket(list[Any]):
    def __init__(self, items: Any, label: str) -> None:
        super().__init__(items)
        self.label = label


class Word(str):
    __slots__ = ()


class Place(NamedTuple):
    x: float
    held: list[int]


@dataclasses.dataclass(slots=True)
class Node:
    value: Any
    next: Any = None


class Note:
    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> str:
        return self.text


def labelled(label: str) -> Basket:
    return Basket([], label)


class Keeper(Agent):
    """Keeps things, and remembers whom it has greeted."""

    def initialize(self) -> None:
        self.state = "idle"
        self.register_event_handler(["idle"], "greeting", self.greeted)
        self.register_event_handler(["idle"], "joke", lambda event: self.heard.append(event.data))
        self.heard: list[Any] = []
        if self.id:
            self.friend = self.model.agents[0]
            return
        self.words = {"a": [1, (2.5, None, True)], (1, 2): b"x"}
        self.queue = collections.deque([1, [2]], maxlen=3)
        self.by_name = collections.defaultdict(list, {"a": [1]})
        self.by_label = collections.defaultdict(functools.partial(labelled, "new"))
        self.tally, self.ordered = collections.Counter("aab"), collections.OrderedDict(b=1, a=[2])
        self.large, self.color, self.word = 1 << 100, Color.RED, Word("word")
        self.grid = np.arange(6.0)
        self.view, self.turned = self.grid[4:1:-1], np.asfortranarray(np.eye(2))
        self.objects = np.array([None, self.queue, "a"], dtype=object)
        self.single, self.draws, self.dice = np.float32(0.1), np.random.default_rng(5), random.Random(3)
        self.basket = Basket([1, [2]], "b")
        self.basket.append(self.basket)
        self.place, self.chain = Place(1.5, self.basket[1]), Node(1, Node(2))
        self.note = Note("n")
        self.read, self.draw, self.make = self.note.read, random.expovariate, labelled
        self.kind, self.stock = Note, self.model.stock("level")
        self.own_draw = self.dice.random

    def greeted(self, event: Event) -> None:
        self.heard.append(event.sender_id)

    def act(self, time: float, round_no: int, step_no: int) -> None:
        self.size += random.random() * self.model.rate
        other = random.randrange(3)
        self.model.enqueue_event(Event("greeting", self.id, other))
        self.model.enqueue_event(DelayedEvent("joke", self.id, other, 2.0, data=self))
        if not self.id:
            self.grid += self.draws.random() + self.dice.random()
            self.place.held.append(round_no)


class Collection(Model):
    """Keepers, a stock, and a list that a function of the model reads."""

    def instantiate_model(self) -> None:
        self.register_agent_factory("keeper", lambda i, model, p: Keeper(i, model, p, "keeper"))
        self.sizes: list[float] = []
        sizes = self.sizes
        total = self.function("total", lambda model, t: sum(sizes))
        level, growth = self.stock("level"), self.flow("growth")
        level.initial_value = 1.0
        level.equation = growth
        growth.equation = total()

    def end_round(self, time: float, sim_round: int, step: int) -> None:
        self.sizes.append(sum(agent.size for agent in self.agents))

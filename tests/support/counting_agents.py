"""A model whose agents keep what they count in classes and in variables of the module."""

import random
import threading
from typing import Any

from tests.support.bptk_agents import Person, Town

BORN = 0
NAMES: set[str] = set()
DRAWS = random.Random(3)


class Numbers:
    """Numbers that threads could take, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0

    def take(self) -> int:
        with self._lock:
            self._taken += 1
            return self._taken


NUMBERS = Numbers()


def number() -> int:
    """Return the next number."""
    return NUMBERS.take()


class Counting(Person):
    """A person whose age shows what all persons have counted, and in which order they have kept it."""

    members: list[Any] = []  # noqa: RUF012 - agents share it
    met = 0

    def initialize(self) -> None:
        global BORN
        super().initialize()
        BORN += 1
        self.words: set[str] = set()
        Counting.members.append(self)

    def act(self, time: float, round_no: int, step_no: int) -> None:
        super().act(time, round_no, step_no)
        Counting.met += 1
        NAMES.add(f"{self.id} at {time}")
        self.words.add(f"{DRAWS.randrange(50)}")
        if len(NAMES) > 30:
            NAMES.discard(next(iter(NAMES)))
        first, word = next(iter(NAMES)), next(iter(self.words))
        self.age = (
            BORN
            + number() / 1024
            + Counting.met / 7
            + len(Counting.members)
            + len(first)
            + hash((first, word)) % 1000
        )


class CountingTown(Town):
    def instantiate_model(self) -> None:
        super().instantiate_model()
        self.register_agent_factory("person", lambda i, model, p: Counting(i, model, p, "person"))

"""What agents keep in classes and modules is refused by name, when a session begins or at a savepoint."""

import itertools
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from perdure.bptk import Agent, Model
from perdure.errors import NotSnapshotable
from perdure.scenarios.agent_model import AgentModel

this = sys.modules[__name__]
COUNT = 0
SEEN: list[int] = []
TABLE = (1, 2)
LIMITS = {"small": 1}
DRAWS = random.Random(5)
NUMBERS = itertools.count()


class Box:
    held = 0


BOX = Box()


def counted() -> None:
    global COUNT
    COUNT += 1


class Idle(Agent):
    total = 0
    names: list[str] = []  # noqa: RUF012 - what is to be refused
    limit = 5


class Own(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        seen = [TABLE[0], LIMITS["small"]]
        seen.append(self.limit)
        self.total += 1
        COUNT = len(seen)  # noqa: N806 - a variable of the function
        self.last = COUNT
        random.random()


class Counting(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        Idle.total += 1


class ByType(Idle):
    def initialize(self) -> None:
        type(self).total = 2


class ByMethod(Idle):
    @classmethod
    def count(cls) -> None:
        cls.total += 1


class Listing(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        Idle.names.append("a")


class Global(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        counted()


class ByModule(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        this.counted()


def inner() -> None:
    this.COUNT = 5


def calling(function: Callable[[], None]) -> Callable[[Any], None]:
    return lambda self: function()


class ByClosure(Idle):
    initialize = calling(inner)


class Appending(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        SEEN.append(1)


class Indexing(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        LIMITS["small"] += 1


class Drawing(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        self.last = DRAWS.random()


class Numbering(Idle):
    numbers = NUMBERS


class Boxed(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        BOX.held = 1


class Hidden(Idle):
    shared: dict[int, int] = {}  # noqa: RUF012 - what is to be refused

    def act(self, time: float, round_no: int, step_no: int) -> None:
        kept = self.shared
        kept[len(kept)] = 1


def engine_of(kind: type[Agent]) -> Any:
    class Place(Model):
        def instantiate_model(self) -> None:
            self.register_agent_factory("agent", lambda i, model, p: kind(i, model, p))

    engine = AgentModel(Place, "place").make_engine_here()
    agents = [{"name": "agent", "count": 2}]
    engine.initialize(
        {
            "starttime": 0,
            "stoptime": 5,
            "dt": 1,
            "outputs": ["agents/agent"],
            "definition": {"agents": agents},
        }
    )
    return engine


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (Counting, "attribute 'total' of the class Idle"),
        (ByType, "attribute 'total' of the class ByType"),
        (ByMethod, "attribute 'total' of the class ByMethod"),
        (Listing, "attribute 'names' of the class Idle"),
        (Global, "variable 'COUNT' of the module"),
        (ByModule, "variable 'COUNT' of the module"),
        (ByClosure, "attribute 'COUNT' of the module"),
        (Appending, "variable 'SEEN' of the module"),
        (Indexing, "variable 'LIMITS' of the module"),
        (Drawing, "variable 'DRAWS' of the module"),
        (Numbering, "attribute 'numbers' of the class Numbering"),
        (Boxed, "attribute 'held' of the variable 'BOX' of the module"),
    ],
)
def test_shared_data_that_the_code_changes_are_refused_at_the_start(kind: type[Agent], what: str) -> None:
    with pytest.raises(NotSnapshotable) as refused:
        engine_of(kind).snapshot()
    assert what in str(refused.value) and "as an attribute of the model" in str(refused.value)


def test_agents_that_change_only_their_own_data_are_saved() -> None:
    engine = engine_of(Own)
    engine.snapshot()
    engine.step({})
    engine.snapshot()


@pytest.mark.parametrize(
    "change",
    [lambda kind: setattr(kind, "limit", 6), lambda kind: kind.names.append("b")],
    ids=["set", "append"],
)
def test_a_change_that_the_source_does_not_show_is_refused_at_the_next_savepoint(
    change: Callable[[Any], Any],
) -> None:
    class Other(Idle):
        names: list[str] = []  # noqa: RUF012 - what is to be refused
        limit = 5

    engine = engine_of(Other)
    engine.snapshot()
    change(Other)
    with pytest.raises(NotSnapshotable, match=r"of the class .*Other"):
        engine.snapshot()


def test_an_attribute_of_a_class_that_agents_change_by_another_name_is_refused_later() -> None:
    engine = engine_of(Hidden)
    engine.snapshot()
    engine.step({})
    with pytest.raises(NotSnapshotable, match="attribute 'shared' of the class Hidden"):
        engine.snapshot()

"""What agents keep in classes and modules is refused by name, when a session begins or at a savepoint."""

import importlib
import itertools
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perdure.bptk import Agent, Model
from perdure.engines.agents import known_objects
from perdure.engines.agents.engine import AgentEngine
from perdure.engines.agents.program_data import ProgramData
from perdure.errors import HashSeedChanged, InvalidState, NotSnapshotable
from perdure.scenarios.agent_model import AgentModel
from perdure.state.codec import decode, encode

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


def engine_of(kind: type[Agent], *, alone: bool = False) -> Any:
    class Place(Model):
        def instantiate_model(self) -> None:
            self.register_agent_factory("agent", lambda i, model, p: kind(i, model, p))

    program = ProgramData(kind) if alone else None
    engine = AgentEngine("place", AgentModel(Place, "place").construct, program)
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


def kept() -> Any:
    """Return what the kinds of agents above change."""
    ids = [id(SEEN), id(LIMITS), id(BOX), id(Hidden.shared)]
    found = [COUNT, SEEN, LIMITS, BOX.held, Idle.total, ByType.total, ByMethod.total, Idle.names]
    found.append(IDS.made)
    return repr([*found, Hidden.shared, DRAWS.getstate(), NUMBERS, Numbering.numbers, *ids])


class Counted(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        self.last = next(NUMBERS)


class Making(Idle):
    rule: Any = None
    other = counted

    def act(self, time: float, round_no: int, step_no: int) -> None:
        Making.rule, Making.other = inner, 5  # type: ignore[assignment]
        Making.made = round_no  # type: ignore[attr-defined]
        type(self).held = {"self": self}  # type: ignore[attr-defined]


class Ids:
    """Numbers that threads may take, so it has what can't be saved."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rules = {"double": lambda number: 2 * number}
        self.made = 0

    def next(self) -> int:
        with self.lock:
            self.made += 3
            return self.rules["double"](self.made)


IDS = Ids()
PRICES = np.zeros((2, 3))
WEIGHTS = np.ones(3)
WEIGHTS.flags.writeable = False


def numbered() -> int:
    return IDS.next()


class Numbered(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        self.last = numbered()
        self.lock = IDS.lock


@pytest.mark.parametrize(
    "kind",
    [
        *(Own, Counting, ByType, ByMethod, Listing, Global, ByModule, ByClosure, Appending, Indexing),
        *(Drawing, Counted, Boxed, Hidden, Numbered),
    ],
)
def test_in_a_process_of_its_own_shared_data_are_saved(kind: type[Agent]) -> None:
    engine = engine_of(kind, alone=True)
    states, found = [engine.snapshot()], [kept()]
    for _ in range(4):
        engine.step({})
        states.append(decode(encode(engine.snapshot())))
        found.append(kept())
    for step in (2, 0, 3):
        engine.restore(states[step])
        assert kept() == found[step]
        assert encode(engine.snapshot()) == encode(states[step])
        engine.step({})
        assert kept() == found[step + 1]
    engine.restore(states[0])


def test_attributes_of_classes_that_a_step_makes_are_saved_and_removed_again() -> None:
    engine = engine_of(Making, alone=True)
    first = engine.snapshot()
    engine.step({})
    engine.step({})
    later = decode(encode(engine.snapshot()))
    engine.step({})
    engine.restore(later)
    assert Making.made == 1  # type: ignore[attr-defined]
    assert (Making.rule, Making.other) == (inner, 5)
    assert Making.held["self"] is engine.model.agents[1]  # type: ignore[attr-defined]
    engine.restore(first)
    assert not hasattr(Making, "made") and not hasattr(Making, "held")
    assert (Making.rule, Making.other) == (None, counted)
    engine.step({})
    del Making.other
    engine.restore(decode(encode(engine.snapshot())))
    assert not hasattr(Making, "other")
    engine.restore(first)
    assert Making.other is counted


def test_what_a_module_keeps_and_nobody_changes_need_not_be_savable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this, "OPENED", [iter([1])], raising=False)
    engine = engine_of(Own, alone=True)
    engine.snapshot()
    OPENED.append(2)  # type: ignore[name-defined]  # noqa: F821
    with pytest.raises(NotSnapshotable, match=r"OPENED\[0\] in the variable 'OPENED' of the module"):
        engine.snapshot()
    monkeypatch.setattr(this, "OPENED", iter([1]))
    with pytest.raises(NotSnapshotable, match="variable 'OPENED' of the module"):
        engine.snapshot()


def test_what_had_a_lock_or_a_lambda_from_the_import_has_it_again() -> None:
    engine = engine_of(Numbered, alone=True)
    lock, rule = IDS.lock, IDS.rules["double"]
    engine.step({})
    later = decode(encode(engine.snapshot()))
    assert IDS.made == 6
    engine.step({})
    IDS.rules.clear()
    engine.restore(later)
    assert IDS.made == 6 and IDS.lock is lock and IDS.rules["double"] is rule
    assert [agent.lock for agent in engine.model.agents] == [lock, lock]
    IDS.lock = threading.Lock()
    with pytest.raises(NotSnapshotable, match=r"IDS\.lock in the variable 'IDS' of the module"):
        engine.snapshot()
    IDS.lock = lock


def test_arrays_of_modules_are_saved_if_a_number_or_their_form_has_changed() -> None:
    engine = engine_of(Own, alone=True)
    first = engine.snapshot()
    PRICES[1, 2] = 7.0
    later = decode(encode(engine.snapshot()))
    PRICES[1, 2] = 5.0
    PRICES.shape = (3, 2)
    engine.restore(later)
    assert this.PRICES.shape == (2, 3) and this.PRICES[1, 2] == 7.0
    engine.restore(first)
    assert not this.PRICES.any() and this.PRICES.shape == (2, 3)
    WEIGHTS.flags.writeable = True
    WEIGHTS[0] = 5.0
    engine.restore(first)
    assert this.WEIGHTS[0] == 1.0 and not this.WEIGHTS.flags.writeable


PROGRAM = """
import functools
from perdure.bptk import Agent

MADE = []

def counter():
    def count():
        held.append(1)
    held = []
    return count

count = counter()

@functools.cache
def remembered(number):
    return [number]

def defaulting(numbers=[]):
    numbers.append(1)

def opened():
    yield 1
    yield 2

class Agents(Agent):
    def act(self, time, round_no, step_no):
        {act}
"""


@pytest.mark.parametrize(
    ("act", "reusable"),
    [
        *(("MADE.append(1)", True), ("global MADE; MADE = opened()", True), ("global seen; seen = 1", True)),
        *(("count()", False), ("remembered(1)", False), ("defaulting()", False), ("count.seen = 1", False)),
        ("import another_of_these_programs", False),
    ],
)
def test_a_process_in_which_something_is_left_behind_has_no_other_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, reusable: bool
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "another_of_these_programs.py").touch()
    (tmp_path / "a_program_of_agents.py").write_text(PROGRAM.format(act=act))
    monkeypatch.delitem(sys.modules, "a_program_of_agents", raising=False)
    engine = engine_of(importlib.import_module("a_program_of_agents").Agents, alone=True)
    engine.step({})
    engine.close()
    assert engine.reusable is reusable
    sys.modules.pop("another_of_these_programs", None)


def test_a_process_whose_program_keeps_what_may_have_changed_unseen_has_no_other_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_program_with_a_file.py").write_text(f"{PROGRAM.format(act='pass')}HELD = [opened()]\n")
    engine = engine_of(importlib.import_module("a_program_with_a_file").Agents, alone=True)
    engine.snapshot()
    engine.close()
    assert not engine.reusable


class Wordy(Idle):
    def initialize(self) -> None:
        self.words = {"north", "south"}


class Numeric(Idle):
    def initialize(self) -> None:
        self.numbers = {2, 5}


def test_sets_of_texts_are_restored_only_under_the_hash_seed_that_they_were_saved_under(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_objects, "HASH_SEED", "5")
    engines = {kind: engine_of(kind) for kind in (Wordy, Numeric)}
    states = {kind: decode(encode(engine.snapshot())) for kind, engine in engines.items()}
    for kind, engine in engines.items():
        engine.restore(states[kind])
    for other in ("6", "random"):
        monkeypatch.setattr(known_objects, "HASH_SEED", other)
        with pytest.raises(HashSeedChanged, match=r"PYTHONHASHSEED\. Set it to '5'"):
            engines[Wordy].restore(states[Wordy])
        engines[Numeric].restore(states[Numeric])
    with pytest.raises(NotSnapshotable, match="a set of texts or objects differs"):
        engines[Wordy].snapshot()


class Reading(Idle):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        self.last = next(LINES)


LINES = iter(["a", "b"])


def test_what_code_changes_and_cannot_be_saved_is_refused() -> None:
    with pytest.raises(NotSnapshotable, match=r"variable 'LINES' of the module .*list_iterator"):
        engine_of(Reading, alone=True).snapshot()


def test_a_state_with_shared_data_needs_a_process_of_its_own() -> None:
    engine = engine_of(Appending, alone=True)
    first = engine.snapshot()
    engine.step({})
    with pytest.raises(InvalidState, match="other models are computed in this process"):
        engine_of(Own).restore(engine.snapshot())
    engine.restore(first)

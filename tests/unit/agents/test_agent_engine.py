"""The engine of agents obeys the law of engines, and says by name what can't be saved."""

import random
import re
import sys
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from tests.support.bptk_agents import DEFINITION, Person, Town

from perdure.bptk import Agent, Model
from perdure.engines.agents.engine import AgentEngine
from perdure.errors import EngineFinished, EvaluationFailed, InvalidRunSpecs, InvalidState, NotSnapshotable
from perdure.scenarios.agent_model import AgentModel
from perdure.state.codec import decode, encode
from perdure.testing.engines import EngineConformance

OUTPUTS = [
    "burden",
    "late",
    "agents/person",
    "agents/person/ill",
    "agents/person/well/age/mean",
    "individuals/person/age",
]


def config(**changes: Any) -> dict[str, Any]:
    made = {
        "starttime": 0.0,
        "stoptime": 10.0,
        "dt": 0.5,
        "outputs": OUTPUTS,
        "definition": {key: DEFINITION[key] for key in ("agents", "properties")},
        "seed": 7,
        "stream": "town",
    }
    return {**made, **changes}


def engine_of(kind: type[Model]) -> Callable[[], AgentEngine]:
    return AgentModel(kind, "town").make_engine_here


def test_a_hybrid_with_random_agents_and_events_in_flight_resumes_at_every_step_with_the_same_bits() -> None:
    inputs: list[dict[str, Any]] = [{} for _ in range(21)]
    inputs[3] = {"constants": {"cost": 5.0}}
    inputs[6] = {"properties": {"rate": {"type": "Double", "value": 0.5}}}
    refused = [
        {"constants": {"nothing": 1.0}},
        {"constants": {"cost": "much"}},
        {"constants": {"burden": 1.0}},
        {"points": {"none": [[0, 1]]}},
        {"properties": {"none": 1}},
        {"properties": 5},
        {"agents": []},
    ]
    EngineConformance(engine_of(Town), config(), inputs, refused).check()


def test_another_seed_gives_another_run() -> None:
    runs = []
    for seed in (1, 1, 2):
        engine = engine_of(Town)()
        engine.initialize(config(seed=seed))
        runs.append(encode([engine.step({}) for _ in range(10)]))
    assert runs[0] == runs[1] != runs[2]


def test_steps_between_answers_give_the_same_numbers() -> None:
    every, second = engine_of(Town)(), engine_of(Town)()
    every.initialize(config())
    second.initialize(config(timestep=1.0))
    one = [every.step({}) for _ in range(21)]
    other = [second.step({}) for _ in range(11)]
    assert one[::2] == other
    assert (every.time, second.time) == (10.0, 10.0)
    assert every.finished and second.finished
    with pytest.raises(EngineFinished):
        every.step({})


class Odd(Person):
    made: Mapping[str, Any] = {}

    def initialize(self) -> None:
        super().initialize()
        for name, make in self.made.items():
            setattr(self, name, make())


def odd(**made: Callable[[], Any]) -> AgentEngine:
    class Other(Odd):
        pass

    Other.made = made

    class OddTown(Town):
        def instantiate_model(self) -> None:
            super().instantiate_model()
            self.register_agent_factory("person", lambda i, model, p: Other(i, model, p, "person"))

    engine = engine_of(OddTown)()
    engine.initialize(config())
    return engine


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("file", lambda: sys.__stdout__, "TextIOWrapper"),
        ("rule", lambda: lambda x: x, "'<lambda>"),
        ("seen", lambda: {object()}, "keep a list or a dict"),
        ("lock", threading.Lock, "lock"),
        ("deep", lambda: [{"a": (1, iter([]))}], "list_iterator"),
        ("by_rule", lambda: defaultdict(lambda: 0), "<lambda>"),
        ("text", lambda: "\ud800", "surrogate"),
        ("texts", lambda: ["a", "\ud800"], "surrogate"),
        ("records", lambda: np.zeros(2, dtype=[("a", "O")]), "no exact bytes"),
        ("matrix", lambda: np.ma.masked_array([1.0]), "MaskedArray"),
        ("turned", lambda: np.zeros((2, 3, 4)).transpose(1, 0, 2).copy(order="K"), "another order"),
        ("group", lambda: Group([object()]), "the order of a set"),
    ],
)
def test_what_cannot_be_saved_is_told_by_agent_and_attribute(
    name: str, make: Callable[[], Any], reason: str
) -> None:
    engine = odd(**{name: make})
    with pytest.raises(NotSnapshotable) as refused:
        engine.snapshot()
    assert f"attribute {name!r} of the agent 0 (person)" in str(refused.value).replace('"', "'")
    assert re.search(reason, str(refused.value))


def test_all_that_cannot_be_saved_is_told_at_once() -> None:
    engine = odd(file=lambda: sys.__stdout__, rule=lambda: lambda x: x)
    engine.model.lock = threading.Lock()
    with pytest.raises(NotSnapshotable) as refused:
        engine.snapshot()
    for part in (
        "in 3 places",
        "attribute 'file' of the agent 0",
        "'rule' of the agent 0",
        "model's attribute 'lock'",
    ):
        assert part in str(refused.value).replace('"', "'")
    assert "agent 1" not in str(refused.value)


class Growing(dict[str, int]):
    def __hash__(self) -> int:  # type: ignore[override]
        return self["a"]


def test_what_cannot_be_read_back_is_told_at_the_first_savepoint() -> None:
    key = Growing(a=1)
    key["itself"] = {key: 1}  # type: ignore[assignment]
    del key["a"]
    with pytest.raises(NotSnapshotable, match=r"'key' of the agent 0 .* can't be read back: KeyError"):
        odd(key=lambda: key).snapshot()


class Slotted(Agent):
    __slots__ = ("kept",)


class SlottedTown(Town):
    def instantiate_model(self) -> None:
        super().instantiate_model()
        self.register_agent_factory("person", lambda i, model, p: Slotted(i, model, p, "person"))


def test_agents_with_slots_are_refused() -> None:
    engine = engine_of(SlottedTown)()
    engine.initialize(config(outputs=["agents/person"]))
    with pytest.raises(NotSnapshotable, match="slots"):
        engine.snapshot()


class Group(set[Any]):
    pass


class Basket(list[Any]):
    def __init__(self, items: Any, label: str) -> None:
        super().__init__(items)
        self.label = label


class Register(dict[str, Any]):
    pass


class Money(float):
    def __str__(self) -> str:
        return "much"


class Word(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another word"


class Place(NamedTuple):
    x: float
    held: list[int]


@dataclass(slots=True)
class Node:
    value: Any
    next: Any = None


def linked(length: int) -> Node | None:
    head = None
    for number in range(length):
        head = Node(number, head)
    return head


def test_objects_of_classes_derived_from_built_in_types_come_back() -> None:
    engine = odd(
        basket=lambda: Basket([1, [2]], "b"),
        register=lambda: Register(a=1),
        money=lambda: Money(2.5),
        word=lambda: Word("word"),
        place=lambda: Place(1.5, [3]),
        node=lambda: linked(3),
        chain=lambda: linked(3000),
        seen=lambda: {9, 1},
        group=lambda: Group([9, 1]),
        made=lambda: defaultdict(partial(Basket, (), label="new")),
    )
    basket = engine.model.agents[0].basket
    basket.append(basket)
    resumed = odd()
    resumed.restore(decode(encode(engine.snapshot())))
    agent = resumed.model.agents[0]
    assert type(agent.basket) is Basket and agent.basket[:2] == [1, [2]] and agent.basket.label == "b"
    assert agent.basket[2] is agent.basket
    assert type(agent.register) is Register and agent.register == {"a": 1}
    assert type(agent.money) is Money and agent.money == 2.5
    assert type(agent.word) is Word and agent.word == "word"
    assert type(agent.place) is Place and agent.place == (1.5, [3])
    assert agent.node == linked(3)
    assert [*agent.seen] == [9, 1] == [*agent.group]
    assert (agent.chain.next.next.value, agent.chain.value) == (2997, 2999)
    assert type(agent.made["x"]) is Basket and agent.made["x"].label == "new"


def test_methods_of_the_global_generators_draw_from_them_after_a_restore() -> None:
    engine = odd(
        draw=lambda: random.expovariate,
        plain=lambda: random.random,
        normal=lambda: np.random.standard_normal,
        own=lambda: random.Random(3).expovariate,
    )
    engine.restore(decode(encode(engine.snapshot())))
    agent = engine.model.agents[0]
    assert agent.draw == random.expovariate and agent.plain == random.random
    assert agent.normal.__self__ is np.random.standard_normal.__self__
    assert agent.own(1.0) == random.Random(3).expovariate(1.0)


def test_arrays_keep_their_memory_and_its_order() -> None:
    grid = np.arange(6.0)
    numbers = np.random.default_rng(0).random((40, 50))
    engine = odd(
        grid=lambda: grid,
        view=lambda: grid[4:1:-1],
        turned=lambda: np.asfortranarray(numbers),
        fixed=lambda: np.broadcast_to(numbers[0], (1, 50)).copy(),
        objects=lambda: np.array([None, [1], "a"], dtype=object),
    )
    engine.model.agents[0].fixed.flags.writeable = False
    state = decode(encode(engine.snapshot()))
    engine.restore(state)
    engine.model.agents[0].view += 10.0
    engine.restore(state)  # the state hasn't changed
    agent = engine.model.agents[0]
    assert agent.grid.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    agent.view += 10.0
    assert agent.grid.tolist() == [0.0, 1.0, 12.0, 13.0, 14.0, 5.0]
    assert agent.turned.flags.f_contiguous and agent.turned.sum() == np.asfortranarray(numbers).sum()
    assert not agent.fixed.flags.writeable
    assert agent.objects.tolist() == [None, [1], "a"]


def test_generators_that_share_their_bits_still_do_and_spawn_the_same_children() -> None:
    bits = np.random.PCG64(5)
    engine = odd(one=lambda: np.random.Generator(bits), other=lambda: np.random.Generator(bits))
    engine.model.agents[0].one.spawn(1)
    state = decode(encode(engine.snapshot()))
    expected = engine.model.agents[0].one.spawn(1)[0].random()
    engine.restore(state)
    agent = engine.model.agents[0]
    assert agent.one.bit_generator is agent.other.bit_generator
    assert agent.one.spawn(1)[0].random() == expected


def test_what_agents_may_hold_comes_back() -> None:
    shared = [1, 2]
    engine = odd(
        words=lambda: {"a": [1, (2.5, None, True)], (1, 2): b"x"},
        queue=lambda: deque([1, [2]], maxlen=3),
        by_name=lambda: defaultdict(list, {"a": [1]}),
        tally=lambda: Counter("aab"),
        grid=lambda: np.arange(4.0),
        draws=lambda: np.random.default_rng(5),
        shared=lambda: shared,
        large=lambda: 1 << 100,
    )
    (first, second, *_) = engine.model.agents
    first.best, second.best = second, first
    first.draws.random()
    expected = first.draws.bit_generator.state
    state = decode(encode(engine.snapshot()))
    engine.step({})
    engine.restore(state)
    (first, second, *_) = engine.model.agents
    assert first.words == {"a": [1, (2.5, None, True)], (1, 2): b"x"}
    assert (list(first.queue), first.queue.maxlen) == ([1, [2]], 3)
    assert first.by_name["new"] == []
    assert type(first.tally) is Counter and first.tally["a"] == 2
    assert first.grid.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert first.draws.bit_generator.state == expected
    assert first.shared is second.shared and first.large == 1 << 100
    assert (first.best, second.best) == (second, first)


def test_a_function_that_holds_a_dict_of_the_model_sees_what_was_put_back() -> None:
    engine = engine_of(Town)()
    engine.initialize(config(outputs=["ill"]))
    for _ in range(4):
        engine.step({})
    held = engine.model.counts
    resumed = engine_of(Town)()
    resumed.initialize(config(outputs=["ill"]))
    before = resumed.model.counts
    resumed.restore(decode(encode(engine.snapshot())))
    assert resumed.model.counts is before and before == held


class Failing(Agent):
    def act(self, time: float, round_no: int, step_no: int) -> None:
        raise KeyError("missing")


class FailingTown(Model):
    def instantiate_model(self) -> None:
        self.register_agent_factory("person", lambda i, model, p: Failing(i, model, p, "person"))


def test_errors_of_agents_say_what_was_raised_and_when() -> None:
    engine = engine_of(FailingTown)()
    engine.initialize(config(outputs=["agents/person"]))
    with pytest.raises(EvaluationFailed, match=r"KeyError: 'missing' \(test_agent_engine\.py, line \d+\)\."):
        engine.step({})


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"starttime": 0.5}, "whole rounds"),
        ({"stoptime": 1.5}, "whole rounds"),
        ({"dt": 0.4}, "multiple of dt"),
        ({"dt": 2.0}, "multiple of dt"),
        ({"stoptime": -1.0}, "before"),
    ],
)
def test_times_that_agents_cannot_be_stepped_with_are_refused(times: dict[str, float], reason: str) -> None:
    with pytest.raises(InvalidRunSpecs, match=reason):
        engine_of(Town)().initialize(config(**times))


@pytest.mark.parametrize("state", [None, {}, {"steps": 1, "model": {}, "generators": {}}])
def test_a_state_of_something_else_is_refused(state: Any) -> None:
    engine = engine_of(Town)()
    engine.initialize(config())
    with pytest.raises(InvalidState):
        engine.restore(state)


class Ending(Town):
    def end_round(self, time: float, sim_round: int, step: int) -> None:
        super().end_round(time, sim_round, step)
        self.scheduler.running = time < 2


def test_a_model_can_end_its_run() -> None:
    engine = engine_of(Ending)()
    engine.initialize(config())
    while not engine.finished:
        engine.step({})
    assert engine.time == 2.0


class Renaming(Town):
    def begin_round(self, time: float, sim_round: int, step: int) -> None:
        if time == 1.0:
            self.constant("cost").equation = 3.0
        if time == 2.0:
            self.converter("ill").equation = self.converter("ill") * 2.0


def test_a_number_that_an_element_is_given_is_saved_and_a_formula_is_refused() -> None:
    engine = engine_of(Renaming)()
    engine.initialize(config(outputs=["care"]))
    for _ in range(4):
        engine.step({})
    resumed = engine_of(Renaming)()
    resumed.initialize(config(outputs=["care"]))
    resumed.restore(decode(encode(engine.snapshot())))
    assert resumed.model.elements["cost"].equation == 3.0
    with pytest.raises((NotSnapshotable, EvaluationFailed)):
        engine.step({})
        engine.snapshot()

"""What objects hold comes back as it was: values, types, order, and which objects are one object."""

import logging
import sys
import weakref
from collections import OrderedDict, deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial, reduce
from itertools import count
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.bptk import Model
from perdure.engines.agents.known_objects import KnownObjects
from perdure.engines.objects.rebuilding import Rebuilder
from perdure.engines.objects.recording import Recorder
from perdure.errors import NotSnapshotable
from perdure.state.codec import State, decode, encode

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=5),
)
KEYS = st.one_of(st.text(max_size=3), st.integers(), st.tuples(st.integers(), st.floats(allow_nan=False)))


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict),
    )


def known() -> KnownObjects:
    return KnownObjects(Model(), {}, [])


def records(value: Any) -> State:
    recorder = Recorder(known())
    root = recorder.root(lambda held, path: f"value{path}", value)
    recorder.run()
    recorder.problems.check()
    return [root, recorder.nodes]


def rebuilt(data: Any) -> Any:
    root, nodes = data
    graph = Rebuilder(nodes, known())
    graph.rebuild()
    return graph.value(root)


def through_bytes(value: Any) -> Any:
    return rebuilt(decode(encode(records(value))))


@given(st.recursive(ATOMS, containers, max_leaves=20))
def test_values_come_back_with_their_types_and_order(value: Any) -> None:
    again = through_bytes(value)
    assert repr(again) == repr(value)
    assert encode(records(again)) == encode(records(value))


@given(st.recursive(ATOMS, containers, max_leaves=8), st.integers(2, 4))
def test_one_object_stays_one_object(value: Any, count: int) -> None:
    shared = [value]
    again = through_bytes({"all": [shared] * count, "one": shared})
    assert all(each is again["one"] for each in again["all"])


def test_circles_come_back() -> None:
    circle: dict[str, Any] = {"list": []}
    circle["list"].append(circle)
    again = through_bytes(circle)
    assert again["list"][0] is again


def test_objects_may_hold_each_other_as_deep_as_they_like() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    again = through_bytes(deep)
    for _ in range(5000):
        (again,) = again
    assert again == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=80))
def test_sets_of_numbers_keep_their_order(changes: list[tuple[bool, int]]) -> None:
    values: set[int] = set()
    for added, number in changes:
        (values.add if added else values.discard)(number)
    again = through_bytes([values, {(number, 1.5) for number in values}])
    assert again[0] == values
    assert [*again[0]] == [*values]
    again[0].add(100)
    values.add(100)
    assert [*again[0]] == [*values]


class Large(int):
    pass


def test_values_of_pythons_library_come_back() -> None:
    values = [
        Decimal("1.10"), Fraction(1, 3), 1 + 2j, range(3), datetime(2024, 2, 29, tzinfo=UTC), timedelta(0.5),
        PurePosixPath("a/b"), SimpleNamespace(a=[1]), np.float32(0.1), np.datetime64("2024-01-01"),
        bytearray(b"a"), frozenset({1, 2}), 1 << 90,
    ]  # fmt: skip
    again = through_bytes(values)
    assert [*map(repr, again)] == [*map(repr, values)]
    numbers = through_bytes(count(3))
    assert next(numbers) == 3
    assert through_bytes(logging.getLogger("a")) is logging.getLogger("a")
    weak, held = through_bytes((weakref.ref(numbers := Keeps()), numbers))
    assert weak() is held


class Keeps:
    pass


@pytest.mark.parametrize("kind", [Large, Keeps])
def test_objects_of_the_programs_classes_come_back(kind: type) -> None:
    made = kind() if kind is Keeps else kind(1 << 70)
    made.name = "ä"
    again = through_bytes(made)
    assert type(again) is kind and vars(again) == {"name": "ä"}
    assert kind is Keeps or again == made


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a"}, r"value can't be taken: the order of a set of texts or objects"),
        ([{"a": ({"b"},)}], r"value\[0\]\['a'\] can't be taken: the order of a set"),
        (SimpleNamespace(inner=[iter([])]), r"value\.inner\[0\] can't be taken: builtins\.list_iterator"),
        (partial(print, [lambda: 1]), r"the function 'print'"),
        (sys, r"value can't be taken: .*module"),
        (["a", "\ud800"], r"lone surrogate"),
        (np.zeros(1, dtype="O, i4"), r"no exact bytes"),
        (reduce(lambda held, _: (held,), range(5000), ()), "each other too deeply"),
    ],
)
def test_what_cannot_be_saved_is_named_with_its_path(
    value: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KnownObjects, "texts_keep_their_hash", False)
    with pytest.raises(NotSnapshotable, match=says):
        records(value)


def test_a_partial_function_stays_one_object_even_if_it_holds_itself() -> None:
    held: list[Any] = []
    called = partial(max, held)
    held.append(called)
    recorder = Recorder(known(), {id(max): ["named", "builtins", "int"]})
    root = recorder.root(lambda held, path: path, [called, called])
    recorder.run()
    first, second = rebuilt(decode(encode([root, recorder.nodes])))
    assert first is second and first.func is int and first.args[0][0] is first


def test_partial_functions_of_former_states_are_read() -> None:
    called = rebuilt([["partial", ["named", "builtins", "int"], ["11"], {"base": 2}], []])
    assert called() == 3


@pytest.mark.parametrize(
    "node",
    [
        ["nothing"],
        ["class", ["named", "builtins", "int"], "Made", [], {}],
        ["object", ["named", "subprocess", "Popen"], {}],
        ["partial", ["named", "os", "system"], ["true"], {}, {}],
        ["list", [["bound", ["module", "os"], "system"]]],
        ["list", [["bound", ["named", "builtins", "int"], "__name__"]]],
        ["list", [["flag", ["named", "builtins", "int"], "1"]]],
        ["derived", "list", [[]], ["named", "subprocess", "Popen"], {}],
    ],
)
def test_data_that_no_recorder_makes_is_refused(node: Any) -> None:
    with pytest.raises((LookupError, TypeError)):
        rebuilt([[0], [node]])


def test_an_object_that_is_there_is_filled_again() -> None:
    class Kept:
        pass

    kept = Kept()
    kinds = {("module", "Kept"): Kept}
    graph = Rebuilder(
        [["object", ["named", "module", "Kept"], {"a": [1]}], ["list", [3]], ["dict", [], []]],
        KnownObjects(Model(), kinds, []),
    )
    there: list[Any] = [1, 2]
    graph.adopt([0], kept)
    graph.adopt([1], there)
    graph.adopt([2], there)
    graph.rebuild()
    assert graph.value([0]) is kept and vars(kept) == {"a": there}
    assert graph.value([1]) is there
    assert there == [3]
    assert graph.value([2]) == {}

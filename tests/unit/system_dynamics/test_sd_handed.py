"""What functions hand to each other: changed, or answered and then changed, is found; their own is theirs."""

import copy
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.engines.system_dynamics import Model
from perdure.errors import ImpureFunction
from perdure.scenarios import Catalogue

CALLS: list[Any] = []
STATE: dict[str, Any] = {"n": 0}
TABLE = [1.0, 2.0, 3.0]
ROWS: list[list[float]] = [[0.0, 1.0], [2.0, 3.0]]
ARRAY = np.zeros(3)
MATRIX = np.ones((2, 2))


def with_function(fn: Any) -> Model:
    model = Model(starttime=0.0, stoptime=2.0, dt=1.0, name="calls")
    model.converter("y").equation = model.function("fn", fn)()
    return model


def bump(counter: Any) -> float:
    counter["n"] += 1
    return float(counter["n"])


def same(x: Any) -> Any:
    return x


def second(_x: Any, y: Any) -> Any:
    return y


def twice_same(x: Any) -> Any:
    found = same(x)
    return same(found)


def either(x: Any, y: Any, at: float) -> Any:
    if at > 1:
        return x
    return y


def first_of(*given: Any, **named: Any) -> Any:
    return given[0] if given else named["x"]


def boxed(x: Any) -> dict[str, Any]:
    box: dict[str, Any] = {}
    box["x"] = x
    return box


def listed_in(x: Any) -> list[Any]:
    found = []
    found.append(x)
    return found


def each_of(x: Any) -> Any:
    yield from x


def applied(f: Any, x: Any) -> Any:
    return f(x)


def adder() -> Any:
    def add(x: Any, value: float) -> float:
        x.append(value)
        return len(x)

    return add


def defaulted(x: Any = CALLS) -> Any:
    return x


def fill(items: list[float], value: float) -> None:
    items.append(value)


def fill_on(items: list[float], value: float) -> None:
    fill(items, value)


def fill_by_name(items: list[float], value: float) -> None:
    fill(value=value, items=items)


class Helpers:
    @staticmethod
    def fill(items: list[float], value: float) -> None:
        items.append(value)


def inner_parameter(m: Any, at: float) -> float:
    def add(x: list[float]) -> None:
        x.append(at)

    add(CALLS)
    return 1.0


def inner_parameter_by_name(m: Any, at: float) -> float:
    def add(*, x: list[float]) -> None:
        x.append(at)

    add(x=CALLS)
    return 1.0


def inner_lambda(m: Any, at: float) -> float:
    adders = {"add": lambda x: x.append(at)}
    adders["add"](CALLS)
    return 1.0


def inner_rest(m: Any, at: float) -> float:
    def add(*lists: list[float]) -> None:
        for each in lists:
            each.append(at)

    add([], CALLS)
    return 1.0


def inner_starred(m: Any, at: float) -> float:
    def add(x: list[float], y: list[float]) -> None:
        y[0] += 1

    add(*ROWS)
    return 1.0


def inner_in_inner(m: Any, at: float) -> float:
    def outer(x: list[float]) -> None:
        def inner(y: list[float]) -> None:
            y.append(at)

        inner(x)

    outer(CALLS)
    return 1.0


def inner_default(m: Any, at: float) -> float:
    def add(x: list[float] = CALLS) -> None:
        x.append(at)

    add()
    return 1.0


def inner_answer(m: Any, at: float) -> float:
    def own(x: list[float]) -> list[float]:
        return x

    own(CALLS)[0] = at
    return 1.0


def inner_of_items(m: Any, at: float) -> float:
    def add(x: list[float]) -> None:
        x[0] += at

    for row in ROWS:
        add(row)
    return 1.0


def chosen_inner(m: Any, at: float) -> float:
    def add(x: list[float]) -> None:
        x.append(at)

    def leave(x: list[float]) -> None:
        pass

    (add if at > 1 else leave)(CALLS)
    return 1.0


def kept_in_a_box(m: Any, at: float) -> float:
    box: dict[str, Any] = {}
    box["x"] = CALLS
    box["x"].append(at)
    return 1.0


def kept_in_a_list(m: Any, at: float) -> float:
    found = []
    found.append(CALLS)
    for each in found:
        each.append(at)
    return 1.0


def of_a_generator(m: Any, at: float) -> float:
    for row in each_of(ROWS):
        row[0] += 1
    return 1.0


def assigned_of_same(m: Any, at: float) -> float:
    x = same(CALLS)
    y = x
    y += [at]
    return len(y)


def by_recursion(m: Any, at: float) -> float:
    def down(x: list[float], n: int) -> list[float]:
        return x if n == 0 else down(x, n - 1)

    down(CALLS, 3).append(at)
    return 1.0


def named_as_in_a_comprehension(m: Any, at: float) -> float:
    x = CALLS
    doubled = [2 * x for x in TABLE]
    x.append(at)
    return doubled[0]


HANDED: dict[str, Any] = {
    "a name that a comprehension has, too": named_as_in_a_comprehension,
    "the first of two comprehensions": lambda m, at: (
        first_of(*[same(x) for x in [CALLS]], *[same(x) for x in [[]]]).append(at) or 1.0
    ),
    "its argument": lambda m, at: same(CALLS).append(at) or 1.0,
    "its second argument": lambda m, at: second([], CALLS).append(at) or 1.0,
    "its argument by name": lambda m, at: second(y=CALLS, _x=[]).append(at) or 1.0,
    "by two helpers": lambda m, at: twice_same(CALLS).append(at) or 1.0,
    "called twice": lambda m, at: same(same(CALLS)).append(at) or 1.0,
    "one of two": lambda m, at: either([], CALLS, at).append(at) or 1.0,
    "of the rest": lambda m, at: first_of(CALLS).append(at) or 1.0,
    "of other names": lambda m, at: first_of(x=CALLS).append(at) or 1.0,
    "starred": lambda m, at: same(*[CALLS]).append(at) or 1.0,
    "an item of its argument": lambda m, at: same(ROWS)[0].append(at) or 1.0,
    "in a dict": lambda m, at: boxed(CALLS)["x"].append(at) or 1.0,
    "in a list": lambda m, at: listed_in(CALLS)[0].append(at) or 1.0,
    "a generator": of_a_generator,
    "applied": lambda m, at: applied(same, CALLS).append(at) or 1.0,
    "an applied change": lambda m, at: applied(lambda x: x.append(at), CALLS) or 1.0,
    "mapped": lambda m, at: len(list(map(bump, [STATE]))),
    "mapped and changed": lambda m, at: next(map(same, [CALLS])).append(at) or 1.0,
    "an inner function that is answered": lambda m, at: adder()(CALLS, at),
    "a default that is answered": lambda m, at: defaulted().append(at) or 1.0,
    "handed on": lambda m, at: fill_on(CALLS, at) or 1.0,
    "handed on by name": lambda m, at: fill_by_name(CALLS, at) or 1.0,
    "a static method": lambda m, at: Helpers.fill(CALLS, at) or 1.0,
    "a row of an array": lambda m, at: same(MATRIX[0]).fill(at) or 1.0,
    "+= of an answer": assigned_of_same,
    "recursion": by_recursion,
    "a parameter of an inner function": inner_parameter,
    "by name": inner_parameter_by_name,
    "of a lambda": inner_lambda,
    "of the rest of an inner function": inner_rest,
    "starred to an inner function": inner_starred,
    "an inner function in another": inner_in_inner,
    "a default of an inner function": inner_default,
    "an answer of an inner function": inner_answer,
    "an item of a loop": inner_of_items,
    "one of two inner functions": chosen_inner,
    "kept in a dict": kept_in_a_box,
    "kept in a list": kept_in_a_list,
}


@pytest.mark.parametrize("kind", HANDED)
def test_what_is_handed_to_functions_and_changed_there_or_after_is_refused(kind: str) -> None:
    with pytest.raises(ImpureFunction, match="impure=True"):
        Catalogue().register_model(with_function(HANDED[kind]))


def filled(x: float) -> list[float]:
    found: list[float] = []
    fill(found, x)
    fill_on(found, x)
    fill_by_name(found, x)
    Helpers.fill(found, x)
    return found


def refilled(x: float) -> list[float]:
    found = filled(x)
    found.append(x)
    fill_on(same(found), x)
    twice_same(found).append(x)
    return listed_in(found)[0]


def doubled(x: float) -> float:
    return x * 2


def fresh_lists(model: Any, at: float) -> float:
    rows = [[at], [2.0]]
    for row in rows:
        fill(row, at)
    copy = list(TABLE)
    fill_on(copy, at)
    fill_on(TABLE[:], at)
    fill_on([*TABLE], at)
    fill_on(sorted(TABLE), at)
    either(copy, rows, at).append(at)
    adder()(copy, at)
    boxed(copy)["x"].append(at)
    boxed(CALLS)["y"] = at
    listed_in(CALLS).append([])
    return len(filled(at)) + len(refilled(at)) + len(copy) + len(rows)


def inner_on_its_own(model: Any, at: float) -> float:
    found: list[float] = []

    def add(x: list[float], value: float = 1.0) -> list[float]:
        x.append(value)
        fill(x, value)
        return x

    add(found)
    add(add(found), at)
    for row in ROWS:
        add([*row])
    add(list(CALLS)).append(1.0)
    counts = {"n": 0}

    def count(by: float) -> None:
        counts["n"] += by
        bump(counts)

    for value in TABLE:
        count(value)
    total = functools.reduce(lambda a, b: a + b, TABLE, 0.0)
    return total + len(found) + counts["n"] + sum(map(doubled, TABLE))


def euler(model: Any, at: float) -> float:
    def rate(y: Any, k: float) -> Any:
        return -k * y

    def stepped(y: Any, h: float) -> Any:
        k1 = rate(y, 0.1)
        k2 = rate(y + h / 2 * k1, 0.1)
        k3 = rate(y + h / 2 * k2, 0.1)
        k4 = rate(y + h * k3, 0.1)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    state = ARRAY * 1.0
    for _ in range(3):
        state = stepped(state, 0.1)
        state[0] += 1.0
        state = same(state)
    return float(state[0])


def many(model: Any, at: float) -> float:
    x = y = at
    x = max(second(x, y), either(x, y, at))
    y = second(second(x, y), second(y, x))
    x = second(second(x, y), second(y, x))
    y = second(second(x, y), second(y, x))
    x = second(second(x, y), second(y, x))
    y = second(second(x, y), second(y, x))
    x = second(second(x, y), second(y, x))
    y = second(second(x, y), second(y, x))
    x = second(second(x, TABLE[0]), second(y, x))
    y = second(second(x, y), second(y, x))
    x = second(second(x, y), second(y, x))
    y = second(second(x, y), second(y, x))
    return x + y


def memoized_in_the_call(model: Any, at: float) -> float:
    known: dict[int, float] = {}

    def fib(n: int) -> float:
        if n not in known:
            known[n] = fib(n - 1) + fib(n - 2) if n > 1 else TABLE[n]
        return known[n]

    return fib(7)


def another_name_in_a_comprehension(model: Any, at: float) -> float:
    x: list[float] = []
    rows = [same(x) for x in [TABLE]]
    x.append(at)
    return x[0] + rows[0][0]


OWN = [fresh_lists, inner_on_its_own, euler, many, memoized_in_the_call, another_name_in_a_comprehension]


@pytest.mark.parametrize("fn", OWN, ids=lambda fn: fn.__name__)
def test_what_functions_make_themselves_may_be_handed_on_and_changed(fn: Any) -> None:
    catalogue = Catalogue()
    catalogue.register_model(with_function(fn))
    found = catalogue.run_scenarios(equations="y", return_format="dict")
    assert found == catalogue.run_scenarios(equations="y", return_format="dict")


# Programs of a few lines, which are run to see what they change
HEAD = """
L = [[0.0], [1.0]]
M = [2.0]
def same(x): return x
def second(x, y): return y
def boxed(x): return [x]
def first(*xs): return xs[0]
def fill(x): x.append(1.0)
def fill_on(x): fill(same(x))
def filled(x):
    x.append(1.0)
    return x
def fresh(x):
    made = [x]
    fill_on(made)
    return made
"""
NAMES = st.sampled_from(["L", "M", "a", "b", "c"])
OWN_NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    NAMES | st.just("[]"),
    lambda inner: st.one_of(
        st.builds("same({})".format, inner),
        st.builds("second({}, {})".format, inner, inner),
        st.builds("first(*[{}, {}])".format, inner, inner),
        st.builds("boxed({})".format, inner),
        st.builds("boxed({})[0]".format, inner),
        st.builds("fresh({})".format, inner),
        st.builds("filled({})".format, inner),
        st.builds("list({})".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("(lambda x: x)({})".format, inner),
        st.builds("inner({})".format, inner),
        st.builds("[x for x in [{}]][0]".format, inner),
    ),
    max_leaves=4,
)
LINES = st.one_of(
    st.builds("{} = {}".format, OWN_NAMES, VALUES),
    st.builds("{}.append({})".format, OWN_NAMES | VALUES, VALUES),
    st.builds("{} += [1.0]".format, OWN_NAMES),
    st.builds("fill_on({})".format, VALUES),
    st.builds("inner({})".format, VALUES),
    st.builds("list(map(fill, [{}]))".format, VALUES),
    st.builds("{}.extend({})".format, OWN_NAMES, VALUES),
)
BODIES = {
    "inner, which changes": "def inner(x):\n        x.append(1.0)\n        return x",
    "inner, which answers": "def inner(x):\n        return x",
}
PROGRAMS = st.tuples(st.sampled_from(sorted(BODIES.values())), st.lists(LINES, min_size=1, max_size=5))


def written(programs: list[Any]) -> Iterator[str]:
    yield HEAD
    for number, (inner, lines) in enumerate(programs):
        yield "\n    ".join(
            [f"def program_{number}(m, t):", "a, b, c = [], [[]], []", inner, *lines, "return 1.0"]
        )
        yield ""


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@given(programs=st.lists(PROGRAMS, min_size=10, max_size=30))
@settings(max_examples=8)
def test_whatever_changes_a_global_is_refused(
    programs: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("programs") / "programs.py"
    path.write_text("\n".join(written(programs)))
    module = loaded(path)
    before = copy.deepcopy([module.L, module.M])
    for number in range(len(programs)):
        program = getattr(module, f"program_{number}")
        try:
            with_function(program).fingerprint()
        except ImpureFunction:
            continue
        program(None, 0.0)
        assert before == [module.L, module.M], programs[number]

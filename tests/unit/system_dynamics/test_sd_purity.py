"""Functions that answer otherwise each time are refused when a model is registered, unless declared."""

import ctypes
import datetime
import functools
import heapq
import io
import itertools
import math
import operator
import os
import os.path
import pathlib
import random
import secrets
import statistics
import sys
import time
import uuid
from bisect import bisect, insort
from collections import deque
from collections.abc import Callable
from os import environ
from os.path import exists
from random import gauss
from random import random as draw
from time import time as t
from typing import Any

import numpy as np
import numpy.random as npr
import pandas as pd
import pytest
from numpy.random import default_rng, normal
from scipy import stats

from perdure.engines.system_dynamics import Model
from perdure.errors import ImpureFunction, ModelError
from perdure.scenarios import Catalogue

COUNT = 0
CALLS: list[float] = []
STATE: dict[str, Any] = {"n": 0, "deep": {"n": 0}}
SEEN: set[float] = set()
QUEUE: deque[float] = deque([1.0])
ARRAY = np.zeros(3)
TABLE = [1.0, 2.0, 3.0]
NUMBERS = itertools.count()
RNG = np.random.default_rng(5)
GENERATOR = random.Random(5)
MODULE = random
ROWS: list[list[float]] = [[0.0, 1.0], [2.0, 3.0]]
NESTED: dict[str, list[float]] = {"a": [0.0]}
CONSTANTS = {"a": 1.0}
MATRIX = np.ones((2, 2))
SEED = None
WORD = "now"


class Counter:
    n = 0
    values: list[float] = []


def helper() -> float:
    return random.random()


def second_helper() -> float:
    return helper() + 1.0


def bump(counter: Any) -> float:
    counter["n"] += 1
    return float(counter["n"])


def pure_helper(items: list[float], x: float, kept: list[float] | None = None) -> list[float]:
    kept = [] if kept is None else kept
    kept.append(x)
    items.append(x)
    return items


def counted_global(model: Any, at: float) -> float:
    global COUNT
    COUNT += 1
    return COUNT


def counted_nonlocal() -> Callable[..., float]:
    n = 0

    def count(model: Any, at: float) -> float:
        nonlocal n
        n += 1
        return n

    return count


def counted_in_closure() -> Callable[..., float]:
    seen: list[float] = []

    def count(model: Any, at: float) -> float:
        seen.append(at)
        return len(seen)

    return count


def drawing_closure() -> Callable[..., float]:
    source = random

    def draws(model: Any, at: float) -> float:
        return source.random()

    return draws


def appended(model: Any, at: float) -> float:
    CALLS.append(at)
    return len(CALLS)


def counted_in_dict(model: Any, at: float) -> float:
    STATE["n"] += 1
    return float(STATE["n"])


def counted_deep(model: Any, at: float) -> float:
    STATE["deep"]["n"] += 1
    return float(STATE["deep"]["n"])


def through_an_alias(model: Any, at: float) -> float:
    state = STATE
    state["n"] = state["n"] + 1
    return float(state["n"])


def on_a_class(model: Any, at: float) -> float:
    Counter.n += 1
    return Counter.n


def on_a_classes_list(model: Any, at: float) -> float:
    Counter.values.append(at)
    return len(Counter.values)


def by_setattr(model: Any, at: float) -> float:
    setattr(Counter, "n", Counter.n + 1)
    return Counter.n


def on_itself(model: Any, at: float) -> float:
    on_itself.calls = getattr(on_itself, "calls", 0) + 1
    return 1.0


def in_a_default(model: Any, at: float, seen: list[float] = []) -> float:
    seen.append(at)
    return len(seen)


def in_a_default_dict(model: Any, at: float, *, seen: dict[str, int] = {"n": 0}) -> float:
    seen["n"] += 1
    return seen["n"]


def by_a_helper(model: Any, at: float) -> float:
    return bump(STATE)


def into_a_set(model: Any, at: float) -> float:
    SEEN.add(at)
    return len(SEEN)


def from_a_queue(model: Any, at: float) -> float:
    QUEUE.append(QUEUE.popleft() + 1)
    return QUEUE[0]


def into_an_array(model: Any, at: float) -> float:
    ARRAY[0] += 1
    return float(ARRAY[0])


def out_into_an_array(model: Any, at: float) -> float:
    np.add(ARRAY, 1.0, out=ARRAY)
    return float(ARRAY[0])


def onto_a_heap(model: Any, at: float) -> float:
    heapq.heappush(TABLE, at)
    return TABLE[0]


def inserted(model: Any, at: float) -> float:
    insort(TABLE, at)
    return TABLE[0]


def deleted(model: Any, at: float) -> float:
    del TABLE[0]
    return 1.0


def in_a_nested_function(model: Any, at: float) -> float:
    def inner() -> float:
        CALLS.append(at)
        return random.random()

    return inner()


def imported_inside(model: Any, at: float) -> float:
    from time import perf_counter as clock

    return clock()


def imported_module_inside(model: Any, at: float) -> float:
    import numpy.random

    return numpy.random.normal()


def read_file(model: Any, at: float) -> float:
    with open("numbers.txt") as file:
        return float(file.read())


def default_module(model: Any, at: float, source: Any = random) -> float:
    return float(source.random())


class Method:
    def __init__(self) -> None:
        self.n = 0

    def count(self, model: Any, at: float) -> float:
        self.n += 1
        return self.n

    @staticmethod
    def draws(model: Any, at: float) -> float:
        return random.random()


def makes_one(model: Any, at: float) -> float:
    return Method.draws(model, at)


def by_a_bound_method(model: Any, at: float) -> float:
    add = CALLS.append
    add(at)
    return len(CALLS)


def in_place_on_an_alias(model: Any, at: float) -> float:
    x = CALLS
    x += [1.0]
    return len(x)


def united_in_place(model: Any, at: float) -> float:
    x = SEEN
    x |= {at}
    return len(x)


def grown(x: list[float]) -> float:
    x += [1.0]
    return len(x)


def given_rows() -> list[list[float]]:
    return ROWS


def chosen(model: Any, at: float) -> float:
    x = CALLS if at > 0 else TABLE
    x.append(at)
    return len(x)


def chosen_by_if(model: Any, at: float) -> float:
    if at > 0:
        x = CALLS
    else:
        x = [at]
    x.append(at)
    return len(x)


def enumerated(model: Any, at: float) -> float:
    for _i, x in enumerate(ROWS):
        x[0] += 1
    return ROWS[0][0]


def zipped(model: Any, at: float) -> float:
    for x, _y in zip(ROWS, TABLE, strict=False):
        x[0] += 1
    return ROWS[0][0]


def of_items(model: Any, at: float) -> float:
    for _key, x in NESTED.items():
        x.append(at)
    return len(NESTED["a"])


def unpacked(model: Any, at: float) -> float:
    first, *_rest = ROWS
    first[0] += 1
    return first[0]


def got(model: Any, at: float) -> float:
    NESTED.get("a", [])[0] += 1
    return NESTED["a"][0]


def of_a_result(model: Any, at: float) -> float:
    given_rows()[0][0] += 1
    return ROWS[0][0]


def of_a_copy(model: Any, at: float) -> float:
    x = list(ROWS)
    x[0][0] += 1
    return ROWS[0][0]


def view_of_an_array(model: Any, at: float) -> float:
    x = ARRAY[:]
    x[0] += 1
    row = MATRIX[0]
    row += 1
    return float(ARRAY[0])


def reshaped(model: Any, at: float) -> float:
    x = np.asarray(ARRAY).reshape(3, 1)
    x += 1
    return float(ARRAY[0])


def local_seed(model: Any, at: float) -> float:
    seed = None
    return np.random.default_rng(seed).normal()


def distribution(model: Any, at: float) -> float:
    bell = stats.norm(0.0, 1.0)
    return float(bell.rvs())


IMPURE: dict[str, Any] = {
    "a bound method": by_a_bound_method,
    "a method handed to map": lambda m, at: len(list(map(CALLS.append, [at]))),
    "getattr of a list": lambda m, at: getattr(CALLS, "append")(at) or 1.0,
    "ufunc.at": lambda m, at: np.add.at(ARRAY, 0, 1) or ARRAY[0],
    "operator.setitem": lambda m, at: operator.setitem(STATE, "n", 2) or STATE["n"],
    "operator.iadd": lambda m, at: len(operator.iadd(CALLS, [at])),
    "+= of an alias": in_place_on_an_alias,
    "|= of an alias": united_in_place,
    "+= of a helper's parameter": lambda m, at: grown(CALLS),
    "one of two lists": chosen,
    "one of two branches": chosen_by_if,
    "enumerate": enumerated,
    "zip": zipped,
    "items": of_items,
    "unpacking": unpacked,
    "get": got,
    "a helper's result": of_a_result,
    "an item of a copy": of_a_copy,
    "a view": view_of_an_array,
    "a frozen distribution": lambda m, at: stats.lognorm(0.5).rvs(),
    "a distribution": lambda m, at: stats.norm.rvs(),
    "a distribution by a name": distribution,
    "NormalDist": lambda m, at: statistics.NormalDist().samples(1)[0],
    "a seed that is None": lambda m, at: np.random.default_rng(SEED).normal(),
    "a local seed that is None": local_seed,
    "pd.Timestamp now": lambda m, at: pd.Timestamp("now").hour,
    "pd.Timestamp of a name": lambda m, at: pd.Timestamp(WORD).hour,
    "pd.to_datetime now": lambda m, at: pd.to_datetime("now").hour,
    "np.datetime64 now": lambda m, at: np.datetime64("now").astype(int),
    "sys.modules": lambda m, at: sys.modules["time"].time(),
    "hash": lambda m, at: hash("x"),
    "ctypes": lambda m, at: ctypes.c_int(3).value,
    "random.random": lambda m, at: random.random(),
    "a method of random": lambda m, at: random.gauss(0.0, 1.0),
    "from random import": lambda m, at: draw() + gauss(0, 1),
    "random itself": draw,
    "np.random": lambda m, at: np.random.normal(),
    "np.random in two steps": lambda m, at: npr.uniform(0, 1),
    "from numpy.random import": lambda m, at: normal(),
    "a generator without a seed": lambda m, at: default_rng().normal(),
    "a generator seeded with None": lambda m, at: np.random.default_rng(None).normal(),
    "a global generator": lambda m, at: RNG.normal(),
    "a global Random": lambda m, at: GENERATOR.random(),
    "an alias of a module": lambda m, at: MODULE.random(),
    "getattr of a module": lambda m, at: getattr(random, "random")(),
    "secrets": lambda m, at: secrets.randbelow(5),
    "uuid": lambda m, at: uuid.uuid4().int,
    "time.time": lambda m, at: time.time(),
    "from time import": lambda m, at: t(),
    "the time itself": functools.partial(lambda clock, m, at: clock(), time.time),
    "time.localtime": lambda m, at: time.localtime().tm_hour,
    "datetime.now": lambda m, at: datetime.datetime.now().hour,
    "date.today": lambda m, at: datetime.date.today().day,
    "os.environ": lambda m, at: float(os.environ["X"]),
    "os.environ.get": lambda m, at: float(os.environ.get("X", 1)),
    "from os import environ": lambda m, at: float(environ["X"]),
    "os.getenv": lambda m, at: float(os.getenv("X", "1")),
    "os.getpid": lambda m, at: os.getpid(),
    "os.path.exists": lambda m, at: os.path.exists("x"),
    "from os.path import": lambda m, at: exists("x"),
    "a Path": lambda m, at: float(pathlib.Path("x").read_text()),
    "open": read_file,
    "io.open": lambda m, at: float(io.open("x").read()),
    "np.loadtxt": lambda m, at: np.loadtxt("x")[0],
    "np.load": lambda m, at: np.load("x")[0],
    "input": lambda m, at: float(input()),
    "id": lambda m, at: id(m) % 7,
    "an iterator": lambda m, at: next(NUMBERS),
    "a helper": lambda m, at: helper(),
    "a helper's helper": lambda m, at: second_helper(),
    "a partial": functools.partial(lambda factor, m, at: factor * random.random(), 2.0),
    "a static method": makes_one,
    "a closure": drawing_closure(),
    "a default": lambda m, at, source=random.random: source(),
    "a module as a default": default_module,
    "a nested function": in_a_nested_function,
    "imported inside": imported_inside,
    "a module imported inside": imported_module_inside,
    "global": counted_global,
    "nonlocal": counted_nonlocal(),
    "a list of a closure": counted_in_closure(),
    "a global list": appended,
    "a global dict": counted_in_dict,
    "a dict in a dict": counted_deep,
    "an alias": through_an_alias,
    "a class": on_a_class,
    "a list of a class": on_a_classes_list,
    "setattr": by_setattr,
    "its own attribute": on_itself,
    "a default list": in_a_default,
    "a default dict": in_a_default_dict,
    "a helper's argument": by_a_helper,
    "a set": into_a_set,
    "a deque": from_a_queue,
    "an array": into_an_array,
    "out=": out_into_an_array,
    "a heap": onto_a_heap,
    "insort": inserted,
    "del": deleted,
}


# The identity of these has the array in it, since the name isn't assigned.
ARRAYS: dict[str, Any] = {
    "a ufunc's third argument": lambda m, at: np.add(ARRAY, 1.0, ARRAY)[0],
    "a reshaped array": reshaped,
}


def with_function(fn: Any, *, impure: bool = False) -> Model:
    model = Model(starttime=0.0, stoptime=2.0, dt=1.0, name="calls")
    model.converter("y").equation = model.function("fn", fn, impure=impure)()
    return model


@pytest.mark.parametrize("kind", IMPURE | ARRAYS)
def test_an_impure_function_is_refused_with_what_to_do(kind: str) -> None:
    with pytest.raises(ImpureFunction, match="impure=True") as refused:
        Catalogue().register_model(with_function((IMPURE | ARRAYS)[kind]))
    assert "'fn'" in str(refused.value)


@pytest.mark.parametrize("kind", IMPURE)
def test_declared_it_is_registered_and_identified_alike_whatever_it_keeps(kind: str) -> None:
    before = with_function(IMPURE[kind], impure=True).fingerprint()
    CALLS.append(1.0)
    STATE["n"] += 1
    ARRAY[0] += 1
    TABLE[0] += 1
    catalogue = Catalogue()
    catalogue.register_model(with_function(IMPURE[kind], impure=True))
    assert catalogue.manager("smCalls").fingerprint == before


def test_a_method_that_counts_is_refused_until_it_is_declared() -> None:
    with pytest.raises(ModelError, match="impure=True"):
        Catalogue().register_model(with_function(Method().count))
    Catalogue().register_model(with_function(Method().count, impure=True))


def seeded(model: Any, at: float) -> float:
    generator = np.random.default_rng(int(at))
    return float(generator.normal() + random.Random(int(at)).random())


def local_list(model: Any, at: float) -> float:
    found: list[float] = []
    for entry in TABLE:
        found.append(entry * at)
    found[0] += 1.0
    total = 0.0
    for each in found:
        total += each
    counts = {"n": 0}
    counts["n"] += 1
    counts.update(m=2)
    return total + len(pure_helper([], at)) + len(np.append(TABLE, at)) + counts["n"]


def own_object(model: Any, at: float) -> float:
    return math.sqrt(4.0) + bisect(TABLE, at) + time.gmtime(0.0).tm_year + len(os.path.join("a", "b"))


def memo(model: Any, at: float) -> float:
    result = TABLE
    result = [*result, at]
    result.append(1.0)
    count = 0

    def inner() -> None:
        nonlocal count
        count += 1

    inner()
    return len(result) + count


def copies(model: Any, at: float) -> float:
    x = list(TABLE)
    x.append(1.0)
    y = TABLE[:]
    y.append(1.0)
    y += [2.0]
    z = TABLE.copy()
    z[0] = at
    rows = list(ROWS)
    rows.append([at])
    a = ARRAY.copy()
    a += 1
    made = np.asarray(TABLE)
    made[0] = at
    sums = np.cumsum(ARRAY)
    sums[0] = 1.0
    return sum(x) + sum(y) + sum(sorted(z)) + len(rows) + float(np.cumsum(MATRIX)[0]) * 0.0


def built(n: float) -> list[float]:
    found = []
    for i in range(3):
        found.append(i * n)
    return found


def scaled(x: float) -> float:
    x *= 2.0
    return x


def of_tables(model: Any, at: float) -> float:
    first = TABLE[0]
    first *= 0.0
    part = CONSTANTS.get("a", 0.0)
    part += 1.0
    for i, row in enumerate(ROWS):
        value = row[0]
        value *= 0.0
        part += value + i
    made = built(at)
    made.append(1.0)
    made += [1.0]
    best = max(CONSTANTS.values())
    best += math.exp(CONSTANTS["a"]) + scaled(CONSTANTS["a"])
    return first + part + len(made) + best + float(np.interp(1.0, [0.0, 2.0], [0.0, 1.0]))


def seeded_in_the_call(model: Any, at: float) -> float:
    bell = stats.norm(0.0, 1.0)
    return float(
        np.random.default_rng(7).normal()
        + bell.mean()
        + stats.norm.rvs(random_state=7)
        + statistics.NormalDist().samples(1, seed=7)[0]
        + pd.Timestamp("2020-01-01").hour
    )


PURE = [seeded, local_list, own_object, memo, copies, of_tables, seeded_in_the_call]


@pytest.mark.parametrize("fn", PURE, ids=lambda fn: fn.__name__)
def test_a_function_that_answers_the_same_each_time_is_taken(fn: Any) -> None:
    catalogue = Catalogue()
    catalogue.register_model(with_function(fn))
    found = catalogue.run_scenarios(equations="y", return_format="dict")
    assert found == catalogue.run_scenarios(equations="y", return_format="dict")

"""What a modeller may write, and what errors say of the rest."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.engines.system_dynamics import Element, Model, SystemDynamicsEngine, simulate
from perdure.engines.system_dynamics import functions as sd
from perdure.errors import (
    CircularDefinition,
    DuplicateElement,
    EvaluationFailed,
    InvalidRunSpecs,
    MissingEquation,
    ModelError,
    PastRead,
    UnknownElement,
)


def model(**elements: Any) -> Model:
    made = Model(0.0, 4.0, 1.0, "test")
    for name, equation in elements.items():
        made.converter(name).equation = equation
    return made


def test_an_element_is_made_once_and_returned_again() -> None:
    m = Model()
    assert m.stock("a") is m.stock("a")
    assert m.stock("a").kind == "stock"
    assert list(m.elements) == ["a"]
    assert list(m.stocks) == ["a"] and not m.flows and not m.biflows and not m.converters and not m.constants


def test_a_name_has_one_kind() -> None:
    m = Model()
    m.flow("a")
    with pytest.raises(DuplicateElement, match="'a' is already a flow of this model; give the stock another"):
        m.stock("a")


@pytest.mark.parametrize("name", ["", "@hidden", 7, None])
def test_a_name_is_a_string_that_is_not_reserved(name: Any) -> None:
    with pytest.raises(ModelError, match="non-empty string"):
        Model().stock(name)


def test_all_missing_equations_are_named() -> None:
    m = Model()
    m.stock("a"), m.flow("b"), m.biflow("c"), m.converter("d"), m.constant("e")
    m.stock("enough").initial_value = 1.0
    m.stock("also enough").equation = 1.0
    with pytest.raises(MissingEquation, match=r"No equation is given for 'a', 'b', 'c', 'd', 'e';"):
        m.simulate([*m.elements])


def test_taking_an_equation_away_makes_it_missing() -> None:
    m = model(a=1.0)
    assert m.converter("a")(0.0) == 1.0
    m.converter("a").equation = None
    with pytest.raises(MissingEquation):
        m.converter("a")(0.0)


@pytest.mark.parametrize("value", [None, "a", [1.0], {}, object(), 1j])
def test_what_is_no_number_has_no_place_in_an_expression(value: Any) -> None:
    with pytest.raises(ModelError):
        model(a=1.0).converter("a") + value
    with pytest.raises(ModelError):
        sd.exp(value)


@pytest.mark.parametrize("value", ["1", [1.0], 10**400])
def test_an_equation_is_an_expression_or_a_number(value: Any) -> None:
    with pytest.raises(ModelError, match="equation of 'a'"):
        model(a=value)


@pytest.mark.parametrize("value", [True, None, "1", [1.0]])
def test_an_initial_value_is_an_expression_or_a_number(value: Any) -> None:
    with pytest.raises(ModelError):
        Model().stock("a").initial_value = value


@pytest.mark.parametrize("value", [True, math.nan, math.inf, "1", sd.pi(), 10**400])
def test_a_constant_is_a_finite_number(value: Any) -> None:
    with pytest.raises(ModelError, match="'a' must be a finite number"):
        Model().constant("a").equation = value


def test_equations_and_initial_values_are_read_back_as_given() -> None:
    m = model(a=1)
    level = m.stock("level")
    assert level.equation is None
    assert level.initial_value == 0.0
    level.initial_value = m.converter("a")
    assert level.initial_value is m.converter("a")
    assert m.converter("a").equation == 1
    assert str(level) == "level"
    assert repr(level) == "<stock 'level'>"


def test_initial_values_may_be_expressions_of_other_elements() -> None:
    m = Model(2.0, 4.0, 1.0)
    a, b, c = m.stock("a"), m.stock("b"), m.converter("c")
    a.initial_value = c * 2 + sd.time()
    c.equation = b + 1.0
    b.initial_value = m.constant("k") * 3
    m.constant("k").equation = 5
    assert simulate(m, {"outputs": ["a"]})[1] == {"a": [34.0, 34.0, 34.0]}
    assert simulate(m, {"outputs": ["a"], "constants": {"k": 1.0}})[1] == {"a": [10.0, 10.0, 10.0]}


def test_an_element_of_another_model_is_unknown_with_the_nearest_name() -> None:
    m, other = model(customers=1.0), model(custmers=2.0)
    m.converter("revenue").equation = other.converter("custmers") * 2.0
    with pytest.raises(UnknownElement, match=r"'revenue' uses 'custmers', .* Did you mean 'customers'\?"):
        m.program()


def test_functions_of_another_model_are_refused() -> None:
    m, other = model(a=1.0), Model(name="other")
    m.converter("b").equation = sd.dt(other)
    with pytest.raises(ModelError, match=r"'b', sd.dt belongs to another model, 'other'"):
        m.program()
    m.converter("b").equation = other.function("f", lambda model, t: 1.0)()
    with pytest.raises(ModelError, match="the function 'f' belongs to another model"):
        m.program()


def test_unknown_points_are_named_with_the_nearest_name() -> None:
    m = model(a=sd.lookup(sd.time(), "pirce"))
    m.points["price"] = [[0.0, 1.0]]
    with pytest.raises(UnknownElement, match=r"lookup in 'a' uses 'pirce', .* Did you mean 'price'\?"):
        m.simulate("a")


@pytest.mark.parametrize(
    "points",
    [[[1.0]], [[1.0, math.nan]], [["1", 2.0]], [[True, 2.0]], 5, "ab", [[0.0, -1e308], [1e-9, 1e308]]],
)
def test_points_that_are_none_are_refused(points: Any) -> None:
    m = model(a=1.0)
    m.points["p"] = points
    with pytest.raises(ModelError, match="points 'p' are wrong"):
        simulate(m, {})


def test_the_shortest_circle_is_named_in_order() -> None:
    m = model(a=0.0, b=0.0, c=0.0, d=0.0, x=0.0)
    a, b, c, d = (m.converter(name) for name in "abcd")
    a.equation, b.equation, c.equation, d.equation = b + 1, c + d, a + 1, b * 2
    m.converter("x").equation = a
    with pytest.raises(CircularDefinition, match="circle: b → d → b") as caught:
        simulate(m, {})
    assert caught.value.values["names"] == ["b", "d"]


def test_an_element_that_reads_itself_is_a_circle() -> None:
    m = model(a=0.0)
    m.converter("a").equation = m.converter("a") + 1.0
    with pytest.raises(CircularDefinition, match="a → a"):
        simulate(m, {})


def test_initial_values_in_a_circle_are_refused() -> None:
    m = Model(0.0, 1.0, 1.0)
    level, rate = m.stock("level"), m.flow("rate")
    level.initial_value = rate
    level.equation = rate
    rate.equation = level * 2.0
    with pytest.raises(CircularDefinition, match="level → rate → level"):
        simulate(m, {})


def test_a_smooth_of_itself_needs_an_initial_value_only() -> None:
    m = model(a=0.0)
    m.converter("a").equation = 1.0 + 0.5 * sd.smooth(m, m.converter("a"), 2.0, 4.0)
    assert simulate(m, {"outputs": ["a"]})[1]["a"][:3] == [3.0, 2.75, 2.5625]


def test_a_circle_of_hidden_parts_names_the_users_elements() -> None:
    m = model(a=0.0, b=0.0)
    m.converter("a").equation = sd.delay(m, m.converter("b") * 2.0, 0.0, 1.0)
    m.converter("b").equation = m.converter("a") + 1.0
    with pytest.raises(CircularDefinition, match=r"circle: (a → b → a|b → a → b)"):
        simulate(m, {})


def circle_with(duration: Any, *, dt: float = 1.0, constant: float = 2.0) -> Model:
    """Make a circle a → b → a that a delay closes, whose duration `duration` makes."""
    m = Model(starttime=0.0, stoptime=4.0, dt=dt, name="circle")
    a, b, c = m.converter("a"), m.converter("b"), m.constant("c")
    c.equation = constant
    m.stock("still").equation = 0.0
    a.equation = sd.delay(m, b, duration(m, c), 1.0)
    b.equation = a * 2.0
    m.stock("sum").equation = m.flow("rate")
    m.stock("sum").initial_value = b
    m.flow("rate").equation = a
    return m


@pytest.mark.parametrize(
    "duration",
    [
        lambda m, c: c,
        lambda m, c: c * 1.0,
        lambda m, c: sd.max(sd.time() * 0.0, c),
        lambda m, c: c + m.stock("still"),
    ],
    ids=["constant", "expression", "time", "stock"],
)
def test_a_delay_whose_duration_elements_give_breaks_a_circle(duration: Any) -> None:
    _, values = simulate(circle_with(duration), {"outputs": ["a", "b", "sum"]})
    assert values["a"] == [1.0, 1.0, 2.0, 2.0, 4.0]
    assert values["b"] == [2.0, 2.0, 4.0, 4.0, 8.0]
    assert values["sum"] == [2.0, 3.0, 4.0, 6.0, 8.0]


def test_a_circle_closed_by_a_delay_goes_on_from_a_savepoint() -> None:
    first, second = (SystemDynamicsEngine(circle_with(lambda m, c: c, dt=0.5)) for _ in range(2))
    for engine in (first, second):
        engine.initialize({"outputs": ["a", "b"]})
    for _ in range(4):
        first.step({})
    second.restore(first.snapshot())
    given: dict[str, Any] = {"constants": {"c": 1.0}}
    assert [first.step(given) for _ in range(3)] == [second.step(given) for _ in range(3)]


@pytest.mark.parametrize("constant", [0.0, 0.25, 0.5])
def test_a_circle_whose_delay_reads_the_present_is_an_error_of_the_run(constant: float) -> None:
    m = circle_with(lambda m, c: c, constant=constant)
    with pytest.raises(EvaluationFailed, match=r"'a'.*the delay closes a circle") as failed:
        simulate(m, {"outputs": ["a"]})
    assert "more than half a step" in str(failed.value)


def test_a_delay_of_no_duration_that_closes_no_circle_reads_the_present_beside_one_that_does() -> None:
    m = circle_with(lambda m, c: c)
    m.converter("now").equation = sd.delay(m, m.converter("later"), m.constant("zero"), 7.0)
    m.constant("zero").equation = 0.0
    m.converter("later").equation = m.converter("b") + sd.time()
    _, values = simulate(m, {"outputs": ["now", "later"]})
    assert values["now"] == values["later"] == [2.0, 3.0, 6.0, 7.0, 12.0]


def test_a_circle_that_only_an_initial_value_reads_runs() -> None:
    m = Model(starttime=0.0, stoptime=3.0, dt=1.0, name="m")
    level, shown, p = m.stock("level"), m.converter("shown"), m.converter("p")
    level.initial_value = shown
    level.equation = m.flow("grown")
    m.flow("grown").equation = shown * 0.5
    shown.equation = sd.If(sd.time() == 0.0, p, level)
    p.equation = m.constant("q") * 2.0
    m.constant("q").equation = 4.0
    _, values = simulate(m, {"outputs": ["level", "shown"]})
    assert values["level"] == values["shown"] == [8.0, 12.0, 18.0, 27.0]
    engine = SystemDynamicsEngine(m)
    engine.initialize({"outputs": ["level"], "constants": {"q": 1.0}})
    assert [engine.step({})["level"] for _ in range(4)] == [2.0, 3.0, 4.5, 6.75]


def test_a_chosen_branch_that_closes_the_circle_is_an_error_of_the_run() -> None:
    m = Model(starttime=1.0, stoptime=3.0, dt=1.0, name="m")
    level, shown = m.stock("level"), m.converter("shown")
    level.initial_value = shown
    shown.equation = sd.If(sd.time() == 0.0, 5.0, level)
    with pytest.raises(EvaluationFailed, match=r"'level'.*a value that isn't there yet"):
        simulate(m, {"outputs": ["level"]})


@given(st.data())
@settings(max_examples=40)
def test_initial_values_that_read_each_other_in_branches_are_those_of_the_chosen_ones(data: Any) -> None:
    size = data.draw(st.integers(2, 6))
    order = data.draw(st.permutations(range(size)))
    m = Model(starttime=0.0, stoptime=1.0, dt=1.0, name="m")
    stocks = [m.stock(f"s{i}") for i in range(size)]
    expected: dict[str, list[float]] = {}
    for place, i in enumerate(order):
        # What is chosen comes earlier in this order; what isn't may be any, itself too.
        chosen = data.draw(st.sampled_from([None, *order[:place]]))
        other = stocks[data.draw(st.integers(0, size - 1))]
        start = float(i) if chosen is None else expected[f"s{chosen}"][0] + 1.0
        read = float(i) if chosen is None else stocks[chosen] + 1.0
        choice = m.constant(f"k{i}")
        choice.equation = data.draw(st.sampled_from([-1.0, 1.0]))
        stocks[i].initial_value = (
            sd.If(choice > 0.0, read, other) if choice.equation > 0.0 else sd.If(choice > 0.0, other, read)
        )
        stocks[i].equation = 1.0
        expected[f"s{i}"] = [start, start + 1.0]
    assert simulate(m, {"outputs": list(expected)})[1] == expected


def test_initial_values_with_delays_in_a_circle_of_branches_come_when_they_are_needed() -> None:
    m = Model(starttime=0.0, stoptime=3.0, dt=1.0, name="m")
    a, b, late, k = m.stock("a"), m.stock("b"), m.converter("late"), m.constant("k")
    k.equation = 1.0
    late.equation = sd.delay(m, b, 1.0, b * 2.0)
    a.initial_value = sd.If(k > 0.0, late + 1.0, 3.0)
    b.initial_value = sd.If(sd.And(k < 0.0, a > 0.0), a, 5.0)
    a.equation = b.equation = 1.0
    for _ in range(2):
        _, values = simulate(m, {"outputs": ["a", "b", "late"]})
        assert values == {
            "a": [11.0, 12.0, 13.0, 14.0],
            "b": [5.0, 6.0, 7.0, 8.0],
            "late": [10.0, 5.0, 6.0, 7.0],
        }


def test_chosen_branches_that_make_a_circle_are_an_error_of_the_run() -> None:
    m = Model(starttime=0.0, stoptime=3.0, dt=1.0, name="m")
    a, b, k = m.stock("a"), m.stock("b"), m.constant("k")
    k.equation = a.equation = b.equation = 1.0
    a.initial_value = sd.If(k > 0.0, b, 5.0)
    b.initial_value = sd.If(k < 0.0, 7.0, a)
    with pytest.raises(EvaluationFailed, match=r"at t=0.0: .*in a circle of definitions"):
        simulate(m, {"outputs": ["a"]})
    assert simulate(m, {"outputs": ["a", "b"], "constants": {"k": -1.0}})[1]["b"] == [7.0, 8.0, 9.0, 10.0]


def test_a_delay_with_an_initial_value_breaks_a_circle() -> None:
    m = model(a=0.0, b=0.0)
    m.converter("a").equation = sd.delay(m, m.converter("b"), 2.0, 10.0)
    m.converter("b").equation = m.converter("a") + 1.0
    assert simulate(m, {"outputs": ["b"]})[1]["b"] == [11.0, 11.0, 12.0, 12.0, 13.0]


def test_a_delay_without_an_initial_value_does_not() -> None:
    m = model(a=0.0)
    m.converter("a").equation = sd.delay(m, m.converter("a"), 2.0) + 1.0
    with pytest.raises(CircularDefinition):
        simulate(m, {})


def test_a_delay_whose_duration_varies_may_read_the_present() -> None:
    m = model(time=sd.time(), length=2.0)
    m.converter("length").equation = sd.max(2.0 - m.converter("time"), 0.0)
    m.converter("a").equation = sd.delay(m, m.converter("time"), m.converter("length"), -1.0)
    assert simulate(m, {"outputs": ["a"]})[1]["a"] == [-1.0, 0.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("duration", [-1.0, math.inf, math.nan])
def test_a_delay_has_a_duration_that_is_finite_and_not_negative(duration: float) -> None:
    m = model(time=sd.time())
    m.converter("a").equation = sd.delay(m, m.converter("time"), duration, 0.0)
    with pytest.raises(EvaluationFailed, match=r"'a' can't be evaluated at t=0.0: the duration"):
        simulate(m, {})
    m.converter("length").equation = sd.If(sd.time() > 1.0, duration, 0.0)
    m.converter("a").equation = sd.delay(m, m.converter("time"), m.converter("length"), 0.0)
    with pytest.raises(EvaluationFailed, match=r"'a' can't be evaluated at t=2.0: the duration"):
        simulate(m, {})


def test_a_delay_longer_than_the_run_costs_no_room() -> None:
    m = model(time=sd.time())
    m.converter("a").equation = sd.delay(m, m.converter("time"), 1e15, 7.0)
    assert simulate(m, {"outputs": ["a"]})[1]["a"] == [7.0] * 5


def test_delays_of_delays_and_of_constants() -> None:
    m = model(time=sd.time())
    m.constant("k").equation = 3.0
    m.converter("a").equation = sd.delay(m, sd.delay(m, m.converter("time") * 2, 1.0, -1.0), sd.dt(m), -2.0)
    m.converter("b").equation = sd.delay(m, m.constant("k"), 1.0)
    m.converter("c").equation = sd.delay(m, m.converter("time"), 1.0, sd.delay(m, m.constant("k"), 1.0) * 2)
    assert simulate(m, {"outputs": ["a", "b", "c"]})[1] == {
        "a": [-2.0, -1.0, 0.0, 2.0, 4.0],
        "b": [3.0] * 5,
        "c": [6.0, 0.0, 1.0, 2.0, 3.0],
    }


@pytest.mark.parametrize(
    ("equation", "reason"),
    [
        (1.0 / (sd.time() - 2.0), "division by zero"),
        (1.0 % (sd.time() - 2.0), "division by zero"),
        ((sd.time() - 2.0) ** -1.0, "division by zero"),
        (sd.If(sd.time() < 2.0, 1.0, 1e200) ** 2.0, "too large for a float"),
        (sd.round(sd.time(), sd.If(sd.time() < 2.0, 1.0, 0.5)), "digits of sd.round must be a whole number"),
        (sd.combinations(1.0, sd.If(sd.time() < 2.0, 1.0, -1.0)), "must not be negative"),
    ],
)  # fmt: skip
def test_a_failed_evaluation_names_the_element_and_the_time(equation: Any, reason: str) -> None:
    m = model(fine=1.0, culprit=equation)
    m.converter("last").equation = m.converter("culprit") + m.converter("fine")
    with pytest.raises(EvaluationFailed, match=reason) as caught:
        simulate(m, {"outputs": ["last"]})
    assert caught.value.values["element"] == "culprit"
    assert caught.value.values["time"] == 2.0


def test_a_failure_in_a_stocks_rate_or_initial_value_names_the_stock() -> None:
    m = model(zero=0.0)
    m.stock("level").equation = 1.0 / m.converter("zero")
    with pytest.raises(EvaluationFailed, match=r"'level' can't be evaluated at t=0.0"):
        simulate(m, {})
    m.stock("level").equation = 1.0
    m.stock("level").initial_value = 1.0 / m.converter("zero")
    with pytest.raises(EvaluationFailed, match=r"'level' can't be evaluated at t=0.0"):
        simulate(m, {})


def test_what_no_output_needs_is_not_evaluated() -> None:
    m = model(fine=1.0, broken=1.0 / sd.floor(0.5))
    assert simulate(m, {"outputs": ["fine"]})[1] == {"fine": [1.0] * 5}


def test_at_the_stop_time_only_the_outputs_are_evaluated() -> None:
    m = model(rate=1.0 / (4.0 - sd.time()))
    m.stock("level").equation = m.converter("rate")
    assert simulate(m, {"outputs": ["level"]})[1]["level"][-1] == pytest.approx(1 / 4 + 1 / 3 + 1 / 2 + 1)


def test_an_element_is_true_so_that_it_can_be_looked_for_in_several_places() -> None:
    m = Model(name="found")
    level, rate = m.stock("level"), m.flow("rate")
    assert (m.stocks.get("rate") or m.flows.get("rate")) is rate
    assert (m.stocks.get("level") or m.flows.get("level")) is level
    assert (m.stocks.get("none") or m.flows.get("none")) is None
    for element in (level, rate, m.biflow("b"), m.converter("c"), m.constant("k")):
        assert bool(element) is True


@pytest.mark.parametrize(
    "mistaken",
    [
        lambda a, b: max(a, b),
        lambda a, b: min(a, 1.0),
        lambda a, b: max(0.0, a - b),
        lambda a, b: min([a, b * 2.0]),
        lambda a, b: sorted([a, b]),
        lambda a, b: 0.0 < a < b,
    ],
)
def test_pythons_min_and_max_are_refused_and_those_of_sd_are_named(
    mistaken: Callable[[Any, Any], Any],
) -> None:
    m = model(a=1.0, b=2.0)
    with pytest.raises(ModelError, match=r"use sd\.min and sd\.max in place of min and max"):
        mistaken(m.converter("a"), m.converter("b"))


def test_an_expression_has_no_truth_value() -> None:
    m = model(a=1.0)
    with pytest.raises(ModelError, match=r"sd\.If"):
        bool(m.converter("a") > 1.0)
    assert operator.eq(m.converter("a"), None) is False
    assert operator.ne(m.converter("a"), "x") is True


@pytest.mark.parametrize(
    "combined",
    [lambda a, b: a and b, lambda a, b: a or b, lambda a, b: not a, lambda a, b: 1.0 if a else b],
)
@pytest.mark.parametrize("kind", ["comparison", "expression", "call"])
def test_conditions_of_python_are_refused_in_equations(
    combined: Callable[[Any, Any], Any], kind: str
) -> None:
    m = model(a=1.0, b=2.0)
    a, b = m.converter("a"), m.converter("b")
    first = {"comparison": a > b, "expression": a + b, "call": m.function("f", lambda view, t: 1.0)()}[kind]
    with pytest.raises(ModelError, match=r"no truth value.*sd\.If .*sd\.And"):
        m.converter("x").equation = combined(first, b)


def test_numbers_of_numpy_may_stand_on_either_side() -> None:
    m = model(a=2.0)
    m.converter("b").equation = np.float64(3.0) * m.converter("a") + np.int64(1) + np.float32(0.5)
    assert m.converter("b")(0.0) == 7.5


# User functions ---------------------------------------------------------------------------------------------


def test_a_user_function_is_given_the_run_the_time_and_floats() -> None:
    m = model(x=2)
    seen = []

    def fn(view: Any, t: float, *arguments: float) -> float:
        seen.append((view.starttime, view.stoptime, view.dt, view.name, dict(view.points), t, arguments))
        return t > 1.0

    m.points["p"] = [[0, 1], [2, 3]]
    m.converter("y").equation = m.function("fn", fn)(m.converter("x"), 5) + 1.0
    assert simulate(m, {"outputs": ["y"], "stoptime": 2.0})[1]["y"] == [1.0, 1.0, 2.0]
    assert seen[0] == (0.0, 2.0, 1.0, "test", {"p": ((0.0, 1.0), (2.0, 3.0))}, 0.0, (2.0, 5.0))
    assert all(type(x) is float for x in seen[0][-1])


def test_a_user_function_sees_the_points_in_force() -> None:
    m = model(y=0.0)
    m.points["p"] = [[0.0, 1.0]]
    m.converter("y").equation = m.function("first", lambda view, t: view.points["p"][0][1])()
    engine = SystemDynamicsEngine(m)
    engine.initialize({"outputs": ["y"]})
    assert engine.step({}) == {"y": 1.0}
    assert engine.step({"points": {"p": [[0.0, 8.0]]}}) == {"y": 8.0}


READERS = {
    "view.stock": lambda view, t: view.stock("level")(t - 1),
    "view.evaluate_equation": lambda view, t: view.evaluate_equation("level", t - 1),
    "view.converter": lambda view, t: view.converter("level"),
    "closure over the element": lambda view, t: LEVEL[0](t - 1),
    "closure over the model": lambda view, t: LEVEL[0].model.evaluate_equation("level", t),
    "element of the model": lambda view, t: LEVEL[0].model.stock("level"),
    "simulate": lambda view, t: LEVEL[0].model.simulate(["level"]),
    "arithmetic": lambda view, t: LEVEL[0],
}
LEVEL: list[Element] = []


@pytest.mark.parametrize("reader", READERS)
def test_a_user_function_that_reads_an_element_is_refused_clearly(reader: str) -> None:
    m = model(y=0.0)
    m.stock("level").initial_value = 1.0
    LEVEL[:] = [m.stock("level")]
    m.converter("y").equation = m.function("peek", READERS[reader])()
    with pytest.raises(
        PastRead, match="'peek' reads the element 'level' itself; pass the element as an argument"
    ):
        simulate(m, {"outputs": ["y"]})
    assert m.stock("level")(0.0) == 1.0


def test_what_a_user_function_raises_is_reported_with_element_and_time() -> None:
    m = model(y=0.0)
    m.converter("y").equation = 1.0 + m.function("fail", lambda view, t: {}["missing"] if t > 2 else 1.0)()
    with pytest.raises(
        EvaluationFailed, match=r"'y' can't be evaluated at t=3.0: the function 'fail' raised KeyError"
    ):
        simulate(m, {"outputs": ["y"]})


@pytest.mark.parametrize("result", [None, "x", [1.0], 1j])
def test_a_user_function_answers_a_number(result: Any) -> None:
    m = model(y=0.0)
    m.converter("y").equation = m.function("fn", lambda view, t: result)()
    with pytest.raises(EvaluationFailed, match="'fn'"):
        simulate(m, {"outputs": ["y"]})


def test_a_function_name_stands_for_one_function() -> None:
    m = Model()

    def fn(view: Any, t: float) -> float:
        return t

    m.function("fn", fn)
    m.function("fn", fn)
    with pytest.raises(DuplicateElement, match="'fn' is already a function"):
        m.function("fn", lambda view, t: t)
    for wrong in ("", 3):
        with pytest.raises(ModelError):
            m.function(wrong, fn)
    with pytest.raises(ModelError, match="callable"):
        m.function("other", 3)


# Outside of a run -------------------------------------------------------------------------------------------


def test_an_element_is_called_for_its_value_at_the_nearest_grid_point() -> None:
    m = Model(1.0, 3.0, 0.5)
    m.stock("level").equation = 2.0
    level = m.stock("level")
    assert [level(t) for t in (1.0, 1.5, 1.7, 2.9, 3.0, 5.0)] == [0.0, 1.0, 1.0, 4.0, 4.0, 8.0]
    assert m.evaluate_equation("level", 2.0) == m.equation("level", 2) == 2.0
    with pytest.raises(EvaluationFailed, match=r"the run starts at 1.0"):
        level(0.0)
    with pytest.raises(UnknownElement, match="Did you mean 'level'"):
        m.evaluate_equation("levle", 1.0)


def test_simulate_answers_a_frame_over_time() -> None:
    m = Model(0.0, 1.0, 0.5)
    m.stock("level").equation = 2.0
    frame = m.simulate(["level"])
    assert frame.index.name == "t"
    assert frame["level"].to_dict() == {0.0: 0.0, 0.5: 1.0, 1.0: 2.0}
    assert m.simulate("level").equals(frame)


def test_simulate_answers_a_dict_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    m = Model(0.0, 1.0, 0.5)
    m.stock("level").equation = 2.0
    assert m.simulate(["level"]) == {"level": {0.0: 0.0, 0.5: 1.0, 1.0: 2.0}}


def test_run_specs_are_set_as_in_bptk() -> None:
    m = Model()
    m.run_specs(1.0, 2.0, 0.5)
    assert (m.starttime, m.stoptime, m.dt) == (1.0, 2.0, 0.5)
    m.run_specs(2.0, 1.0, 0.5)
    m.stock("a").equation = 1.0
    with pytest.raises(InvalidRunSpecs, match=r"stoptime 1.0 is before starttime 2.0"):
        m.simulate(["a"])


def test_a_change_after_a_run_counts() -> None:
    m = model(a=1.0)
    assert m.converter("a")(0.0) == 1.0
    m.converter("a").equation = 2.0
    assert m.converter("a")(0.0) == 2.0
    m.points["p"] = [[0.0, 3.0]]
    m.converter("a").equation = sd.lookup(sd.time(), "p")
    assert m.converter("a")(0.0) == 3.0
    m.points["p"] = [[0.0, 4.0]]
    assert m.converter("a")(0.0) == 4.0


def test_an_equation_can_be_shown_as_text() -> None:
    model = Model(0.0, 1.0, 1.0, "m")
    level, rate, empty = model.stock("level"), model.constant("rate"), model.flow("empty")
    level.equation = sd.If(level > 2.0, -rate, sd.lookup(level, "table"))
    rate.equation = 3.0
    model.points["table"] = [[0.0, 1.0]]
    shown = "if(greater(level, 2.0), negate(rate), lookup(level, 'table'))"
    assert level.function_string == f"lambda model, t: {shown}"
    assert rate.function_string == "lambda model, t: 3.0"
    assert empty.function_string == "lambda model, t: None"

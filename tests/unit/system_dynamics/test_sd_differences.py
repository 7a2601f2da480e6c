"""Where BPTK-Py is wrong and Perdure differs: the right values of docs/system-dynamics.md's table."""

import math
from typing import Any

import pytest

from perdure.engines.system_dynamics import Model, simulate
from perdure.engines.system_dynamics import functions as sd
from perdure.errors import EvaluationFailed
from perdure.scenarios import Catalogue


def test_parentheses_stay_where_they_were_written() -> None:
    m = Model(starttime=0.0, stoptime=0.0, dt=1.0, name="m")
    a, b, c = m.constant("a"), m.constant("b"), m.constant("c")
    a.equation, b.equation, c.equation = 10.0, 3.0, 2.0
    right = {
        a - (b + c): 5.0,
        a - (b - c): 9.0,
        1.0 - (a - b): -6.0,
        (a + b) ** c: 169.0,
        (-a) ** c: 100.0,
        c ** (b - c): 2.0,
        c ** (b + c): 32.0,
        2.0 ** (a - b - c): 32.0,
        (c**b) ** c: 64.0,
        (a > b) + c: 3.0,
        c + (a > b): 3.0,
        c * (a < b): 0.0,
        (a > b) > (b > a): 1.0,
        (a > b) == (c > b): 0.0,
        (a > b + c) * c: 2.0,
        a * (b - c): 10.0,
        a / (b - c): 10.0,
        -(a + b): -13.0,
        (a + b) % c: 1.0,
    }
    for n, equation in enumerate(right):
        m.converter(f"x{n}").equation = equation
    _, values = simulate(m, {"outputs": [f"x{n}" for n in range(len(right))]})
    assert [value for (value,) in values.values()] == list(right.values())


def test_a_stock_reads_all_its_equation_at_the_time_of_the_rate() -> None:
    m = Model(starttime=0.0, stoptime=3.0, dt=1.0, name="m")
    t = m.converter("t")
    t.equation = sd.time() + 1.0
    m.points["p"] = [(0.0, 0.0), (4.0, 40.0)]
    right: dict[str, tuple[Any, list[float]]] = {
        "plain": (t, [0.0, 1.0, 3.0, 6.0]),
        "if": (sd.If(t > 2.0, t, 0.0), [0.0, 0.0, 0.0, 3.0]),
        "comparison": (t > 2.0, [0.0, 0.0, 0.0, 1.0]),
        "lookup": (sd.lookup(t, "p"), [0.0, 10.0, 30.0, 60.0]),
        "power": (t**2.0, [0.0, 1.0, 5.0, 14.0]),
        "sqrt": (sd.sqrt(t), [0.0, 1.0, 2.414213562373095, 4.146264369941973]),
        "floor": (sd.floor(t), [0.0, 1.0, 3.0, 6.0]),
        "ceil": (sd.ceil(t), [0.0, 1.0, 3.0, 6.0]),
        "round": (sd.round(t, 0), [0.0, 1.0, 3.0, 6.0]),
        "max": (sd.max(t, 0.0), [0.0, 1.0, 3.0, 6.0]),
        "modulo": (t % 2.0, [0.0, 1.0, 1.0, 2.0]),
        "wave": (sd.floor(sd.sinwave(4.0, 4.0) + 0.5), [0.0, 0.0, 4.0, 4.0]),
        "delay": (sd.delay(m, t, 1.0, 0.0), [0.0, 0.0, 1.0, 3.0]),
        "sin": (sd.sin(t), [0.0, math.sin(1.0), math.sin(1.0) + math.sin(2.0)]),
    }
    for name, (equation, _) in right.items():
        m.stock(name).equation = equation
    _, values = simulate(m, {"outputs": list(right)})
    assert {name: values[name][: len(row)] for name, (_, row) in right.items()} == {
        name: row for name, (_, row) in right.items()
    }


@pytest.mark.parametrize("dt", [0.1, 0.3, 1 / 3, 0.7])
@pytest.mark.parametrize("steps", [1, 3, 7])
def test_a_delay_of_whole_steps_is_never_missed(dt: float, steps: int) -> None:
    m = Model(starttime=0.0, stoptime=60 * dt, dt=dt, name="m")
    m.converter("n").equation = sd.round(sd.time() / dt, 0)
    m.constant("duration").equation = steps * dt
    m.converter("fixed").equation = sd.delay(m, m.converter("n"), steps * dt, -1.0)
    m.converter("open").equation = sd.delay(m, m.converter("n"), m.constant("duration"), -1.0)
    _, values = simulate(m, {"outputs": ["fixed", "open"]})
    right = [-1.0] * steps + [float(n) for n in range(61 - steps)]
    assert values["fixed"] == values["open"] == right


@pytest.mark.parametrize("dt", [0.1, 0.3, 1 / 3, 0.7])
def test_no_pulse_is_missed_at_an_inexact_dt(dt: float) -> None:
    m = Model(starttime=0.0, stoptime=60 * dt, dt=dt, name="m")
    m.converter("pulse").equation = sd.pulse(m, 1.0, 3 * dt, 6 * dt) * dt
    _, values = simulate(m, {"outputs": ["pulse"]})
    assert [n for n, value in enumerate(values["pulse"]) if value] == list(range(3, 61, 6))
    assert sum(values["pulse"]) == pytest.approx(10.0, rel=1e-14)


def test_a_function_of_a_comparison_has_all_its_digits() -> None:
    m = Model(starttime=0.0, stoptime=0.0, dt=1.0, name="m")
    a, b = m.constant("a"), m.constant("b")
    a.equation, b.equation = 2.0, 1.0
    functions = (sd.exp, sd.sin, sd.cos, sd.tan, sd.sqrt, sd.arctan)
    for function in functions:
        m.converter(function.__name__).equation = function(a > b)
    _, values = simulate(m, {"outputs": [function.__name__ for function in functions]})
    right = [math.exp(1), math.sin(1), math.cos(1), math.tan(1), 1.0, math.atan(1)]
    assert [value for (value,) in values.values()] == right


@pytest.mark.parametrize("how", ["number", "constant", "formula"])
def test_a_negative_delay_does_not_read_the_future(how: str) -> None:
    m = Model(starttime=0.0, stoptime=4.0, dt=1.0, name="m")
    m.constant("ahead").equation = -2.0
    durations = {"number": -2.0, "constant": m.constant("ahead"), "formula": sd.time() - 2.0}
    m.converter("d").equation = sd.delay(m, sd.time(), durations[how], 0.0)
    with pytest.raises(EvaluationFailed, match=r"'d'.*finite and not negative, not -2\.0"):
        simulate(m, {"outputs": ["d"]})


def test_a_scenario_that_sets_one_table_keeps_the_others() -> None:
    m = Model(starttime=0.0, stoptime=1.0, dt=1.0, name="m")
    for name, y in (("one", 1.0), ("two", 2.0), ("three", 3.0)):
        m.points[name] = [[0.0, y], [1.0, y]]
        m.converter(f"{name} read").equation = sd.lookup(sd.time(), name)
    catalogue = Catalogue()
    catalogue.register_scenario_manager(
        {
            "m": {
                "model": m,
                "base_points": {"two": [[0.0, 20.0]]},
                "scenarios": {"s": {"points": {"three": [[0.0, 30.0]]}}},
            }
        }
    )
    found = catalogue.run_scenarios(equations="one read,two read,three read", return_format="dict")
    assert isinstance(found, dict)
    assert [list(v.values()) for v in found["m"]["s"]["equations"].values()] == [
        [1.0] * 2,
        [20.0] * 2,
        [30.0] * 2,
    ]

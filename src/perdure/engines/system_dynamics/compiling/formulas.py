"""Formulas: pure functions of numbers that models from files call besides those of the language.

Like the functions of `runtime` they return nan outside their domain. Where a function takes a list, its
elements are the last arguments, and sums add in their order.
"""

import math
from collections.abc import Callable, Mapping

__all__ = ["FORMULAS"]

_nan = math.nan


def sign(x: float) -> float:
    return float((x > 0.0) - (x < 0.0))


def divided(x: float, y: float, otherwise: float) -> float:
    """`x` / `y`, but `otherwise` where `y` is zero."""
    return x / y if y != 0.0 else otherwise


def root(x: float, n: float) -> float:
    """The `n`-th root; of a negative number for an odd whole `n` only."""
    if n == 0.0:
        return _nan
    if x < 0.0:
        return -root(-x, n) if n % 2.0 == 1.0 else _nan
    found: float = x ** (1.0 / n)
    whole: float = float(round(found)) if math.isfinite(found) else found
    return whole if n.is_integer() and abs(n) < 64.0 and whole**n == x else found


def logarithm(x: float, base: float) -> float:
    if not (x > 0.0 and base > 0.0 and base != 1.0):
        return _nan
    return math.log(x) / math.log(base)


def reached(t: float, at: float, dt: float) -> float:
    """1.0 from the time `at` on, otherwise 0.0; times of a grid differ by rounding errors."""
    return 1.0 if t - at > -(1e-9 * dt + 1e-15 * max(abs(t), abs(at))) else 0.0


def ramp(t: float, slope: float, start: float, end: float) -> float:
    return slope * (min(t, end) - start) if t > start else 0.0


def counter(t: float, dt: float, start: float, interval: float) -> float:
    """What BPTK-Py 3.2.0 counts: the time since the last multiple of `interval` times `start`."""
    if not interval > 0.0:
        return _nan
    rounds = math.floor(t / interval + 1e-9 * dt)
    since = t - rounds * interval
    return since * start + (start if t > interval + 1e-9 * dt else 0.0)


def growth(percent: float, dt: float) -> float:
    """The rate that makes `percent` of growth in a unit of time when it is applied at each step."""
    grown: float = (1.0 + percent / 100.0) ** dt
    return (grown - 1.0) / dt


# Money: the usual relation of present value, payments at the end of each period, and future value -----------


def payment(rate: float, periods: float, present: float, future: float) -> float:
    if rate == 0.0:
        return -(present + future) / periods if periods else _nan
    factor: float = (1.0 + rate) ** periods
    return -(present * factor + future) * rate / (factor - 1.0)


def future_value(rate: float, periods: float, pay: float, present: float) -> float:
    if rate == 0.0:
        return -(present + pay * periods)
    factor: float = (1.0 + rate) ** periods
    return -(present * factor + pay * (factor - 1.0) / rate)


def present_value(rate: float, periods: float, pay: float, future: float) -> float:
    if rate == 0.0:
        return -(future + pay * periods)
    factor: float = (1.0 + rate) ** periods
    return -(future + pay * (factor - 1.0) / rate) / factor


# Lists ------------------------------------------------------------------------------------------------------


def mean(*values: float) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def deviation(*values: float) -> float:
    """The standard deviation of a population."""
    middle = mean(*values)
    squares = 0.0
    for value in values:
        squares += (value - middle) * (value - middle)
    return math.sqrt(squares / len(values)) if math.isfinite(squares) else _nan


def position_of(k: float, *values: float) -> float:
    """The position, from 1, of the `k`-th smallest value; of equal values the first comes first."""
    order = sorted(range(len(values)), key=values.__getitem__)
    return float(order[min(max(int(k), 1), len(values)) - 1] + 1) if math.isfinite(k) else _nan


def chosen(k: float, *values: float) -> float:
    """The value at position `k`, from 1; 0.0 outside the list."""
    return values[round(k) - 1] if 0.5 <= k < len(values) + 0.5 else 0.0


def interpolated(share: float, *values: float) -> float:
    """The value at `share`, from 0 for the first to 1 for the last, linear in between."""
    if share != share:
        return share
    at = min(max(share, 0.0), 1.0) * (len(values) - 1)
    i = min(int(at), len(values) - 2)
    return values[i] + (at - i) * (values[i + 1] - values[i]) if len(values) > 1 else values[0]


FORMULAS: Mapping[str, Callable[..., float]] = {
    function.__name__: function
    for function in (
        sign, divided, root, logarithm, reached, ramp, counter, growth, payment, future_value, present_value,
        mean, deviation, position_of, chosen, interpolated,
    )
}  # fmt: skip
"""The functions by the name of their operator."""

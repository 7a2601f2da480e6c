"""What compiled equations call: guarded mathematics, pulses, and delays.

Functions follow IEEE 754 as NumPy does: they return nan outside their domain, and inf for too large results.
Division by zero and too large powers raise, as in Python; the simulation adds the element.
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

from perdure.engines.system_dynamics.compiling import distributions, vectors, vensim
from perdure.engines.system_dynamics.compiling.formulas import FORMULAS
from perdure.engines.system_dynamics.compiling.memories import MEMORIES
from perdure.engines.system_dynamics.compiling.summaries import SUMMARIES

__all__ = ["NAMESPACE", "FixedDelay", "ReadsItself", "VariableDelay", "delay_steps"]

_inf, _nan = math.inf, math.nan
_STANDARD_NORMAL = NormalDist()
_MOST_HALVES = 2.0**52  # Every float from here on is a whole number.


def exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return _inf


def sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0.0 else _nan


def ln(x: float) -> float:
    return math.log(x) if x > 0.0 else (-_inf if x == 0.0 else _nan)


def log10(x: float) -> float:
    return math.log10(x) if x > 0.0 else (-_inf if x == 0.0 else _nan)


def sin(x: float) -> float:
    return math.sin(x) if math.isfinite(x) else _nan


def cos(x: float) -> float:
    return math.cos(x) if math.isfinite(x) else _nan


def tan(x: float) -> float:
    return math.tan(x) if math.isfinite(x) else _nan


def arcsin(x: float) -> float:
    return math.asin(x) if -1.0 <= x <= 1.0 else _nan


def arccos(x: float) -> float:
    return math.acos(x) if -1.0 <= x <= 1.0 else _nan


def floor(x: float) -> float:
    return float(math.floor(x)) if math.isfinite(x) else x


def ceil(x: float) -> float:
    return float(math.ceil(x)) if math.isfinite(x) else x


def round_to(x: float, digits: float) -> float:
    if digits != int(digits):
        raise ValueError(f"the digits of sd.round must be a whole number, not {digits!r}")
    return round(x, int(digits))


def power(x: float, y: float) -> float:
    """`x` ** `y`, but nan rather than a complex number."""
    if x < 0.0 and not y.is_integer() and math.isfinite(x) and math.isfinite(y):
        return _nan
    result: float = x**y
    return result


def factorial(n: float) -> float:
    if not math.isfinite(n):
        return _inf if n == _inf else _nan
    whole = int(n)
    if whole < 0:
        return 0.0
    # 171! is the first that a float can't hold.
    return float(math.factorial(whole)) if whole <= 170 else _inf


def combinations(n: float, r: float) -> float:
    return _chosen(n, r, ordered=False)


def permutations(n: float, r: float) -> float:
    return _chosen(n, r, ordered=True)


def _chosen(n: float, r: float, *, ordered: bool) -> float:
    if not (math.isfinite(n) and math.isfinite(r)):
        return _nan
    total, size = int(n), int(r)
    if total < size:
        return 0.0
    if size < 0:
        raise ValueError(f"the number to choose must not be negative, but is {size}")
    factors = size if ordered else min(size, total - size)
    # A lower bound on the product of the factors, as a power of two; beyond a float's range it is inf.
    least = factors * (math.log2(total - factors + 1) - (0.0 if ordered else math.log2(factors or 1)))
    if factors > 2000 or least > 1100.0:
        return _inf
    try:
        return float(math.perm(total, size) if ordered else math.comb(total, size))
    except OverflowError:
        return _inf


def gammaln(x: float) -> float:
    if math.isinf(x):
        return _inf
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):
        return _inf


def invnorm(p: float, mean: float, stddev: float) -> float:
    if not (stddev > 0.0 and 0.0 <= p <= 1.0):
        return _nan
    if p in (0.0, 1.0):
        return -_inf if p == 0.0 else _inf
    return mean + stddev * _STANDARD_NORMAL.inv_cdf(p)


def normalcdf(left: float, right: float, mean: float, stddev: float) -> float:
    if not stddev > 0.0:
        return _nan
    a, b = ((x - mean) / (stddev * math.sqrt(2.0)) for x in (left, right))
    # Subtracting the smaller tails keeps the digits that subtracting two values near 1 loses.
    return 0.5 * (math.erfc(a) - math.erfc(b) if a > 0.0 else math.erfc(-b) - math.erfc(-a))


def pulse(t: float, dt: float, tolerance: float, volume: float, first: float, interval: float) -> float:
    since = t - first
    if since < -tolerance:
        return 0.0
    if interval > 0.0:
        since -= interval * round(since / interval)
    return volume / dt if abs(since) <= tolerance else 0.0


def sinwave(t: float, t0: float, amplitude: float, period: float) -> float:
    return sin(2.0 * math.pi / period * (t - t0)) * amplitude


def coswave(t: float, t0: float, amplitude: float, period: float) -> float:
    return cos(2.0 * math.pi / period * (t - t0)) * amplitude


def delay_steps(duration: float, dt: float) -> float:
    """Return a delay's duration in steps, not rounded; whole and half steps are exact.

    Otherwise 0.3 / 0.2 = 1.4999999999999998 would read different grid points near the start than later, where
    adding n absorbs the rounding error.
    """
    steps = duration / dt
    if not steps < _MOST_HALVES:
        return steps
    halves = round(2.0 * steps)
    return halves / 2.0 if math.isclose(2.0 * steps, halves, rel_tol=1e-12) else steps


class ReadsItself(Exception):
    """A value at the start depends on itself."""


def once(evaluate: Callable[[], float]) -> Callable[[], float]:
    """Return a function that evaluates on its first call, and then returns the same value."""
    values: list[float] = []
    begun = False

    def value() -> float:
        nonlocal begun
        if not values:
            if begun:
                raise ReadsItself
            begun = True
            values.append(evaluate())
        return values[0]

    return value


class FixedDelay:
    """The recent past of one variable: a ring buffer of what a delay of fixed duration reads.

    Parameters
    ----------
    steps
        The duration in steps, not rounded.
    last
        The number of the run's last step; nothing beyond it is kept.
    """

    def __init__(self, steps: float, last: int) -> None:
        self.steps = steps
        # A delay of more than half a step never reads the present value, however large n is.
        self._latest = 1 if steps > 0.5 else 0
        self.capacity = math.ceil(min(steps, last)) + 1
        self.values: list[float] = []
        self.initial: float | None = None

    def begin(self, initial: float) -> None:
        """Set the value before the start."""
        self.initial = initial

    def record(self, n: int, value: float) -> None:
        """Keep the variable's value at step `n`."""
        if n == 0 and self.initial is None:
            self.initial = value
        i = n % self.capacity
        self.values[i : i + 1] = (value,)

    def read(self, n: int) -> float:
        """Return the value at step `n` less the duration, rounded to the grid."""
        past = n - self.steps
        if past < -1e-9:
            assert self.initial is not None
            return self.initial
        return self.values[min(round(past), n - self._latest) % self.capacity]


class VariableDelay:
    """The whole past of one variable, for a delay whose duration is computed at each step."""

    def __init__(self, dt: float) -> None:
        self.dt = dt
        self.values: list[float] = []
        self.initial: float | None = None

    def begin(self, initial: float) -> None:
        """Set the value before the start."""
        self.initial = initial

    def record(self, n: int, value: float) -> None:
        """Keep the variable's value at step `n`: the next step, or the last one again."""
        if n == 0 and self.initial is None:
            self.initial = value
        self.values[n:] = (value,)

    def read(self, n: int, duration: float) -> float:
        """Return the value at step `n` less the duration, rounded to the grid."""
        if not 0.0 <= duration < _inf:
            raise ValueError(f"the duration of a delay must be finite and not negative, not {duration!r}")
        steps = delay_steps(duration, self.dt)
        past = n - steps
        if past < -1e-9:
            assert self.initial is not None
            return self.initial
        step = min(round(past), n - (steps > 0.5))
        if step >= len(self.values):
            raise ValueError(
                f"the delay closes a circle, so its duration must be more than half a step, not {duration!r}"
            )
        return self.values[step]


_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    abs, max, min, range, exp, sqrt, ln, log10, sin, cos, tan, arcsin, arccos, floor, ceil, round_to, once,
    power, factorial, combinations, permutations, gammaln, invnorm, normalcdf, pulse, sinwave, coswave,
)  # fmt: skip

NAMESPACE: dict[str, object] = {
    "__builtins__": {},
    "inf": _inf,
    "nan": _nan,
    "arctan": math.atan,
    **{function.__name__: function for function in _FUNCTIONS},
    **distributions.SAMPLERS,
    **vectors.FUNCTIONS,
    **vensim.FUNCTIONS,
    **FORMULAS,
    **{f"{kind}_{name}": call for kind, each in MEMORIES.items() for name, call in each.calls.items()},
    **SUMMARIES,
}
"""The names that compiled equations can use."""

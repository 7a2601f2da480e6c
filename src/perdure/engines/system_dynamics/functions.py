"""The functions of the modelling language, conventionally imported as ``sd``.

Each returns an expression to use in an equation; nothing is computed when it is called. Operands are numbers,
elements or expressions. Times and durations are in the model's unit of time. The names and parameters follow
BPTK-Py 3.2.0; `docs/system-dynamics.md` lists where the meaning differs. Random functions draw from a
counter-based generator, so that a run repeats exactly: see `distributions`.
"""

from collections.abc import Sequence

from perdure.engines.system_dynamics.expression import (
    AnyModel,
    Expression,
    Lookup,
    Number,
    Operand,
    Operation,
    operands,
)
from perdure.engines.system_dynamics.points import checked_points
from perdure.errors import ModelError

__all__ = [
    "And", "If", "Inf", "Not", "Or", "abs", "arccos", "arcsin", "arctan", "beta", "binomial", "ceil",
    "combinations", "cos", "coswave", "delay", "dt", "exp", "exprnd", "factorial", "floor", "gamma",
    "gammaln", "geometric", "invnorm", "ln", "log10", "logistic", "lognormal", "lookup", "max", "min",
    "montecarlo", "nan", "negbinomial", "normal", "normalcdf", "pareto", "permutations", "pi", "poisson",
    "pulse", "random", "round", "sin", "sinwave", "smooth", "sqrt", "starttime", "step", "stoptime", "tan",
    "time", "trend", "triangular", "uniform", "weibull",
]  # fmt: skip


def _operation(operator: str, *values: Operand, model: AnyModel | None = None) -> Operation:
    return Operation(operator, operands(values, f"sd.{operator}"), model)


# Time and run specs -----------------------------------------------------------------------------------------


def time() -> Operation:
    """The time of the step, t0 + n·dt."""
    return _operation("time")


def dt(model: AnyModel) -> Operation:
    """The length of a step."""
    return _operation("dt", model=model)


def starttime(model: AnyModel) -> Operation:
    """The time the run starts at."""
    return _operation("starttime", model=model)


def stoptime(model: AnyModel) -> Operation:
    """The time the run stops at."""
    return _operation("stoptime", model=model)


# Arithmetic -------------------------------------------------------------------------------------------------


def abs(x: Operand) -> Operation:
    """The absolute value of `x`."""
    return _operation("abs", x)


def max(x: Operand, y: Operand) -> Operation:
    """The larger of `x` and `y`."""
    return _operation("max", x, y)


def min(x: Operand, y: Operand) -> Operation:
    """The smaller of `x` and `y`."""
    return _operation("min", x, y)


def round(operator: Operand, digits: Operand) -> Operation:
    """`operator` rounded to `digits` decimals, halves to even."""
    return _operation("round", operator, digits)


def floor(x: Operand) -> Operation:
    """The largest whole number not above `x`."""
    return _operation("floor", x)


def ceil(x: Operand) -> Operation:
    """The smallest whole number not below `x`."""
    return _operation("ceil", x)


def sqrt(x: Operand) -> Operation:
    """The square root; nan below zero."""
    return _operation("sqrt", x)


def exp(x: Operand) -> Operation:
    """e to the power of `x`; inf where that is too large for a float."""
    return _operation("exp", x)


def ln(x: Operand) -> Operation:
    """The natural logarithm; -inf at zero, nan below."""
    return _operation("ln", x)


def log10(x: Operand) -> Operation:
    """The logarithm to base 10; -inf at zero, nan below."""
    return _operation("log10", x)


def sin(x: Operand) -> Operation:
    """The sine of `x` radians."""
    return _operation("sin", x)


def cos(x: Operand) -> Operation:
    """The cosine of `x` radians."""
    return _operation("cos", x)


def tan(x: Operand) -> Operation:
    """The tangent of `x` radians."""
    return _operation("tan", x)


def arcsin(x: Operand) -> Operation:
    """The angle in radians whose sine is `x`; nan outside [-1, 1]."""
    return _operation("arcsin", x)


def arccos(x: Operand) -> Operation:
    """The angle in radians whose cosine is `x`; nan outside [-1, 1]."""
    return _operation("arccos", x)


def arctan(x: Operand) -> Operation:
    """The angle in radians whose tangent is `x`."""
    return _operation("arctan", x)


def pi() -> Expression:
    """The number pi."""
    return Number(3.141592653589793)


def nan() -> Expression:
    """Not a number."""
    return Number(float("nan"))


def _infinity() -> Expression:
    """Positive infinity."""
    return Number(float("inf"))


Inf = _infinity


# Conditions -------------------------------------------------------------------------------------------------


def _if(if_: Operand, then_: Operand, else_: Operand) -> Operation:
    """`then_` where the condition `if_` holds (isn't zero), otherwise `else_`; only that one is evaluated."""
    return _operation("if", if_, then_, else_)


def _and(lhs: Operand, rhs: Operand) -> Operation:
    """1.0 where both conditions hold, otherwise 0.0; `rhs` is evaluated only if `lhs` holds."""
    return _operation("and", lhs, rhs)


def _or(lhs: Operand, rhs: Operand) -> Operation:
    """1.0 where one of the conditions holds, otherwise 0.0; `rhs` is evaluated only if `lhs` doesn't hold."""
    return _operation("or", lhs, rhs)


def _not(condition: Operand) -> Operation:
    """1.0 where the condition doesn't hold (is zero), otherwise 0.0."""
    return _operation("not", condition)


If, And, Or, Not = _if, _and, _or, _not


# Over time --------------------------------------------------------------------------------------------------


def step(height: Operand, timestep: Operand) -> Operation:
    """`height` after the time `timestep`, 0.0 up to and including it."""
    return _operation("step", height, timestep)


def pulse(model: AnyModel, volume: Operand, first_pulse: Operand = 0.0, interval: Operand = 0.0) -> Operation:
    """`volume`/dt at the time `first_pulse`, and again every `interval` (0: never again), otherwise 0.0.

    The times must be on the grid of the run to be hit. Under RK4 a pulse lasts its whole step, so that the
    volume arrives in full.
    """
    return _operation("pulse", volume, first_pulse, interval, model=model)


def sinwave(amplitude: Operand, period: Operand) -> Operation:
    """A sine wave that starts at the start time: amplitude · sin(2π/period · (t - starttime))."""
    return _operation("sinwave", amplitude, period)


def coswave(amplitude: Operand, period: Operand) -> Operation:
    """A cosine wave that starts at the start time: amplitude · cos(2π/period · (t - starttime))."""
    return _operation("coswave", amplitude, period)


def lookup(element: Operand, points: str | Sequence[Sequence[float]]) -> Lookup:
    """The graphical function `points` at `element`: linear between the points, constant beyond the ends.

    Parameters
    ----------
    points
        A name in ``model.points``, whose points can be overridden, or a list of [x, y]. Of two points with
        the same x the later holds from there on: a jump.
    """
    (operand,) = operands((element,), "sd.lookup")
    return Lookup(operand, points if isinstance(points, str) else checked_points(points))


def delay(
    model: AnyModel, input_function: Operand, delay_duration: Operand, initial_value: Operand | None = None
) -> Operation:
    """The value `input_function` had `delay_duration` ago; before that, `initial_value`.

    The duration is read at each step, and the past time is rounded to the grid. Without an initial value the
    input's value at the start is used. A duration that is a number, or made of numbers and the run specs
    only, keeps just that much of the past; any other keeps the input's whole past.
    """
    values = (input_function, delay_duration)
    return _operation("delay", *values, *(() if initial_value is None else (initial_value,)), model=model)


def smooth(
    model: AnyModel, input_function: Operand, averaging_time: Operand, initial_value: Operand
) -> Operation:
    """The first-order exponential average of `input_function` over `averaging_time`."""
    return _operation("smooth", input_function, averaging_time, initial_value, model=model)


def trend(
    model: AnyModel, input_function: Operand, averaging_time: Operand, initial_value: Operand
) -> Operation:
    """The fractional rate of change of `input_function`, per unit of time.

    That is (input - average) / (average · averaging_time), with the exponential average that `smooth` gives
    and that starts at `initial_value`.
    """
    return _operation("trend", input_function, averaging_time, initial_value, model=model)


# Combinatorics and statistics -------------------------------------------------------------------------------


def factorial(n: Operand) -> Operation:
    """n! of the whole part of `n`; 0.0 if that is negative."""
    return _operation("factorial", n)


def combinations(n: Operand, r: Operand) -> Operation:
    """The number of ways to choose `r` of `n`; 0.0 if `n` < `r`."""
    return _operation("combinations", n, r)


def permutations(n: Operand, r: Operand) -> Operation:
    """The number of ways to arrange `r` of `n`; 0.0 if `n` < `r`."""
    return _operation("permutations", n, r)


def gammaln(n: Operand) -> Operation:
    """The natural logarithm of the absolute value of the gamma function."""
    return _operation("gammaln", n)


def invnorm(p: Operand, mean: Operand | None = None, stddev: Operand | None = None) -> Operation:
    """The quantile of the normal distribution at probability `p`."""
    return _operation("invnorm", p, 0.0 if mean is None else mean, 1.0 if stddev is None else stddev)


def normalcdf(left: Operand, right: Operand, mean: Operand = 0.0, stddev: Operand = 1.0) -> Operation:
    """The probability that a normal variable lies between `left` and `right`."""
    return _operation("normalcdf", left, right, mean, stddev)


# Random -----------------------------------------------------------------------------------------------------


def uniform(min_value: Operand = 0.0, max_value: Operand = 1.0) -> Operation:
    """A draw between `min_value` and `max_value`, all equally likely."""
    return _operation("uniform", min_value, max_value)


def random(min_value: Operand = 0.0, max_value: Operand = 1.0) -> Operation:
    """The same as `uniform`."""
    return _operation("uniform", min_value, max_value)


def beta(a: Operand, b: Operand) -> Operation:
    """A beta draw; nan unless both parameters are positive."""
    return _operation("beta", a, b)


def binomial(n: Operand, p: Operand) -> Operation:
    """The number of successes in `n` trials of probability `p`; nan for n < 0 or `p` outside [0, 1]."""
    return _operation("binomial", n, p)


def negbinomial(n: Operand, p: Operand) -> Operation:
    """The number of failures before `n` successes of probability `p`; nan unless n > 0 and 0 < p <= 1."""
    return _operation("negbinomial", n, p)


def exprnd(mean: Operand | None = None, **given: Operand) -> Operation:
    """An exponential draw with the given mean, which BPTK-Py calls `l`; nan unless it is positive."""
    if mean is None and given.keys() == {"l"}:
        mean = given["l"]
    elif mean is None or given:
        raise ModelError("sd.exprnd takes the mean alone, as exprnd(2.0), exprnd(mean=2.0) or exprnd(l=2.0).")
    return _operation("exprnd", mean)


def gamma(n: Operand, scale: Operand = 1.0) -> Operation:
    """A gamma draw of shape `n`; nan unless shape and scale are positive."""
    return _operation("gamma", n, scale)


def geometric(p: Operand) -> Operation:
    """The number of trials of probability `p` up to the first success; 1 for `p` outside (0, 1]."""
    return _operation("geometric", p)


def logistic(mean: Operand, scale: Operand) -> Operation:
    """A logistic draw; nan for a negative scale."""
    return _operation("logistic", mean, scale)


def lognormal(mean: Operand, stddev: Operand) -> Operation:
    """A draw whose logarithm is normal with this mean and deviation; nan for a negative deviation."""
    return _operation("lognormal", mean, stddev)


def montecarlo(p: Operand) -> Operation:
    """1.0 with a probability of `p` percent per unit of time (`p`·dt percent in a step), otherwise 0.0."""
    return _operation("montecarlo", p)


def normal(mean: Operand, stddev: Operand) -> Operation:
    """A normal draw; nan for a negative deviation."""
    return _operation("normal", mean, stddev)


def pareto(shape: Operand, scale: Operand) -> Operation:
    """A Pareto II (Lomax) draw: zero is its smallest value; nan unless shape and scale are positive."""
    return _operation("pareto", shape, scale)


def poisson(mu: Operand) -> Operation:
    """The number of events where `mu` are expected; nan if that is negative."""
    return _operation("poisson", mu)


def triangular(lower_bound: Operand, mode: Operand, upper_bound: Operand) -> Operation:
    """A draw from the triangle over [lower_bound, upper_bound]; nan if the mode lies outside."""
    return _operation("triangular", lower_bound, mode, upper_bound)


def weibull(shape: Operand, scale: Operand) -> Operation:
    """A Weibull draw; nan unless shape and scale are positive."""
    return _operation("weibull", shape, scale)

"""Vensim's functions as expressions of the form. `builtins` and `compiling` say what each of these computes.

Source: the function reference of Vensim's documentation. Where a function isn't in these tables, models that
call it can't be served. Functions whose arguments are whole arrays are in `VECTORS`.
"""

import math
from collections.abc import Callable, Mapping

from perdure.engines.system_dynamics.sources.form import Call, Node, Number, Operation

__all__ = ["FUNCTIONS", "NA", "Translate"]

NA = -(2.0**109)
"""What ``:NA:`` is in Vensim, where models compare it with values."""

Translate = Callable[..., Node]
"""Makes an expression of a function's arguments; raises TypeError for the wrong number of them."""


def _operation(operator: str, arity: int) -> Translate:
    def translate(*arguments: Node) -> Node:
        _count(arguments, arity)
        return Operation(operator, arguments)

    return translate


def _call(function: str, *arities: int) -> Translate:
    def translate(*arguments: Node) -> Node:
        _count(arguments, *arities)
        return Call(function, arguments)

    return translate


def _count(arguments: tuple[Node, ...], *arities: int) -> None:
    if len(arguments) not in arities:
        expected = " or ".join(map(str, arities))
        raise TypeError(f"takes {expected} arguments, not {len(arguments)}")


def _op(operator: str, *operands: Node) -> Operation:
    return Operation(operator, operands)


# Over time --------------------------------------------------------------------------------------------------


def _ramp(slope: Node, start: Node, finish: Node) -> Node:
    time = _op("time")
    rise = _op("multiply", slope, _op("subtract", _op("min", time, finish), start))
    return _op("if", _op("greater", time, start), rise, Number(0.0))


def _step(height: Node, start: Node) -> Node:
    return _op("multiply", height, _op("interval", start, Number(math.inf)))


def _pulse(start: Node, width: Node) -> Node:
    return _op("interval", start, width)


def _time_value(relative: Node, offset: Node, measure: Node) -> Node:
    if measure != Number(0.0) or relative not in (Number(0.0), Number(1.0)):
        raise NotImplementedError(
            "gives the time in the model's unit only, not dates or the computer's clock"
        )
    return _op("add", _op("time" if relative == Number(0.0) else "starttime"), offset)


# Random -----------------------------------------------------------------------------------------------------


def _within(low: Node, high: Node, draw: Node) -> Node:
    return _op("max", low, _op("min", high, draw))


def _drawn(operator: str, seed: Node, *operands: Node) -> Node:
    return Call("@seeded", (_op(operator, *operands), seed))


def _random_uniform(low: Node, high: Node, seed: Node) -> Node:
    return _drawn("uniform", seed, low, high)


def _random_normal(low: Node, high: Node, mean: Node, deviation: Node, seed: Node) -> Node:
    """Return a draw of the normal distribution between two limits, by the inverse of its integral."""

    def below(limit: Node) -> Node:
        return _op("normalcdf", Number(-math.inf), limit, mean, deviation)

    draw = _op("invnorm", _drawn("uniform", seed, below(low), below(high)), mean, deviation)
    return _op("if", _op("greater", deviation, Number(0.0)), draw, _within(low, high, mean))


def _random_exponential(low: Node, high: Node, shift: Node, stretch: Node, seed: Node) -> Node:
    """Return a draw of the shifted exponential distribution between two limits, likewise."""

    def above(limit: Node) -> Node:
        return _op("exp", _op("divide", _op("subtract", shift, limit), stretch))

    share = _drawn("uniform", seed, above(high), above(_op("max", low, shift)))
    return _op("subtract", shift, _op("multiply", stretch, _op("ln", share)))


def _shifted(operator: str, parameters: int) -> Translate:
    """Return a function of limits, parameters of a distribution, shift, stretch and seed."""

    def translate(*arguments: Node) -> Node:
        _count(arguments, parameters + 5)
        low, high, *inner, shift, stretch, seed = arguments
        drawn = _drawn(operator, seed, *inner)
        return _within(low, high, _op("add", shift, _op("multiply", stretch, drawn)))

    return translate


def _swapped(operator: str) -> Translate:
    """Return likewise a function whose two parameters are a probability and a number."""

    def translate(low: Node, high: Node, p: Node, n: Node, shift: Node, stretch: Node, seed: Node) -> Node:
        drawn = _drawn(operator, seed, n, p)
        return _within(low, high, _op("add", shift, _op("multiply", stretch, drawn)))

    return translate


def _random_triangular(low: Node, high: Node, start: Node, peak: Node, stop: Node, seed: Node) -> Node:
    return _within(low, high, _drawn("triangular", seed, start, peak, stop))


FUNCTIONS: Mapping[str, Translate] = {
    "abs": _operation("abs", 1),
    "arccos": _operation("arccos", 1),
    "arcsin": _operation("arcsin", 1),
    "arctan": _operation("arctan", 1),
    "cos": _operation("cos", 1),
    "cosh": _operation("cosh", 1),
    "delay_information": _call("delay_information", 3),
    "delay_material": _call("delay_material", 4),
    "exp": _operation("exp", 1),
    "gamma_ln": _operation("gammaln", 1),
    "get_time_value": _time_value,
    "if_then_else": _operation("if", 3),
    "integer": _operation("truncate", 1),
    "ln": _operation("ln", 1),
    "log": lambda x, base: _op("divide", _op("ln", x), _op("ln", base)),
    "max": _operation("max", 2),
    "min": _operation("min", 2),
    "modulo": _operation("remainder", 2),
    "npv": _call("npv", 4),
    "pi": lambda: Number(math.pi),
    "power": _operation("power", 2),
    "pulse": _pulse,
    "pulse_train": _operation("intervals", 4),
    "quantum": _operation("quantum", 2),
    "ramp": _ramp,
    "random_0_1": lambda: _op("uniform", Number(0.0), Number(1.0)),
    "random_beta": _shifted("beta", 2),
    "random_binomial": _swapped("binomial"),
    "random_exponential": _random_exponential,
    "random_gamma": _shifted("gamma", 1),
    "random_negative_binomial": _swapped("negbinomial"),
    "random_normal": _random_normal,
    "random_poisson": _shifted("poisson", 1),
    "random_triangular": _random_triangular,
    "random_uniform": _random_uniform,
    "random_weibull": _shifted("weibull", 1),
    "sin": _operation("sin", 1),
    "sinh": _operation("sinh", 1),
    "sqrt": _operation("sqrt", 1),
    "step": _step,
    "tan": _operation("tan", 1),
    "tanh": _operation("tanh", 1),
    "time_base": lambda start, slope: _op("add", start, _op("multiply", slope, _op("time"))),
    "xidz": _operation("xidz", 3),
    "zidz": lambda numerator, denominator: _op("xidz", numerator, denominator, Number(0.0)),
}
"""Functions by the name that the parser gives them."""

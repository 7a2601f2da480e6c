"""Builtins: the functions that XMILE files call, by canonical name, and how each is written out.

Source: XMILE 1.0, section 3.5, and for what it doesn't have Stella's names, as BPTK-Py 3.2.0 takes them.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from perdure.engines.system_dynamics.expression import Expression, Memory, Number, Operation, Recall
from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.averages import delay_of, forecast_of, smooth_of, trend_of
from perdure.engines.system_dynamics.sources.equations import Builtin, Context, Functions
from perdure.engines.system_dynamics.sources.problems import Unservable

__all__ = ["XMILE", "XMILE_OF_BPTK", "seeded"]

Nodes = tuple[form.Node, ...]
Make = Callable[[Context, Nodes], Expression]

_DT = Operation("dt", ())
_ZERO, _ONE = Number(0.0), Number(1.0)


def _plain(operator: str, *rest: float) -> Make:
    """An operator of the language with the arguments in order, and then `rest`."""
    return lambda c, a: Operation(operator, (*c.values(a), *map(Number, rest)))


def _number(value: float) -> Builtin:
    return Builtin(0, 0, lambda c, a: Number(value))


def _drawn(operator: str, minimum: int, *defaults: float) -> Builtin:
    """A random draw. A seed may follow, see `seeded`."""
    parameters = minimum + len(defaults)

    def make(c: Context, a: Nodes) -> Expression:
        given = c.values(a[:parameters])
        drawn = Operation(operator, (*given, *map(Number, defaults[len(given) - minimum :])))
        return seeded(drawn, c.value(a[parameters])) if len(a) > parameters else drawn

    return Builtin(minimum, parameters + 1, make)


def seeded(drawn: Expression, seed: Expression) -> Expression:
    """Return a draw that repeats by its own seed if that is a number other than zero; else by the run's."""
    if isinstance(drawn, Operation) and isinstance(seed, Number) and math.isfinite(seed.value):
        return replace(drawn, seed=int(seed.value)) if int(seed.value) else drawn
    return drawn


def _normal(c: Context, a: Nodes) -> Expression:
    mean, deviation, *rest = c.values(a)
    drawn: Expression = Operation("normal", (mean, deviation))
    if rest:
        drawn = seeded(drawn, rest[0])
    if len(rest) > 1:
        drawn = Operation("max", (drawn, rest[1]))
    return Operation("min", (drawn, rest[2])) if len(rest) > 2 else drawn


def _normal_share(c: Context, a: Nodes) -> Expression:
    return Operation("normalcdf", (*c.values(a), *(_ZERO, _ONE)[len(a) - 2 :]))


# Time -------------------------------------------------------------------------------------------------------


def _step(c: Context, a: Nodes) -> Expression:
    height, start = c.values(a)
    return Operation("if", (Operation("reached", (c.time, start, _DT)), height, _ZERO))


def _ramp(c: Context, a: Nodes) -> Expression:
    slope, *rest = c.values(a)
    start = rest[0] if rest else Operation("starttime", ())
    end = rest[1] if len(rest) > 1 else Number(float("inf"))
    return Operation("ramp", (c.time, slope, start, end))


def _pulse(c: Context, a: Nodes) -> Expression:
    volume, *rest = c.values(a)
    if not rest:
        return volume / _DT
    interval = rest[1] if len(rest) == 2 else _ZERO
    return Operation("pulse", (volume, rest[0], interval))


def _lasting_pulse(c: Context, a: Nodes) -> Expression:
    """A pulse as BPTK-Py 3.2.0 has it: without an interval, one in each step from the first on."""
    if len(a) != 2:
        return _pulse(c, a)
    volume, first = c.values(a)
    return Operation("if", (Operation("reached", (c.time, first, _DT)), volume / _DT, _ZERO))


def _counter(c: Context, a: Nodes) -> Expression:
    return Operation("counter", (c.time, _DT, *c.values(a)))


def _clock(c: Context, a: Nodes) -> Expression:
    raise Unservable("it reads the clock, so a resumed run would go on with other numbers")


# History ----------------------------------------------------------------------------------------------------


def _previous(c: Context, a: Nodes) -> Expression:
    value, *initial = c.values(a)
    return Operation("delay", (value, _DT, *(initial or [_ZERO])))


def _initially(c: Context, a: Nodes) -> Expression:
    value = c.value(a[0])
    return value if isinstance(value, Number) else c.hidden("initial", "stock", lambda _: _ZERO, value)


def _history(c: Context, a: Nodes) -> Expression:
    value, at = c.values(a)
    past = Operation("max", (_ZERO, c.time - at))
    return Operation("if", (at > c.time, _ZERO, Operation("delay", (value, past))))


def _end_value(c: Context, a: Nodes) -> Expression:
    if len(a) == 2:
        return c.value(a[1])
    return replace(c, time=Operation("stoptime", ()), at_end=True).value(a[0])


def _derivative(c: Context, a: Nodes) -> Expression:
    order = a[1] if len(a) > 1 else form.Number(1.0)
    if not isinstance(order, form.Number) or order.value not in (0.0, 1.0, 2.0, 3.0, 4.0):
        raise Unservable("the order of DERIVN must be a whole number from 0 to 4")
    value = c.value(a[0])
    for _ in range(int(order.value)):
        value = c.variable("difference", value)
        value = (value - Operation("delay", (value, _DT))) / _DT
    return value


def _present_worth(c: Context, a: Nodes) -> Expression:
    stream, rate = c.variable("stream", c.value(a[0])), c.variable("rate", c.value(a[1]))
    initial = c.value(a[2]) if len(a) > 2 else _ZERO
    # The discount falls by 1 + rate·dt in a step.
    discount = c.hidden("discount", "stock", lambda own: -(own * rate / (1.0 + rate * _DT)), _ONE)
    worth = c.hidden("worth", "stock", lambda _: stream * discount, initial)
    return worth + stream * _DT * discount


def _internal_return(c: Context, a: Nodes) -> Expression:
    stream, *rest = c.values(a)
    stream = c.variable("stream", stream)
    missing = rest[0] if rest else Number(float("nan"))
    memory = Memory(c.hidden_name("payments"), "stream", (stream,), ())
    return Recall(memory, "internal_return", (stream, missing))


# Lists ------------------------------------------------------------------------------------------------------


def _all(c: Context, a: Iterable[form.Node]) -> list[Expression]:
    return [value for node in a for value in c.each(node)]


def _folded(operator: str, *, of_cell: bool = False) -> Make:
    """An operator between all values, from the first to the last.

    A single argument is a list. With `of_cell`, an array without subscripts beside other arguments means the
    cell's own element, as in the equation ``MAX(stock, 0)`` of an array.
    """

    def make(c: Context, a: Nodes) -> Expression:
        own = of_cell and len(a) > 1
        first, *rest = [value for node in a for value in c.each(node, of_cell=own)]
        for value in rest:
            first = Operation(operator, (first, value))
        return first

    return make


def _listed(operator: str) -> Make:
    return lambda c, a: Operation(operator, tuple(_all(c, a)))


def _size(c: Context, a: Nodes) -> Expression:
    return Number(float(len(_all(c, a))))


def _rank(c: Context, a: Nodes) -> Expression:
    return Operation("position_of", (c.value(a[-1]), *_all(c, a[:-1])))


def _interpolate(c: Context, a: Nodes) -> Expression:
    """Interpolate an array by a share for each dimension, the last dimension first."""
    name = a[0]
    symbol = c.scope.find(name.name) if isinstance(name, form.Name) else None
    if symbol is None or len(symbol.dimensions) != len(a) - 1:
        raise Unservable("INTERPOLATE takes an array, and then a share for each of its dimensions")
    values = list(c.each(name))
    for dimension, share in zip(reversed(symbol.dimensions), reversed(c.values(a[1:])), strict=True):
        size = len(c.dimensions.elements(dimension))
        values = [
            Operation("interpolated", (share, *values[i : i + size])) for i in range(0, len(values), size)
        ]
    return values[0]


# Graphical functions ----------------------------------------------------------------------------------------


def _curve(kind: str | None) -> Make:
    return lambda c, a: c.curve(a[0], c.value(a[1]), kind)


def _area(c: Context, a: Nodes) -> Expression:
    bounds = c.values(a[1:])
    start = bounds[0] if len(bounds) == 2 else Operation("starttime", ())
    return c.curve(a[0], bounds[-1], "area") - c.curve(a[0], start, "area")


# Averages ---------------------------------------------------------------------------------------------------


def _order(nodes: Nodes, at: int, function: str) -> int:
    node = nodes[at]
    if not isinstance(node, form.Number) or not 1.0 <= node.value <= 100.0 or node.value % 1.0:
        raise Unservable(f"the order of {function} must be a whole number from 1 to 100")
    return int(node.value)


def _average(make: Callable[..., Expression], order: int | None, function: str) -> Builtin:
    """A smooth or a delay of a fixed order, or of the order that the third argument gives."""
    fixed = 0 if order is None else 1

    def written(c: Context, a: Nodes) -> Expression:
        steps = _order(a, 2, function) if order is None else order
        initial = c.value(a[-1]) if len(a) == 4 - fixed else None
        return make(c, c.value(a[0]), c.value(a[1]), steps, initial)

    return Builtin(3 - fixed, 4 - fixed, written)


def _trend(c: Context, a: Nodes) -> Expression:
    return trend_of(c, c.value(a[0]), c.value(a[1]), c.value(a[2]) if len(a) > 2 else _ZERO)


def _forecast(c: Context, a: Nodes) -> Expression:
    initial = c.value(a[3]) if len(a) > 3 else _ZERO
    return forecast_of(c, c.value(a[0]), c.value(a[1]), c.value(a[2]), initial)


XMILE: Functions = {
    # Time
    "time": Builtin(0, 0, lambda c, a: c.time),
    "clocktime": Builtin(0, 0, _clock),
    "dt": Builtin(0, 0, _plain("dt")),
    "starttime": Builtin(0, 0, _plain("starttime")),
    "stoptime": Builtin(0, 0, _plain("stoptime")),
    "time_step": Builtin(0, 0, _plain("dt")),
    "initial_time": Builtin(0, 0, _plain("starttime")),
    "final_time": Builtin(0, 0, _plain("stoptime")),
    "pi": _number(3.141592653589793),
    "inf": _number(float("inf")),
    "nan": _number(float("nan")),
    # Mathematics
    "abs": Builtin(1, 1, _plain("abs")),
    "arccos": Builtin(1, 1, _plain("arccos")),
    "arcsin": Builtin(1, 1, _plain("arcsin")),
    "arctan": Builtin(1, 1, _plain("arctan")),
    "combinations": Builtin(2, 2, _plain("combinations")),
    "cos": Builtin(1, 1, _plain("cos")),
    "exp": Builtin(1, 1, _plain("exp")),
    "factorial": Builtin(1, 1, _plain("factorial")),
    "gammaln": Builtin(1, 1, _plain("gammaln")),
    "int": Builtin(1, 1, _plain("floor")),
    "invnorm": Builtin(1, 3, lambda c, a: Operation("invnorm", (*c.values(a), *(_ZERO, _ONE)[len(a) - 1 :]))),
    "ln": Builtin(1, 1, _plain("ln")),
    "log10": Builtin(1, 1, _plain("log10")),
    "mod": Builtin(2, 2, _plain("modulo")),
    "modulo": Builtin(2, 2, _plain("modulo")),
    "normalcdf": Builtin(2, 4, _normal_share),
    "percent": Builtin(1, 1, lambda c, a: c.value(a[0]) * 100.0),
    "permutations": Builtin(2, 2, _plain("permutations")),
    "quantum": Builtin(2, 2, _plain("quantum")),
    "rootn": Builtin(2, 2, _plain("root")),
    "round": Builtin(1, 1, _plain("round", 0.0)),
    "safediv": Builtin(2, 3, lambda c, a: Operation("divided", (*c.values(a), _ZERO)[:3])),
    "sign": Builtin(1, 1, _plain("sign")),
    "sin": Builtin(1, 1, _plain("sin")),
    "sinh": Builtin(1, 1, _plain("sinh")),
    "cosh": Builtin(1, 1, _plain("cosh")),
    "tanh": Builtin(1, 1, _plain("tanh")),
    "sqrt": Builtin(1, 1, _plain("sqrt")),
    "tan": Builtin(1, 1, _plain("tan")),
    # Inputs
    "step": Builtin(2, 2, _step),
    "ramp": Builtin(1, 3, _ramp),
    "pulse": Builtin(1, 3, _pulse),
    "sinwave": Builtin(2, 2, _plain("sinwave")),
    "coswave": Builtin(2, 2, _plain("coswave")),
    "counter": Builtin(2, 2, _counter),
    # History
    "delay": Builtin(2, 3, _plain("delay")),
    "previous": Builtin(1, 2, _previous),
    "init": Builtin(1, 1, _initially),
    "initial": Builtin(1, 1, _initially),
    "history": Builtin(2, 2, _history),
    "endval": Builtin(1, 2, _end_value),
    "derivn": Builtin(1, 2, _derivative),
    "smth1": _average(smooth_of, 1, "SMTH1"),
    "smth3": _average(smooth_of, 3, "SMTH3"),
    "smthn": _average(smooth_of, None, "SMTHN"),
    "delay1": _average(delay_of, 1, "DELAY1"),
    "delay3": _average(delay_of, 3, "DELAY3"),
    "delayn": _average(delay_of, None, "DELAYN"),
    "trend": Builtin(2, 3, _trend),
    "forcst": Builtin(3, 4, _forecast),
    # Lists
    "max": Builtin(1, None, _folded("max", of_cell=True), aggregates=True),
    "min": Builtin(1, None, _folded("min", of_cell=True), aggregates=True),
    "sum": Builtin(1, None, _folded("add"), aggregates=True),
    "prod": Builtin(1, None, _folded("multiply"), aggregates=True),
    "mean": Builtin(1, None, _listed("mean"), aggregates=True),
    "stddev": Builtin(1, None, _listed("deviation"), aggregates=True),
    "size": Builtin(1, None, _size, aggregates=True),
    "rank": Builtin(2, None, _rank, aggregates=True),
    "interpolate": Builtin(2, None, _interpolate),
    # Graphical functions
    "lookup": Builtin(2, 2, _curve(None)),
    "lookupinv": Builtin(2, 2, _curve("inverse")),
    "lookuparea": Builtin(2, 3, _area),
    # Money
    "npv": Builtin(2, 3, _present_worth),
    "irr": Builtin(1, 2, _internal_return),
    "pmt": Builtin(3, 4, lambda c, a: Operation("payment", (*c.values(a), _ZERO)[:4])),
    "fv": Builtin(3, 4, lambda c, a: Operation("future_value", (*c.values(a), _ZERO)[:4])),
    "pv": Builtin(3, 4, lambda c, a: Operation("present_value", (*c.values(a), _ZERO)[:4])),
    "cgrowth": Builtin(1, 1, lambda c, a: Operation("growth", (c.value(a[0]), _DT))),
    # Random draws
    "random": _drawn("uniform", 0, 0.0, 1.0),
    "uniform": _drawn("uniform", 0, 0.0, 1.0),
    "normal": Builtin(2, 5, _normal),
    "montecarlo": _drawn("montecarlo", 1),
    "beta": _drawn("beta", 2),
    "binomial": _drawn("binomial", 2),
    "negbinomial": _drawn("negbinomial", 2),
    "weibull": _drawn("weibull", 2),
    "pareto": _drawn("pareto", 2),
    "logistic": _drawn("logistic", 2),
    "lognormal": _drawn("lognormal", 2),
    "gamma": _drawn("gamma", 1, 1.0),
    "exprnd": _drawn("exprnd", 1),
    "geometric": _drawn("geometric", 1),
    "poisson": _drawn("poisson", 1),
    "triangular": _drawn("triangular", 3),
}  # fmt: skip
"""The functions of XMILE by canonical name."""

XMILE_OF_BPTK: Functions = {**XMILE, "pulse": Builtin(1, 3, _lasting_pulse)}
"""The functions of XMILE as BPTK-Py 3.2.0 reads them, for models that have its names."""

"""Run specs of files: the times that they say, worked out before there is a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from perdure.engines.system_dynamics.elements import Element
from perdure.engines.system_dynamics.expression import Expression, Number, Operation
from perdure.engines.system_dynamics.sources.equations import Context
from perdure.engines.system_dynamics.sources.form import Node, Specs
from perdure.engines.system_dynamics.sources.problems import Problems, Unservable

__all__ = ["Times", "times_of", "worked_out"]


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a model in its unit; see `form.Specs`."""

    start: float
    stop: float
    dt: float
    save_every: float | None
    pause: float | None
    method: Literal["euler", "rk4"]
    units: str


def times_of(specs: Specs, context: Context, problems: Problems) -> Times:
    """Return the run specs, with their expressions evaluated as they are at the start."""
    known: dict[str, float] = {}

    def number(what: str, node: Node, otherwise: float) -> float:
        with problems.at(specs.line, f"run specs, {what}"):
            return worked_out(context.value(node), known)
        return otherwise

    known["starttime"] = start = number("start", specs.start, 0.0)
    # The step has one length in a run; a stop time that changes in a run counts as at the start.
    known["dt"] = dt = number("dt", specs.dt, 1.0)
    known["time"] = start
    known["stoptime"] = stop = number("stop", specs.stop, start)
    return Times(
        start=start,
        stop=stop,
        dt=dt,
        save_every=None if specs.save_every is None else number("save_every", specs.save_every, dt),
        pause=None if specs.pause is None else number("pause", specs.pause, dt),
        method=specs.method,
        units=specs.time_units,
    )


_ARITHMETIC: Mapping[str, Callable[..., float]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "quotient": lambda x, y: x / y,
    "power": lambda x, y: x**y,
    "negate": lambda x: -x,
    "and": lambda x, y: float(bool(x and y)),
    "or": lambda x, y: float(bool(x or y)),
    "not": lambda x: float(not x),
    "max": max,
    "min": min,
    "less": lambda x, y: float(x < y),
    "less_equal": lambda x, y: float(x <= y),
    "greater": lambda x, y: float(x > y),
    "greater_equal": lambda x, y: float(x >= y),
    "equal": lambda x, y: float(x == y),
    "not_equal": lambda x, y: float(x != y),
    "if": lambda condition, then, otherwise: then if condition else otherwise,
}


def worked_out(expression: Expression, known: Mapping[str, float]) -> float:
    """Evaluate an expression of numbers, of the times that are known and of variables with such values."""
    try:
        return _evaluated(expression, known, 0)
    except (ArithmeticError, ValueError) as error:
        raise Unservable(f"it can't be worked out before the run: {error}") from None


def _evaluated(expression: Expression, known: Mapping[str, float], depth: int) -> float:
    if depth > 50:
        raise Unservable("it depends on itself, or on too many variables")
    match expression:
        case Number(value):
            return value
        case Element():
            equation = expression.initial_value if expression.kind == "stock" else expression.equation
            if isinstance(equation, Expression):
                return _evaluated(equation, known, depth + 1)
            if equation is not None:
                return float(equation)
        case Operation(operator, operands):
            if not operands and operator in known:
                return known[operator]
            if operator in _ARITHMETIC:
                return float(
                    _ARITHMETIC[operator](*(_evaluated(each, known, depth + 1) for each in operands))
                )
    raise Unservable("it must be a number, or be worked out from numbers before the run")

"""Writing: a model, from whatever source, as an XMILE document.

Each element becomes a variable; a cell of an array is a variable of that name. The hidden stocks of
averages, delays and macros become variables too, since the standard's own functions may begin otherwise.

Source: XMILE 1.0, chapters 2 to 4.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from perdure.engines.system_dynamics.arrays import Spread, summarized
from perdure.engines.system_dynamics.elements import RESERVED, Element, Stock
from perdure.engines.system_dynamics.expression import (
    DotProduct,
    Expression,
    Hidden,
    Lookup,
    Number,
    Operation,
    Recall,
    Reference,
    Summary,
    as_expression,
)
from perdure.engines.system_dynamics.model_elements import ModelElements
from perdure.engines.system_dynamics.points import Points
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.problems import Problems, Unservable
from perdure.engines.system_dynamics.sources.specs import Times
from perdure.engines.system_dynamics.sources.xmile.tokens import is_plain
from perdure.engines.system_dynamics.titles import title_of

__all__ = ["CURVES", "document_of", "frame_of", "number_of", "operation_of", "points_of", "quoted"]

_INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "quotient": "/",
    "modulo": " MOD ",
    "power": "^",
    "less": " < ",
    "less_equal": " <= ",
    "greater": " > ",
    "greater_equal": " >= ",
    "equal": " = ",
    "not_equal": " <> ",
    "and": " AND ",
    "or": " OR ",
}
_SAME = """
    abs arccos arcsin arctan beta binomial combinations cos cosh coswave delay dt exp exprnd factorial gamma
    gammaln geometric invnorm ln log10 logistic lognormal max mean min montecarlo negbinomial normal normalcdf
    pareto permutations poisson pulse quantum sign sin sinh sinwave sqrt starttime stoptime tan tanh time
    triangular uniform weibull
"""
_CALLS = {name: name.upper() for name in _SAME.split()} | {
    "floor": "INT",
    "divided": "SAFEDIV",
    "root": "ROOTN",
    "deviation": "STDDEV",
    "array_mean": "MEAN",
    "array_stddev": "STDDEV",
    "array_max": "MAX",
    "array_min": "MIN",
    "payment": "PMT",
    "future_value": "FV",
    "present_value": "PV",
}
_WRITTEN: Mapping[str, Callable[..., str]] = {
    "array_sum": lambda *cells: f"({'+'.join(cells)})",
    "array_product": lambda *cells: f"({'*'.join(cells)})",
    "negate": lambda x: f"(-{x})",
    "not": lambda x: f"(NOT {x})",
    "if": lambda condition, then, otherwise: f"(IF {condition} THEN {then} ELSE {otherwise})",
    "ceil": lambda x: f"(-INT(-{x}))",
    "truncate": lambda x: f"(IF {x} < 0 THEN -INT(-{x}) ELSE INT({x}))",
    "step": lambda height, start: f"(IF TIME > {start} THEN {height} ELSE 0)",
    "reached": lambda t, at, dt: f"({t} >= {at})",
    "ramp": lambda t, slope, start, end: f"RAMP({slope}, {start}, {end})",
    "growth": lambda percent, dt: f"CGROWTH({percent})",
    "counter": lambda t, dt, start, interval: f"COUNTER({start}, {interval})",
    "logarithm": lambda x, base: f"(LN({x})/LN({base}))",
    "position_of": lambda k, *values: f"RANK({', '.join(values)}, {k})",
    "xidz": lambda x, y, other: f"(IF ABS({y}) < 1e-6 THEN {other} ELSE {x}/{y})",
    "remainder": lambda x, unit: f"({x} - QUANTUM({x}, {unit}))",
    "interval": lambda start, width: f"(IF {_within(start, width)} THEN 1 ELSE 0)",
    "intervals": lambda start, repeat, width, end: (
        f"(IF (TIME + DT/2 > {start}) AND (TIME - DT/2 < {end}) AND (({repeat} <= {width}) OR "
        f"(((TIME + DT/2 - {start}) MOD {repeat}) < MAX({width}, DT))) THEN 1 ELSE 0)"
    ),
    "smooth": lambda x, time, initial: f"SMTH1({x}, {time}, {initial})",
    # The standard's initial value is that of the trend, ours that of the average.
    "trend": lambda x, time, initial: f"TREND({x}, {time}, ({x}/{initial} - 1)/{time})",
}
CURVES = {"continuous": "continuous", "extrapolate": "extrapolate", "discrete": "discrete"}


def document_of(model: ModelElements, times: Times, problems: Problems) -> str:
    """Return the XMILE document of a model.

    Parameters
    ----------
    model
        The model.
    times
        Its run specs.
    problems
        Where is added what XMILE can't say; the document lacks it.
    """
    return _Writer(model, problems).document(times)


def frame_of(
    name: str, times: Times, before: str, variables: str, models: Mapping[str, str] | None = None
) -> str:
    """Return a document: what stands before its model, the variables of that, and further models by name."""
    pause = "" if times.pause is None else f' pause="{times.pause!r}"'
    save = "" if times.save_every is None else f"<save_step>{times.save_every!r}</save_step>"
    more = "".join(
        f"<model name={quoteattr(each)}><variables>\n{inner}</variables></model>\n"
        for each, inner in (models or {}).items()
    )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<xmile version="1.0" xmlns="http://docs.oasis-open.org/xmile/ns/XMILE/v1.0">
<header><vendor>Perdure</vendor><name>{escape(name)}</name>\
<product version="1" lang="en">Perdure</product></header>
<sim_specs method="{times.method}" time_units={quoteattr(times.units)}{pause}>\
<start>{times.start!r}</start><stop>{times.stop!r}</stop><dt>{times.dt!r}</dt>{save}</sim_specs>
{before}<model><variables>
{variables}</variables></model>
{more}</xmile>
"""


def operation_of(operator: str, operands: Sequence[str]) -> str:
    """Return the text of an operation; raise `Unservable` if XMILE hasn't it."""
    if operator in _INFIX:
        return f"({_INFIX[operator].join(operands)})"
    if operator in _WRITTEN:
        return _WRITTEN[operator](*operands)
    if operator == "round" and operands[1] == "0.0":
        return f"ROUND({operands[0]})"
    if operator in _CALLS:
        return f"{_CALLS[operator]}({', '.join(operands)})" if operands else _CALLS[operator]
    raise Unservable(f"XMILE has no function for {operator!r}")


class _Writer:
    """Writes one model."""

    def __init__(self, model: ModelElements, problems: Problems) -> None:
        self.model = model
        self.problems = problems
        self.tables: dict[str, Points] = model.tables()
        self.curves: dict[tuple[str, str], str] = {}
        self.hidden: dict[str, Hidden] = {}
        self.lines: list[str] = []

    def document(self, times: Times) -> str:
        known: dict[str, str] = {}
        for element in self.model.elements.values():
            if known.setdefault(canonical(element.name), element.name) != element.name:
                other = known[canonical(element.name)]
                self.problems.add(0, element.name, f"XMILE has no other name for it than for {other!r}")
            with self.problems.at(0, element.name):
                self._element(element)
        written: set[str] = set()
        while rest := [each for name, each in self.hidden.items() if name not in written]:
            for each in rest:
                written.add(each.name)
                with self.problems.at(0, each.name):
                    self._hidden(each)
        for (points, kind), name in self.curves.items():
            self.lines.append(
                f"<gf name={quoteattr(name)} type={quoteattr(kind)}>{points_of(self.tables[points])}</gf>"
            )
        variables = "\n".join(self.lines)
        return frame_of(self.model.name, times, "", f"{variables}\n")

    # Variables ----------------------------------------------------------------------------------------------

    def _element(self, element: Element) -> None:
        if element.shape.axes:
            return  # Its cells have the equations.
        more = f"<units>{escape(element.units)}</units>" if element.units else ""
        more += f"<doc>{escape(element.documentation)}</doc>" if element.documentation else ""
        if isinstance(element, Stock):
            more += "<non_negative/>" if element.non_negative else ""
            initial = as_expression(element.initial_value)
            net = as_expression(0.0 if element.equation is None else element.equation)
            self._stock(element.name, initial, net, more)
            return
        if element.equation is None:
            self.lines.append(f"<aux name={quoteattr(element.name)}>{more}</aux>")
            return
        if element.kind == "flow":
            more += "<non_negative/>"
        tag = "flow" if element.kind in ("flow", "biflow") else "aux"
        equation = as_expression(element.equation)
        if isinstance(equation, Lookup) and equation.points == element.name and equation.kind in CURVES:
            more += f'<gf type="{equation.kind}">{points_of(self.tables[element.name])}</gf>'
            equation = equation.operand
        self.lines.append(f"<{tag} name={quoteattr(element.name)}>{self._eqn(equation)}{more}</{tag}>")

    def _hidden(self, node: Hidden) -> None:
        name = node.name.removeprefix(RESERVED)
        if node.kind == "stock":
            initial = Number(0.0) if node.initial is None else node.initial
            self._stock(name, initial, node.expression, "")
            return
        start = "" if node.initial is None else f"<init_eqn>{escape(self._text(node.initial))}</init_eqn>"
        self.lines.append(f"<aux name={quoteattr(name)}>{self._eqn(node.expression)}{start}</aux>")

    def _stock(self, name: str, initial: Expression, net: Expression, more: str) -> None:
        """Write a stock with its flows; a net flow that is no sum of flows becomes a flow of its own."""
        into, out = _flows(net)
        if into is None:
            into, out = [f"net flow of {name}"], []
            self.lines.append(f"<flow name={quoteattr(into[0])}>{self._eqn(net)}</flow>")
        flows = "".join(f"<inflow>{escape(quoted(each))}</inflow>" for each in into)
        flows += "".join(f"<outflow>{escape(quoted(each))}</outflow>" for each in out)
        self.lines.append(f"<stock name={quoteattr(name)}>{self._eqn(initial)}{flows}{more}</stock>")

    # Equations ----------------------------------------------------------------------------------------------

    def _eqn(self, expression: Expression) -> str:
        return f"<eqn>{escape(self._text(expression))}</eqn>"

    def _text(self, expression: Expression) -> str:
        """Return the text of an expression; without recursion, as sums may be long."""
        done: list[str] = []
        todo: list[Expression | tuple[Operation | Lookup, int]] = [expression]
        while todo:
            node = todo.pop()
            if isinstance(node, tuple):
                whole, count = node
                operands = done[len(done) - count :]
                del done[len(done) - count :]
                done.append(self._call(whole, operands))
            elif isinstance(node, Operation):
                todo += ((node, len(node.operands)), *reversed(node.operands))
            elif isinstance(node, Lookup):
                todo += ((node, 1), node.operand)
            elif isinstance(node, Summary):
                todo.append(summarized(node, "an equation"))
            elif isinstance(node, DotProduct):
                todo.append(Spread(node, "an equation").product(node))
            else:
                done.append(self._leaf(node))
        return done[0]

    def _leaf(self, node: Expression) -> str:
        match node:
            case Number(value):
                return number_of(value)
            case Element():
                return quoted(node.name)
            case Hidden():
                for each in (node, *node.beside):
                    self.hidden[each.name] = each
                return quoted(node.name.removeprefix(RESERVED))
            case Reference(name):
                return quoted(name.removeprefix(RESERVED))
            case Recall(memory) if memory.kind == "pipeline":
                delayed, time, initial = map(self._text, (*memory.inputs, *memory.initials))
                return f"DELAY({delayed}, MAX({time}, DT), {initial})"
            case Recall(memory) if memory.kind == "held":
                return f"PREVIOUS({self._text(memory.inputs[0])}, {self._text(memory.initials[0])})"
        raise Unservable(f"XMILE has no equation for {title_of(node)}")

    def _call(self, node: Operation | Lookup, operands: Sequence[str]) -> str:
        if isinstance(node, Lookup):
            return self._lookup(node, operands[0])
        seed = () if node.seed is None else (f"{node.seed}",)
        return operation_of(node.operator, (*operands, *seed))

    def _lookup(self, node: Lookup, argument: str) -> str:
        points = node.points if isinstance(node.points, str) else self._named(node.points)
        kind = node.kind if node.kind in CURVES else "continuous"
        free = kind == "continuous" and points not in self.model.elements
        name = self.curves.setdefault((points, kind), points if free else f"{kind} {points}")
        if node.kind in CURVES:
            return f"LOOKUP({quoted(name)}, {argument})"
        if node.kind == "inverse":
            return f"LOOKUPINV({quoted(name)}, {argument})"
        raise Unservable(f"XMILE has nothing that reads a graphical function as {node.kind!r}")

    def _named(self, points: Points) -> str:
        """Return the name of a table with these points, made if there is none."""
        for name, table in self.tables.items():
            if table == points:
                return name
        name = f"curve {len(self.tables) + 1}"
        self.tables[name] = points
        return name


def _within(start: str, width: str) -> str:
    """Return the condition that the middle of the step is within `width` after `start`."""
    begun = f"(TIME + DT/2 > {start})"
    if width == "INF":
        return begun
    return f"{begun} AND (TIME + DT/2 < {start} + (IF {width} > 0 THEN {width} ELSE DT))"


def _flows(net: Expression) -> tuple[list[str] | None, list[str]]:
    """Return the flows that a net flow adds and those that it takes away; None if it is no such sum."""
    into: list[str] = []
    out: list[str] = []
    while True:
        match net:
            case Number(0.0):
                return into[::-1], out[::-1]
            case Element(kind="flow" | "biflow"):
                return [net.name, *into[::-1]], out[::-1]
            case Operation("negate", (Element(kind="flow" | "biflow") as flow,)) if not into:
                return [], [flow.name, *out[::-1]]
            case Operation("add", (rest, Element(kind="flow" | "biflow") as flow)) if not out:
                into.append(flow.name)
                net = rest
            case Operation("subtract", (rest, Element(kind="flow" | "biflow") as flow)) if not into:
                out.append(flow.name)
                net = rest
            case _:
                return None, []


def points_of(points: Iterable[tuple[float, float]]) -> str:
    """Return the tags of the points of a graphical function."""
    xs, ys = zip(*points, strict=True)
    return f"<xpts>{','.join(map(repr, xs))}</xpts><ypts>{','.join(map(repr, ys))}</ypts>"


def number_of(value: float) -> str:
    """Return a number as an equation has it."""
    if value != value:
        return "NAN"
    if value in (float("inf"), float("-inf")):
        return "INF" if value > 0.0 else "(-INF)"
    return repr(value) if str(value)[0] != "-" else f"({value!r})"


def quoted(name: str) -> str:
    """Return a name as an equation has it."""
    inner = name.replace("\\", "\\\\").replace('"', '\\"')
    return name if is_plain(name) else f'"{inner}"'

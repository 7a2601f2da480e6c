"""PySD's syntax trees as expressions of the form."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perdure.engines.system_dynamics.sources.form import (
    Call,
    Curve,
    Item,
    Name,
    Node,
    Number,
    Operation,
    Subscript,
    Whole,
    canonical,
)
from perdure.engines.system_dynamics.sources.limits import MAX_NESTING
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.vensim.calls import CALLS
from perdure.engines.system_dynamics.sources.vensim.functions import FUNCTIONS, NA
from perdure.engines.system_dynamics.sources.vensim.parsing import Literal, plain_name
from perdure.engines.system_dynamics.sources.vensim.ranges import Ranges

__all__ = ["Translator"]

_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "quotient", "^": "power"}
_COMPARISONS = {
    "=": "equal",
    "<>": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}


@dataclass(frozen=True, slots=True)
class Translator:
    """Translates the equations of the model or of one macro.

    Parameters
    ----------
    ranges
        The subscript ranges of the model.
    macros, lookups
        The canonical names of the macros, and of the variables and parameters that may be called.
    variables
        The dimensions of arrayed variables by their canonical names.
    within_macro
        Whether names that end with ``$`` are those of the whole model.
    """

    ranges: Ranges
    macros: frozenset[str]
    lookups: frozenset[str]
    variables: Mapping[str, tuple[str, ...]]
    within_macro: bool = False

    def expression(self, syntax: Any, subscripts: Sequence[str] = ()) -> Node:
        """Return the expression of a tree in an equation of the cells `subscripts`.

        Raises
        ------
        Unservable
            If something in it isn't supported; all such functions are named.
        """
        equation = _Equation(self, tuple(subscripts))
        node = equation.node(syntax, 0)
        if equation.unsupported:
            raise Unservable("; ".join(f"{title} isn't supported" for title in equation.unsupported))
        return node

    def curve(self, syntax: Any) -> Curve:
        """Return the points of a lookup that is written in the model."""
        return _curve(syntax)


def _curve(syntax: Any) -> Curve:
    points = tuple((float(x), float(y)) for x, y in zip(syntax.x, syntax.y, strict=True))
    return Curve(points, "extrapolate" if syntax.type == "extrapolate" else "continuous")


@dataclass(frozen=True, slots=True)
class _Equation:
    translator: Translator
    subscripts: tuple[str, ...]
    unsupported: dict[str, None] = field(default_factory=dict)

    def node(self, syntax: Any, depth: int) -> Node:
        if depth > MAX_NESTING:
            raise Unservable("the equation is nested too deeply")
        if isinstance(syntax, Literal):
            return Number(syntax.value)
        if isinstance(syntax, int | float) or hasattr(syntax, "dtype"):
            if getattr(syntax, "shape", ()):
                raise Unservable("a list of numbers is the whole right side of an equation")
            value = float(syntax)
            return Number(NA if math.isnan(value) else value)
        kind = type(syntax).__name__.removesuffix("Structure")
        translate = _STRUCTURES.get(kind)
        if translate is None:
            raise Unservable(_MISPLACED.get(kind, f"{kind} isn't supported here"))
        return translate(self, syntax, depth + 1)

    # Operators ----------------------------------------------------------------------------------------------

    def arithmetic(self, syntax: Any, depth: int) -> Node:
        arguments = [self.node(each, depth) for each in syntax.arguments]
        if syntax.operators == ["negative"]:
            (operand,) = arguments
            return Number(-operand.value) if isinstance(operand, Number) else Operation("negate", (operand,))
        operators = [_ARITHMETIC[each] for each in syntax.operators]
        for i, divisor in enumerate(arguments[1:]):
            # A number other than zero needs no care.
            if operators[i] == "quotient" and isinstance(divisor, Number) and divisor.value != 0.0:
                operators[i] = "divide"
        if operators[0] == "power":  # from the right, as in mathematics
            result = arguments[-1]
            for argument in reversed(arguments[:-1]):
                result = Operation("power", (argument, result))
            return result
        return _from_left(operators, arguments)

    def logic(self, syntax: Any, depth: int) -> Node:
        operators = [each.upper() for each in syntax.operators]
        arguments = [self.node(each, depth) for each in syntax.arguments]
        if operators == [":NOT:"]:
            return Operation("not", (arguments[0],))
        if operators[0] in _COMPARISONS:
            return _from_left([_COMPARISONS[each] for each in operators], arguments)
        # :AND: binds closer than :OR:.
        groups = [[arguments[0]]]
        for operator, argument in zip(operators, arguments[1:], strict=True):
            if operator == ":AND:":
                groups[-1].append(argument)
            else:
                groups.append([argument])
        return _joined("or", [_joined("and", group) for group in groups])

    # Names --------------------------------------------------------------------------------------------------

    def reference(self, syntax: Any, depth: int) -> Node:
        name = plain_name(syntax.reference)
        if syntax.subscripts is None and name in self.translator.ranges and not self.known(name):
            return self.number_of(name)
        if self.translator.within_macro and name.endswith("$"):
            name = f".{name[:-1].rstrip('_ ')}"
        subscripts = tuple(self.subscript(each) for each in _listed(syntax.subscripts))
        if canonical(name).lstrip(".") == "time" and not subscripts:
            return Operation("time", ())
        return Name(name, subscripts)

    @property
    def ranges(self) -> Ranges:
        return self.translator.ranges

    def axes(self, variable: str) -> tuple[str, ...] | None:
        return self.translator.variables.get(canonical(variable))

    def known(self, name: str) -> bool:
        return canonical(name) in self.translator.variables

    def number_of(self, name: str) -> Node:
        """Return the number of the computed cell's element in the whole range that `name` belongs to."""
        ranges = self.translator.ranges
        elements, whole = ranges.elements(name), ranges.whole(name)
        numbers = [whole.index(canonical(each)) + 1 for each in elements]
        if numbers == list(range(1, len(elements) + 1)):
            return Name(name)
        place = Operation("subtract", (Name(name), Number(1.0)))
        return Operation("element_at", (place, *(Number(float(number)) for number in numbers)))

    def subscript(self, text: str) -> Subscript:
        text = text.strip()
        return Whole(plain_name(text[:-1])) if text.endswith("!") else Item(plain_name(text))

    def vector(self, syntax: Any, depth: int) -> Name:
        """Return a reference to a variable with its last range as a whole; elements stay as they are."""
        node = self.node(syntax, depth)
        subscripts = node.subscripts if isinstance(node, Name) else ()
        for i in reversed(range(len(subscripts))):
            subscript = subscripts[i]
            if isinstance(subscript, Item) and subscript.name in self.translator.ranges:
                assert isinstance(node, Name)
                return Name(node.name, (*subscripts[:i], Whole(subscript.name), *subscripts[i + 1 :]))
        return self.whole(syntax, depth)

    def whole(self, syntax: Any, depth: int, along: int = 1) -> Name:
        """Return a reference to a variable with its last dimensions as a whole."""
        node = self.node(syntax, depth)
        if not isinstance(node, Name) or len(node.subscripts) < along:
            raise Unservable("the function takes an array by its name and subscripts")
        keep = len(node.subscripts) - along
        known = self.translator.variables.get(canonical(node.name), ())
        wholes = []
        for i, subscript in enumerate(node.subscripts[keep:], keep):
            name = getattr(subscript, "name", None)
            if not isinstance(name, str):
                raise Unservable("the function takes an array by its name and subscripts")
            # An element stands for all of its dimension.
            own = known[i] if i < len(known) else name
            wholes.append(Whole(name if name in self.translator.ranges else own))
        return Name(node.name, (*node.subscripts[:keep], *wholes))

    def place(self, back: int = 1) -> Node:
        """Return the position, from 0, of the computed cell in the last dimension, or in one before."""
        ranges = [each for each in self.subscripts if each in self.translator.ranges]
        if len(ranges) < back:
            raise Unservable("the function gives an array, so the left side needs ranges as subscripts")
        return Operation("subtract", (Name(ranges[-back]), Number(1.0)))

    # Calls --------------------------------------------------------------------------------------------------

    def call(self, syntax: Any, depth: int) -> Node:
        function = canonical(plain_name(syntax.function.reference))
        title = function.replace("_", " ").upper()
        if function in self.translator.lookups:
            curve = self.reference(syntax.function, depth)
            (argument,) = _taken(title, syntax.arguments, 1)
            return Call("lookup", (curve, self.node(argument, depth)))
        if function in self.translator.macros:
            return Call(function, tuple(self.node(each, depth) for each in syntax.arguments))
        if function in CALLS:
            arity, translate = CALLS[function]
            return translate(self, _taken(title, syntax.arguments, arity), depth)
        arguments = [self.node(each, depth) for each in syntax.arguments]
        if function not in FUNCTIONS:
            self.unsupported.setdefault(title)
            return Call(function, tuple(arguments))
        try:
            return FUNCTIONS[function](*arguments)
        except NotImplementedError as error:
            raise Unservable(f"{title} {error}") from None
        except TypeError:
            raise Unservable(f"{title} doesn't take {len(arguments)} arguments") from None

    def called(self, function: str, *arguments: Any, depth: int) -> Call:
        return Call(function, tuple(self.node(each, depth) for each in arguments))

    # Structures ---------------------------------------------------------------------------------------------

    def lookup(self, syntax: Any, depth: int) -> Node:
        return Call("lookup", (_curve(syntax.lookups), self.node(syntax.argument, depth)))

    def delay(self, syntax: Any, depth: int) -> Node:
        function = {1: "delay1", 3: "delay3"}[syntax.order]
        return self.average(function, syntax, syntax.delay_time, depth)

    def smooth(self, syntax: Any, depth: int) -> Node:
        function = {1: "smth1", 3: "smth3"}[syntax.order]
        return self.average(function, syntax, syntax.smooth_time, depth)

    def average(self, function: str, syntax: Any, time: Any, depth: int) -> Node:
        """Return a smooth or a delay, which begins with its input unless another value is given."""
        # Written out twice, inputs within each other would double at each level.
        given = () if syntax.initial is syntax.input else (syntax.initial,)
        return self.called(function, syntax.input, time, *given, depth=depth)

    def allocate_available(self, syntax: Any, depth: int) -> Node:
        requests, profiles = self.vector(syntax.request, depth), self.whole(syntax.pp, depth, along=2)
        return Call("allocate_available", (self.place(), self.node(syntax.avail, depth), requests, profiles))

    def allocate_by_priority(self, syntax: Any, depth: int) -> Node:
        width, supply = self.node(syntax.width, depth), self.node(syntax.supply, depth)
        requests, priorities = self.vector(syntax.request, depth), self.vector(syntax.priority, depth)
        return Call("allocate_by_priority", (self.place(), width, supply, requests, priorities))


_STRUCTURES: dict[str, Callable[[_Equation, Any, int], Node]] = {
    "AllocateAvailable": _Equation.allocate_available,
    "AllocateByPriority": _Equation.allocate_by_priority,
    "Arithmetic": _Equation.arithmetic,
    "Call": _Equation.call,
    "Delay": _Equation.delay,
    "DelayFixed": lambda e, s, d: e.called("delay_fixed", s.input, s.delay_time, s.initial, depth=d),
    "DelayN": lambda e, s, d: e.called("delay_n", s.input, s.delay_time, s.order, s.initial, depth=d),
    "Forecast": lambda e, s, d: e.called(
        "forecast", s.input, s.average_time, s.horizon, s.initial_trend, depth=d
    ),
    "Game": lambda e, s, d: e.node(s.expression, d),
    "Initial": lambda e, s, d: e.called("init", s.initial, depth=d),
    "InlineLookups": _Equation.lookup,
    "Logic": _Equation.logic,
    "Reference": _Equation.reference,
    "SampleIfTrue": lambda e, s, d: e.called("sample_if_true", s.condition, s.input, s.initial, depth=d),
    "Smooth": _Equation.smooth,
    "SmoothN": lambda e, s, d: e.called("smooth_n", s.input, s.smooth_time, s.order, s.initial, depth=d),
    "Trend": lambda e, s, d: e.called("trend", s.input, s.average_time, s.initial_trend, depth=d),
}
"""How each structure of PySD's trees is translated, by its name without the ending."""

_MISPLACED = {
    "GetConstants": "GET DIRECT CONSTANTS is the whole right side of an equation",
    "GetData": "GET DIRECT DATA is the whole right side of a data equation",
    "GetLookups": "GET DIRECT LOOKUPS is the whole definition of a lookup",
    "Integ": "INTEG is the whole right side of an equation",
}


def _listed(subscripts: Any) -> Sequence[str]:
    return () if subscripts is None else subscripts.subscripts


def _taken(title: str, arguments: Sequence[Any], arity: int) -> Sequence[Any]:
    if len(arguments) != arity:
        raise Unservable(f"{title} takes {arity} arguments, not {len(arguments)}")
    return arguments


def _from_left(operators: Sequence[str], operands: Sequence[Node]) -> Node:
    result = operands[0]
    for operator, operand in zip(operators, operands[1:], strict=True):
        result = Operation(operator, (result, operand))
    return result


def _joined(operator: str, operands: Sequence[Node]) -> Node:
    return _from_left([operator] * (len(operands) - 1), operands)

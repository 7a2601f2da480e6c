"""Calls: the functions of Vensim whose arguments aren't simply values, such as whole arrays and lookups."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from perdure.engines.system_dynamics.sources.form import (
    Call,
    Item,
    Name,
    Node,
    Number,
    Operation,
    Whole,
    canonical,
)
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.vensim.functions import NA
from perdure.engines.system_dynamics.sources.vensim.parsing import plain_name
from perdure.engines.system_dynamics.sources.vensim.ranges import Ranges

__all__ = ["CALLS", "Equation"]

_SLOPES = {0.0: "lookup_slope", 1.0: "lookup_slope_extrapolate", -1.0: "lookup_slope_within"}
_MODES = {0.0: "lookup", 1.0: "lookup_next", -1.0: "lookup_discrete"}


class Equation(Protocol):
    """What translates the arguments of a call, in an equation of the cells `subscripts`."""

    @property
    def subscripts(self) -> tuple[str, ...]: ...

    @property
    def ranges(self) -> Ranges: ...

    def axes(self, variable: str) -> tuple[str, ...] | None:
        """Return the dimensions of a variable of the model; None if there is no such variable."""
        ...

    def node(self, syntax: Any, depth: int) -> Node:
        """Return an argument as a value."""
        ...

    def vector(self, syntax: Any, depth: int) -> Name:
        """Return a reference to a variable with its last range as a whole."""
        ...

    def whole(self, syntax: Any, depth: int, along: int = 1) -> Name:
        """Return a reference to a variable with its last dimensions as a whole."""
        ...

    def place(self, back: int = 1) -> Node:
        """Return the position, from 0, of the computed cell in the last dimension, or in one before."""
        ...

    def called(self, function: str, *arguments: Any, depth: int) -> Call:
        """Return a call of a function of the form."""
        ...


def _element_count(e: Equation, arguments: Sequence[Any], depth: int) -> Node:
    return Number(float(e.ranges.size(plain_name(arguments[0].reference))))


def _sorted(e: Equation, operator: str, arguments: Sequence[Any], depth: int) -> Node:
    vector, direction = arguments
    return Call(operator, (e.place(), e.node(direction, depth), e.vector(vector, depth)))


def _reordered(e: Equation, arguments: Sequence[Any], depth: int) -> Node:
    vector, order = arguments
    return Call("element_at", (e.node(order, depth), e.vector(vector, depth)))


def _mapped(e: Equation, arguments: Sequence[Any], depth: int) -> Node:
    """VECTOR ELM MAP: the element at the given offset from another one."""
    first, offset = e.node(arguments[0], depth), e.node(arguments[1], depth)
    if not isinstance(first, Name) or not isinstance(first.subscripts[-1:], tuple) or not first.subscripts:
        raise Unservable("VECTOR ELM MAP takes an array by its name and subscripts")
    last = first.subscripts[-1]
    ranges, known = e.ranges, e.axes(first.name)
    if not isinstance(last, Item) or not known:
        raise Unservable("VECTOR ELM MAP takes an element or a range of a variable of the model")
    cells = [canonical(each) for each in ranges.elements(known[-1])]
    starts = [Number(float(cells.index(canonical(each)))) for each in ranges.elements(last.name)]
    start: Node = starts[0]
    if len(starts) > 1:
        place = Operation("subtract", (Name(last.name), Number(1.0)))
        start = Operation("element_at", (place, *starts))
    array = Name(first.name, (*first.subscripts[:-1], Whole(known[-1])))
    return Call("element_at", (Operation("add", (start, offset)), array))


def _selected(e: Equation, arguments: Sequence[Any], depth: int) -> Node:
    selection, values, *how = (e.node(each, depth) for each in arguments)
    return Call("vector_select", (*how, selection, values))


def _inverted(e: Equation, arguments: Sequence[Any], depth: int) -> Node:
    row, column = e.place(2), e.place()
    size = Number(float(e.ranges.size(e.subscripts[-1])))
    place = Operation("add", (Operation("multiply", (row, size)), column))
    return Call("inverse", (place, e.whole(arguments[0], depth, along=2)))


def _read_as(e: Equation, function: str, arguments: Sequence[Any], depth: int) -> Node:
    """Return a call of a lookup, or of data, that is read otherwise than it is defined."""
    curve = e.node(arguments[0], depth)
    if not isinstance(curve, Name):
        raise Unservable("the function takes a lookup by its name")
    return Call(function, (curve, e.node(arguments[1], depth)))


def _area(e: Equation, arguments: Sequence[Any], depth: int) -> Node:
    curve, start, end = arguments
    until, before = (_read_as(e, "lookup_area", (curve, each), depth) for each in (end, start))
    return Operation("subtract", (until, before))


def _slope(e: Equation, arguments: Sequence[Any], depth: int) -> Node:
    """LOOKUP SLOPE, whose last argument says what its value is beyond the ends."""
    return _read_as(e, _mode(e, "LOOKUP SLOPE", arguments[2], _SLOPES, depth), arguments, depth)


def _between(e: Equation, arguments: Sequence[Any], depth: int) -> Node:
    """GET DATA BETWEEN TIMES: data at a time, read as the last argument says; else :NA:."""
    function = _mode(e, "GET DATA BETWEEN TIMES", arguments[2], _MODES, depth)
    within = _read_as(e, "lookup_within", arguments, depth)
    known = Operation("not_equal", (within, Number(NA)))
    return Operation("if", (known, _read_as(e, function, arguments, depth), Number(NA)))


def _mode(e: Equation, title: str, argument: Any, modes: Mapping[float, str], depth: int) -> str:
    """Return the function that a mode stands for, which is a number."""
    node = e.node(argument, depth)
    if not isinstance(node, Number) or node.value not in modes:
        raise Unservable(f"the last argument of {title} must be {', '.join(f'{each:g}' for each in modes)}")
    return modes[node.value]


def _shifted(e: Equation, arguments: Sequence[Any], depth: int) -> Node:
    """TIME SHIFT: data at another time, read as they are defined."""
    data, shift = e.node(arguments[0], depth), e.node(arguments[1], depth)
    if not isinstance(data, Name):
        raise Unservable("TIME SHIFT takes data by their name")
    return Call("lookup", (data, Operation("add", (Operation("time", ()), shift))))


def _market_price(e: Equation, arguments: Sequence[Any], depth: int) -> Node:
    return Call(
        "find_market_price", tuple(e.whole(each, depth, 1 + i % 2) for i, each in enumerate(arguments))
    )


def _at_price(e: Equation, arguments: Sequence[Any], depth: int, supplied: bool) -> Node:
    """DEMAND AT PRICE and SUPPLY AT PRICE, whose shares are those of the same profile."""
    quantity, price = e.node(arguments[0], depth), e.node(arguments[2], depth)
    profile = e.whole(arguments[1], depth)
    share: Node = Call("share_at_price", (price, profile))
    if supplied:
        rest = Operation("subtract", (Number(1.0), share))
        # A fixed quantity, of kind 0, is the same at all prices.
        kind = Call("element_at", (Number(0.0), profile))
        share = Operation("if", (Operation("equal", (kind, Number(0.0))), share, rest))
    return Operation("multiply", (quantity, share))


CALLS: dict[str, tuple[int, Callable[[Equation, Sequence[Any], int], Node]]] = {
    "demand_at_price": (3, lambda e, a, d: _at_price(e, a, d, supplied=False)),
    "elmcount": (1, _element_count),
    "find_market_price": (4, _market_price),
    "get_data_at_time": (2, lambda e, a, d: _read_as(e, "lookup", a, d)),
    "get_data_between_times": (3, _between),
    "invert_matrix": (2, _inverted),
    "lookup_backward": (2, lambda e, a, d: _read_as(e, "lookup_discrete", a, d)),
    "lookup_extrapolate": (2, lambda e, a, d: _read_as(e, "lookup_extrapolate", a, d)),
    "lookup_forward": (2, lambda e, a, d: _read_as(e, "lookup_next", a, d)),
    "lookup_area": (3, _area),
    "lookup_invert": (2, lambda e, a, d: _read_as(e, "lookup_inverse", a, d)),
    "lookup_slope": (3, _slope),
    "prod": (1, lambda e, a, d: e.called("prod", *a, depth=d)),
    "reinitial": (1, lambda e, a, d: e.called("init", *a, depth=d)),
    "sum": (1, lambda e, a, d: e.called("sum", *a, depth=d)),
    "supply_at_price": (3, lambda e, a, d: _at_price(e, a, d, supplied=True)),
    "time_shift": (2, _shifted),
    "vector_elm_map": (2, _mapped),
    "vector_rank": (2, lambda e, a, d: _sorted(e, "sort_rank", a, d)),
    "vector_reorder": (2, _reordered),
    "vector_select": (5, _selected),
    "vector_sort_order": (2, lambda e, a, d: _sorted(e, "sort_order", a, d)),
    "vmax": (1, lambda e, a, d: e.called("max", *a, depth=d)),
    "vmin": (1, lambda e, a, d: e.called("min", *a, depth=d)),
}
"""Functions whose arguments aren't simply values, each with their number."""

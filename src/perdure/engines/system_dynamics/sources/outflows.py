"""Outflows of stocks that stay at or above zero: each is limited to what is there, in the order of priority.

Source: XMILE 1.0, section 4.2: the flows out of a non-negative stock take no more than it holds and than
flows into it in the same step.
"""

from collections.abc import Iterable, Iterator

from perdure.engines.system_dynamics.elements import Element, Stock
from perdure.engines.system_dynamics.expression import Expression, Operation, as_expression
from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.scopes import Symbol

__all__ = ["limit_outflows"]


def limit_outflows(symbols: Iterable[Symbol]) -> None:
    """Limit the outflows of non-negative stocks.

    A flow out of several stocks takes what its equation says, since it is no material that only one of them
    holds; such a stock just stays at zero. An inflow that itself depends on the outflow doesn't count. An
    outflow that another one reads takes its part before that one, whatever their priority.
    """
    symbols = list(symbols)
    sources: dict[int, list[Symbol]] = {}
    for symbol in symbols:
        for name in symbol.variable.outflows if symbol.variable.kind == "stock" else ():
            flow = symbol.scope.find(name)
            if flow is not None:
                sources.setdefault(id(flow), []).append(symbol)
    reads = _Reads(symbols)
    for symbol in symbols:
        if (
            symbol.variable.kind != "stock"
            or not symbol.variable.non_negative
            or symbol.connected is not None
        ):
            continue
        entering = [flow for name in symbol.variable.inflows if (flow := symbol.scope.find(name)) is not None]
        leaving = [
            flow
            for name in symbol.variable.outflows
            if (flow := symbol.scope.find(name)) is not None
            and len(sources[id(flow)]) == 1
            and flow.dimensions == symbol.dimensions
        ]
        counted: list[list[Symbol]] = []
        before: list[list[Symbol]] = [[] for _ in leaving]
        for i, flow in enumerate(leaving):
            counted.append([each for each in entering if reads.may_read(flow, each)])
            for j, earlier in enumerate(leaving[:i]):
                if reads.may_read(flow, earlier):
                    before[i].append(earlier)
                else:
                    before[j].append(flow)
        for flow, entered, left in zip(leaving, counted, before, strict=True):
            _limit(symbol, flow, entered, left)


def _limit(stock: Symbol, flow: Symbol, entering: list[Symbol], earlier: list[Symbol]) -> None:
    for cell, level in stock.cells.items():
        element = flow.cells.get(cell)
        if not isinstance(level, Stock) or not isinstance(element, Element) or element.equation is None:
            continue
        there: Expression = level / Operation("dt", ())
        for each in entering:
            there = there + _value(each, cell)
        for each in earlier:
            there = there - _value(each, cell)
        there = Operation("max", (as_expression(0.0), there))
        element.equation = Operation("min", (as_expression(element.equation), there))


def _value(flow: Symbol, cell: tuple[str, ...]) -> Expression:
    """Return a flow of the same cell; a flow without subscripts flows in each cell."""
    return flow.cells.get(cell) or flow.cells.get(()) or as_expression(0.0)


class _Reads:
    """Which variables read which within a step, and which further reads close no circle."""

    def __init__(self, symbols: Iterable[Symbol]) -> None:
        self._read: dict[int, set[int]] = {}
        for symbol in symbols:
            if symbol.variable.kind == "stock" and symbol.connected is None:
                continue
            found = self._read[id(symbol)] = set()
            if symbol.connected is not None:
                found.add(id(symbol.connected))
                continue
            for equation in symbol.variable.equations:
                for name in _names(equation.expression):
                    other = symbol.scope.find(name)
                    if other is not None:
                        found.add(id(other))

    def may_read(self, reader: Symbol, read: Symbol) -> bool:
        """Let `reader` read another variable too, unless that would close a circle."""
        todo, seen = [id(read)], set[int]()
        while todo:
            each = todo.pop()
            if each == id(reader):
                return False
            if each not in seen:
                seen.add(each)
                todo += self._read.get(each, ())
        self._read.setdefault(id(reader), set()).add(id(read))
        return True


def _names(node: form.Node | None) -> Iterator[str]:
    """Yield the names that an expression reads."""
    todo = [] if node is None else [node]
    while todo:
        each = todo.pop()
        match each:
            case form.Name(name, subscripts):
                yield name
                todo += [part.expression for part in subscripts if isinstance(part, form.Computed)]
            case form.Operation(_, operands):
                todo += operands
            case form.Call(_, arguments):
                todo += arguments
            case _:
                pass

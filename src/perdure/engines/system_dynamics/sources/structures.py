"""Structures: conveyors, queues and ovens, whose flows follow from what they remember.

The stock stays a stock of its flows. A memory of the same name keeps what is where in it; it gives the
outflows their values, and limits the inflows to what there is room for, in the order of priority.
"""

from collections.abc import Iterable, Iterator

from perdure.engines.system_dynamics.elements import RESERVED, Element
from perdure.engines.system_dynamics.expression import (
    Expression,
    Memory,
    Number,
    Operation,
    Recall,
    as_expression,
)
from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.dimensions import Cell
from perdure.engines.system_dynamics.sources.equations import Context
from perdure.engines.system_dynamics.sources.problems import Problems, Unservable
from perdure.engines.system_dynamics.sources.scopes import Symbol

__all__ = ["build_structures", "driven_flows"]

_ZERO, _ONE, _INFINITE = Number(0.0), Number(1.0), Number(float("inf"))
_DT = Operation("dt", ())


def driven_flows(symbols: Iterable[Symbol]) -> set[int]:
    """Return the identities of the flows that structures give their values."""
    return {
        id(flow)
        for symbol in symbols
        if symbol.variable.structure is not None
        for flow in _flows(symbol, symbol.variable.outflows)
    }


def build_structures(symbols: Iterable[Symbol], problems: Problems) -> bool:
    """Give the flows of all structures their equations; return whether there are any structures."""
    found = [symbol for symbol in symbols if symbol.variable.structure is not None]
    made: list[_Cell] = []
    for symbol in found:
        with problems.at(symbol.variable.line, symbol.shown):
            made += (_Cell(symbol, cell, context) for cell, context in _contexts(symbol))
    for each in made:
        with problems.at(each.stock.variable.line, each.stock.shown):
            each.limit_inflows()
    # Queues come first: what they give depends on the room after them, which the others know.
    order = {form.Queue: 0, form.Conveyor: 1, form.Oven: 2}
    for each in sorted(made, key=lambda each: order[type(each.structure)]):
        with problems.at(each.stock.variable.line, each.stock.shown):
            each.give_outflows(made)
    return bool(found)


def _contexts(symbol: Symbol) -> Iterator[tuple[Cell, Context]]:
    for cell, (context, _) in symbol.definitions.items():
        assert isinstance(context, Context)
        yield cell, context


def _flows(symbol: Symbol, names: Iterable[str]) -> list[Symbol]:
    return [flow for name in names if (flow := symbol.scope.find(name)) is not None]


class _Cell:
    """A structure's stock, or one cell of it."""

    def __init__(self, stock: Symbol, cell: Cell, context: Context) -> None:
        self.stock = stock
        self.cell = cell
        self.context = context
        structure = stock.variable.structure
        assert structure is not None
        self.structure = structure
        self.inflows = _flows(stock, stock.variable.inflows)
        outflows = _flows(stock, stock.variable.outflows)
        self.leaks: list[Symbol] = []
        if isinstance(structure, form.Conveyor):
            # The first outflow that doesn't leak is the one at the end; all others leak.
            plain = [flow for flow in outflows if flow.variable.leak is None][:1]
            self.leaks = [flow for flow in outflows if flow not in plain]
            outflows = plain
        self.outflows = outflows
        self.arrest = self._of(None if isinstance(structure, form.Queue) else structure.arrest, _ZERO)
        self.fractions = [self._fraction(flow) for flow in self.leaks]
        self.memory = self._memory()

    # What it is ---------------------------------------------------------------------------------------------

    def _of(self, node: form.Node | None, otherwise: Expression) -> Expression:
        return otherwise if node is None else self.context.value(node)

    def _element(self, flow: Symbol) -> Element:
        element = flow.cells.get(self.cell)
        if not isinstance(element, Element):
            raise Unservable(f"its flow {flow.shown} has other subscripts")
        return element

    def _fraction(self, flow: Symbol) -> Expression:
        equation = self._element(flow).equation
        if equation is None:
            raise Unservable(f"its leak {flow.shown} has no fraction")
        return self.context.variable("leak", as_expression(equation))

    def _memory(self) -> Memory:
        _, equation = self.stock.definitions[self.cell]
        start = self._of(equation.initial, _ZERO)
        name = f"{RESERVED}structure {self.context.owner}"
        entering: Expression = _ZERO
        for flow in self.inflows:
            entering = self._element(flow) if entering is _ZERO else entering + self._element(flow)
        match self.structure:
            case form.Conveyor() as conveyor:
                transit = self._of(conveyor.transit, _ZERO)
                zones = [self._zone(flow) for flow in self.leaks]
                initial: list[Expression] = [start, transit, Number(float(conveyor.exponential_leakage))]
                inputs: list[Expression] = [entering, transit, self._of(conveyor.sample, _ONE), self.arrest]
                for flow, fraction, (low, high) in zip(self.leaks, self.fractions, zones, strict=True):
                    leak = flow.variable.leak
                    initial += (fraction, low, high, Number(float(leak is not None and leak.integers)))
                    inputs += (fraction, low, high)
                return Memory(name, "conveyor", tuple(inputs), tuple(initial))
            case form.Oven() as oven:
                cook = self._of(oven.cook, _ZERO)
                capacity, fill = self._of(oven.capacity, _INFINITE), self._of(oven.fill_time, _DT)
                clean = self._of(oven.clean_time, _ZERO)
                inputs = [entering, cook, capacity, fill, clean, self.arrest]
                return Memory(name, "oven", tuple(inputs), (start, cook))
            case form.Queue():
                leaving: Expression = _ZERO
                for flow in self.outflows:
                    leaving = self._element(flow) if leaving is _ZERO else leaving + self._element(flow)
                return Memory(name, "queue", (entering, leaving), (start,))

    def _zone(self, flow: Symbol) -> tuple[Expression, Expression]:
        leak = flow.variable.leak
        if leak is None:
            return _ZERO, _ONE
        return self._of(leak.start, _ZERO), self._of(leak.end, _ONE)

    # Inflows ------------------------------------------------------------------------------------------------

    def room(self) -> Expression | None:
        """Return how much may flow in, a unit of time; None if there is no limit."""
        match self.structure:
            case form.Oven() as oven:
                capacity = self._of(oven.capacity, _INFINITE)
                return Recall(self.memory, "room", (capacity, self.arrest))
            case form.Conveyor() as conveyor:
                room = None if conveyor.inflow_limit is None else self.context.value(conveyor.inflow_limit)
                if conveyor.capacity is not None:
                    there = Recall(self.memory, "content")
                    free: Expression = (self.context.value(conveyor.capacity) - there) / _DT
                    for flow in (*self.outflows, *self.leaks):
                        free = free + self._element(flow)
                    room = free if room is None else Operation("min", (room, free))
                if conveyor.arrest is not None:
                    room = Operation("if", (self.arrest, _ZERO, _INFINITE if room is None else room))
                return None if room is None else Operation("max", (_ZERO, room))
        return None

    def limit_inflows(self) -> None:
        """Limit the inflows to the room; those that another structure gives know it themselves."""
        room = self.room()
        if room is None:
            return
        room = self.context.variable("room", room)
        for flow in self.inflows:
            element = self._element(flow)
            if element.equation is not None:
                wanted = as_expression(element.equation)
                element.equation = Operation("max", (_ZERO, Operation("min", (wanted, room))))
            room = room - element

    # Outflows -----------------------------------------------------------------------------------------------

    def give_outflows(self, others: Iterable["_Cell"]) -> None:
        """Give the outflows their equations."""
        match self.structure:
            case form.Conveyor():
                operands = (self.arrest, *self.fractions)
                for flow in self.outflows:
                    self._element(flow).equation = Recall(self.memory, "outflow", operands)
                for j, flow in enumerate(self.leaks):
                    which = Number(float(j))
                    self._element(flow).equation = Recall(self.memory, "leak", (which, *operands))
            case form.Oven():
                before: Expression = _ZERO
                for flow in self.outflows:
                    self._element(flow).equation = Recall(self.memory, "outflow", (self.arrest,)) - before
                    before = before + self._element(flow)
            case form.Queue():
                self._give_batches(others)

    def _give_batches(self, others: Iterable["_Cell"]) -> None:
        before: Expression = _ZERO
        for flow in self.outflows:
            element = self._element(flow)
            after = next((each for each in others if flow in each.inflows and each.cell == self.cell), None)
            room: Expression = _INFINITE if element.equation is None else as_expression(element.equation)
            one = whole = _ZERO
            if after is not None and not flow.variable.overflow:
                free = after.room()
                if free is not None:
                    room = Operation("min", (room, free))
                if isinstance(after.structure, form.Conveyor):
                    one = Number(float(after.structure.one_at_a_time))
                    whole = Number(float(after.structure.batch_integrity))
            element.equation = Recall(self.memory, "take", (before, room, one, whole))
            before = before + element

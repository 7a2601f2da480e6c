"""Equations: expressions of a form, written out for one cell as expressions of the modelling language.

What a name and a subscript mean is decided here. A function of the table of builtins gets the context of its
cell, so that it can read its arguments as numbers or as lists, and can make hidden variables.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Protocol

from perdure.engines.system_dynamics.elements import RESERVED
from perdure.engines.system_dynamics.expression import (
    Expression,
    Hidden,
    Lookup,
    Number,
    Operation,
    Reference,
)
from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.budget import Budget, Depth
from perdure.engines.system_dynamics.sources.dimensions import Cell, Dimensions
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.limits import MAX_CELLS
from perdure.engines.system_dynamics.sources.positions import Axis, Position, occurrences
from perdure.engines.system_dynamics.sources.problems import Known, Unservable
from perdure.engines.system_dynamics.sources.scopes import Scope, Symbol
from perdure.errors import suggest

__all__ = ["Builtin", "Context", "Functions", "Macros"]


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function of a file's language: how many arguments it takes, and how it is written out.

    `aggregates` says that it goes through the open subscripts of its arguments itself, as SUM does.
    """

    minimum: int
    maximum: int | None
    make: Callable[["Context", tuple[form.Node, ...]], Expression]
    aggregates: bool = False


Functions = Mapping[str, Builtin]
"""Builtins by canonical name."""


class Macros(Protocol):
    """What writes out a call of a macro."""

    def __contains__(self, name: str) -> bool: ...

    def call(self, name: str, arguments: tuple[form.Node, ...], context: "Context") -> Expression:
        """Return the value of a call; raise `Unservable` if that isn't possible."""
        ...


class _Ordinals:
    """Counts the hidden variables of one cell, so that their names are unique and stay the same."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def next(self, what: str) -> int:
        self._counts[what] = self._counts.get(what, 0) + 1
        return self._counts[what]


@dataclass(frozen=True, slots=True)
class Context:
    """Where an expression stands: the cell that it belongs to, and what names mean there.

    Attributes
    ----------
    owner
        The name of the variable or the cell, unique in the model.
    position
        The elements of the dimensions that it is at.
    itself
        The variable that is computed, for `SELF`.
    time
        The time that the expression is read at.
    at_end
        Whether values at the stop time are meant, of variables that depend on the time alone.
    """

    owner: str
    scope: Scope
    position: Position
    functions: Functions
    macros: Macros
    budget: Budget
    itself: Expression | None = None
    time: Expression = field(default_factory=lambda: Operation("time", ()))
    at_end: bool = False
    depth: Depth = field(default_factory=Depth)
    ordinals: _Ordinals = field(default_factory=_Ordinals)

    @property
    def dimensions(self) -> Dimensions:
        """The dimensions of the file."""
        return self.position.dimensions

    def at(self, elements: Mapping[str, str]) -> "Context":
        """Return this context with the elements of open subscripts, by their keys."""
        return replace(self, position=self.position.at(elements))

    # Values -------------------------------------------------------------------------------------------------

    def value(self, node: form.Node) -> Expression:
        """Return the value of an expression for this cell.

        Raises
        ------
        Unservable
            If it can't be served.
        """
        # Sums and products lean to the left; however long they are, the stack stays small.
        pending: list[tuple[str, form.Node]] = []
        while isinstance(node, form.Operation) and len(node.operands) == 2:
            pending.append((node.operator, node.operands[1]))
            node = node.operands[0]
        with self.depth:
            result = self._value(node)
            while pending:
                operator, right = pending.pop()
                self.budget.spend()
                result = Operation(operator, (result, self.value(right)))
        return result

    def values(self, nodes: Sequence[form.Node]) -> tuple[Expression, ...]:
        """Return the value of each expression."""
        return tuple(map(self.value, nodes))

    def hidden(
        self, what: str, kind: str, expression: Callable[[Reference], Expression], initial: Expression | None
    ) -> Hidden:
        """Return a hidden variable of this cell; `expression` gets what reads the variable itself."""
        name = self.hidden_name(what)
        return Hidden(name, kind, expression(Reference(name)), initial)

    def hidden_name(self, what: str) -> str:
        """Return a name for a hidden part of this cell that no other has."""
        return f"{RESERVED}{what} {self.ordinals.next(what)} of {self.owner}"

    def variable(self, what: str, expression: Expression) -> Expression:
        """Return an expression as a hidden variable, if it is worth it: it is then computed once."""
        if isinstance(expression, Number | Reference | Hidden) or not isinstance(
            expression, Operation | Lookup
        ):
            return expression
        return self.hidden(what, "converter", lambda _: expression, None)

    def _value(self, node: form.Node) -> Expression:
        self.budget.spend()
        match node:
            case form.Number(value):
                return Number(value)
            case form.Name():
                return self._read(node)
            case form.Operation(operator, operands):
                return Operation(operator, self.values(operands))
            case form.Call(function, arguments):
                return self._call(function, arguments)
            case form.Curve():
                raise Unservable("a graphical function stands where a number is needed")

    # Names --------------------------------------------------------------------------------------------------

    def _read(self, node: form.Name) -> Expression:
        symbol = self.scope.find(node.name)
        if symbol is not None:
            if symbol.variable.kind == "curve" and not symbol.cells:
                raise Unservable(f"{node.name!r} is a graphical function; call it with an argument")
            return self._cell(symbol, self._target(symbol, node.subscripts))
        key = canonical(node.name)
        if key == "self" and self.itself is not None and not node.subscripts:
            return self.itself
        if not node.subscripts:
            if key in self.dimensions:
                return Number(float(self.position.index(node.name) + 1))
            if self._is_function_without_arguments(key):
                return self._call(key, ())
            place = self.dimensions.number(key)
            if place is not None:
                return Number(float(place))
        raise Unservable(self._unknown("variable", node.name))

    def _is_function_without_arguments(self, key: str) -> bool:
        return key in self.functions and self.functions[key].minimum == 0

    def unknown(self, node: form.Node | None) -> Iterator[tuple[str, str]]:
        """Yield the names in an expression that mean nothing, in order, each with what to say of it."""
        todo = [] if node is None else [node]
        while todo:
            match each := todo.pop():
                case form.Name(name, subscripts):
                    key = canonical(name)
                    known = key == "self" or key in self.dimensions or self.dimensions.number(key) is not None
                    if not (known or self._is_there(name) or self._is_function_without_arguments(key)):
                        yield name, self._unknown("variable", name)
                    todo += [part.expression for part in subscripts if isinstance(part, form.Computed)]
                case form.Operation():
                    todo += reversed(each.operands)
                case form.Call(function, arguments):
                    key = canonical(function)
                    if not (key in self.functions or key in self.macros or self._is_there(function)):
                        yield function, self._unknown("function", function)
                    todo += reversed(arguments)

    def _is_there(self, name: str) -> bool:
        """Return whether a name means a variable, or would if its module could be read."""
        try:
            return self.scope.find(name) is not None
        except Known:
            return True

    def _unknown(self, what: str, name: str) -> str:
        known = [*self.scope.symbols, *self.functions]
        return f"there is no {what} {name!r}.{suggest(canonical(name), known)}"

    def _cell(self, symbol: Symbol, cell: "Cell | _Chosen") -> Expression:
        if isinstance(cell, _Chosen):
            values = tuple(self._cell(symbol, each) for each in cell.cells)
            return Operation("chosen", (cell.position, *values))
        if self.at_end and (ended := self._ended(symbol, cell)) is not None:
            return ended
        found = symbol.cells.get(cell)
        if found is None:
            shown = ",".join(map(self.dimensions.shown, cell))
            raise Unservable(
                f"{symbol.variable.name}[{shown}] isn't defined"
                if cell
                else f"{symbol.variable.name} has no value"
            )
        return found

    def _ended(self, symbol: Symbol, cell: Cell) -> Expression | None:
        """Return the value of a variable at the stop time, written out; None for what doesn't change."""
        context, equation = symbol.definitions.get(cell, (None, None))
        if symbol.variable.kind == "stock" or not isinstance(context, Context) or equation is None:
            raise Unservable(f"the value of {symbol.variable.name} at the end isn't known before the run")
        if equation.expression is None or isinstance(equation.expression, form.Number):
            return None
        ended = replace(context, time=self.time, at_end=True)
        return ended.defined(symbol, cell, equation)

    def defined(self, symbol: Symbol, cell: Cell, equation: form.Equation) -> Expression | None:
        """Return the value of a cell by its equation: the expression, through the curve if there is one."""
        if equation.expression is None:
            return None
        value = self.value(equation.expression)
        if cell not in symbol.curves:
            return value
        name, curve = symbol.curves[cell]
        return Lookup(value, curve.points if name is None else name, curve.kind)

    def _target(self, symbol: Symbol, subscripts: Sequence[form.Subscript]) -> "Cell | _Chosen":
        """Return the cell of a variable that a reference means."""
        dimensions = symbol.dimensions
        if not subscripts:
            return self.position.cell(symbol)
        if len(subscripts) != len(dimensions):
            raise Unservable(
                f"{symbol.variable.name} has {len(dimensions)} subscripts, not {len(subscripts)}"
                if dimensions
                else f"{symbol.variable.name} has no subscripts"
            )
        axes: list[str | Expression] = []
        items = occurrences(
            tuple(canonical(each.name) if isinstance(each, form.Item) else "" for each in subscripts)
        )
        for dimension, subscript, occurrence, item in zip(
            dimensions, subscripts, occurrences(dimensions), items, strict=True
        ):
            match subscript:
                case form.Item(name):
                    element = self.position.item(dimension, name, item)
                    axes.append(self._place(dimension, name) if element is None else element)
                case form.Computed(node):
                    axes.append(self.value(node))
                case _:
                    axes.append(self.position.element(dimension, subscript, occurrence))
        computed = [i for i, axis in enumerate(axes) if isinstance(axis, Expression)]
        if not computed:
            return tuple(axis for axis in axes if isinstance(axis, str))
        return self._chosen(dimensions, axes, computed)

    def _chosen(
        self, dimensions: Sequence[str], axes: Sequence[str | Expression], computed: list[int]
    ) -> "_Chosen":
        position: Expression = Number(0.0)
        sizes = [len(self.dimensions.elements(dimensions[i])) for i in computed]
        for i, size in zip(computed, sizes, strict=True):
            axis = axes[i]
            assert isinstance(axis, Expression)
            if len(computed) > 1:
                # Outside of one dimension is outside of all.
                inside = Operation("and", (axis >= 1.0, axis <= float(size)))
                axis = Operation("if", (inside, axis, Number(float("nan"))))
            position = position * float(size) + (axis - 1.0)
        every = product(
            *(
                self.dimensions.elements(dimensions[i]) if i in computed else (str(axes[i]),)
                for i in range(len(axes))
            )
        )
        return _Chosen(position + 1.0, tuple(every))

    def _place(self, dimension: str, name: str) -> Expression:
        """Return the scalar variable whose value is the place of the element in a dimension, from 1."""
        symbol = self.scope.find(name)
        if symbol is None or symbol.dimensions:
            raise Unservable(f"{name!r} is no element of the dimension {dimension!r}")
        return self._cell(symbol, ())

    # Lists --------------------------------------------------------------------------------------------------

    def each(self, node: form.Node, *, of_cell: bool = False) -> list[Expression]:
        """Return the values of an expression over all elements that its open subscripts name.

        Open are `Whole` and `Between`, and the dimensions of arrays without subscripts: with `of_cell` only
        those that the cell itself hasn't. An expression without any has one value.
        """
        return [value for _, value in self.each_with_elements(node, of_cell=of_cell)]

    def each_with_elements(
        self, node: form.Node, *, of_cell: bool = False
    ) -> Iterator[tuple[dict[str, str], Expression]]:
        """Yield the values as `each` does, each with the elements of the open subscripts."""
        axes: dict[str, tuple[str, ...]] = {}
        for key, elements in self._open(node, of_cell):
            axes.setdefault(key, elements)
        size = 1
        for elements in axes.values():
            size *= len(elements)
        if size > MAX_CELLS:
            raise Unservable(f"it goes through {size} cells; {MAX_CELLS} are allowed")
        for elements in product(*axes.values()):
            chosen = dict(zip(axes, elements, strict=True))
            yield chosen, self.at(chosen).value(node)

    def _open(self, node: form.Node, of_cell: bool) -> Iterator[Axis]:
        """Yield the open subscripts of an expression, except for those of array functions within it."""
        todo = [node]
        while todo:
            node = todo.pop()
            if isinstance(node, form.Operation):
                todo += reversed(node.operands)
            elif isinstance(node, form.Call) and not self._aggregates(node):
                todo += reversed(node.arguments)
            elif isinstance(node, form.Name):
                yield from self._open_subscripts(node, of_cell)

    def _aggregates(self, node: form.Call) -> bool:
        builtin = self.functions.get(canonical(node.function))
        return builtin is not None and builtin.aggregates and len(node.arguments) >= 1

    def _open_subscripts(self, node: form.Name, of_cell: bool) -> Iterator[Axis]:
        symbol = self.scope.find(node.name)
        if symbol is None:
            return
        if not node.subscripts:
            yield from self.position.open_dimensions(symbol, of_cell=of_cell)
        # If there are more subscripts than dimensions, the reference is refused where it is read.
        for dimension, subscript, occurrence in zip(
            symbol.dimensions, node.subscripts, occurrences(symbol.dimensions), strict=False
        ):
            match subscript:
                case form.Computed(inner):
                    yield from self._open(inner, of_cell)
                case form.Whole() | form.Between():
                    yield self.position.open_subscript(dimension, subscript, occurrence)

    # Functions ----------------------------------------------------------------------------------------------

    def _call(self, function: str, arguments: tuple[form.Node, ...]) -> Expression:
        key = canonical(function)
        symbol = self.scope.find(function)
        if symbol is not None and len(arguments) == 1 and self._has_curve(symbol):
            return self.curve(form.Name(function), self.value(arguments[0]))
        if key in self.macros:
            return self.macros.call(key, arguments, self)
        builtin = self.functions.get(key)
        if builtin is None:
            raise Unservable(self._unknown("function", function))
        count = len(arguments)
        if count < builtin.minimum or (builtin.maximum is not None and count > builtin.maximum):
            raise Unservable(f"{function.upper()} takes {_arity(builtin)}, not {count}")
        return builtin.make(self, arguments)

    def _has_curve(self, symbol: Symbol) -> bool:
        while symbol.connected is not None:
            symbol = symbol.connected
        return bool(symbol.curves)

    def curve(self, node: form.Node, argument: Expression, kind: str | None = None) -> Expression:
        """Return a graphical function at `argument`; `kind` replaces its own kind."""
        if isinstance(node, form.Curve):
            return Lookup(argument, node.points, kind or node.kind)
        if isinstance(node, form.Name):
            symbol = self.scope.find(node.name)
            if symbol is None:
                raise Unservable(self._unknown("graphical function", node.name))
            while symbol.connected is not None:
                symbol = symbol.connected
            if not symbol.curves:
                raise Unservable(f"{node.name!r} has no graphical function")
            cell = self._target(symbol, node.subscripts) if symbol.dimensions else ()
            if isinstance(cell, tuple):
                if cell not in symbol.curves:
                    raise Unservable(f"{node.name!r} has no graphical function for {', '.join(cell)}")
                name, curve = symbol.curves[cell]
                return Lookup(argument, curve.points if name is None else name, kind or curve.kind)
        raise Unservable("a graphical function is needed, by its name")


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Several cells, of which one is chosen by a position that is computed."""

    position: Expression
    cells: tuple[Cell, ...]


def _arity(builtin: Builtin) -> str:
    minimum, maximum = builtin.minimum, builtin.maximum
    if maximum is None:
        return f"at least {minimum} {'argument' if minimum == 1 else 'arguments'}"
    if minimum == maximum:
        return f"{minimum} {'argument' if minimum == 1 else 'arguments'}"
    return f"{minimum} to {maximum} arguments"

"""Equations: expressions of a form, written out for one cell as expressions of the modelling language.

What a name and a subscript mean is decided here. A function of the table of builtins gets the context of its
cell, so that it can read its arguments as numbers or as lists, and can make hidden variables.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
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
from perdure.engines.system_dynamics.sources.dimensions import Cell, Dimensions
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.limits import MAX_CELLS, MAX_NESTING
from perdure.engines.system_dynamics.sources.problems import TooLarge, Unservable
from perdure.engines.system_dynamics.sources.scopes import Scope, Symbol
from perdure.errors import suggest

__all__ = ["Budget", "Builtin", "Context", "Functions", "Macros"]


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


class Budget:
    """How many operations may still be written out."""

    def __init__(self, operations: int) -> None:
        self._operations = operations
        self._left = operations

    @property
    def left(self) -> int:
        """How many are left."""
        return self._left

    def spend(self) -> None:
        """Count an operation."""
        self._left -= 1
        self.expect(0)

    def expect(self, operations: int) -> None:
        """Raise `TooLarge` if the file's limit leaves fewer operations than these."""
        if self._left < operations:
            raise TooLarge(f"the equations have more than {self._operations} operations")


class _Depth:
    """How many expressions are within each other while they are written out."""

    def __init__(self) -> None:
        self._level = 0

    def __enter__(self) -> None:
        if self._level >= MAX_NESTING:
            raise Unservable(f"it is nested more than {MAX_NESTING} levels deep")
        self._level += 1

    def __exit__(self, *error: object) -> None:
        self._level -= 1


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
    subscripts
        The dimensions of the cell in order, each with the element; subranges where the equation names them.
    itself
        The variable that is computed, for `SELF`.
    time
        The time that the expression is read at.
    indices
        The dimensions that an array function goes through, each with the element at hand.
    at_end
        Whether values at the stop time are meant, of variables that depend on the time alone.
    """

    owner: str
    scope: Scope
    dimensions: Dimensions
    functions: Functions
    macros: Macros
    budget: Budget
    subscripts: tuple[tuple[str, str], ...] = ()
    itself: Expression | None = None
    time: Expression = field(default_factory=lambda: Operation("time", ()))
    indices: Mapping[str, str] = field(default_factory=dict)
    at_end: bool = False
    depth: _Depth = field(default_factory=_Depth)
    ordinals: _Ordinals = field(default_factory=_Ordinals)

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
                return Number(float(self._index(node.name) + 1))
            if self._is_function_without_arguments(key):
                return self._call(key, ())
            owner = self.dimensions.owner(key)
            if owner is not None:
                return Number(float((self.dimensions.place(owner, key) or 0) + 1))
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
                    known = key == "self" or key in self.dimensions or self.dimensions.owner(key) is not None
                    if not (known or self.scope.find(name) or self._is_function_without_arguments(key)):
                        yield name, self._unknown("variable", name)
                    todo += [part.expression for part in subscripts if isinstance(part, form.Computed)]
                case form.Operation():
                    todo += reversed(each.operands)
                case form.Call(function, arguments):
                    key = canonical(function)
                    if not (key in self.functions or key in self.macros or self.scope.find(function)):
                        yield function, self._unknown("function", function)
                    todo += reversed(arguments)

    def _unknown(self, what: str, name: str) -> str:
        known = [*self.scope.symbols, *self.functions]
        return f"there is no {what} {name!r}.{suggest(canonical(name), known)}"

    def _index(self, dimension: str) -> int:
        """Return the position of the cell in a dimension, from 0."""
        element = self._bound(dimension)
        if element is None:
            raise Unservable(f"the dimension {dimension!r} has no index here")
        place = self.dimensions.place(dimension, element)
        assert place is not None
        return place

    def _bound(self, dimension: str, occurrence: int = 1, occurrences: int = 1) -> str | None:
        """Return the element of a dimension that the cell, or the array function, is at.

        A reference may have a dimension several times, as ``m[D,D]`` has: its n-th occurrence is the n-th of
        the cell. If the cell has it once, all occurrences are that one.
        """
        key = canonical(dimension)
        if (index := _index_key(key, occurrence)) in self.indices:
            return self.indices[index]
        if occurrences > 1:
            own = self._elements_of(key)
            if len(own) > 1:
                return own[occurrence - 1] if occurrence <= len(own) else None
        for name, element in self.subscripts:
            if name == key:
                return element
        # A subrange of the dimension, or a dimension that this is a subrange of.
        for name, element in self.subscripts:
            if self.dimensions.place(key, element) is not None and name in self.dimensions:
                return element
        for name, element in self.subscripts:
            if name in self.dimensions:
                found = self.dimensions.corresponding(name, element, key)
                if found is not None:
                    return found
        return None

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
            return tuple(self._same(symbol, i, n, of) for i, (n, of) in enumerate(_occurrences(dimensions)))
        if len(subscripts) != len(dimensions):
            raise Unservable(
                f"{symbol.variable.name} has {len(dimensions)} subscripts, not {len(subscripts)}"
                if dimensions
                else f"{symbol.variable.name} has no subscripts"
            )
        axes: list[str | Expression] = []
        items = _occurrences(
            tuple(canonical(each.name) if isinstance(each, form.Item) else "" for each in subscripts)
        )
        for dimension, subscript, (n, of), item in zip(
            dimensions, subscripts, _occurrences(dimensions), items, strict=True
        ):
            if isinstance(subscript, form.Item):
                axes.append(self._item(dimension, subscript.name, *item))
            else:
                axes.append(self._element(dimension, subscript, n, of))
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

    def _same(self, symbol: Symbol, i: int, occurrence: int, occurrences: int) -> str:
        """Return the element of the cell's own subscripts that an unsubscripted reference means."""
        dimension = symbol.dimensions[i]
        element = self._own(dimension, occurrence, occurrences)
        if element is None and len(self.subscripts) == len(symbol.dimensions):
            element = self._by_position(self.subscripts[i], dimension)
        if element is None:
            raise Unservable(f"{symbol.variable.name} is an array; give it subscripts, or an array function")
        return element

    def _own(self, dimension: str, occurrence: int, occurrences: int) -> str | None:
        """Return the element of a dimension of an array without subscripts; None if the cell has none.

        The diagonal of an array is not meant by its name alone.
        """
        bound = occurrence == 1 or _index_key(dimension, occurrence) in self.indices
        if not bound and len(self._elements_of(dimension)) < occurrence:
            return None
        return self._bound(dimension, occurrence, occurrences)

    def _elements_of(self, dimension: str) -> list[str]:
        """Return the elements of a dimension that the cell has, in order."""
        return [
            element
            for name, element in self.subscripts
            if name in self.dimensions and self.dimensions.place(dimension, element) is not None
        ]

    def _by_position(self, subscript: tuple[str, str], dimension: str) -> str | None:
        name, element = subscript
        place = self.dimensions.place(name, element) if name in self.dimensions else None
        elements = self.dimensions.elements(dimension)
        return elements[place] if place is not None and place < len(elements) else None

    def _element(
        self, dimension: str, subscript: form.Subscript, occurrence: int, occurrences: int
    ) -> str | Expression:
        """Return the element, or the position that is computed, which a subscript without a name means."""
        match subscript:
            case form.Computed(node):
                return self.value(node)
            case form.Whole(None):
                key = f"* {dimension} {occurrence}"
                if key in self.indices:
                    return self.indices[key]
                bound = self._bound(dimension, occurrence, occurrences)
                if bound is not None:
                    return bound
            case form.Whole(name):
                assert name is not None
                bound = self.indices.get(f"! {canonical(name)}")
                if bound is not None:
                    found = self.dimensions.corresponding(name, bound, dimension)
                    if found is None:
                        raise Unservable(f"{name!r} and {dimension!r} have no elements in common")
                    return found
            case form.Between(first, last):
                key = f"{first}:{last} {dimension} {occurrence}"
                if key in self.indices:
                    return self.indices[key]
        raise Unservable("a whole dimension stands where one element is needed; use an array function")

    def _item(self, dimension: str, name: str, occurrence: int, occurrences: int) -> str | Expression:
        element = self.dimensions.element(dimension, name)
        key = canonical(name)
        if element is not None and (key not in self.dimensions or key == element):
            return element
        if key in self.dimensions:
            bound = self._bound(name, occurrence, occurrences)
            if bound is None:
                raise Unservable(f"the dimension {name!r} has no index here")
            found = self.dimensions.corresponding(name, bound, dimension)
            if found is None:
                found = self._by_position((key, bound), dimension)
            if found is None:
                raise Unservable(f"{name!r} and {dimension!r} have no elements in common")
            return found
        symbol = self.scope.find(name)
        if symbol is not None and not symbol.dimensions:
            return self._cell(symbol, ())
        raise Unservable(f"{name!r} is no element of the dimension {dimension!r}")

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
        self._open(node, axes, of_cell)
        size = 1
        for elements in axes.values():
            size *= len(elements)
        if size > MAX_CELLS:
            raise Unservable(f"it goes through {size} cells; {MAX_CELLS} are allowed")
        for elements in product(*axes.values()):
            chosen = dict(zip(axes, elements, strict=True))
            yield chosen, replace(self, indices={**self.indices, **chosen}).value(node)

    def along(self, node: form.Node, dimension: str) -> list[Expression]:
        """Return the values of an expression with each element of a dimension of the cell in turn."""
        key = canonical(dimension)
        return [
            replace(self, indices={**self.indices, key: element}).value(node)
            for element in self.dimensions.elements(key)
        ]

    def _open(self, node: form.Node, axes: dict[str, tuple[str, ...]], of_cell: bool) -> None:
        """Enter the open subscripts of an expression, except for those of array functions within it."""
        todo = [node]
        while todo:
            node = todo.pop()
            if isinstance(node, form.Operation):
                todo += reversed(node.operands)
            elif isinstance(node, form.Call) and not self._aggregates(node):
                todo += reversed(node.arguments)
            elif isinstance(node, form.Name):
                self._open_subscripts(node, axes, of_cell)

    def _aggregates(self, node: form.Call) -> bool:
        builtin = self.functions.get(canonical(node.function))
        return builtin is not None and builtin.aggregates and len(node.arguments) >= 1

    def _open_subscripts(self, node: form.Name, axes: dict[str, tuple[str, ...]], of_cell: bool) -> None:
        symbol = self.scope.find(node.name)
        if symbol is None:
            return
        if not node.subscripts:
            for dimension, (n, of) in zip(symbol.dimensions, _occurrences(symbol.dimensions), strict=True):
                if not of_cell or self._own(dimension, n, of) is None:
                    axes.setdefault(_index_key(dimension, n), self.dimensions.elements(dimension))
            return
        for dimension, subscript, (n, _) in zip(
            symbol.dimensions, node.subscripts, _occurrences(symbol.dimensions), strict=False
        ):
            match subscript:
                case form.Whole(None):
                    axes.setdefault(f"* {dimension} {n}", self.dimensions.elements(dimension))
                case form.Whole(name):
                    assert name is not None
                    axes.setdefault(f"! {canonical(name)}", self.dimensions.elements(name))
                case form.Between(first, last):
                    axes.setdefault(f"{first}:{last} {dimension} {n}", self._range(dimension, first, last))
                case form.Computed(inner):
                    self._open(inner, axes, of_cell)
                case form.Item():
                    pass

    def _range(self, dimension: str, first: str, last: str) -> tuple[str, ...]:
        ends = [self.dimensions.element(dimension, name) for name in (first, last)]
        places = [None if end is None else self.dimensions.place(dimension, end) for end in ends]
        for name, place in zip((first, last), places, strict=True):
            if place is None:
                raise Unservable(f"{name!r} is no element of the dimension {dimension!r}")
        elements = self.dimensions.elements(dimension)[places[0] : (places[1] or 0) + 1]
        if not elements:
            raise Unservable(f"the range {first}:{last} is empty: {last!r} comes before {first!r}")
        return elements

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


@lru_cache(maxsize=1024)
def _occurrences(names: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return for each name the how many-eth of its kind it is, from 1, and how many there are."""
    counts = Counter(names)
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append((seen[name], counts[name]))
    return found


def _index_key(dimension: str, occurrence: int) -> str:
    """Return the key of `Context.indices` for an occurrence of a dimension in an array."""
    return dimension if occurrence == 1 else f"{dimension} {occurrence}"


def _arity(builtin: Builtin) -> str:
    minimum, maximum = builtin.minimum, builtin.maximum
    if maximum is None:
        return f"at least {minimum} {'argument' if minimum == 1 else 'arguments'}"
    if minimum == maximum:
        return f"{minimum} {'argument' if minimum == 1 else 'arguments'}"
    return f"{minimum} to {maximum} arguments"

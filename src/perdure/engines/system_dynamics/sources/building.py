"""Building: makes the elements of a model from a form.

Each cell of a variable becomes an element of its own. All that can't be served is collected; the model is
made only if there is nothing.
"""

from collections.abc import Mapping
from dataclasses import replace

from perdure.engines.system_dynamics.elements import Element, Stock
from perdure.engines.system_dynamics.expression import Expression, Hidden, Number
from perdure.engines.system_dynamics.model_elements import ModelElements
from perdure.engines.system_dynamics.points import checked_points
from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.budget import Budget
from perdure.engines.system_dynamics.sources.dimensions import Cell, Dimensions
from perdure.engines.system_dynamics.sources.equations import Context, Functions
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.limits import (
    MAX_CELLS,
    MAX_ENTITIES,
    MAX_NESTING,
    MAX_OPERATIONS,
)
from perdure.engines.system_dynamics.sources.macros import MacroCalls, net_flow
from perdure.engines.system_dynamics.sources.names import Naming, as_written
from perdure.engines.system_dynamics.sources.outflows import limit_outflows
from perdure.engines.system_dynamics.sources.positions import Position
from perdure.engines.system_dynamics.sources.problems import Known, Problems, TooLarge, Unservable
from perdure.engines.system_dynamics.sources.scopes import Scope, Symbol
from perdure.engines.system_dynamics.sources.specs import Times, times_of
from perdure.engines.system_dynamics.sources.structures import build_structures, driven_flows

__all__ = ["build"]


def build(
    source: form.Form,
    model: ModelElements,
    functions: Functions,
    problems: Problems,
    naming: Naming = as_written,
) -> tuple[Times, Mapping[str, int]]:
    """Add what a form says to an empty model.

    Parameters
    ----------
    source
        The form.
    model
        The model; its elements and points are set.
    functions
        The builtins of the file's language.
    problems
        Where problems are added; with any, the model isn't complete.
    naming
        How names are made; a cell is ``name[element,element]``, a variable of a module ``module.name``.

    Returns
    -------
    tuple
        The run specs that the file says, and the lines of the elements.

    Raises
    ------
    TooLarge
        If the model is too large; the problems say so too.
    """
    return _Building(source, model, functions, problems, naming).build()


class _Building:
    """The building of one form."""

    def __init__(
        self,
        source: form.Form,
        model: ModelElements,
        functions: Functions,
        problems: Problems,
        naming: Naming,
    ) -> None:
        self.source = source
        self.model = model
        self.functions = functions
        self.problems = problems
        self.naming = naming
        self.dimensions = Dimensions(source.dimensions, problems)
        self.macros = MacroCalls(source.macros, self._count)
        self.budget = Budget(MAX_OPERATIONS)
        self.parts = {canonical(part.name): part for part in source.parts}
        self.symbols: list[Symbol] = []
        self.lines: dict[str, int] = {}
        self.driven: set[int] = set()
        self.circles: set[frozenset[str]] = set()
        self.entities = 0
        self.cells = 0

    def build(self) -> tuple[Times, Mapping[str, int]]:
        root = Scope(part=self.source.parts[0])
        with self.problems.at(0, ""):
            self._enter(self.source.parts[0], root)
        for symbol in self.symbols:
            with self.problems.within(_file(symbol.scope)):
                self._declare(symbol)
        self.driven = driven_flows(self.symbols)
        for symbol in self.symbols:
            with self.problems.within(_file(symbol.scope)):
                self._define(symbol)
        structured = build_structures(self.symbols, self.problems)
        limit_outflows(self.symbols)
        times = times_of(self.source.specs, self._context(root, "@run specs"), self.problems)
        # A structure moves once a step.
        return replace(times, method="euler") if structured else times, self.lines

    # Names --------------------------------------------------------------------------------------------------

    def _count(self, entities: int) -> None:
        self.entities += entities
        if self.entities > MAX_ENTITIES:
            raise TooLarge(f"the model has more than {MAX_ENTITIES} variables and modules")

    def _enter(self, part: form.Part, scope: Scope) -> None:
        """Enter the variables and modules of a part into its scope, and connect the modules."""
        self._count(len(part.variables) + len(part.modules))
        if len(scope.path) > MAX_NESTING:
            raise Unservable(f"modules are nested more than {MAX_NESTING} levels deep")
        prefix = "".join(f"{self.naming(name)}." for name in scope.path)
        for variable in part.variables:
            key = canonical(variable.name)
            if key in scope.symbols:
                self.problems.add(variable.line, variable.name, "there is already a variable of that name")
                continue
            dimensions = tuple(map(canonical, variable.dimensions))
            symbol = Symbol(variable, scope, prefix + self.naming(variable.name), dimensions)
            scope.symbols[key] = symbol
            self.symbols.append(symbol)
        for module in part.modules:
            scope.lost.add(canonical(module.name))
            with self.problems.within(part.file), self.problems.at(module.line, module.name):
                held = self._part(module, scope)
                inner = Scope((*scope.path, module.name), scope, held)
                scope.modules[canonical(module.name)] = inner
                scope.lost.remove(canonical(module.name))
                self._enter(held, inner)
        for module in part.modules:
            for target, source in module.connections:
                with self.problems.within(part.file), self.problems.at(module.line, module.name):
                    self._connect(scope, module.name, target, source)

    def _part(self, module: form.Module, scope: Scope) -> form.Part:
        """Return the part that a module uses; refuse one that the module is in."""
        if module.part is None:
            raise Known(f"the part of {module.name} couldn't be read")
        held = self.parts.get(canonical(module.part))
        if held is None:
            raise Unservable(f"the file has no model {module.part!r}")
        holders = [held]
        holder: Scope | None = scope
        while holder is not None and holder.part is not None:
            holders.append(holder.part)
            if holder.part is held:
                circle = frozenset(part.name for part in holders)
                if circle in self.circles:
                    raise Known("the circle is among the problems")
                self.circles.add(circle)
                shown = (part.name.removesuffix("#") or "the model" for part in reversed(holders))
                raise Unservable(f"a model holds itself: {' → '.join(shown)}")
            holder = holder.parent
        return held

    def _connect(self, scope: Scope, module: str, target: str, source: str) -> None:
        if canonical(module) in scope.lost:
            raise Known(f"the module {module!r} isn't there")
        inner = scope.modules.get(canonical(module))
        taking = inner.symbols.get(canonical(target)) if inner else None
        taking = taking or scope.find(target)
        giving = scope.find(source)
        for name, symbol in ((target, taking), (source, giving)):
            if symbol is None:
                raise Unservable(f"it connects {name!r}, which isn't there")
        assert taking is not None and giving is not None
        taking.connected = giving

    # Cells --------------------------------------------------------------------------------------------------

    def _declare(self, symbol: Symbol) -> None:
        """Make an element for each cell of a variable."""
        variable = symbol.variable
        with self.problems.at(variable.line, symbol.shown):
            computed = {
                cell
                for equation in variable.equations
                if not equation.accumulated
                for cell in self._written_cells(symbol, equation)
            }
            for cell in self._cells(symbol):
                self.cells += 1
                if self.cells > MAX_CELLS:
                    raise TooLarge(f"the variables have more than {MAX_CELLS} cells")
                element = self._element(symbol, cell, computed=cell in computed)
                element.units, element.documentation = variable.units, variable.documentation
                symbol.cells[cell] = element
            for equation in variable.equations:
                if equation.curve is None:
                    continue
                points = checked_points(equation.curve.points)
                curve = form.Curve(points, equation.curve.kind)
                for cell in self._written_cells(symbol, equation):
                    name = self._name(symbol, cell)
                    symbol.curves[cell] = (name, curve)
                    self.model.points[name] = [list(point) for point in points]

    def _cells(self, symbol: Symbol) -> list[Cell]:
        """Return the cells that have a value of their own."""
        variable = symbol.variable
        if symbol.connected is not None:
            if symbol.connected.variable.kind == "curve":
                return []
            return self.dimensions.cells(symbol.dimensions)
        if variable.kind == "curve":
            return []
        found: dict[Cell, None] = {}
        for equation in variable.equations:
            found.update(dict.fromkeys(self._written_cells(symbol, equation)))
        return list(found) or self.dimensions.cells(symbol.dimensions)

    def _written_cells(self, symbol: Symbol, equation: form.Equation) -> list[Cell]:
        """Return the cells that an equation is for."""
        return self.dimensions.cells(self._written(symbol, equation), equation.exceptions)

    def _written(self, symbol: Symbol, equation: form.Equation) -> tuple[str, ...]:
        """Return the subscripts that an equation is for."""
        written = equation.subscripts or symbol.dimensions
        if len(written) != len(symbol.dimensions):
            raise Unservable(
                f"it has {len(symbol.dimensions)} subscripts, but an equation for {len(written)}"
            )
        return tuple(map(self._numbered, written, symbol.dimensions))

    def _numbered(self, subscript: str, dimension: str) -> str:
        """Return the element of a dimension that a number counts; a name as it is."""
        known = not subscript.isdecimal() or self.dimensions.owner(subscript) is not None
        return subscript if known else self.dimensions.element(dimension, subscript) or subscript

    def _name(self, symbol: Symbol, cell: Cell) -> str:
        if not cell:
            return symbol.shown
        return f"{symbol.shown}[{','.join(self.naming(self.dimensions.shown(element)) for element in cell)}]"

    def _element(self, symbol: Symbol, cell: Cell, *, computed: bool) -> Element:
        variable, model, name = symbol.variable, self.model, self._name(symbol, cell)
        if name in model.elements:
            raise Unservable(f"there is already a variable {name!r}")
        if symbol.connected is not None or computed or variable.kind in ("aux", "data", "curve"):
            return model.converter(name)
        if variable.kind == "stock":
            stock = model.stock(name)
            stock.non_negative = variable.non_negative and variable.structure is None
            return stock
        return model.flow(name) if variable.non_negative else model.biflow(name)

    # Equations ----------------------------------------------------------------------------------------------

    def _context(self, scope: Scope, owner: str) -> Context:
        return Context(
            owner=owner,
            scope=scope,
            position=Position(self.dimensions),
            functions=self.functions,
            macros=self.macros,
            budget=self.budget,
        )

    def _define(self, symbol: Symbol) -> None:
        """Set the equations of a variable's cells."""
        if symbol.connected is not None:
            self._take(symbol, symbol.connected)
            return
        variable = symbol.variable
        if variable.kind == "curve":
            return
        if not variable.equations and id(symbol) not in self.driven:
            self.problems.remark(variable.line, symbol.shown, "it has no equation")
        defined: set[tuple[str, ...]] = set()
        for equation in variable.equations:
            with self.problems.at(equation.line or variable.line, symbol.shown):
                written = self._written(symbol, equation)
                names = tuple(map(canonical, written))
                if names in defined and not equation.exceptions:
                    raise Unservable(f"there is already an equation of {_place(symbol.shown, written)}")
                defined.add(names)
                try:
                    self._equate_all(symbol, equation, written, names)
                except Unservable as refused:
                    self._add_unknown(symbol, equation, refused)
                    raise

    def _equate_all(
        self, symbol: Symbol, equation: form.Equation, written: tuple[str, ...], names: tuple[str, ...]
    ) -> None:
        cells = self.dimensions.cells(written, equation.exceptions)
        for i, cell in enumerate(cells):
            element = symbol.cells.get(cell)
            before = self.budget.left
            if isinstance(element, Element):
                self._equate(symbol, cell, element, equation, names)
            if i == 0:
                # The others take as many: what is too large is refused before it is written out.
                self.budget.expect((before - self.budget.left) * (len(cells) - 1))

    def _add_unknown(self, symbol: Symbol, equation: form.Equation, refused: Unservable) -> None:
        """Add all names of a refused equation that mean nothing; writing out ends at the first problem."""
        context = self._context(symbol.scope, symbol.shown)
        for node in (equation.expression, equation.initial):
            for name, reason in context.unknown(node):
                if repr(name) not in str(refused):
                    self.problems.add(equation.line or symbol.variable.line, symbol.shown, reason)

    def _take(self, symbol: Symbol, giving: Symbol) -> None:
        """Let a variable have the values of the one that a module connection names."""
        with self.problems.at(symbol.variable.line, symbol.shown):
            for cell, element in symbol.cells.items():
                found = giving.cells.get(cell) or giving.cells.get(())
                if found is None:
                    raise Unservable(f"it takes its value from {giving.shown}, which has other subscripts")
                assert isinstance(element, Element)
                element.equation = found

    def _equate(
        self, symbol: Symbol, cell: Cell, element: Element, equation: form.Equation, written: tuple[str, ...]
    ) -> None:
        context = replace(
            self._context(symbol.scope, element.name),
            position=Position(self.dimensions, tuple(zip(written, cell, strict=True))),
            itself=element,
        )
        symbol.definitions[cell] = (context, equation)
        self.lines[element.name] = equation.line or symbol.variable.line
        if isinstance(element, Stock):
            if equation.initial is None:
                self.problems.remark(equation.line, element.name, "it has no initial value")
                return
            element.initial_value = _plain(context.value(equation.initial))
            element.equation = _plain(net_flow(context, symbol.variable, equation))
            return
        value = context.defined(symbol, cell, equation)
        if value is None:
            raise Unservable("it has no equation")
        if equation.initial is not None:
            start = context.value(equation.initial)
            value = Hidden(context.hidden_name("active"), "converter", value, start)
        element.equation = _plain(value)


def _file(scope: Scope) -> str:
    """Return the file that a part is from, if that isn't the model's own."""
    return "" if scope.part is None else scope.part.file


def _place(name: str, subscripts: tuple[str, ...]) -> str:
    return f"{name}[{','.join(subscripts)}]" if subscripts else name


def _plain(value: Expression) -> Expression | float:
    """Return a number as a float: an element with one may be overridden."""
    return value.value if isinstance(value, Number) else value

"""Macro calls: the variables of a macro as hidden variables of the cell that calls it."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from perdure.engines.system_dynamics.expression import Expression, Hidden, Number, Reference
from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.dimensions import Cell
from perdure.engines.system_dynamics.sources.equations import Context
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.limits import MAX_NESTING
from perdure.engines.system_dynamics.sources.positions import Position
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.scopes import Scope, Symbol

__all__ = ["MacroCalls", "net_flow"]


class MacroCalls:
    """The macros of a file.

    Parameters
    ----------
    macros
        The macros.
    count
        Called with the number of variables of each call; it refuses too many.
    """

    def __init__(self, macros: Iterable[form.Macro], count: Callable[[int], None]) -> None:
        self._macros = {canonical(macro.name): macro for macro in macros}
        self._count = count
        self._depth = 0

    def __contains__(self, name: str) -> bool:
        return name in self._macros

    def call(self, name: str, arguments: tuple[form.Node, ...], context: Context) -> Expression:
        """Return the value of a call: its first result, with its other variables beside it."""
        macro = self._macros[name]
        if len(arguments) != len(macro.parameters):
            raise Unservable(
                f"the macro {macro.name} takes {len(macro.parameters)} arguments, not {len(arguments)}"
            )
        if self._depth >= MAX_NESTING:
            raise Unservable(f"macros call each other more than {MAX_NESTING} levels deep")
        self._count(len(macro.variables))
        self._depth += 1
        try:
            return self._written(macro, arguments, context)
        finally:
            self._depth -= 1

    def _written(self, macro: form.Macro, arguments: tuple[form.Node, ...], context: Context) -> Expression:
        prefix = context.hidden_name(macro.name)
        scope = Scope(parent=context.scope.root)
        for parameter, argument in zip(macro.parameters, arguments, strict=True):
            scope.symbols[canonical(parameter)] = _parameter(parameter, argument, context, scope, prefix)
        names: dict[tuple[str, Cell], str] = {}
        for variable in macro.variables:
            key = canonical(variable.name)
            symbol = Symbol(variable, scope, variable.name, tuple(map(canonical, variable.dimensions)))
            for equation in variable.equations:
                for cell in context.dimensions.cells(
                    equation.subscripts or variable.dimensions, equation.exceptions
                ):
                    shown = ",".join(cell)
                    names[key, cell] = f"{prefix}: {variable.name}{f'[{shown}]' if cell else ''}"
                    symbol.cells[cell] = Reference(names[key, cell])
                    if equation.curve is not None:
                        symbol.curves[cell] = (None, equation.curve)
            if variable.kind == "curve":
                symbol.cells.clear()
            scope.symbols[key] = symbol
        made = {
            name: _hidden(name, scope.symbols[key], cell, equation, context)
            for key, symbol in scope.symbols.items()
            for equation in symbol.variable.equations
            for cell in context.dimensions.cells(
                equation.subscripts or symbol.variable.dimensions, equation.exceptions
            )
            if (name := names.get((key, cell))) is not None and cell in symbol.cells
        }
        result = scope.find(macro.results[0])
        value = None if result is None else result.cells.get(())
        if not isinstance(value, Reference):
            raise Unservable(f"the macro {macro.name} has no result")
        return replace(
            made[value.name], beside=tuple(each for name, each in made.items() if name != value.name)
        )


def _parameter(name: str, argument: form.Node, context: Context, scope: Scope, prefix: str) -> Symbol:
    """Return a parameter with the value of its argument: a number, or a graphical function."""
    variable = form.Variable(name, "aux")
    if isinstance(argument, form.Name):
        given = context.scope.find(argument.name)
        if given is not None and given.variable.kind == "curve":
            return Symbol(variable, scope, name, given.dimensions, {}, dict(given.curves))
    value = context.value(argument)
    if not isinstance(value, Number):
        value = Hidden(f"{prefix}: {name}", "converter", value)
    return Symbol(variable, scope, name, (), {(): value})


def _hidden(name: str, symbol: Symbol, cell: Cell, equation: form.Equation, outer: Context) -> Hidden:
    """Return a variable of a macro call as a hidden variable."""
    written = equation.subscripts or symbol.variable.dimensions
    inner = Context(
        owner=name,
        scope=symbol.scope,
        position=Position(outer.dimensions, tuple(zip(map(canonical, written), cell, strict=True))),
        functions=outer.functions,
        macros=outer.macros,
        budget=outer.budget,
        itself=Reference(name),
        depth=outer.depth,
    )
    if symbol.variable.kind == "stock" and equation.accumulated:
        initial = Number(0.0) if equation.initial is None else inner.value(equation.initial)
        return Hidden(name, "stock", net_flow(inner, symbol.variable, equation), initial)
    value = inner.defined(symbol, cell, equation)
    if value is None:
        raise Unservable(f"{symbol.variable.name} has no equation")
    start = None if equation.initial is None else inner.value(equation.initial)
    return Hidden(name, "converter", value, start)


def net_flow(context: Context, variable: form.Variable, equation: form.Equation) -> Expression:
    """Return the net flow of a stock's cell: its own rate, its inflows and its outflows."""
    net: Expression | None = None if equation.expression is None else context.value(equation.expression)
    for flow in variable.inflows:
        value = _entering(context, flow)
        net = value if net is None else net + value
    for flow in variable.outflows:
        value = context.value(form.Name(flow))
        net = -value if net is None else net - value
    return Number(0.0) if net is None else net


def _entering(context: Context, flow: str) -> Expression:
    """Return a flow where it enters a stock: times its multiplier."""
    value = context.value(form.Name(flow))
    symbol = context.scope.find(flow)
    if symbol is None or symbol.variable.multiplier is None:
        return value
    return value * replace(context, scope=symbol.scope).value(symbol.variable.multiplier)

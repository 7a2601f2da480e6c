"""Form writing: the form of a file as an XMILE document, with its arrays, modules, macros and structures.

Mappings of dimensions and functions that XMILE hasn't are refused; `writing` says more, cell by cell.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from xml.sax.saxutils import escape, quoteattr

from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.builtins import XMILE
from perdure.engines.system_dynamics.sources.equations import Functions
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.specs import Times
from perdure.engines.system_dynamics.sources.xmile.writing import (
    CURVES,
    frame_of,
    number_of,
    operation_of,
    points_of,
    quoted,
)

__all__ = ["document_of_form"]

_WORDS = frozenset({"time", "dt", "starttime", "stoptime", "pi", "inf", "nan", "self"})


def document_of_form(source: form.Form, functions: Functions, name: str, times: Times) -> str:
    """Return the XMILE document of a form under a name; `functions` are those of the file's language.

    Raises
    ------
    Unservable
        If it holds what XMILE can't say.
    """
    return _Writer(source, functions).document(name, times)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an expression stands: the names there, and the elements that stand for dimensions."""

    arrays: Mapping[str, tuple[str, ...]]
    dimensions: tuple[str, ...] = ()
    bound: Mapping[str, str] = field(default_factory=dict)


class _Writer:
    """Writes one form."""

    def __init__(self, source: form.Form, functions: Functions) -> None:
        self.source = source
        # A function of another language may have a name of XMILE's and mean something else.
        self.functions = {each for each, builtin in functions.items() if XMILE.get(each) is builtin}
        self.dimensions = {
            canonical(name): dimension
            for dimension in source.dimensions
            for name in (dimension.name, *dimension.aliases)
        }
        self.macros = {canonical(macro.name): macro for macro in source.macros}
        self.curves: dict[form.Curve, str] = {}

    def document(self, name: str, times: Times) -> str:
        root, *others = self.source.parts
        variables = self._part(root)
        models = {part.name: self._part(part) for part in others}
        macros = "".join(map(self._macro, self.source.macros))
        dimensions = "".join(
            f"<dim name={quoteattr(each)}>"
            + "".join(f"<elem name={quoteattr(element)}/>" for element in dimension.elements)
            + "</dim>\n"
            for dimension in self.source.dimensions
            for each in (dimension.name, *dimension.aliases)
        )
        before = f"<dimensions>\n{dimensions}</dimensions>\n" if dimensions else ""
        curves = "".join(
            f"<gf name={quoteattr(each)} type={quoteattr(curve.kind)}>{points_of(curve.points)}</gf>\n"
            for curve, each in self.curves.items()
        )
        return frame_of(name, times, f"{before}{macros}", variables + curves, models)

    # Parts --------------------------------------------------------------------------------------------------

    def _part(self, part: form.Part) -> str:
        arrays = {canonical(each.name): each.dimensions for each in part.variables}
        lines = [self._variable(variable, arrays) for variable in part.variables]
        for module in part.modules:
            if module.part is None or canonical(module.part) != canonical(module.name):
                raise Unservable("a module has another name than its model")
            links = "".join(
                f"<connect to={quoteattr(to)} from={quoteattr(source)}/>" for to, source in module.connections
            )
            lines.append(f"<module name={quoteattr(module.name)}>{links}</module>\n")
        return "".join(lines)

    def _macro(self, macro: form.Macro) -> str:
        if len(macro.results) > 1 or canonical(macro.results[0]) != canonical(macro.name):
            raise Unservable("a macro has another result than its name")
        arrays = {canonical(each.name): each.dimensions for each in macro.variables}
        parameters = "".join(f"<parm>{escape(quoted(each))}</parm>" for each in macro.parameters)
        variables = "".join(self._variable(each, arrays) for each in macro.variables)
        return (
            f"<macro name={quoteattr(macro.name)}>{parameters}<variables>\n{variables}</variables></macro>\n"
        )

    # Variables ----------------------------------------------------------------------------------------------

    def _variable(self, variable: form.Variable, arrays: Mapping[str, tuple[str, ...]]) -> str:
        more = "".join(f"<dim name={quoteattr(name)}/>" for name in variable.dimensions)
        more = f"<dimensions>{more}</dimensions>" if more else ""
        more += f"<units>{escape(variable.units)}</units>" if variable.units else ""
        more += f"<doc>{escape(variable.documentation)}</doc>" if variable.documentation else ""
        inflows = list(variable.inflows)
        rates: list[str] = []
        own = f"net flow of {variable.name}"
        whole = len(variable.equations) == 1 and self._is_whole(variable, variable.equations[0])
        stock = variable.kind == "stock"
        if stock and any(not each.accumulated for each in variable.equations):
            raise Unservable("some cells of an array are stocks and others not")
        for equation in variable.equations:
            for subscripts, place in self._cells(variable, equation, arrays, whole=whole):
                value = equation.initial if stock else equation.expression
                body = self._eqn(value, place)
                if not stock and equation.initial is not None:
                    body += f"<init_eqn>{escape(self._text(equation.initial, place))}</init_eqn>"
                body += self._gf(equation.curve)
                more += f'<element subscript="{escape(subscripts)}">{body}</element>' if subscripts else body
                if stock and equation.expression is not None:
                    rate = self._eqn(equation.expression, place)
                    rates.append(
                        f'<element subscript="{escape(subscripts)}">{rate}</element>' if subscripts else rate
                    )
        net = ""
        if rates:
            inflows.insert(0, own)
            axes = "".join(f"<dim name={quoteattr(name)}/>" for name in variable.dimensions)
            axes = f"<dimensions>{axes}</dimensions>" if axes else ""
            net = f"<flow name={quoteattr(own)}>{axes}{''.join(rates)}</flow>\n"
        more += "".join(f"<inflow>{escape(quoted(each))}</inflow>" for each in inflows)
        more += "".join(f"<outflow>{escape(quoted(each))}</outflow>" for each in variable.outflows)
        more += "<non_negative/>" if variable.non_negative else ""
        place = _Place(arrays, tuple(map(canonical, variable.dimensions)))
        more += self._structure(variable.structure, place) + ("<overflow/>" if variable.overflow else "")
        more += self._tag("multiplier", variable.multiplier, place)
        tag = variable.kind if variable.kind in ("stock", "flow") else "aux"
        zone = ""
        if (leak := variable.leak) is not None:
            more += "<leak/>" + ("<leak_integers/>" if leak.integers else "")
            for end, node in (("leak_start", leak.start), ("leak_end", leak.end)):
                zone += "" if node is None else f" {end}={quoteattr(self._text(node, place))}"
        return f"{net}<{tag} name={quoteattr(variable.name)}{zone}>{more}</{tag}>\n"

    def _structure(self, structure: form.Structure | None, place: _Place) -> str:
        match structure:
            case form.Conveyor() as belt:
                inner = [
                    ("len", belt.transit),
                    ("capacity", belt.capacity),
                    ("in_limit", belt.inflow_limit),
                    ("sample", belt.sample),
                    ("arrest", belt.arrest),
                ]
                flags = {
                    "one_at_a_time": belt.one_at_a_time,
                    "batch_integrity": belt.batch_integrity,
                    "exponential_leak": belt.exponential_leakage,
                }
                said = "".join(f' {name}="{str(flag).lower()}"' for name, flag in flags.items())
                tags = "".join(self._tag(name, node, place) for name, node in inner)
                return f"<conveyor{said}>{tags}</conveyor>"
            case form.Oven() as oven:
                inner = [
                    ("len", oven.cook),
                    ("capacity", oven.capacity),
                    ("fill_time", oven.fill_time),
                    ("clean_time", oven.clean_time),
                    ("arrest", oven.arrest),
                ]
                return f"<oven>{''.join(self._tag(name, node, place) for name, node in inner)}</oven>"
            case form.Queue():
                return "<queue/>"
        return ""

    def _tag(self, name: str, node: form.Node | None, place: _Place) -> str:
        return "" if node is None else f"<{name}>{escape(self._text(node, place))}</{name}>"

    def _is_whole(self, variable: form.Variable, equation: form.Equation) -> bool:
        """Return whether an equation is that of all cells of a variable."""
        written = tuple(map(canonical, equation.subscripts))
        return not equation.exceptions and written in ((), tuple(map(canonical, variable.dimensions)))

    def _cells(
        self,
        variable: form.Variable,
        equation: form.Equation,
        arrays: Mapping[str, tuple[str, ...]],
        *,
        whole: bool,
    ) -> Iterator[tuple[str, _Place]]:
        """Yield the subscripts of each cell that an equation is written for, and where its text stands."""
        written = equation.subscripts or variable.dimensions
        if whole:
            yield "", _Place(arrays, tuple(map(canonical, variable.dimensions)))
            return
        left_out = {
            cell for each in equation.exceptions for cell in product(*(self._elements(name) for name in each))
        }
        for cell in product(*(self._elements(name) for name in written)):
            if cell not in left_out:
                names = [canonical(name) for name in written]
                bound = {
                    name: element
                    for name, element in zip(names, cell, strict=True)
                    if name in self.dimensions
                }
                if len(bound) < sum(name in self.dimensions for name in names):
                    raise Unservable("a cell has a dimension twice")
                yield ", ".join(cell), _Place(arrays, (), bound)

    def _elements(self, name: str) -> tuple[str, ...]:
        dimension = self.dimensions.get(canonical(name))
        return (name,) if dimension is None else dimension.elements

    def _gf(self, curve: form.Curve | None) -> str:
        if curve is None:
            return ""
        if curve.kind not in CURVES:
            raise Unservable(f"XMILE has nothing that reads a graphical function as {curve.kind!r}")
        return f"<gf type={quoteattr(curve.kind)}>{points_of(curve.points)}</gf>"

    # Equations ----------------------------------------------------------------------------------------------

    def _eqn(self, node: form.Node | None, place: _Place) -> str:
        return self._tag("eqn", node, place)

    def _text(self, node: form.Node, place: _Place) -> str:
        """Return the text of an expression; sums lean to the left, and the stack stays small."""
        pending: list[form.Operation] = []
        while isinstance(node, form.Operation) and len(node.operands) == 2:
            pending.append(node)
            node = node.operands[0]
        text = self._operand(node, place)
        for operation in reversed(pending):
            text = operation_of(operation.operator, (text, self._text(operation.operands[1], place)))
        return text

    def _operand(self, node: form.Node, place: _Place) -> str:
        match node:
            case form.Number(value):
                return number_of(value)
            case form.Name():
                return self._name(node, place)
            case form.Operation(operator, operands):
                return operation_of(operator, [self._text(each, place) for each in operands])
            case form.Call(function, arguments):
                return self._call(canonical(function), arguments, place)
        raise Unservable("a graphical function stands where a number is needed")

    def _call(self, function: str, arguments: tuple[form.Node, ...], place: _Place) -> str:
        if function == "lookup":
            curve, argument = arguments
            name = self._curve(curve) if isinstance(curve, form.Curve) else self._text(curve, place)
            return f"LOOKUP({name}, {self._text(argument, place)})"
        given = ", ".join(self._text(each, place) for each in arguments)
        if function in self.macros:
            return f"{quoted(self.macros[function].name)}({given})"
        if function not in self.functions:
            raise Unservable(f"XMILE has no function for {function!r}")
        return f"{function.upper()}({given})" if arguments else function.upper()

    def _curve(self, curve: form.Curve) -> str:
        self._gf(curve)
        return quoted(self.curves.setdefault(curve, f"curve {len(self.curves) + 1}"))

    def _name(self, node: form.Name, place: _Place) -> str:
        key = canonical(node.name)
        if node.subscripts:
            return f"{quoted(node.name)}[{', '.join(self._subscripts(node.subscripts, place))}]"
        if key in place.arrays:
            if place.bound and place.arrays[key]:
                raise Unservable("an array stands without subscripts in the equation of some cells")
            return quoted(node.name)
        if key in place.bound:
            return f"{self.dimensions[key].elements.index(place.bound[key]) + 1}"
        if key in self.dimensions and key not in place.dimensions:
            raise Unservable(f"the index of {node.name!r} is that of another dimension")
        return key.upper() if key in _WORDS else quoted(node.name)

    def _subscripts(self, subscripts: Iterable[form.Subscript], place: _Place) -> Iterator[str]:
        for subscript in subscripts:
            match subscript:
                case form.Item(name):
                    key = canonical(name)
                    if key in self.dimensions and key not in place.bound and key not in place.dimensions:
                        raise Unservable(f"{name!r} stands for an element of another dimension")
                    yield name if name.isdecimal() else quoted(place.bound.get(key, name))
                case form.Whole(None):
                    yield "*"
                case form.Whole(name):
                    assert name is not None
                    yield f"*:{quoted(name)}"
                case form.Between(first, last):
                    yield f"{quoted(first)}:{quoted(last)}"
                case form.Computed(expression):
                    yield self._text(expression, place)

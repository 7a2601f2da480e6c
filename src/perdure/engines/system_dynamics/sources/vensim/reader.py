"""Reads a Vensim file into a form."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from perdure.engines.system_dynamics.sources.form import (
    Call,
    Curve,
    CurveKind,
    Equation,
    Form,
    Macro,
    Name,
    Node,
    Number,
    Operation,
    Part,
    Specs,
    Variable,
    VariableKind,
    canonical,
)
from perdure.engines.system_dynamics.sources.limits import MAX_LENGTH
from perdure.engines.system_dynamics.sources.problems import Problems, Unservable
from perdure.engines.system_dynamics.sources.vensim.datasets import Datasets
from perdure.engines.system_dynamics.sources.vensim.expressions import Translator
from perdure.engines.system_dynamics.sources.vensim.parsing import (
    Definition,
    Literal,
    Range,
    parse,
    plain_name,
)
from perdure.engines.system_dynamics.sources.vensim.ranges import Ranges
from perdure.engines.system_dynamics.sources.vensim.results import separated, with_each_result
from perdure.engines.system_dynamics.sources.vensim.spreadsheets import Series, Spreadsheets
from perdure.engines.system_dynamics.sources.vensim.text import Entry, MacroText, SourceText, read_text

__all__ = ["form_of"]

_SPECS = {"initial_time": "starttime", "final_time": "stoptime", "time_step": "dt"}
_READINGS: Mapping[str | None, CurveKind] = {
    None: "continuous",
    "interpolate": "continuous",
    "look_forward": "next",
    "hold_backward": "discrete",
    "raw": "raw",
}
_TIME = Operation("time", ())


def form_of(content: bytes, path: Path, problems: Problems, data: Sequence[Path] = ()) -> Form:
    """Return what can be read of a file.

    Parameters
    ----------
    content
        What is in the file.
    path
        Its place, where the names of spreadsheets begin.
    problems
        Where is noted what can't be read.
    data
        Text files with the values of data variables that have no equation, see `datasets`.

    Raises
    ------
    MissingExtra
        If PySD isn't installed.
    """
    return _Reader(read_text(content, problems), path, problems, data).form()


class _Reader:
    def __init__(self, text: SourceText, path: Path, problems: Problems, data: Sequence[Path]) -> None:
        self.text = text
        self.name = path.stem
        self.problems = problems
        self.sheets = Spreadsheets(path.parent)
        self.datasets = Datasets(data, text.loaded, path.parent)
        self.macros = [each for macro in text.macros for each in with_each_result(macro)]
        self.results = {canonical(macro.name): macro for macro in text.macros}
        definitions, ranges = self._parsed(text.entries)
        self.definitions = definitions
        self.macro_definitions = {macro.name: self._parsed(macro.entries)[0] for macro in text.macros}
        self.ranges = Ranges(ranges, self.sheets, problems)

    def form(self) -> Form:
        macros = frozenset(canonical(macro.name) for macro in self.macros)
        main = _Section(self, self.definitions, macros)
        return Form(
            name=self.name,
            specs=self._specs(main),
            parts=(Part(variables=main.variables()),),
            macros=tuple(self._macro(macro, macros) for macro in self.macros),
            dimensions=self.ranges.form(),
        )

    def _macro(self, macro: MacroText, macros: frozenset[str]) -> Macro:
        """Return a macro of the form; one that has a further result as its value shares its equations."""
        written = next(each for each in self.text.macros if each.entries is macro.entries)
        definitions = self.macro_definitions[written.name]
        return Macro(
            name=macro.name,
            parameters=tuple(map(plain_name, macro.parameters)),
            results=tuple(map(plain_name, macro.results or (macro.name,))),
            variables=_Section(self, definitions, macros, parameters=macro.parameters).variables(),
            line=macro.line,
        )

    def _parsed(self, entries: Sequence[Entry]) -> tuple[dict[str, list[Definition]], list[Range]]:
        definitions: dict[str, list[Definition]] = {}
        ranges: list[Range] = []
        for entry in entries:
            found: list[Definition | Range | None] = []
            with self.problems.at(entry.line, _left_side(entry)):
                if len(entry.equation) > MAX_LENGTH:
                    raise Unservable(f"the equation has more than {MAX_LENGTH} characters")
                written = list(separated(entry, self.results))
                if sum(len(each.equation) for each in written) > MAX_LENGTH:
                    raise Unservable(f"with its macros written out it has more than {MAX_LENGTH} characters")
                found += map(parse, written)
            for parsed in found:
                if isinstance(parsed, Range):
                    ranges.append(parsed)
                elif parsed is not None:
                    definitions.setdefault(canonical(parsed.name), []).append(parsed)
        return definitions, ranges

    def _specs(self, main: "_Section") -> Specs:
        nodes: dict[str, Node] = {}
        for name in (*_SPECS, "saveper"):
            if name in main.definitions:
                definition = main.definitions[name][0]
                number = definition.syntax
                nodes[name] = Number(number.value) if isinstance(number, Literal) else Name(definition.name)
            elif name != "saveper":
                title = name.replace("_", " ").upper()
                self.problems.add(0, title, "the model doesn't define it")
        if self.text.integration in (3, 4):
            reason = (
                "the second-order Runge-Kutta method isn't supported; Euler's and the fourth-order one are"
            )
            self.problems.add(0, "integration", reason)
        zero = Number(0.0)
        final = main.definitions.get("final_time")
        return Specs(
            start=nodes.get("initial_time", zero),
            stop=nodes.get("final_time", zero),
            dt=nodes.get("time_step", Number(1.0)),
            save_every=nodes.get("saveper"),
            method="rk4" if self.text.integration in (1, 5) else "euler",
            time_units=_units(final[0].entry.units) if final else "",
        )


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells of a variable that one line of a file defines, in the order of their numbers."""

    names: tuple[tuple[str, ...], ...]
    shape: tuple[int, ...]


class _Section:
    """The variables of the model or of one macro."""

    def __init__(
        self,
        reader: _Reader,
        definitions: dict[str, list[Definition]],
        macros: frozenset[str],
        parameters: Sequence[str] | None = None,
    ) -> None:
        self.reader = reader
        self.definitions = definitions
        self.ranges = reader.ranges
        self.axes = {name: self._axes(each) for name, each in definitions.items()}
        self.translator = Translator(
            ranges=reader.ranges,
            macros=macros,
            lookups=frozenset(
                [name for name, each in definitions.items() if _kind(each) == "curve"]
                + [canonical(plain_name(name)) for name in parameters or ()]
            ),
            variables=self.axes,
            within_macro=parameters is not None,
        )

    def variables(self) -> tuple[Variable, ...]:
        return tuple(self._variable(name, each) for name, each in self.definitions.items())

    def _axes(self, definitions: list[Definition]) -> tuple[str, ...]:
        """Return the dimensions of a variable."""
        counts = {len(each.subscripts) for each in definitions}
        if len(counts) > 1:
            last = definitions[-1]
            reason = "its equations have different numbers of subscripts"
            self.reader.problems.add(last.entry.line, last.name, reason)
            return ()
        axes = []
        for names in zip(*(each.subscripts for each in definitions), strict=True):
            covering = self.ranges.covering(names)
            if covering is None:
                first = definitions[0]
                reason = f"no subscript range has {', '.join(dict.fromkeys(names))}"
                self.reader.problems.add(first.entry.line, first.name, reason)
                return ()
            axes.append(covering)
        return tuple(axes)

    def _variable(self, name: str, definitions: list[Definition]) -> Variable:
        kind = _kind(definitions)
        equations: list[Equation] = []
        for definition in definitions:
            with self.reader.problems.at(definition.entry.line, definition.name):
                stock = kind != "stock" or type(definition.syntax).__name__ == "IntegStructure"
                equations += (replace(each, accumulated=stock) for each in self._equations(definition))
        literal = len(equations) == 1 and isinstance(equations[0].expression, Number)
        if literal and name in _SPECS and not self.translator.within_macro:
            # The run specs decide what it is, unless the file computes it.
            equations = [replace(equations[0], expression=Operation(_SPECS[name], ()))]
        documented = [each.entry for each in definitions]
        return Variable(
            name=definitions[0].name,
            kind=kind,
            equations=tuple(equations),
            dimensions=self.axes[name],
            units=next((units for each in documented if (units := _units(each.units))), ""),
            documentation=next((each.documentation for each in documented if each.documentation), ""),
            line=documented[0].line,
        )

    def _equations(self, definition: Definition) -> Iterator[Equation]:
        syntax = definition.syntax
        kind = type(syntax).__name__.removesuffix("Structure")
        common = Equation(
            subscripts=definition.subscripts, exceptions=definition.exceptions, line=definition.entry.line
        )
        if getattr(syntax, "shape", ()):
            yield from self._numbers(definition, [float(value) for value in syntax.ravel()], common)
        elif kind == "GetConstants":
            shape = self._cells(definition).shape
            values = self.reader.sheets.constants(syntax.file, syntax.tab, syntax.cell, shape)
            yield from self._numbers(definition, values, common)
        elif kind in ("GetData", "GetLookups"):
            yield from self._series(definition, kind, common)
        elif kind == "Data":
            yield from self._dataset(definition, common)
        elif kind == "Lookups":
            yield replace(common, curve=self.translator.curve(syntax))
        elif kind == "InlineLookups":
            argument = self._expression(definition, syntax.argument)
            yield replace(common, expression=argument, curve=self.translator.curve(syntax.lookups))
        elif kind == "Integ":
            flow = self._expression(definition, syntax.flow)
            yield replace(common, expression=flow, initial=self._expression(definition, syntax.initial))
        elif kind == "Call" and canonical(syntax.function.reference) == "a_function_of":
            return  # what a modeller hasn't written yet
        elif kind == "Call" and canonical(syntax.function.reference) == "active_initial":
            if len(syntax.arguments) != 2:
                raise Unservable("ACTIVE INITIAL takes 2 arguments")
            active, initial = (self._expression(definition, each) for each in syntax.arguments)
            yield replace(common, expression=active, initial=initial)
        else:
            yield replace(common, expression=self._expression(definition, syntax))

    def _expression(self, definition: Definition, syntax: Any) -> Node:
        return self.translator.expression(syntax, definition.subscripts)

    def _cells(self, definition: Definition) -> _Cells:
        elements = [self.ranges.elements(name) for name in definition.subscripts]
        return _Cells(tuple(product(*elements)), tuple(map(len, elements)))

    def _numbers(
        self, definition: Definition, values: Sequence[float], common: Equation
    ) -> Iterator[Equation]:
        """Yield an equation for each cell that one line gives a number."""
        cells = self._cells(definition).names
        if len(cells) != len(values):
            raise Unservable(f"the variable has {len(cells)} cells here, but there are {len(values)} numbers")
        for cell, value in zip(cells, values, strict=True):
            if not self._excepted(definition, cell):
                yield replace(common, subscripts=cell, exceptions=(), expression=Number(value))

    def _series(self, definition: Definition, kind: str, common: Equation) -> Iterator[Equation]:
        """Yield an equation for each cell that one line gives a series of a spreadsheet."""
        syntax, cells = definition.syntax, self._cells(definition).names
        data = kind == "GetData"
        reading = _reading(definition) if data else "continuous"
        x = syntax.time_row_or_col if data else syntax.x_row_or_col
        series = self.reader.sheets.series(syntax.file, syntax.tab, x, syntax.cell, len(cells))
        for i, cell in enumerate(cells):
            if not self._excepted(definition, cell):
                points, at = _points(series, i), replace(common, subscripts=cell, exceptions=())
                yield _over_time(at, points, reading) if data else replace(at, curve=Curve(points))

    def _dataset(self, definition: Definition, common: Equation) -> Iterator[Equation]:
        """Yield an equation for each cell of a data variable that takes its values from another run."""
        reading = _reading(definition)
        for cell in self._cells(definition).names:
            if not self._excepted(definition, cell):
                points = self.reader.datasets.series(definition.name, cell)
                yield _over_time(replace(common, subscripts=cell, exceptions=()), points, reading)

    def _excepted(self, definition: Definition, cell: tuple[str, ...]) -> bool:
        return any(
            all(
                canonical(element) in {canonical(each) for each in self.ranges.elements(name)}
                for element, name in zip(cell, exception, strict=True)
            )
            for exception in definition.exceptions
        )


def _kind(definitions: Sequence[Definition]) -> VariableKind:
    kinds = {type(each.syntax).__name__ for each in definitions}
    if "IntegStructure" in kinds:
        return "stock"
    if all(each.kind == "lookup" or kind == "GetLookupsStructure" for each, kind in _named(definitions)):
        return "curve"
    return "data" if kinds <= {"GetDataStructure", "DataStructure"} else "aux"


def _named(definitions: Sequence[Definition]) -> Iterator[tuple[Definition, str]]:
    return ((each, type(each.syntax).__name__) for each in definitions)


def _reading(definition: Definition) -> CurveKind:
    """Return how the values of a data variable are read between its times."""
    if definition.keyword not in _READINGS:
        raise Unservable(f"the keyword :{str(definition.keyword).upper()}: isn't supported")
    return _READINGS[definition.keyword]


def _over_time(cell: Equation, points: tuple[tuple[float, float], ...], reading: CurveKind) -> Equation:
    """Return the equation of data, of which raw ones have the value :NA: where there is none."""
    if reading == "raw":
        return replace(cell, expression=Call("lookup_raw", (Curve(points), _TIME)))
    return replace(cell, expression=_TIME, curve=Curve(points, reading))


def _points(series: Series, i: int) -> tuple[tuple[float, float], ...]:
    """Return the points of one of the series; a place without a number is none."""
    points = tuple((x, y) for x, y in zip(series.x, series.ys[i], strict=True) if y == y)
    if not points:
        raise Unservable("the series holds no numbers")
    return points


def _units(text: str) -> str:
    return re.sub(r"\s*\[[^\]]*\]\s*$", "", " ".join(text.split()))


def _left_side(entry: Entry) -> str:
    found = re.match(r'\s*("(?:\\.|[^"\\])*"|[^=:(\[<]+)', entry.equation)
    return plain_name(found[0]) if found else entry.equation[:40]

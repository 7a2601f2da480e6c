"""Reading: an XMILE document as a form.

Source: XMILE 1.0, chapters 2 to 4. Files of older programs have variables straight within the model and lack
names, methods or dimensions; they are read as what they mean.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.beside import file_beside
from perdure.engines.system_dynamics.sources.limits import MAX_BYTES
from perdure.engines.system_dynamics.sources.problems import Problems, Unservable
from perdure.engines.system_dynamics.sources.xmile.curves import curve_of
from perdure.engines.system_dynamics.sources.xmile.equations import equation_of
from perdure.engines.system_dynamics.sources.xmile.tags import Tag, parse

__all__ = ["form_of"]

_KINDS: dict[str, form.VariableKind] = {"stock": "stock", "flow": "flow", "aux": "aux", "gf": "curve"}
_MAX_FILES = 100
_METHODS: dict[str, Literal["euler", "rk4"]] = {"euler": "euler", "rk4": "rk4"}


def form_of(document: bytes, path: Path, problems: Problems) -> form.Form:
    """Return the form of an XMILE document.

    Parameters
    ----------
    document
        The bytes of the file.
    path
        Its place: files that modules name are looked for beside it, and it gives a model without a name one.
    problems
        Where is added what can't be served.

    Raises
    ------
    Unservable
        If it isn't an XMILE document.
    """
    root = _root(document)
    files = _Files(path, problems)
    files.add(root, path.resolve(), "")
    first = _first(root)
    header = root.first("header")
    shown = None if header is None else header.content("name")
    reader = _Reader(root, problems)
    return form.Form(
        name=shown or first.get("name") or path.stem,
        specs=reader.specs(root.first("sim_specs") or first.first("sim_specs")),
        parts=tuple(sorted(files.parts, key=lambda part: part.name != "")),
        dimensions=tuple(files.dimensions.values()),
        macros=tuple(files.macros.values()),
    )


def _root(document: bytes) -> Tag:
    root = parse(document)
    if root.name != "xmile" or root.first("model") is None:
        raise Unservable("it isn't an XMILE document: there is no model in an <xmile> tag")
    return root


def _first(root: Tag) -> Tag:
    """Return the model that is the root of a document: the one without a name, else the first one."""
    models = list(root.each("model"))
    return next((tag for tag in models if tag.get("name") is None), models[0])


class _Files:
    """What a document and the files that its modules name hold.

    The parts of another file have names that begin with its path. All that is read of it has the line of the
    module that names it.
    """

    def __init__(self, path: Path, problems: Problems) -> None:
        self.folder = path.parent.resolve()
        self.problems = problems
        self.parts: list[form.Part] = []
        self.dimensions: dict[str, form.Dimension] = {}
        self.macros: dict[str, form.Macro] = {}
        self._prefixes: dict[Path, str] = {}
        self._left = MAX_BYTES

    def add(self, root: Tag, path: Path, prefix: str) -> None:
        """Add what a document holds."""
        self._prefixes[path] = prefix
        reader = _Reader(root, self.problems, prefix, lambda tag: self._named_by(tag, path.parent))
        for dimension in reader.dimensions():
            known = self.dimensions.setdefault(form.canonical(dimension.name), dimension)
            if [*map(form.canonical, known.elements)] != [*map(form.canonical, dimension.elements)]:
                self.problems.add(dimension.line, dimension.name, "another file has other elements of it")
        for macro in filter(None, map(reader.macro, root.each("macro"))):
            same = self.macros.setdefault(form.canonical(macro.name), macro)
            if _without_lines(same) != _without_lines(macro):
                self.problems.add(macro.line, macro.name, "there is already another macro of that name")
        first = _first(root)
        for tag in root.each("model"):
            self.parts.append(reader.part(tag, prefix + ("" if tag is first else tag.get("name") or "")))

    def _named_by(self, tag: Tag, folder: Path) -> str:
        """Return the name of the part that the ``resource`` of a module names, and read its file once."""
        resource = tag.get("resource") or ""
        path = file_beside(folder, resource.removeprefix("file:"), within=self.folder)
        if path is None:
            raise Unservable(f"its model is in {resource!r}, and there is no such file beside the model")
        if path not in self._prefixes:
            if len(self._prefixes) >= _MAX_FILES:
                raise Unservable(f"more than {_MAX_FILES} files are named")
            try:
                root = _root(self._content(path))
            except Unservable as refused:
                raise Unservable(f"{resource!r} can't be read: {refused}") from None
            root.move_to(tag.line)
            name = path.relative_to(self.folder).as_posix()
            with self.problems.within(name):
                self.add(root, path, f"{name}#")
        return self._prefixes[path]

    def _content(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                content = file.read(self._left + 1)
        except OSError as error:
            raise Unservable(str(error.strerror)) from error
        if len(content) > self._left:
            raise Unservable(f"the files of modules are larger than {MAX_BYTES} bytes together")
        self._left -= len(content)
        return content


def _without_lines(macro: form.Macro) -> form.Macro:
    """Return a macro without its place, so that those of two files can be compared."""
    variables = (
        replace(each, line=0, equations=tuple(replace(equation, line=0) for equation in each.equations))
        for each in macro.variables
    )
    return replace(macro, line=0, variables=tuple(variables))


@dataclass(frozen=True, slots=True)
class _Behavior:
    """Which kinds of variables don't fall below zero unless they say so."""

    stocks: bool = False
    flows: bool = False

    def within(self, tag: Tag) -> "_Behavior":
        """Return the behavior of a tag that may have its own."""
        own = tag.first("behavior")
        if own is None:
            return self
        everything = _flag(own, "non_negative")
        found = []
        for kind, former in (("stock", self.stocks), ("flow", self.flows)):
            inner = own.first(kind)
            said = None if inner is None else _flag(inner, "non_negative")
            found.append(
                former if everything is None and said is None else bool(everything if said is None else said)
            )
        return _Behavior(*found)


def _flag(tag: Tag, name: str) -> bool | None:
    """Return what a tag such as ``<non_negative/>`` says; None if it isn't there."""
    text = tag.content(name)
    return None if text is None else text.lower() not in ("false", "0")


class _Reader:
    """Reads the parts of one document."""

    def __init__(
        self, root: Tag, problems: Problems, prefix: str = "", linked: Callable[[Tag], str] = lambda tag: ""
    ) -> None:
        self.root = root
        self.problems = problems
        self.prefix = prefix
        self.linked = linked
        self.behavior = _Behavior().within(root)

    # Run specs and dimensions -------------------------------------------------------------------------------

    def specs(self, tag: Tag | None) -> form.Specs:
        if tag is None:
            self.problems.add(self.root.line, "sim_specs", "there are no run specs")
            return form.Specs()
        dt = self._equation(tag, "dt", "sim_specs") or form.Number(1.0)
        step = tag.first("dt")
        if step is not None and step.attributes.get("reciprocal", "").lower() == "true":
            dt = form.Operation("divide", (form.Number(1.0), dt))
        named = (tag.get("method") or "euler").lower().split(",")
        methods = [_METHODS[name.strip()] for name in named if name.strip() in _METHODS]
        if not methods:
            self.problems.add(
                tag.line, "sim_specs", f"the method {tag.get('method')!r} isn't there; Euler and RK4 are"
            )
        pause = tag.get("pause")
        save = tag.get("save_interval") or tag.content("save_step")
        return form.Specs(
            start=self._equation(tag, "start", "sim_specs") or form.Number(0.0),
            stop=self._equation(tag, "stop", "sim_specs") or form.Number(0.0),
            dt=dt,
            save_every=self._parsed(save, tag.line, "sim_specs") if save else None,
            pause=self._parsed(pause, tag.line, "sim_specs") if pause else None,
            method=methods[0] if methods else "euler",
            time_units=tag.get("time_units") or "",
            line=tag.line,
        )

    def dimensions(self) -> Iterator[form.Dimension]:
        for group in self.root.each("dimensions"):
            for tag in group.each("dim"):
                name = _named(tag)
                names = tuple(map(_named, tag.each("elem")))
                size = tag.get("size") or ""
                if not names and not (size.isdecimal() and len(size) < 8 and 0 < int(size) <= 1_000_000):
                    self.problems.add(tag.line, name, "the dimension has neither elements nor a size")
                    continue
                elements = names or tuple(str(i) for i in range(1, int(size) + 1))
                yield form.Dimension(name, elements, line=tag.line)

    # Models and macros --------------------------------------------------------------------------------------

    def part(self, tag: Tag, name: str) -> form.Part:
        behavior = self.behavior.within(tag)
        holders = [tag, *tag.each("variables")]
        return form.Part(
            name=name,
            variables=tuple(self._variables(holders, behavior)),
            modules=tuple(self._module(each) for holder in holders for each in holder.each("module")),
            line=tag.line,
            file=self.prefix.removesuffix("#"),
        )

    def macro(self, tag: Tag) -> form.Macro | None:
        name = _named(tag)
        if not name:
            self.problems.add(tag.line, "macro", "a macro has no name")
            return None
        variables = list(self._variables([tag, *tag.each("variables")], self.behavior.within(tag)))
        result = self._equation(tag, "eqn", name)
        if result is not None:
            variables.append(
                form.Variable(name, "aux", (form.Equation(result, line=tag.line),), line=tag.line)
            )
        parameters = tuple(each.text.strip() for each in tag.each("parm"))
        own = set(map(form.canonical, parameters))
        kept = tuple(variable for variable in variables if form.canonical(variable.name) not in own)
        return form.Macro(name, parameters, (name,), kept, tag.line)

    def _module(self, tag: Tag) -> form.Module:
        name = _named(tag)
        connections: list[tuple[str, str]] = []
        for connect in tag.each("connect"):
            target, source = connect.get("to"), connect.get("from")
            if target and source:
                connections.append((target, source))
        part: str | None = self.prefix + name
        if tag.get("resource") is not None:
            part = None
            with self.problems.at(tag.line, name):
                part = self.linked(tag)
        return form.Module(name, part, tuple(connections), tag.line)

    # Variables ----------------------------------------------------------------------------------------------

    def _variables(self, holders: list[Tag], behavior: _Behavior) -> Iterator[form.Variable]:
        seen: set[str] = set()
        for holder in holders:
            for tag in holder.tags:
                # Older files list inflows and outflows within stocks, and displays within views, by these
                # names.
                if tag.name not in _KINDS or tag.get("name") is None:
                    continue
                variable = self._variable(tag, behavior)
                if form.canonical(variable.name) in seen and not variable.equations:
                    continue
                seen.add(form.canonical(variable.name))
                yield variable

    def _variable(self, tag: Tag, behavior: _Behavior) -> form.Variable:
        name = _named(tag)
        kind = _KINDS[tag.name]
        dimensions: tuple[str, ...] = ()
        for group in tag.each("dimensions"):
            dimensions = tuple(map(_named, group.each("dim")))
        equations = tuple(self._equations(tag, name, kind))
        if kind == "aux" and equations and all(each.expression is None and each.curve for each in equations):
            kind = "curve"
        usual = behavior.stocks if kind == "stock" else behavior.flows if kind == "flow" else False
        said = _flag(tag, "non_negative")
        units = tag.first("units")
        return form.Variable(
            name=name,
            kind=kind,
            equations=equations,
            dimensions=dimensions,
            inflows=tuple(map(_name, tag.each("inflow"))),
            outflows=tuple(map(_name, tag.each("outflow"))),
            non_negative=kind in ("stock", "flow") and (usual if said is None else said),
            structure=self._structure(tag, name) if kind == "stock" else None,
            leak=self._leak(tag, name),
            overflow=tag.first("overflow") is not None,
            multiplier=self._equation(tag, "multiplier", name) if kind == "flow" else None,
            units="" if units is None else units.text.strip() or units.content("eqn") or "",
            documentation=tag.content("doc") or "",
            line=tag.line,
        )

    def _structure(self, tag: Tag, name: str) -> form.Structure | None:
        """Return what makes a stock a conveyor, a queue or an oven."""
        conveyor, oven = tag.first("conveyor"), tag.first("oven")
        if conveyor is not None:
            return form.Conveyor(
                transit=self._equation(conveyor, "len", name) or form.Number(0.0),
                capacity=self._equation(conveyor, "capacity", name),
                inflow_limit=self._equation(conveyor, "in_limit", name),
                sample=self._equation(conveyor, "sample", name),
                arrest=self._equation(conveyor, "arrest", name),
                one_at_a_time=_true(conveyor, "one_at_a_time", True),
                batch_integrity=_true(conveyor, "batch_integrity", False),
                exponential_leakage=_true(conveyor, "exponential_leak", False),
            )
        if oven is not None:
            return form.Oven(
                cook=self._equation(oven, "len", name) or form.Number(0.0),
                capacity=self._equation(oven, "capacity", name),
                fill_time=self._equation(oven, "fill_time", name),
                clean_time=self._equation(oven, "clean_time", name),
                arrest=self._equation(oven, "arrest", name),
            )
        return None if tag.first("queue") is None else form.Queue()

    def _leak(self, tag: Tag, name: str) -> form.Leak | None:
        if tag.first("leak") is None:
            return None
        start, end = tag.get("leak_start"), tag.get("leak_end")
        return form.Leak(
            integers=tag.first("leak_integers") is not None,
            start=self._parsed(start, tag.line, name) if start else None,
            end=self._parsed(end, tag.line, name) if end else None,
        )

    def _equations(self, tag: Tag, name: str, kind: form.VariableKind) -> Iterator[form.Equation]:
        shared = self._curve(tag, name)
        elements = list(tag.each("element"))
        for element in elements:
            subscripts = tuple(each.strip() for each in (element.get("subscript") or "").split(","))
            expression = self._equation(element, "eqn", name)
            curve = self._curve(element, name) or shared
            if expression is not None or curve is not None:
                yield _equation(
                    kind,
                    expression,
                    curve,
                    subscripts,
                    self._equation(element, "init_eqn", name),
                    element.line,
                )
        if elements:
            return
        # The fraction of a leak may be within its tag.
        expression = self._equation(tag, "eqn", name) or self._equation(tag, "leak", name)
        if expression is None and shared is None:
            return
        eqn = tag.first("eqn")
        line = tag.line if eqn is None else eqn.line
        yield _equation(kind, expression, shared, (), self._equation(tag, "init_eqn", name), line)

    def _equation(self, tag: Tag, child: str, element: str) -> form.Node | None:
        inner = tag.first(child)
        return None if inner is None else self._parsed(inner.text, inner.line, element)

    def _parsed(self, text: str, line: int, element: str) -> form.Node | None:
        with self.problems.at(line, element):
            return equation_of(text)
        # What is wrong is noted; the number keeps the variable from being noted again.
        return form.Number(float("nan"))

    # Graphical functions ------------------------------------------------------------------------------------

    def _curve(self, tag: Tag, name: str) -> form.Curve | None:
        held = tag if tag.name == "gf" else tag.first("gf")
        if held is None:
            return None
        with self.problems.at(held.line, name):
            return curve_of(held)
        return None


def _name(tag: Tag) -> str:
    """Return the name that a tag holds."""
    return _without_quotes(tag.text.strip())


def _named(tag: Tag) -> str:
    """Return the name of a tag, empty if it has none."""
    return _without_quotes(tag.get("name") or "")


def _without_quotes(name: str) -> str:
    """Return a name without quotes around it, which converters write as equations have them."""
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name


def _equation(
    kind: form.VariableKind,
    expression: form.Node | None,
    curve: form.Curve | None,
    subscripts: tuple[str, ...],
    initial: form.Node | None,
    line: int,
) -> form.Equation:
    if kind == "stock":
        return form.Equation(None, subscripts, initial=expression, line=line)
    return form.Equation(expression, subscripts, initial=initial, curve=curve, line=line)


def _true(tag: Tag, name: str, otherwise: bool) -> bool:
    """Return what an attribute says that is true or false."""
    said = tag.get(name)
    return otherwise if said is None else said.lower() in ("true", "1")

"""The sources of an experiment: what its files say of engines and data packs, read and never executed.

Only what is written out counts: a name that is computed, a file that can't be parsed, or a script that takes
help from other modules of the folder isn't checked. Of functions only the decorators count, which say what is
needed at every call; what a function returns shows when it runs. A mistake that is found here would end the
run at its first steps; now it is reported with all others, before there is a run.
"""

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from perdure.drivers.experiments.datapacks import DataPackIdentifier
from perdure.drivers.experiments.decorators import (
    DEFINING,
    GIVING,
    LINKING,
    NO_FUNCTION,
    STATUS,
    EngineDataPack,
    PreprocessingFunction,
    no_engine,
    second_status,
)
from perdure.drivers.experiments.schema import Problem
from perdure.errors import suggest
from perdure.syntax_trees import parsed

__all__ = ["Source", "packs_of_script", "wrong_names"]

_SCRIPTS = frozenset({"EngineScript", "PySimEngineScript"})


class Source(NamedTuple):
    """A file with functions: where the configuration names it, and what it is called in the folder."""

    place: str
    file: str


class _Function(NamedTuple):
    """A function that is decorated for the loop, and what its decorators were given, by their names."""

    node: ast.FunctionDef
    source: Source
    decorators: Mapping[str, Sequence[ast.Call]]

    def wrong(self, node: ast.AST, reason: str) -> Problem:
        line = getattr(node, "lineno", self.node.lineno)
        return Problem(self.source.place, f"{self.node.name} ({self.source.file}, line {line}) {reason}")


def wrong_names(
    sources: Sequence[Source], engines: Mapping[str, Collection[str] | None] | None, folder: Path
) -> list[Problem]:
    """Return what is wrong with the names in files with functions.

    Parameters
    ----------
    sources
        The files, each once, in their order.
    engines
        All engines by name, and the names of their data packs if they are known; None if not all engines'
        names are known.
    folder
        The experiment's.
    """
    trees = [(source, _parsed(folder / source.file)) for source in sources]
    problems = [
        Problem(source.place, f"{source.file} {NO_FUNCTION}")
        for source, tree in trees
        if tree is not None and not _mentions(tree, DEFINING) and _imported(tree) <= {"nrp_core"}
    ]
    functions = [f for source, tree in trees if tree is not None for f in _functions(source, tree)]
    status = [function for function in functions if STATUS in function.decorators]
    problems += [second.wrong(second.node, second_status(status[0].source.file)) for second in status[1:]]
    if engines is None:
        return problems
    # What a preprocessing function makes passes for a data pack of its engine.
    made = any(tree is None or _mentions(tree, (PreprocessingFunction.__name__,)) for _, tree in trees)
    for function in functions:
        problems += _wrong_in(function, engines, made)
    return problems


def packs_of_script(folder: Path, file: str) -> Collection[str] | None:
    """Return the names of the data packs that an engine's script registers; None if they aren't known.

    Parameters
    ----------
    folder
        The experiment's, which the script imports from wherever it is in it.
    file
        The script's path in the folder.
    """
    tree = _parsed(folder / file)
    if tree is None:
        return None
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Script"]
    if len(classes) != 1 or not {_name(base) for base in classes[0].bases} <= _SCRIPTS:
        return None
    if any((folder / part).exists() for name in _imported(tree) for part in (name, f"{name}.py")):
        return None
    registered: set[str] = set()
    calls = {id(call.func): call for call in ast.walk(tree) if isinstance(call, ast.Call)}
    for node in ast.walk(tree):
        if _name(node) == "_datapacks":
            return None
        if _name(node) == "_registerDataPack":
            name = _text(calls[id(node)], 0, "datapack_name") if id(node) in calls else None
            if name is None:
                return None
            registered.add(name)
    return registered


def _wrong_in(
    function: _Function, engines: Mapping[str, Collection[str] | None], made: bool
) -> Iterator[Problem]:
    """Yield what is wrong with the names in one function's decorators."""

    def unknown(node: ast.AST, engine: str | None) -> Iterator[Problem]:
        if engine is not None and engine not in engines:
            yield function.wrong(node, no_engine(engine, engines))

    for kind in LINKING:
        for call in function.decorators.get(kind, ()):
            yield from unknown(call, _text(call, 0, "engine_name"))
    for kind in GIVING:
        for call in function.decorators.get(kind, ()):
            identifier = _argument(call, 1, "id")
            if not isinstance(identifier, ast.Call) or _name(identifier.func) != DataPackIdentifier.__name__:
                continue
            engine = _text(identifier, 1, "engine_name")
            yield from unknown(call, engine)
            packs = None if engine is None else engines.get(engine)
            name = _text(identifier, 0, "name")
            preprocessed = made or kind != EngineDataPack.__name__
            if preprocessed or packs is None or name is None or name in packs:
                continue
            reason = f"names the data pack {name!r}, but the engine {engine!r} has no data pack of that name."
            yield function.wrong(call, (reason + suggest(name, sorted(packs))).rstrip("."))


def _functions(source: Source, tree: ast.Module) -> Iterator[_Function]:
    """Yield the functions that a file defines for the loop; of those of one name the last counts."""
    last = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in last.values():
        decorators: dict[str, list[ast.Call]] = {}
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and (name := _name(call.func)):
                decorators.setdefault(name, []).append(call)
        yield _Function(node, source, decorators)


def _parsed(file: Path) -> ast.Module | None:
    try:
        return parsed(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # running it raises the error


def _mentions(tree: ast.Module, names: Sequence[str]) -> bool:
    return any(_name(node) in names for node in ast.walk(tree))


def _imported(tree: ast.Module) -> set[str]:
    """Return the first parts of the names of all modules that are imported; a relative one's is empty."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("" if node.level else (node.module or "").partition(".")[0])
    return names


def _name(node: ast.AST) -> str:
    """Return the name that a name, an attribute or an import ends with."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.alias(name=name):
            return name.rpartition(".")[2]
    return ""


def _argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    named = [given.value for given in call.keywords if given.arg == keyword]
    if named:
        return named[0]
    return call.args[position] if len(call.args) > position else None


def _text(call: ast.Call, position: int, keyword: str) -> str | None:
    """Return an argument that is a text written out, or None."""
    given = _argument(call, position, keyword)
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else None

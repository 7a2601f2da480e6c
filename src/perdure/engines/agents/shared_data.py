"""Shared data: what agents keep in classes and modules, which all sessions of a process share.

In a process that several sessions share, other sessions change it, so no savepoint can hold it. Then it is
looked for in the source of the model and its agents, when a session begins, and in the classes' attributes at
each savepoint. See `program_data` for a process that a session has to itself.
"""

import ast
import inspect
import random
import sys
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from perdure.engines.agents.program_code import is_authors
from perdure.engines.objects.problems import Problems
from perdure.syntax_trees import parsed

__all__ = ["SharedData", "changed_by"]

_PLAIN = frozenset((type(None), bool, int, float, str, bytes))
_CONTAINERS = (list, dict, set, deque)
_READ_ONCE = (random.Random, np.random.Generator, np.random.RandomState, Iterator)  # reading changes them
_CHANGING = frozenset(
    {
        "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft",
        "remove", "reverse", "setdefault", "sort", "update",
    }
)  # fmt: skip
_REASON = "all sessions share it, and it isn't saved; keep it as an attribute of the model"


class Changed(NamedTuple):
    """A variable of a module, or an attribute of a class, that code changes.

    Attributes
    ----------
    what
        It in words.
    owner
        The module or class.
    name
        Its name.
    """

    what: str
    owner: Any
    name: str


class SharedData:
    """The shared data of a model's classes.

    Parameters
    ----------
    classes
        The classes of the model and its agents.
    """

    def __init__(self, classes: Iterable[type]) -> None:
        self._classes = [kind for kind in classes if is_authors(kind)]
        self._former = {kind: _copied(kind) for kind in self._classes}

    def check(self, problems: Problems) -> None:
        """Note what the code of the classes changes, or has changed."""
        for kind in self._classes:
            for what in sorted({each.what for each in changed_by(kind)}):
                problems.note(what, _REASON)
            former, now = self._former[kind], _copied(kind)
            for name in former.keys() | now.keys():
                if name not in former or name not in now or not _are_same(former[name], now[name]):
                    problems.note(f"the attribute {name!r} of the class {kind.__qualname__}", _REASON)


def _copied(kind: type) -> dict[str, Any]:
    """Return a class's attributes that are plain values, and copies of those that are containers."""
    return {
        name: value.copy() if isinstance(value, _CONTAINERS) else value
        for name, value in vars(kind).items()
        if not name.startswith("__") and (type(value) in _PLAIN or type(value) in _CONTAINERS)
    }


def _are_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return [*map(id, one.values())] == [*map(id, other.values())] and [*one] == [*other]
    if isinstance(one, list | deque):
        return [*map(id, one)] == [*map(id, other)]
    return bool(one == other)


@lru_cache(maxsize=256)
def changed_by(kind: type) -> tuple[Changed, ...]:
    """Return the shared data that a class's code changes, and that of what it calls."""
    found: list[Changed] = []
    todo: list[Any] = [kind]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if id(each) in seen or not is_authors(each):
            continue
        seen.add(id(each))
        if isinstance(each, type):
            for name, value in vars(each).items():
                if isinstance(value, _READ_ONCE):
                    found.append(_attribute(each, name))
                todo += [f for f in _functions(value) if isinstance(f, FunctionType)]
            continue
        for owner, name, value in _used_by(each):
            if isinstance(value, _READ_ONCE):
                found.append(_variable(owner, name))
            if isinstance(value, type | FunctionType):
                todo.append(value)
        found += _Changes(each, kind).found
    return (*found,)


def _attribute(owner: Any, name: str) -> Changed:
    what = "class" if isinstance(owner, type) else "module"
    return Changed(f"the attribute {name!r} of the {what} {_name(owner)}", owner, name)


def _variable(module: str, name: str) -> Changed:
    return Changed(f"the variable {name!r} of the module {module}", sys.modules.get(module), name)


def _name(owner: Any) -> str:
    return str(owner.__qualname__ if isinstance(owner, type) else owner.__name__)


def _functions(value: Any) -> Iterator[Any]:
    yield value
    for name in ("__func__", "fget", "fset", "func", "__wrapped__"):
        yield getattr(value, name, None)


def _used_by(function: FunctionType) -> Iterator[tuple[str, str, Any]]:
    """Return the variables that a function may read, each with its module and name."""
    around = function.__globals__
    names = {*_names(function.__code__)}
    for name in names & around.keys():
        value = around[name]
        yield function.__module__, name, value
        if isinstance(value, ModuleType) and is_authors(value):
            for inner in names & vars(value).keys():
                yield value.__name__, inner, vars(value)[inner]
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not set yet
            if isinstance(cell.cell_contents, type | FunctionType):
                yield function.__module__, "", cell.cell_contents


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


class _Changes(ast.NodeVisitor):
    """The variables of modules and attributes of classes that a function changes."""

    def __init__(self, function: FunctionType, kind: type) -> None:
        self.found: list[Changed] = []
        self._module = function.__module__
        self._around: Mapping[str, Any] = function.__globals__
        self._locals = {*function.__code__.co_varnames, *function.__code__.co_cellvars}
        qualname = function.__qualname__.rpartition(".")[0]
        self._kind = next((each for each in kind.__mro__ if each.__qualname__ == qualname), kind)
        try:
            tree = parsed(textwrap.dedent(inspect.getsource(function)))
        except (OSError, SyntaxError, TypeError):  # without a source, or a lambda within a line
            return
        self._globals = {n for node in ast.walk(tree) if isinstance(node, ast.Global) for n in node.names}
        self.visit(tree)

    def visit_Name(self, node: ast.Name) -> None:
        """Note a variable of the module that is set."""
        if not isinstance(node.ctx, ast.Load) and node.id in self._globals:
            self._note_variable(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Note an attribute of a class or module that is set."""
        if not isinstance(node.ctx, ast.Load):
            self._note(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Note a container whose items are set."""
        if not isinstance(node.ctx, ast.Load):
            self._note(node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Note a container that a method changes."""
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
            self._note(node.func.value, _CONTAINERS)
        if isinstance(node.func, ast.Name) and node.func.id == "setattr" and len(node.args) > 1:
            self._note(ast.Attribute(node.args[0], ast.unparse(node.args[1]).strip("'\""), ast.Store()))
        self.generic_visit(node)

    def _note(self, node: ast.expr, kinds: type | tuple[type, ...] = object) -> None:
        """Note a changed variable or attribute, if it is a module's or a class's, and of some types."""
        if isinstance(node, ast.Subscript):
            self._note(node.value)
        elif isinstance(node, ast.Name):
            if self._is_global(node.id) and isinstance(self._around[node.id], kinds):
                self._note_variable(node.id)
        elif isinstance(node, ast.Attribute):
            match node.value:
                case ast.Name("cls") | ast.Attribute(attr="__class__") | ast.Call(ast.Name("type"), [_]):
                    self.found.append(_attribute(self._kind, node.attr))
                case ast.Name(name) if self._is_global(name):
                    owner = self._around[name]
                    if isinstance(owner, type | ModuleType):
                        self.found.append(_attribute(owner, node.attr))
                    else:
                        holder = _variable(self._module, name)
                        self.found.append(
                            holder._replace(what=f"the attribute {node.attr!r} of {holder.what}")
                        )

    def _note_variable(self, name: str) -> None:
        self.found.append(_variable(self._module, name))

    def _is_global(self, name: str) -> bool:
        return name in self._around and (name not in self._locals or name in self._globals)

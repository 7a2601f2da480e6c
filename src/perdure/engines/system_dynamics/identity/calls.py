"""Calls: the values that reaches lead to, through the modeller's functions, and which of them a call changes.

A call is followed into the function with its arguments: what the function changes in its parameters, and what
it returns, is what the call changes and returns.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

from perdure.engines.system_dynamics.identity.effects import (
    IN_PLACE_CHANGE,
    REBOUND,
    STORED,
    Effects,
    Signature,
)
from perdure.engines.system_dynamics.identity.reaches import ITEM, RESULT, SLICE, WRAP, Reach, ReachedCall

__all__ = ["MISSING", "Scope", "attribute_of", "change_of"]

MISSING = object()
"""The value of an unknown name."""

Found = tuple[Any, int]
"""A reached value, and the number of new containers around it."""

MANY = 20_000  # the largest number of calls and reaches followed of one function; one with more is accepted

_ATOMS = (str, bytes, float, int, complex, type(None))
_FIXED = (*_ATOMS, tuple, frozenset, range, Enum, np.generic, BuiltinFunctionType)
# Assignments change these, though they have no method that does.
_SHELLS = (ModuleType, FunctionType, type)
_VIEWS = frozenset({"T", "base", "flat", "imag", "real"})  # of arrays


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """A function of the modeller's, or one nested in it, and its arguments.

    Attributes
    ----------
    effects
        Of the outermost function.
    lookup
        Returns the value of a name in it, or `MISSING`; for parameters, their defaults.
    own
        Returns the scope of another function of the modeller's, or None for any other value.
    signature
        Of the function itself.
    given
        The arguments, including those of the enclosing functions.
    callers
        The signatures of the functions on the call stack.
    """

    effects: Effects
    lookup: Callable[[str], Any]
    own: "Callable[[Any], Scope | None]"
    signature: Signature
    given: dict[str, list[Found]] = field(default_factory=dict)
    callers: frozenset[int] = frozenset()
    follows: "_Memory" = field(default_factory=lambda: _Memory())

    def follow(self, reach: Reach) -> list[Found]:
        """Return the values that a reach leads to."""
        key = (id(self), reach)
        if key not in self.follows.found:
            self.follows.found[key] = []  # for reaches that lead back here
            found = self._begin(reach.origin) if self.follows.goes_on(self) else []
            for step in reach.steps:
                found = _distinct(each for value in found for each in _step(value, step))
            self.follows.found[key] = found
        return self.follows.found[key]

    def callees(self, call: ReachedCall) -> Iterator["Scope"]:
        """Yield the modeller's functions that a call may call, with their arguments."""
        for value, level in self.follow(call.function):
            callee = value if isinstance(value, Scope) else self.own(value) if not level else None
            if callee is None or id(callee.signature) in self.callers:
                continue
            given: dict[str, list[Found]] = {}
            for name, reaches in call.given:
                for parameter, levels in callee.signature.taking(name):
                    given.setdefault(parameter, []).extend(
                        (found, level + levels) for each in reaches for found, level in self.follow(each)
                    )
            callers = self.callers | {id(callee.signature)}
            given = callee.given | {name: _distinct(found) for name, found in given.items()}
            yield self.follows.one(replace(callee, given=given, callers=callers, follows=self.follows))

    def _begin(self, origin: str | ReachedCall) -> list[Found]:
        if isinstance(origin, ReachedCall):
            answers = [
                each
                for callee in self.callees(origin)
                for reach in callee.signature.returned
                for each in callee.follow(reach)
            ]
            return _distinct(answers)
        if origin in self.given:
            return self.given[origin]
        if origin in self.effects.inner:
            return [(replace(self, signature=self.effects.inner[origin]), 0)]
        value = self.lookup(origin)
        return [] if value is MISSING and origin in self.effects.parameters else [(value, 0)]


class _Memory:
    """What was already followed of one function, so that following ends and does nothing twice."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, Reach], list[Found]] = {}
        self._scopes: dict[Any, Scope] = {}
        self._count = 0
        self._alive: list[Scope] = []

    def goes_on(self, scope: Scope) -> bool:
        self._alive.append(scope)
        self._count += 1
        return self._count <= MANY

    def one(self, scope: Scope) -> Scope:
        """Return the scope that was first made for a function and its arguments."""
        given = frozenset(
            (name, frozenset((id(v), n) for v, n in found)) for name, found in scope.given.items()
        )
        return self._scopes.setdefault((id(scope.signature), given), scope)


def change_of(scope: Scope) -> str | None:
    """Return the name of a value that outlives a call and that the function changes, or None."""
    todo, met = [scope], set()
    while todo:
        called = todo.pop()
        if id(called) in met:
            continue
        met.add(id(called))
        for change in sorted(called.effects.changes, key=lambda each: (each.shown, each.method)):
            if change.method == REBOUND or any(
                not level and _changes(value, change.method) for value, level in called.follow(change.reach)
            ):
                return change.shown
        for call in called.effects.calls:
            for function, _ in called.follow(call.function):
                if isinstance(function, np.ufunc) and _writes(function, call, called):
                    return function.__name__
            todo += called.callees(call)
    return None


def _writes(function: np.ufunc, call: ReachedCall, scope: Scope) -> bool:
    """Whether a ufunc has an output argument that outlives a call."""
    outputs = [
        each
        for given, reaches in call.given
        if given.isdigit() and int(given) >= function.nin
        for each in reaches
    ]
    return any(not level for each in outputs for _, level in scope.follow(each))


def attribute_of(value: Any, steps: Iterable[str]) -> list[Any]:
    """Return the values that a chain of attributes leads to; `MISSING` for unknown ones."""
    found = [(value, 0)]
    for step in steps:
        found = [each for value in found for each in ([] if step == RESULT else _step(value, step))]
    return [value for value, _ in found]


def _changes(value: Any, method: str) -> bool:
    """Whether a change affects a value: by an assignment, in place, or by one of its methods."""
    if value is MISSING:
        return method != IN_PLACE_CHANGE
    if isinstance(value, Scope):
        return False  # it was made in this call
    if isinstance(value, _SHELLS):
        return method == STORED
    return not isinstance(value, _FIXED)


def _distinct(found: Iterable[Found]) -> list[Found]:
    return list({(id(value), level): (value, level) for value, level in found}.values())


def _step(found: Found, step: str) -> Iterable[Found]:
    value, level = found
    if step == WRAP:
        return ((value, level + 1),)
    if level:
        return (found,) if step == SLICE else ((value, level - 1),)
    return ((each, 0) for each in _steps(value, step))


def _steps(value: Any, step: str) -> Iterable[Any]:
    if value is MISSING:
        return (MISSING,)
    if isinstance(value, np.ndarray):
        # A row of an array shares its data; a number is a copy.
        shares = value.ndim > 1 or value.dtype == object if step == ITEM else step == SLICE or step in _VIEWS
        return (value,) if shares else ()
    if step == ITEM and isinstance(value, list | tuple | dict | set | frozenset | deque):
        return (value.values() if isinstance(value, dict) else value) or (MISSING,)
    if isinstance(value, list | dict | set | deque):
        return ()  # a slice is new; methods whose results are shared are followed by their names
    if isinstance(value, ModuleType | type) and step not in (ITEM, SLICE):
        return (vars(value).get(step, MISSING),)
    return () if isinstance(value, (*_FIXED, *_SHELLS, Scope)) else (MISSING,)

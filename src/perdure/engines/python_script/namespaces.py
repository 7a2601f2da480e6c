"""Namespaces: where a script keeps things by name, and which of them are state.

Attributes of the script, variables of its modules and of its classes. What was there when the script had been
initialised and can't change is a constant: modules, classes, functions that keep nothing, loggers; in modules
and classes also tuples and frozensets of such and of plain values. A fresh script has the constants again.
Everything else is state.
"""

import logging
import types
from collections.abc import Mapping
from typing import Any

from perdure.engines.python_script.census import Census
from perdure.errors import NotSnapshotable
from perdure.state.codec import State

__all__ = ["DEFINITION", "Namespace"]

DEFINITION = "perdure_definition"
"""The attribute in which a function's decorators say what it is for."""

_IMMUTABLE = (type(None), bool, int, float, str, bytes, complex, range)
_CONSTANT = (types.ModuleType, type, types.BuiltinFunctionType, logging.Logger)
_OF_CLASSES = (
    types.FunctionType,
    property,
    staticmethod,
    classmethod,
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
)


class Namespace:
    """One place where things are kept by name.

    Parameters
    ----------
    what
        What its things are called in errors, such as ``attribute``.
    owner
        The object, module or class.
    whose
        Whose they are, such as ``the engine 'a'``.
    apart
        What is saved by other means, by name.
    """

    def __init__(self, what: str, owner: Any, whose: str, apart: Mapping[str, Any] | None = None) -> None:
        self._what = what
        self._owner = owner
        self._whose = whose
        self._constants: dict[str, Any] = dict(apart or {})
        for name, value in self._items().items():
            if self._constant(value):
                self._constants[name] = value

    def snapshot(self, census: Census) -> State:
        """Return a copy of its state; raise `NotSnapshotable` with the name of what can't be saved."""
        state: dict[str, State] = {}
        for name, value in self._items().items():
            place = self._place(name)
            if name in self._constants and self._constants[name] is value:
                _check_function(place, value)
                continue
            if isinstance(value, (*_CONSTANT, types.FunctionType)):
                raise NotSnapshotable(
                    what=place, reason=f"a {type(value).__name__} set after `initialize` isn't known later"
                )
            state[name] = census.take(place, value)
        for name in self._constants:
            if name not in vars(self._owner):
                raise NotSnapshotable(what=self._place(name), reason="it was deleted after `initialize`")
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put a state back; the names that it doesn't have are deleted, constants stay."""
        for name, value in self._items().items():
            if name not in state and not (name in self._constants and self._constants[name] is value):
                delattr(self._owner, name)
        for name, value in state.items():
            setattr(self._owner, name, value)

    def _place(self, name: str) -> str:
        return f"{self._whose}, {self._what} {name!r}"

    def _items(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self._owner).items() if not _special(name)}

    def _constant(self, value: Any) -> bool:
        if isinstance(value, _CONSTANT):
            return True
        if isinstance(self._owner, type) and isinstance(value, _OF_CLASSES):
            return True
        if isinstance(value, types.FunctionType):
            return value.__closure__ is None
        return isinstance(self._owner, type | types.ModuleType) and _unchanging(value)


def _check_function(place: str, value: Any) -> None:
    """Raise `NotSnapshotable` for a function that may keep something: in attributes, or in a default."""
    function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    if not isinstance(function, types.FunctionType):
        return
    if vars(function).keys() - {DEFINITION}:
        raise NotSnapshotable(what=place, reason="the function has attributes of its own")
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    if not all(isinstance(value, (*_IMMUTABLE, *_CONSTANT)) or _unchanging(value) for value in defaults):
        raise NotSnapshotable(what=place, reason="a default of its arguments can change; use None")


def _special(name: str) -> bool:
    return (name.startswith("__") and name.endswith("__")) or name.startswith("_abc_")


def _unchanging(value: Any) -> bool:
    """Return whether a tuple or frozenset holds nothing that can change."""
    return isinstance(value, tuple | frozenset) and all(
        isinstance(item, (*_IMMUTABLE, *_CONSTANT)) or _unchanging(item) for item in value
    )

"""Constants: which of the things that code holds by name can be proved to keep nothing.

Code itself is one: modules, classes, functions, and tuples of such and of plain values. A function is one if
nothing it reaches can change: its closure, its defaults, what it wraps, what a method is bound to. The proof
is made once, when the code has been initialised, and is cheap to look at again. What a library keeps in its
own modules and classes is trusted; `Surroundings` looks at their attributes.
"""

import abc
import collections
import dataclasses
import logging
import random
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from perdure.engines.python_script.modules import registered

__all__ = ["DEFINITION", "DESCRIPTORS", "Found", "Proof", "of_library"]

DEFINITION = "perdure_definition"
"""The attribute in which a function's decorators say what it is for."""

_PLAIN = (type(None), bool, int, float, str, bytes, complex, range, np.dtype, np.ufunc)
DESCRIPTORS: tuple[type, ...] = (
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    type(collections.namedtuple("_", "x").x),  # type: ignore[attr-defined]
)
"""What a class has for its slots, its fields and the methods it takes from C."""
# Not those derived from them, which may keep something.
_PROPERTIES = (
    *(property, staticmethod, classmethod),
    *(abc.abstractproperty, abc.abstractstaticmethod, abc.abstractclassmethod),
)
_legacy: Any = np.random
_SHARED = (random._inst, _legacy.mtrand._rand)  # every party saves their states
_MARKS = (dataclasses.MISSING, getattr(dataclasses, "_HAS_DEFAULT_FACTORY", None))
_ATTRIBUTES_OF_LOGGERS = frozenset(vars(logging.getLogger(__name__)))
_IMMUTABLE_TYPE = 1 << 8  # CPython's Py_TPFLAGS_IMMUTABLETYPE
_OF_DECORATORS = {DEFINITION, "__wrapped__", "__isabstractmethod__", "__final__", "__override__"}
_EMPTY = object()


class Found:
    """What is met on the way of proofs.

    Parameters
    ----------
    own
        The party's own modules, by name.
    shared
        Classes that a party's code may keep things in though they aren't its own.
    given
        Whether something was given to the party's code, and keeps nothing of it.

    Attributes
    ----------
    classes
        Classes of the party's own code, and those shared: where things may be kept.
    trusted
        Modules, classes and functions of libraries.
    """

    def __init__(
        self,
        own: Mapping[str, types.ModuleType],
        shared: tuple[type, ...],
        given: Callable[[Any], bool] = lambda thing: False,
    ) -> None:
        self.given = given
        self.classes: list[type] = []
        self.trusted: list[Any] = []
        self._own = own
        self._shared = shared
        self._met: set[int] = set()

    def meet(self, thing: Any) -> None:
        """Take note of a module, a library's function, or a class with its bases and its own class."""
        if id(thing) in self._met:
            return
        self._met.add(id(thing))
        if isinstance(thing, types.ModuleType):
            if self._own.get(thing.__name__) is not thing:
                self.trusted.append(thing)
            return
        if isinstance(thing, types.FunctionType):
            self.trusted.append(thing)
            return
        if thing.__flags__ & _IMMUTABLE_TYPE:
            return
        own = thing in self._shared or thing.__module__ in self._own or not of_library(thing)
        (self.classes if own else self.trusted).append(thing)
        for base in (*thing.__bases__, type(thing)):
            self.meet(base)

    def made_by_hand(self, module: types.ModuleType) -> bool:
        """Return whether nobody else has a module: it wasn't imported."""
        name = module.__name__
        homes = (self._own.get(name), registered().get(name), sys.modules.get(name))
        return module.__spec__ is None and not any(home is module for home in homes)

    def are_of_a_module(self, names: Mapping[str, Any]) -> bool:
        """Return whether names are the variables of a module: those are looked at by themselves."""
        name = names.get("__name__")
        homes = (self._own.get(str(name)), sys.modules.get(str(name)))
        return any(home is not None and vars(home) is names for home in homes)


class Proof:
    """Whether a value is constant.

    Parameters
    ----------
    value
        The value.
    found
        Takes what is met on the way.

    Attributes
    ----------
    reason
        Why it may keep something; None if it can't.
    """

    def __init__(self, value: Any, found: Found) -> None:
        self.value = value
        self._found = found
        self._met: dict[int, Any] = {}
        self._cells: list[tuple[types.CellType, Any]] = []
        self._functions: list[tuple[types.FunctionType, Any, Any]] = []
        self._names: list[tuple[Mapping[str, Any], dict[str, Any]]] = []
        self.reason = self._why_not(value)

    def check(self) -> str | None:
        """Return why the value may keep something, also as it is by now; None if it is as it was."""
        if self.reason is not None:
            return self.reason
        for function, code, defaults in self._functions:
            if _attributes(function):
                return "the function has attributes of its own"
            if function.__code__ is not code or function.__defaults__ is not defaults:
                return "the function was changed after `initialize`"
        for cell, was in self._cells:
            if _content(cell) is not was:
                return "the function keeps something in its closure"
        for names, were in self._names:
            if len(names) != len(were) or any(names.get(name) is not value for name, value in were.items()):
                return "the function keeps something in its globals"
        return None

    def _why_not(self, value: Any) -> str | None:
        if isinstance(value, DESCRIPTORS) or type(value) in _PLAIN or isinstance(value, np.dtype):
            return None
        if self._found.given(value):
            return None
        if id(value) in self._met or any(value is mark for mark in (*_MARKS, _EMPTY)):
            return None
        self._met[id(value)] = value
        parts: list[Any]
        match value:
            case types.ModuleType() if self._found.made_by_hand(value):
                return "the module was made by hand"
            case types.ModuleType() | type():
                self._found.meet(value)
                return None
            case logging.Logger():
                self._found.meet(type(value))
                own = vars(value).keys() - _ATTRIBUTES_OF_LOGGERS
                return f"the logger has an attribute {min(own)!r} of its own" if own else None
            case tuple() | frozenset() if not getattr(value, "__dict__", None):
                parts = list(value)
            case property() if type(value) in _PROPERTIES:
                parts = [value.fget, value.fset, value.fdel]
            case staticmethod() | classmethod() if type(value) in _PROPERTIES:
                parts = [value.__func__]
            case types.FunctionType():
                return self._why_not_function(value)
            case types.BuiltinFunctionType() | types.MethodType():
                if any(value.__self__ is shared for shared in _SHARED):
                    return None
                if self._why_not(value.__self__) is not None:
                    kind = type(value.__self__)
                    return f"it is bound to a {kind.__module__}.{kind.__qualname__}, which can change"
                parts = [getattr(value, "__func__", None)]
            case _ if of_library(value):
                return None
            case _:
                return f"it holds a {type(value).__module__}.{type(value).__qualname__}, which can change"
        return next((reason for part in parts if (reason := self._why_not(part)) is not None), None)

    def _why_not_function(self, function: types.FunctionType) -> str | None:
        if of_library(function):
            self._found.meet(function)
            return None
        if _attributes(function):
            return "the function has attributes of its own"
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        if any(self._why_not(default) is not None for default in defaults):
            return "a default of its arguments can change; use None"
        self._functions.append((function, function.__code__, function.__defaults__))
        for cell in function.__closure__ or ():
            content = _content(cell)
            self._cells.append((cell, content))
            # Where `repr` of a dataclass notes that it is under way.
            if type(content) is set and function.__code__.co_filename == dataclasses.__file__:
                continue
            reason = self._why_not(content)
            if reason is not None:
                return f"in the closure of the function, {reason}"
        names = function.__globals__
        if not self._found.are_of_a_module(names) and id(names) not in self._met:
            self._met[id(names)] = names
            self._names.append((names, dict(names)))
            for name, value in names.items():
                if name != "__builtins__" and self._why_not(value) is not None:
                    return f"the function keeps {name!r} in globals that are no module's"
        return self._why_not(vars(function).get("__wrapped__"))


def of_library(thing: Any) -> bool:
    """Return whether a class or something to call is what a module of all has under its name."""
    home: Any = sys.modules.get(str(getattr(thing, "__module__", None)))
    for name in getattr(thing, "__qualname__", "").split("."):
        home = getattr(home, "__dict__", {}).get(name)
    return home is thing and callable(thing)


def _attributes(function: types.FunctionType) -> set[str]:
    return vars(function).keys() - _OF_DECORATORS


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY

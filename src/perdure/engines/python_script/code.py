"""Code: the modules, classes and functions of a part, and whether they keep anything.

Code isn't state, because a fresh part has it again; so it must keep nothing of its own. It is walked through
after its initialisation, and compared at each savepoint with how it was at the first step.

A function keeps nothing if its defaults, its closure and the object it is bound to can't change; otherwise it
is refused. The variables of the part's own classes are state (`Namespace`). Libraries are shared by the
whole process: the public attributes of their modules, classes and functions are compared. Changes within
these values, and of private attributes, aren't detected.
"""

import abc
import collections
import dataclasses
import logging
import operator
import random
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from perdure.engines.python_script.modules import registered
from perdure.errors import NotSnapshotable

__all__ = ["DEFINITION", "Code"]

DEFINITION = "perdure_definition"
"""The attribute in which the decorators of a function record its purpose."""

_CODE = (
    *(types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType, types.MethodType),
    *(logging.Logger, np.ufunc, np.dtype),
    # descriptors of a class: slots, fields and methods in C
    *(types.MemberDescriptorType, types.GetSetDescriptorType, types.MethodDescriptorType),
    *(types.WrapperDescriptorType, types.ClassMethodDescriptorType),
    type(collections.namedtuple("_", "x").x),  # type: ignore[attr-defined]
)
_EXACTLY = (  # exactly these types: derived ones may keep something
    *(property, staticmethod, classmethod),
    *(abc.abstractproperty, abc.abstractstaticmethod, abc.abstractclassmethod),
)
_PLAIN = (type(None), bool, int, float, str, bytes, complex, range)
_EMPTY = object()
_legacy: Any = np.random
_CONSTANTS = (
    *(random._inst, _legacy.mtrand._rand),  # parts save their states
    *(_EMPTY, dataclasses.MISSING, getattr(dataclasses, "_HAS_DEFAULT_FACTORY", None)),
)
_OF_LOGGERS = frozenset(vars(logging.getLogger(__name__)))
_BOUND = ("fget", "fset", "fdel", "__func__", "__self__")
_IMMUTABLE_TYPE = 1 << 8  # CPython's Py_TPFLAGS_IMMUTABLETYPE

_Look = Callable[[Any], Mapping[Any, Any]]


class Code:
    """The code of one part.

    Parameters
    ----------
    own
        The part's own modules, by name.
    shared
        Classes of others in which the part's code may keep variables.
    given
        Returns whether a value was given to the part's code, and keeps nothing of it.

    Attributes
    ----------
    classes
        The classes found that may have variables: the part's own, and the shared ones.
    libraries
        The modules, classes and functions of libraries found, with the places that hold them.
    """

    def __init__(
        self,
        own: Mapping[str, types.ModuleType],
        shared: tuple[type, ...] = (),
        given: Callable[[Any], bool] = lambda thing: False,
    ) -> None:
        self.classes: list[type] = []
        self.libraries: list[tuple[str, Any]] = []
        self._own = own
        self._shared = shared
        self._given = given
        self._refusal: NotSnapshotable | None = None
        self._met: dict[int, Any] = {}
        self._watched: list[tuple[str, Any, _Look]] = []  # the part's own objects
        self._noted: list[tuple[str, Any, _Look, Mapping[Any, Any]]] = []

    def holds(self, place: str, value: Any, *, tuples: bool = False) -> bool:
        """Return whether a value is code, and walk through it; other values may be state.

        Parameters
        ----------
        place
            The place that holds the value, for errors.
        value
            The value.
        tuples
            Whether tuples and frozensets of code and of plain values are code too.
        """
        if isinstance(value, _CODE) or type(value) in _EXACTLY or _is_library(value):
            if id(value) not in self._met:
                self._met[id(value)] = value  # keeps the objects alive, so that their ids stay unique
                self._walk(place, value)
            return True
        is_tuple = tuples and isinstance(value, tuple | frozenset) and not getattr(value, "__dict__", None)
        return is_tuple and all(self._is_constant(place, part) for part in value)

    def note(self) -> None:
        """Record what can change in the code, as of the part's first step."""
        libraries = [(place, thing, vars) for place, thing in self.libraries]
        self._noted = [
            (place, thing, look, dict(look(thing))) for place, thing, look in (*self._watched, *libraries)
        ]

    def check(self) -> None:
        """Raise `NotSnapshotable` if the code may keep something, or differs from what was recorded."""
        if self._refusal is not None:
            raise self._refusal
        for place, thing, look, noted in self._noted:
            present = look(thing)
            if len(present) == len(noted) and all(map(operator.is_, present.values(), noted.values())):
                continue
            for name, value in present.items():
                if noted.get(name, noted) is not value and not (look is vars and _is_its_own(name, value)):
                    raise NotSnapshotable(what=place, reason=f"it keeps something as {name!r}")

    def _is_constant(self, place: str, value: Any) -> bool:
        is_plain = type(value) in _PLAIN or any(value is constant for constant in _CONSTANTS)
        return is_plain or self.holds(place, value, tuples=True)

    def _walk(self, place: str, thing: Any) -> None:
        if self._given(thing):
            return
        match thing:
            case types.ModuleType():
                self._walk_module(place, thing)
            case type():
                self._walk_class(place, thing)
            case logging.Logger():
                self._watched.append((place, thing, _of_logger))
                self._walk_parts(place, (type(thing), *_of_logger(thing).values()), "it holds")
            case types.FunctionType():
                self._walk_function(place, thing)
            case (
                types.BuiltinFunctionType() | types.MethodType() | property() | staticmethod() | classmethod()
            ):
                self._walk_parts(place, [getattr(thing, name, None) for name in _BOUND], "it is bound to")

    def _walk_module(self, place: str, module: types.ModuleType) -> None:
        name = module.__name__
        if self._own.get(name) is module:
            return
        self.libraries.append((place, module))
        if module.__spec__ is None and module not in (registered().get(name), sys.modules.get(name)):
            self._refuse(place, "the module was made by hand")

    def _walk_class(self, place: str, kind: type) -> None:
        if kind.__flags__ & _IMMUTABLE_TYPE:
            return
        if kind in self._shared or kind.__module__ in self._own or not _is_library(kind):
            self.classes.append(kind)
        else:
            self.libraries.append((place, kind))
        for one in (*kind.__bases__, type(kind)):
            self.holds(place, one)

    def _walk_function(self, place: str, function: types.FunctionType) -> None:
        if _is_library(function):
            self.libraries.append((place, function))
            return
        self._watched.append((place, function, _of_function))
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        self._walk_parts(place, defaults, "a default of its arguments (use None) is")
        # The `repr` of a dataclass records in an empty set that it is running.
        of_dataclass = function.__code__.co_filename == dataclasses.__file__
        closure = [part for part in _closure(function).values() if not (of_dataclass and type(part) is set)]
        self._walk_parts(place, closure, "in its closure is")
        attributes = [value for name, value in vars(function).items() if name != DEFINITION]
        self._walk_parts(place, attributes, "an attribute of it is")
        names = function.__globals__
        home = self._own.get(name := str(names.get("__name__")), sys.modules.get(name))
        if (home is None or vars(home) is not names) and id(names) not in self._met:
            self._met[id(names)] = names
            self._watched.append((place, names, dict))
            parts = [value for name, value in names.items() if name != "__builtins__"]
            self._walk_parts(place, parts, "in its globals, which are no module's, is")

    def _walk_parts(self, place: str, parts: Iterable[Any], how: str) -> None:
        for part in parts:
            if not self._is_constant(place, part):
                kind = type(part)
                self._refuse(place, f"{how} a {kind.__module__}.{kind.__qualname__}, which can change")

    def _refuse(self, place: str, reason: str) -> None:
        self._refusal = self._refusal or NotSnapshotable(what=place, reason=reason)


def _of_function(function: types.FunctionType) -> Mapping[str, Any]:
    """Return the objects that a function holds, except its globals."""
    changing = {name: getattr(function, name) for name in ("__code__", "__defaults__", "__kwdefaults__")}
    closure = {f"{name} of its closure": part for name, part in _closure(function).items()}
    return {**vars(function), **changing, **closure}


def _of_logger(logger: logging.Logger) -> Mapping[str, Any]:
    """Return the attributes of a logger that other loggers don't have."""
    return {name: value for name, value in vars(logger).items() if name not in _OF_LOGGERS}


def _closure(function: types.FunctionType) -> Mapping[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: _content(cell) for name, cell in cells}


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _is_library(thing: Any) -> bool:
    """Return whether a class or callable is found in `sys.modules` under its name."""
    home: Any = sys.modules.get(str(getattr(thing, "__module__", None)))
    for name in getattr(thing, "__qualname__", "").split("."):
        home = getattr(home, "__dict__", {}).get(name)
    return home is thing and callable(thing)


def _is_its_own(name: str, value: Any) -> bool:
    """Return whether a library may set the attribute itself: a private one, or a late import."""
    return name.startswith("_") or isinstance(value, types.ModuleType) or _is_library(value)

"""Known code: the modules, classes and functions of a model, which are found again instead of being saved.

Code with a name is found by it, in modules that are loaded. Other code that exists once the model is built,
such as the lambdas of a data collector, is **kept**: the model is built again with the same arguments, which
makes it again, and it is found by its number in a walk through the new model.

Own code is the code of the model's folder. What its modules and classes keep in variables, and what functions
keep in closures, defaults and attributes, is data, and so are the variables of classes without a name.
"""

import collections
import enum
import functools
import logging
import random
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from perdure.engines.generators import OF_THE_PROCESS
from perdure.engines.mesa.function_caches import CachedFunction, cached_functions, keyword_mark
from perdure.engines.mesa.unsavable import Unsavable

__all__ = ["GENERATORS", "KnownCode", "function_parts", "mesa_modules", "variables"]

_Modules = Callable[[], Mapping[str, types.ModuleType]]

_CODE = (
    *(types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType, types.CodeType),
    *(types.MemberDescriptorType, types.GetSetDescriptorType, types.MethodDescriptorType),
    *(types.WrapperDescriptorType, types.ClassMethodDescriptorType, types.UnionType),
    *(property, staticmethod, classmethod, functools.cached_property, functools.singledispatchmethod),
    type(collections.namedtuple("_", "x").x),  # type: ignore[attr-defined]
    *(np.ufunc, logging.Logger, typing.TypeVar, CachedFunction),
)
_legacy: Any = np.random
GENERATORS = frozenset((type(random._inst), type(_legacy.mtrand._rand)))
"""The types of the process's generators; a model may have others of the same type."""

_PLAIN = frozenset((type(None), bool, int, float, str, bytes))
_PARTS_OF_DESCRIPTORS = ("fget", "fset", "fdel", "func", "__func__", "__wrapped__")


class KnownCode:
    """The code that a model refers to.

    Parameters
    ----------
    own
        Returns the model's own modules, by name.
    """

    def __init__(self, own: _Modules) -> None:
        self._own = own
        self._learns = True
        self._kept: list[Callable[[], Any]] = []
        self._numbers: dict[int, int] = {}
        self._cached: tuple[int, list[Any]] = (-1, [])  # for how many own modules
        self._named: dict[
            int, tuple[Any, list[Any]]
        ] = {}  # keeps what it names alive, so that ids stay unique

    def settle(self) -> None:
        """End the walk through a new model: code that is met for the first time later isn't known."""
        self._learns = False

    def holds(self, value: Any) -> bool:
        """Return whether a value is code."""
        if isinstance(value, types.BuiltinFunctionType):
            return value.__self__ is None or isinstance(value.__self__, types.ModuleType | type)
        if isinstance(value, _CODE) or id(value) in OF_THE_PROCESS or value is keyword_mark():
            return True
        return type(value).__module__ == "typing" or type(value).__name__ == "cython_function_or_method"

    def knows(self, thing: Any) -> bool:
        """Return whether code can be found again."""
        try:
            self.record(thing)
        except Unsavable:
            return False
        return True

    def record(self, thing: Any) -> list[Any]:
        """Return how code is found again; raise `Unsavable` if it can't be."""
        named = self._named.get(id(thing))
        if named is not None:
            return named[1]
        if isinstance(thing, types.ModuleType):
            found = ["module", thing.__name__]
        elif thing is keyword_mark():
            found = ["mark"]
        elif isinstance(thing, logging.Logger):
            found = ["logger", thing.name]
        else:
            module, name = OF_THE_PROCESS.get(id(thing)) or _name_of(thing)
            if not module or self._find(module, name) is not thing:
                return self._record_kept(thing)
            found = ["named", module, name]
        self._named[id(thing)] = thing, found
        return found

    def find(self, record: list[Any]) -> Any:
        """Return the code of a record; raise `LookupError` if there is none."""
        found: Any
        match record:
            case ["module", str(name)]:
                found = self._module(name)
            case ["logger", str(name)]:
                found = logging.getLogger(name)
            case ["mark"]:
                found = keyword_mark()
            case ["named", str(module), str(name)]:
                found = self._find(module, name)
            case ["kept", int(number)]:
                found = self._kept[number]()
            case _:
                found = None
        if found is None:
            raise LookupError(f"there is no code {record!r:.200}")
        return found

    def keeps_data(self, thing: Any) -> bool:
        """Return whether code may keep data that belong to the model."""
        if isinstance(thing, types.ModuleType):
            return self._own().get(thing.__name__) is thing
        if isinstance(thing, types.FunctionType):
            return self._is_own(thing) and any(part for part in function_parts(thing).values())
        return isinstance(thing, type) and not issubclass(thing, enum.Enum) and self._is_own(thing)

    def within(self, thing: Any) -> Iterator[Any]:
        """Return the code that a property or another descriptor is made of."""
        for name in _PARTS_OF_DESCRIPTORS:
            part = getattr(thing, name, None)
            if isinstance(part, types.FunctionType):
                yield part

    @property
    def caches(self) -> list[Any]:
        """The cached functions of the model's own modules and of Mesa."""
        own = self._own()
        if self._cached[0] != len(own):
            self._cached = len(own), [*cached_functions([*own.values(), *mesa_modules()])]
        return self._cached[1]

    def _is_own(self, thing: Any) -> bool:
        return thing.__module__ in self._own() or self.record(thing)[0] == "kept"

    def _record_kept(self, thing: Any) -> list[Any]:
        number = self._numbers.get(id(thing))
        if number is None or self._kept[number]() is not thing:
            if not self._learns:
                name = getattr(thing, "__qualname__", type(thing).__qualname__)
                raise Unsavable(thing, f"the code {name:.80} was made after the model was built")
            number = self._numbers[id(thing)] = len(self._kept)
            try:  # weakly, because a function may hold agents
                self._kept.append(weakref.ref(thing))
            except TypeError:
                self._kept.append(lambda: thing)
        return ["kept", number]

    def _module(self, name: str) -> types.ModuleType | None:
        return self._own().get(name) or sys.modules.get(name)

    def _find(self, module: str, name: str) -> Any:
        found: Any = self._module(module)
        for part in name.split("."):
            # Not by `getattr`, which would call descriptors.
            found = getattr(found, "__dict__", {}).get(part)
        return found


def function_parts(function: types.FunctionType) -> dict[str, Any]:
    """Return what a function may keep: its defaults, the cells of its closure and its attributes."""
    defaults = function.__defaults__ or ()
    keywords = function.__kwdefaults__ or {}
    plain = all(type(value) in _PLAIN for value in (*defaults, *keywords.values()))
    return {
        "defaults": () if plain else defaults,
        "keywords": {} if plain else keywords,
        "closure": function.__closure__ or (),
        "attributes": vars(function),
    }


def variables(owner: Any) -> dict[str, Any]:
    """Return the variables of a module or class, except Python's own."""
    return {
        name: value
        for name, value in vars(owner).items()
        if not (name.startswith("__") and name.endswith("__")) and name != "_abc_impl"
    }


def _name_of(thing: Any) -> tuple[str, str]:
    module = getattr(thing, "__module__", None) or ""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or ""
    if isinstance(thing, types.BuiltinFunctionType) and not module:
        module = getattr(thing.__self__, "__name__", "")
    if isinstance(thing, np.ufunc):
        module = "numpy"
    return (module, name) if isinstance(module, str) and isinstance(name, str) else ("", "")


def mesa_modules() -> list[types.ModuleType]:
    """Return Mesa's own modules that are loaded."""
    return [module for name, module in [*sys.modules.items()] if name.partition(".")[0] == "mesa"]

"""Code: what Python's code is, in a graph of objects, and by which name it is found."""

import collections
import functools
import logging
import random
import types
import typing
from typing import Any

import numpy as np

from perdure.engines.generators import OF_THE_PROCESS

__all__ = ["GENERATORS", "CachedFunction", "is_code", "name_of", "variables"]

CachedFunction: Any = type(functools.lru_cache(lambda: None))

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


def is_code(value: Any) -> bool:
    """Return whether a value is code, or a generator of the process."""
    if isinstance(value, types.BuiltinFunctionType):
        return value.__self__ is None or isinstance(value.__self__, types.ModuleType | type)
    if isinstance(value, _CODE) or id(value) in OF_THE_PROCESS:
        return True
    return type(value).__module__ == "typing" or type(value).__name__ == "cython_function_or_method"


def name_of(thing: Any) -> tuple[str, str]:
    """Return the module and the qualified name of code, each empty if it has none."""
    if id(thing) in OF_THE_PROCESS:
        return OF_THE_PROCESS[id(thing)]
    module = getattr(thing, "__module__", None) or ""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or ""
    if isinstance(thing, types.BuiltinFunctionType) and not module:
        module = getattr(thing.__self__, "__name__", "")
    if isinstance(thing, np.ufunc):
        module = "numpy"
    return (module, name) if isinstance(module, str) and isinstance(name, str) else ("", "")


def variables(owner: Any) -> dict[str, Any]:
    """Return the variables of a module or class, except Python's own."""
    return {
        name: value
        for name, value in vars(owner).items()
        if not (name.startswith("__") and name.endswith("__")) and name != "_abc_impl"
    }

"""Attributes: what an author sets on a model besides its elements, for user functions to read.

They are copied when a model is registered, and functions can't change them: a resumed run reads the same
values as the first one.
"""

from collections.abc import Iterable, Mapping
from types import FunctionType, MappingProxyType, MethodType
from typing import Any

import numpy as np

__all__ = ["attributes_of", "names_in", "readable"]


def attributes_of(model: object, base: type) -> dict[str, Any]:
    """Return the public attributes of a model and of its classes below `base`, containers copied.

    Parameters
    ----------
    model
        The model.
    base
        The class whose own attributes are left out.
    """
    own = vars(base())
    found: dict[str, Any] = {}
    for kind in reversed(type(model).__mro__):
        if issubclass(kind, base) and kind is not base:
            found |= {name: value for name, value in vars(kind).items() if _counts(name, value, base)}
    found |= {name: value for name, value in vars(model).items() if name not in own}
    return {name: _copied(value) for name, value in found.items() if not name.startswith("_")}


def readable(value: Any, view: object) -> Any:
    """Return an attribute as functions see it: containers are immutable, methods are bound to the view."""
    if isinstance(value, FunctionType):
        return MethodType(value, view)
    if isinstance(value, staticmethod):
        return value.__func__
    return _frozen(value)


def names_in(tokens: Iterable[str]) -> set[str]:
    """Return all attributes and strings that occur in the canonical walk of a function."""
    return {token[5:-1] for token in tokens if token.startswith("str:'")}


def _counts(name: str, value: object, base: type) -> bool:
    hook = hasattr(base, name) and isinstance(value, FunctionType)
    return not hook and not isinstance(value, classmethod | property)


def _copied(value: Any) -> Any:
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(map(_copied, value))
    if type(value) is dict:
        return {key: _copied(each) for key, each in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _frozen(each) for key, each in value.items()})
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
    return value

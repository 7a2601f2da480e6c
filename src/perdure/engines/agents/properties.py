"""Properties: typed values of agents and models that scenarios set.

A property is a dict with a type and a value. It is read and written like an attribute; a value that is
written is converted to the type, the value that a property is made with is not.
"""

from collections.abc import Callable
from typing import Any

from perdure.engines.agents.exceptions import WrongTypeException

__all__ = ["TYPES", "Property", "converted", "missing_attribute"]

Property = dict[str, Any]
"""``{"type": …, "value": …}``."""

TYPES = ("Double", "String", "Integer", "Lookup", "Dictionary", "Boolean", "Agent")

_NUMBERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Double": (float, "a floating point number"),
    "Integer": (int, "an Integer"),
}
_KINDS: dict[str, tuple[type, str]] = {"String": (str, "a String"), "Dictionary": (dict, "a Dictionary")}


def converted(name: str, kind: str, value: Any) -> Any:
    """Return a value as a property of that type holds it.

    Raises
    ------
    WrongTypeException
        If it isn't of the type, and can't be converted to it.
    """
    if kind in _NUMBERS:
        make, what = _NUMBERS[kind]
        try:
            return make(value)
        except (TypeError, ValueError, OverflowError):
            raise WrongTypeException(_wrong(name, kind, value, what)) from None
    if kind in _KINDS:
        expected, what = _KINDS[kind]
        if not isinstance(value, expected):
            raise WrongTypeException(_wrong(name, kind, value, what))
    return value


def missing_attribute(owner: object, name: str) -> AttributeError:
    """Return the error for an attribute that is neither set nor a property."""
    return AttributeError(f"{type(owner).__name__}.{name} is invalid.")


def _wrong(name: str, kind: str, value: Any, what: str) -> str:
    return f"property type for {name} says {kind} but {value} is not {what}."

"""Derived types: classes that a program derives from built-in types, whose objects are saved by parts."""

import collections
from collections.abc import Callable, Mapping
from copyreg import _slotnames  # type: ignore[attr-defined]
from typing import Any

__all__ = ["DERIVED", "base_of", "is_made_of", "plain_of", "slots_of"]

DERIVED: Mapping[str, Any] = {
    kind.__name__: kind
    for kind in (list, dict, set, frozenset, tuple, int, float, str, bytes, collections.deque)
} | {"defaultdict": collections.defaultdict, "OrderedDict": collections.OrderedDict}
"""The built-in types whose derived classes can be saved, by name."""

_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "int": int.__int__,
    "float": float.__float__,
    "str": str.__str__,
    "bytes": lambda value: bytes.__getitem__(value, slice(None)),
}
_HEAP = 1 << 9  # CPython's Py_TPFLAGS_HEAPTYPE
_POINTER = 8


def base_of(kind: type) -> str | None:
    """Return the name of the type in `DERIVED` that a class is made of; None if there is none."""
    for name, base in DERIVED.items():
        if issubclass(kind, base) and is_made_of(kind, base):
            return name
    return None


def is_made_of(kind: type, base: type) -> bool:
    """Return whether a class adds nothing in C to its base: attributes and slots only."""
    heap = [one for one in kind.__mro__ if one is not base and one.__flags__ & _HEAP]
    others = {one for one in kind.__mro__ if one not in heap} - {*base.__mro__}
    size = base.__basicsize__ + _POINTER * len(slots_of(kind))
    size += _POINTER * bool(kind.__dictoffset__) + _POINTER * bool(kind.__weakrefoffset__)
    return not others and kind.__basicsize__ <= size and kind.__itemsize__ == base.__itemsize__


def plain_of(name: str, value: Any) -> Any:
    """Return what an object of a class derived from int, float, str or bytes is as one of that type.

    The class's own conversions, such as ``__str__``, aren't called.
    """
    return _PLAIN[name](value)


def slots_of(kind: type) -> list[str]:
    """Return the names of the slots of a class and its bases, as attributes are called."""
    found: list[str] = _slotnames(kind)
    return found

"""Paths: where an object of a graph holds a value, as it is written in Python."""

import collections
from collections.abc import Iterable, Mapping
from typing import Any

from perdure.engines.derived_types import slots_of

__all__ = ["holds", "located", "step"]


def holds(value: Any, wanted: Any) -> bool:
    """Return whether a value is the wanted one, or an unchangeable value that consists of it."""
    if isinstance(value, tuple | frozenset):
        return any(holds(part, wanted) for part in value)
    parts = (value, *(getattr(value, name, None) for name in ("__self__", "__func__", "func")))
    return any(part is wanted for part in parts)


def located(path: str, name: str, what: str) -> str:
    """Return in words where a value is: what has this name holds it at this path."""
    return f"{name}{path} in {what}" if path else what


def step(holder: Any, wanted: Any) -> str:
    """Return how a value is reached from the object that holds it; empty if that isn't found."""
    for name, value in getattr(holder, "__dict__", {}).items():
        if holds(value, wanted):
            return f".{name}"
    for name in slots_of(type(holder)):
        if holds(getattr(holder, name, None), wanted):
            return f".{name}"
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(holder, Mapping):
        pairs = holder.items()
    elif isinstance(holder, list | collections.deque):
        pairs = enumerate(holder)
    for key, value in pairs:
        if holds(value, wanted):
            return f"[{key!r:.40}]"
    return ""

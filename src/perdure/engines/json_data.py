"""Data of data packs: JSON values, copied whenever they pass from one owner to another."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from perdure.errors import InvalidDataPack

__all__ = ["copied"]

_PLAIN = frozenset([type(None), bool, int, float, str])


def copied(value: Any, name: str, engine: str) -> Any:
    """Return a copy of a data pack's data that shares nothing with it.

    As in nrp-core, the data are JSON: tuples and NumPy arrays become lists, NumPy scalars become Python
    numbers with the same bits. Unlike in nrp-core, infinities and NaN are kept.

    Parameters
    ----------
    value
        The data.
    name, engine
        The data pack's name and its engine's, for the error.

    Raises
    ------
    InvalidDataPack
        If the value, or a part of it, isn't JSON; the message says where.
    """
    try:
        return _copied(value)
    except RecursionError:
        raise InvalidDataPack(
            name=name, engine=engine, reason="its data are nested too deeply, or hold themselves"
        ) from None
    except _NotJson as error:
        raise InvalidDataPack(name=name, engine=engine, reason=error.reason) from None


class _NotJson(Exception):
    """A part of a value isn't JSON. Each level that the error passes adds its own index or key."""

    def __init__(self, before: str, after: str) -> None:
        super().__init__(before, after)
        self._before, self._after = before, after
        self._places: list[object] = []  # the innermost first

    def within(self, place: object) -> "_NotJson":
        """Return the error, with one more index or key of its place."""
        self._places.append(place)
        return self

    @property
    def reason(self) -> str:
        """The reason, with the place in the data."""
        place = "".join(f"[{place!r}]" for place in reversed(self._places))
        return f"{self._before} data{place} {self._after}"


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, list | tuple):
        items = []
        for i, item in enumerate(value):
            try:
                items.append(item if type(item) in _PLAIN else _copied(item))
            except _NotJson as error:
                raise error.within(i) from None
        return items
    if isinstance(value, Mapping):
        copy = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise _NotJson(f"the key {key!r:.80} in its", "is not a text")
            try:
                copy[str(key)] = item if type(item) in _PLAIN else _copied(item)
            except _NotJson as error:
                raise error.within(key) from None
        return copy
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        return _copied(value.tolist())
    for plain in (bool, int, float, str):
        if isinstance(value, plain):
            return plain(value)
    raise _NotJson(
        "its",
        f"is a {kind.__module__}.{kind.__qualname__}; a data pack holds numbers, texts, "
        "lists and dicts of them",
    )

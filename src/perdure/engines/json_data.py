"""Data of data packs: JSON values, copied whenever they pass from one owner to another."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from perdure.errors import InvalidDataPack

__all__ = ["copied"]

_PLAIN = (type(None), bool, int, float, str)


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
        return _copied(value, "data", name, engine)
    except RecursionError:
        raise InvalidDataPack(
            name=name, engine=engine, reason="its data are nested too deeply, or hold themselves"
        ) from None


def _copied(value: Any, place: str, name: str, engine: str) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, list | tuple):
        return [_copied(item, f"{place}[{i}]", name, engine) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidDataPack(
                    name=name, engine=engine, reason=f"the key {key!r:.80} in its {place} is not a text"
                )
        return {str(key): _copied(item, f"{place}[{key!r}]", name, engine) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        return _copied(value.tolist(), place, name, engine)
    for plain in (bool, int, float, str):
        if isinstance(value, plain):
            return plain(value)
    raise InvalidDataPack(
        name=name,
        engine=engine,
        reason=f"its {place} is a {kind.__module__}.{kind.__qualname__}; a data pack holds numbers, texts, "
        "lists and dicts of them",
    )

"""Columns: one attribute of many objects as one value, array or list, so that thousands take milliseconds."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any

import numpy as np

from perdure.engines.objects.rebuilding import Rebuilder
from perdure.engines.objects.recording import Place, Recorder
from perdure.state.codec import State

__all__ = ["column_of", "row_of", "values_of"]

_SAME = frozenset((str, bool, type(None)))


def column_of(values: list[Any], place: Place, recorder: Recorder) -> State:
    """Return the values of an attribute as a column.

    Parameters
    ----------
    values
        A value for each object, at least one; nothing else refers to the list.
    place
        The attribute, for problems.
    recorder
        Records values that aren't plain.
    """
    kinds = set(map(type, values))
    if kinds == {float}:
        return ["floats", np.array(values)]
    if kinds == {int}:
        with suppress(OverflowError):
            return ["integers", np.array(values, dtype=np.int64)]
    if kinds <= _SAME and len(kinds) == 1 and values.count(values[0]) == len(values):
        return ["same", recorder.root(place, values[0])]
    if kinds == {list} and not any(values) and max(map(sys.getrefcount, values)) <= _REFERENCES:
        return ["empty"]
    return ["data", recorder.roots(place, values)]


def values_of(column: Any, size: int, graph: Rebuilder) -> Sequence[Any]:
    """Return the values of a column: `size` of them, one for each object."""
    kind, *data = column
    if kind == "same":
        return [data[0]] * size
    if kind == "empty":
        return [[] for _ in range(size)]
    if kind == "data":
        return graph.values(data[0])
    numbers: list[Any] = data[0].tolist()
    return numbers


def row_of(column: Any, row: int, graph: Rebuilder) -> Any:
    """Return the value of a column for one object."""
    kind, *data = column
    if kind in ("floats", "integers"):
        return data[0][row].item()
    return graph.value(data[0][row]) if kind == "data" else values_of(column, 1, graph)[0]


def _references() -> int:
    """Return what Python counts, in `column_of`, for a list that only one attribute refers to."""
    dicts: list[dict[str, list[Any]]] = [{"held": []}]
    values = [*map(itemgetter("held"), dicts)]
    return max(map(sys.getrefcount, values))


_REFERENCES = _references()

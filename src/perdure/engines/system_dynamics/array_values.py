"""Array values: what is given for the cells when an element is set up as an array.

Each function returns the shape, and the values in the order of its cells.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from perdure.engines.numbers import finite
from perdure.engines.system_dynamics.shapes import Shape, labelled, numbered
from perdure.errors import ModelError

__all__ = ["matrix", "named_matrix", "named_vector", "vector"]

Cells: TypeAlias = tuple[Shape, list[Any]]


def vector(name: str, size: Any, values: Any) -> Cells:
    """Return the cells of a vector; `values` is one for all, or a list of them.

    Raises
    ------
    ModelError
        If the sizes don't fit.
    """
    shape = numbered([size], name)
    return shape, _listed(values, shape.size, f"the vector {name!r}")


def matrix(name: str, size: Any, values: Any) -> Cells:
    """Return the cells of a matrix; `values` is one for all, or a list of rows, each such a list or value.

    Raises
    ------
    ModelError
        If the sizes don't fit.
    """
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ModelError(f"The matrix {name!r} needs two sizes, [rows, columns], not {size!r:.40}.")
    shape = numbered(size, name)
    rows, columns = map(len, shape.axes)
    listed = _listed(values, rows, f"the matrix {name!r}")
    return shape, [cell for row in listed for cell in _listed(row, columns, f"a row of the matrix {name!r}")]


def named_vector(name: str, values: Any) -> Cells:
    """Return the cells of a mapping of names to numbers.

    Raises
    ------
    ModelError
        If it isn't one.
    """
    given = _mapping(values, name)
    return labelled([given], name), [_number(value, name) for value in given.values()]


def named_matrix(name: str, values: Any) -> Cells:
    """Return the cells of a mapping of names to mappings, which all have the same names.

    Raises
    ------
    ModelError
        If it isn't one.
    """
    rows = [_mapping(row, name) for row in _mapping(values, name).values()]
    columns = list(rows[0]) if rows else []
    if any(row.keys() != rows[0].keys() for row in rows):
        raise ModelError(f"The rows of the matrix {name!r} must have the same names.")
    return labelled([values, columns], name), [_number(row[key], name) for row in rows for key in columns]


def _listed(values: Any, size: int, what: str) -> list[Any]:
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str):
        return [values] * size
    if len(values) != size:
        raise ModelError(f"The size of {what} is {size}, but it is given {len(values)} values.")
    return list(values)


def _mapping(value: Any, name: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise ModelError(f"The names of the array {name!r} are a mapping to values, not {value!r:.40}.")
    return value


def _number(value: Any, name: str) -> float:
    number = finite(value)
    if number is None:
        raise ModelError(f"A cell of the named array {name!r} is set to a finite number, not {value!r:.40}.")
    return number

"""Arrays: converts NumPy's arrays and scalars into plain parts of a state, and back, with type and bits."""

import math
from typing import Any, cast

import numpy as np

from perdure.errors import NotSnapshotable

__all__ = ["array_parts", "is_plain", "made_array", "made_scalar", "plain_parts", "scalar_parts"]

_MANTISSA_OF_80_BITS = 63  # bits; a `long double` on x86, which occupies 16 bytes of memory
_KINDS = "biufcSUmM"  # fully described by the name of the type; records ("V") need more


def is_plain(value: Any) -> bool:
    """Return whether a value is an array whose type has a name that describes it."""
    return type(value) is np.ndarray and value.dtype.kind in _KINDS


def plain_parts(array: Any) -> list[Any]:
    """Return the parts of an array that `is_plain`."""
    return [_name(array.dtype), array.shape, _bytes(array)]


def array_parts(value: Any, path: str) -> list[Any] | None:
    """Return the parts of an array; None for any other value.

    Raises
    ------
    NotSnapshotable
        If its element type has no exact bytes.
    """
    if type(value) is not np.ndarray:
        return None
    return [_exact_name(value.dtype, path), [*value.shape], _bytes(value)]


def scalar_parts(value: Any, path: str) -> list[Any] | None:
    """Return the parts of a NumPy scalar; None for any other value.

    Raises
    ------
    NotSnapshotable
        If its type has no exact bytes.
    """
    if not isinstance(value, np.generic) or type(value) is not value.dtype.type:
        return None
    # Python's own values: NumPy cuts off trailing zeros.
    if isinstance(value, str):
        return ["U", value[:]]
    if isinstance(value, bytes):
        return ["S", value[:]]
    return [_exact_name(value.dtype, path), _bytes(np.array(value))]


def made_array(name: Any, shape: Any, elements: bytes) -> Any:
    """Return an array that owns its memory; raise `ValueError` or `TypeError` if the parts make none."""
    dtype = np.lib.format.descr_to_dtype(name)
    if dtype.hasobject or len(elements) != dtype.itemsize * math.prod(shape):
        raise ValueError(f"{len(elements)} bytes are no array of the type {dtype} and the shape {shape}")
    made = np.ndarray(tuple(shape), dtype, elements)
    return made.copy() if dtype.itemsize else np.ndarray(made.shape, dtype)


def made_scalar(name: Any, content: Any) -> Any:
    """Return a NumPy scalar; raise as `made_array` does."""
    if name == "U":
        return np.str_(content)
    return np.bytes_(content) if name == "S" else made_array(name, (), content)[()]


def _exact_name(dtype: np.dtype[Any], path: str) -> Any:
    """Return the name of an element type, or the fields of a record type.

    Refuse types without exact bytes.
    """
    if not dtype.hasobject:
        if dtype.kind in _KINDS:
            return _name(dtype)
        if dtype.kind == "V":
            fields = np.lib.format.dtype_to_descr(dtype)
            again = np.lib.format.descr_to_dtype(fields)
            if again == dtype and again.type is dtype.type:
                return fields
    raise NotSnapshotable(what=path, reason=f"the dtype {dtype} has no exact bytes")


def _name(dtype: np.dtype[Any]) -> str:
    """Return the name of an element type; `str` doesn't distinguish NumPy's `long long` from `long`."""
    name = dtype.str
    return name if np.dtype(name).num == dtype.num else name[0] + dtype.char


def _bytes(array: Any) -> bytes:
    """Return the bytes of an array in C order; the padding of 80-bit numbers is set to zero."""
    if array.dtype.char not in "gG" or np.finfo(array.dtype).nmant != _MANTISSA_OF_80_BITS:
        return cast(bytes, array.tobytes())
    numbers = np.frombuffer(array.tobytes(), np.uint8).reshape(-1, np.dtype("g").itemsize).copy()
    numbers[:, 10:] = 0
    return numbers.tobytes()

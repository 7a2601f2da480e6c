"""Frames: converts DataFrames, Series and Indexes of pandas into plain parts of a state, and back.

A restored frame has the same values, types and memory layout, since sums depend on the layout: each block of
a frame is restored as an array with its strides, in a memory area of the same size. Frames of pandas 3 that
share memory don't see each other's changes; therefore restored frames need not share it.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from perdure.errors import MissingExtra, NotSnapshotable

__all__ = ["is_frame", "made", "parts_of", "roots"]

_KINDS = "biufcmMSU"  # element types that their bytes describe fully
_ATOMS = (type(None), bool, int, float, str, bytes)
_COPY_ON_WRITE = 3  # the first major version of pandas that always copies on write


def is_frame(value: Any) -> bool:
    """Return whether a value is a DataFrame, Series or Index."""
    return _pandas_of(value) is not None


def parts_of(value: Any, path: str) -> list[Any] | None:
    """Return the parts of a DataFrame, Series or Index as a `State`; None for any other value.

    Raises
    ------
    NotSnapshotable
        If it holds something that can't be restored exactly; the message says what.
    """
    pandas = _pandas_of(value)
    if pandas is None:
        return None
    if int(pandas.__version__.partition(".")[0]) < _COPY_ON_WRITE:
        raise NotSnapshotable(what=path, reason=f"pandas {pandas.__version__} shares memory; use pandas 3")
    if isinstance(value, pandas.Index):
        return ["Index", _index(pandas, value, path)]
    if value.attrs or not value.flags.allows_duplicate_labels:
        raise NotSnapshotable(what=path, reason="it has attrs or flags of its own")
    blocks = [[block.mgr_locs.as_array, _array(pandas, block.values, path)] for block in value._mgr.blocks]
    index = _index(pandas, value.index, path)
    if type(value) is pandas.Series:
        return ["Series", index, _name(value.name, path), blocks[0][1]]
    return ["DataFrame", index, _index(pandas, value.columns, path), blocks]


def made(parts: Any) -> Any:
    """Return the value that `parts_of` took apart.

    Raises
    ------
    MissingExtra
        If pandas isn't installed.
    ValueError
        If the parts make no value.
    """
    try:
        pandas, internals = import_module("pandas"), import_module("pandas.api.internals")
    except ImportError:
        raise MissingExtra(what="A state with a DataFrame", package="pandas", extra="pandas") from None
    try:
        match parts:
            case ["Index", index]:
                return _made_index(pandas, index)
            case ["Series", index, name, array]:
                values, index = _made_array(pandas, array), _made_index(pandas, index)
                return pandas.Series(values, index, values.dtype, name, copy=False)
            case ["DataFrame", index, columns, blocks]:
                return internals.create_dataframe_from_blocks(
                    [(_made_array(pandas, array), placement) for placement, array in blocks],
                    index=_made_index(pandas, index),
                    columns=_made_index(pandas, columns),
                )
    except Exception as error:
        raise ValueError(f"these are no parts of a frame: {error!r}") from error
    raise ValueError("these are no parts of a frame")


def roots(value: Any) -> list[Any]:
    """Return the arrays that own the memory of a frame's values: the root of each view."""
    pandas = _pandas_of(value)
    if pandas is None:
        return []
    is_index = isinstance(value, pandas.Index)
    axes = [value] if is_index else value.axes
    arrays = [axis._data for axis in axes if type(axis) in (pandas.Index, pandas.DatetimeIndex)]
    arrays += [] if is_index else value._mgr.arrays
    found = (array if isinstance(array, np.ndarray) else getattr(array, "_ndarray", None) for array in arrays)
    return [_root(array) for array in found if array is not None]


def _pandas_of(value: Any) -> ModuleType | None:
    """Return pandas if the value is an instance of exactly one of its types, not of a subclass."""
    pandas = sys.modules.get("pandas")
    kind = type(value)
    if pandas is None or not kind.__module__.startswith("pandas"):
        return None
    return pandas if kind in (pandas.DataFrame, pandas.Series) or isinstance(value, pandas.Index) else None


def _index(pandas: Any, index: Any, path: str) -> list[Any]:
    names = [_name(name, path) for name in index.names]
    kind = type(index)
    if kind is pandas.RangeIndex:
        return ["range", names, index.start, index.stop, index.step]
    if kind is pandas.MultiIndex:
        levels = [_index(pandas, level, path) for level in index.levels]
        return ["multi", names, levels, [np.array(codes) for codes in index.codes]]
    if kind in (pandas.DatetimeIndex, pandas.TimedeltaIndex):
        return ["times", names, _array(pandas, index._data, path), index.freqstr]
    if kind is pandas.Index:
        return ["values", names, _array(pandas, index._data, path)]
    raise NotSnapshotable(what=path, reason=f"it has a {kind.__name__}")


def _made_index(pandas: Any, parts: Any) -> Any:
    match parts:
        case ["range", [name], start, stop, step]:
            return pandas.RangeIndex(start, stop, step, name=name)
        case ["multi", names, levels, codes]:
            return pandas.MultiIndex(
                [_made_index(pandas, level) for level in levels], codes, names=names, verify_integrity=False
            )
        case ["times", [name], array, freq]:
            index = pandas.Index(_made_array(pandas, array), name=name, copy=False)
            index.freq = freq
            return index
        case ["values", [name], array]:
            values = _made_array(pandas, array)
            return pandas.Index(values, dtype=values.dtype, name=name, copy=False)
    raise ValueError("these are no parts of an index")


def _array(pandas: Any, values: Any, path: str) -> list[Any]:
    if isinstance(values, pandas.arrays.DatetimeArray | pandas.arrays.TimedeltaArray):
        if getattr(values, "tz", None) is not None:
            raise NotSnapshotable(what=path, reason=f"it has times of the zone {values.tz}")
        values = values._ndarray
    if isinstance(values, pandas.Categorical):
        codes = _array(pandas, values.codes, path)
        return ["categories", codes, _index(pandas, values.categories, path), values.ordered]
    dtype = values.dtype
    if isinstance(dtype, pandas.StringDtype):
        missing = values.isna()
        texts = [None if gone else str(text) for text, gone in zip(values, missing, strict=True)]
        return ["texts", texts, dtype.storage, dtype.na_value is pandas.NA]
    if isinstance(values, np.ndarray) and dtype.kind == "O":
        objects = values.ravel(order="K").tolist()
        if all(type(each) in _ATOMS for each in objects):
            in_order = "C" if values.flags.c_contiguous else "F" if values.flags.f_contiguous else ""
            if in_order:
                return ["objects", objects, list(values.shape), in_order]
    elif isinstance(values, np.ndarray) and dtype.kind in _KINDS and dtype.char not in "gG":
        return ["array", *_reached(values)]
    raise NotSnapshotable(what=path, reason=f"it has values of the dtype {dtype}")


def _made_array(pandas: Any, parts: Any) -> Any:
    match parts:
        case ["categories", codes, categories, ordered]:
            kind = pandas.CategoricalDtype(_made_index(pandas, categories), ordered)
            return pandas.Categorical.from_codes(_made_array(pandas, codes), dtype=kind)
        case ["texts", texts, storage, by_na]:
            kind = pandas.StringDtype(storage, na_value=pandas.NA if by_na else np.nan)
            return pandas.array(texts, dtype=kind)
        case ["objects", objects, shape, order]:
            flat = np.empty(len(objects), object)
            flat[:] = objects
            return flat.reshape(shape, order=order)
        case ["array", memory, dtype, shape, strides, offset] if np.dtype(dtype).kind in _KINDS:
            return np.ndarray(tuple(shape), np.dtype(dtype), memory, offset, strides and tuple(strides))
    raise ValueError("these are no parts of an array")


def _reached(array: Any) -> list[Any]:
    """Return the memory that an array covers, and its layout in there."""
    name, shape, strides = array.dtype.str, list(array.shape), list(array.strides)
    if not array.size:
        return [np.empty(0, np.uint8), name, shape, None, 0]
    spans = [(length - 1) * stride for length, stride in zip(shape, strides, strict=True)]
    before, after = -sum(span for span in spans if span < 0), sum(span for span in spans if span > 0)
    memory = np.zeros(before + after + array.itemsize, np.uint8)
    np.ndarray(array.shape, array.dtype, memory, before, array.strides)[...] = array
    return [memory, name, shape, strides, before]


def _name(name: Any, path: str) -> Any:
    if type(name) in _ATOMS or (type(name) is tuple and all(type(part) in _ATOMS for part in name)):
        return name
    raise NotSnapshotable(what=path, reason=f"its name {name!r:.80} is a {type(name).__name__}")


def _root(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array

"""Plain values: the types of Python's library and NumPy whose values can't change, as data and back."""

import datetime
import decimal
import fractions
import pathlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from perdure.engines.objects.problems import Unsavable

__all__ = ["PLAIN_MAKERS", "PLAIN_VALUES", "is_numpy_scalar"]

_Take = Callable[[Any], list[Any]]
_Make = Callable[..., Any]


def _moment(value: Any) -> list[Any]:
    zone = value.tzinfo
    if zone is not None and type(zone) is not datetime.timezone:
        raise Unsavable(value, f"its time zone is a {type(zone).__qualname__}, not datetime.timezone")
    return [value.isoformat(), value.fold]


def _path(kind: type[pathlib.PurePath]) -> tuple[str, _Take, _Make]:
    return kind.__name__, lambda path: [str(path)], kind


PLAIN_VALUES: Mapping[type, tuple[str, _Take, _Make]] = {
    complex: ("complex", lambda value: [value.real, value.imag], complex),
    range: ("range", lambda value: [value.start, value.stop, value.step], range),
    slice: ("slice", lambda value: [value.start, value.stop, value.step], slice),
    type(...): ("...", lambda value: [], lambda: ...),
    type(NotImplemented): ("NotImplemented", lambda value: [], lambda: NotImplemented),
    decimal.Decimal: ("Decimal", lambda value: [str(value)], decimal.Decimal),
    fractions.Fraction: (
        "Fraction",
        lambda value: [value.numerator, value.denominator],
        fractions.Fraction,
    ),
    datetime.date: ("date", lambda value: [value.isoformat()], datetime.date.fromisoformat),
    datetime.datetime: (
        "datetime",
        _moment,
        lambda text, fold: datetime.datetime.fromisoformat(text).replace(fold=fold),
    ),
    datetime.time: (
        "time",
        _moment,
        lambda text, fold: datetime.time.fromisoformat(text).replace(fold=fold),
    ),
    datetime.timedelta: (
        "timedelta",
        lambda value: [value.days, value.seconds, value.microseconds],
        datetime.timedelta,
    ),
    datetime.timezone: (
        "timezone",
        lambda value: [value.utcoffset(None) / datetime.timedelta(microseconds=1)],
        lambda offset: datetime.timezone(datetime.timedelta(microseconds=offset)),
    ),
    uuid.UUID: ("UUID", lambda value: [value.int], lambda number: uuid.UUID(int=number)),
    re.Pattern: ("pattern", lambda value: [value.pattern, value.flags], re.compile),
    pathlib.PosixPath: _path(pathlib.PosixPath),
    pathlib.PurePosixPath: _path(pathlib.PurePosixPath),
}
"""By type: the name in records, and functions to the parts of a value, which are plain, and back."""

PLAIN_MAKERS: Mapping[str, _Make] = {name: make for name, _, make in PLAIN_VALUES.values()}
"""By the name in records: what makes a value of its parts."""


def is_numpy_scalar(value: Any) -> bool:
    """Return whether a value is one of NumPy's numbers, texts or moments."""
    return isinstance(value, np.generic) and type(value) is value.dtype.type and value.dtype.kind != "V"

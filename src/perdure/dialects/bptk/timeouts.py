"""Timeouts: how long an instance may stay unused, checked before anything is stored."""

import math
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from perdure.dialects.bptk.instance import Instance
from perdure.errors import InvalidTimeout, suggest

__all__ = ["DEFAULT", "checked_timeout", "lasts"]

KEYS = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")
LONGEST = timedelta(days=36_525)  # a hundred years

DEFAULT: Mapping[str, int] = MappingProxyType({key: 12 if key == "hours" else 0 for key in KEYS})


def checked_timeout(value: Any) -> dict[str, int | float]:
    """Return a client's timeout with all seven keys; missing ones are zero.

    Raises
    ------
    InvalidTimeout
        If it isn't an object of finite numbers from 0 on under known keys, is zero in all, or is longer than
        a hundred years.
    """
    if not isinstance(value, dict):
        raise InvalidTimeout(reason=f"it is an object of numbers, not {value!r:.80}")
    for key, number in value.items():
        if key not in KEYS:
            raise InvalidTimeout(reason=f"it has an unknown key {key!r:.80}.{suggest(key, KEYS)}".rstrip("."))
        if isinstance(number, bool) or not isinstance(number, int | float) or not _fits(number):
            raise InvalidTimeout(reason=f"{key} is a finite number from 0 on, not {number!r:.80}")
    timeout = {key: value.get(key, 0) for key in KEYS}
    try:
        total = timedelta(**timeout)
    except OverflowError:
        total = timedelta.max
    if not timedelta(0) < total <= LONGEST:
        raise InvalidTimeout(reason="it has to be longer than zero, and at most a hundred years")
    return timeout


def lasts(instance: Instance) -> float:
    """Return an instance's timeout in seconds."""
    return timedelta(**instance.timeout).total_seconds()


def _fits(number: float) -> bool:
    """Return whether a number is finite, not negative, and small enough to be stored."""
    return (isinstance(number, int) or math.isfinite(number)) and 0 <= number < 2**63

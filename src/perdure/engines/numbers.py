"""Numbers that users and clients pass."""

import math
from numbers import Real

__all__ = ["finite"]


def finite(value: object) -> float | None:
    """Return `value` as a float if it is a finite number (a bool is none), otherwise None."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None

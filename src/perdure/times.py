"""Simulation times: exact fractions of a second, rounded to nanoseconds only for display.

1/60 s is not a whole number of nanoseconds: sixty steps of 16,666,667 ns take more than a second. So steps
are counted, and times compared, as fractions.
"""

import math
from fractions import Fraction
from typing import Final

__all__ = ["NANOSECOND", "exact", "nanoseconds", "whole_nanoseconds"]

NANOSECOND: Final = Fraction(1, 10**9)
LARGEST_DENOMINATOR = 10**6
WHOLE_FROM = 2.0**53  # all floats from here on are whole numbers, and the next one may be infinite


def exact(seconds: float) -> Fraction:
    """Return the time that a float stands for, 0 or positive.

    It is the simplest fraction that rounds to the float, if its denominator is at most 10⁶; otherwise the
    decimal number with the fewest digits that rounds to it. Floats from 2⁵³ on are whole numbers and used
    unchanged.

    >>> exact(0.016666666666666666), exact(0.035), exact(1e-9)
    (Fraction(1, 60), Fraction(7, 200), Fraction(1, 1000000000))
    """
    if isinstance(seconds, int):
        return Fraction(seconds)
    seconds = float(seconds)  # NumPy's floats have another repr
    if seconds == 0 or seconds >= WHOLE_FROM:
        return Fraction(seconds)
    # Halfway to the next floats; neither end is ever simpler than the float between them.
    low = (Fraction(seconds) + Fraction(math.nextafter(seconds, 0.0))) / 2
    high = (Fraction(seconds) + Fraction(math.nextafter(seconds, math.inf))) / 2
    simplest = _simplest(low, high)
    return simplest if simplest.denominator <= LARGEST_DENOMINATOR else Fraction(repr(seconds))


def whole_nanoseconds(seconds: float) -> Fraction:
    """Return a float as whole nanoseconds, for runs from before times were exact."""
    return Fraction(round(seconds * 1e9), 10**9)


def nanoseconds(time: Fraction | int, unit: int = 1) -> int:
    """Return the whole nanosecond nearest to a time; of two the later, so that steps of 1 ns never coincide.

    The time is in seconds, or in fractions of a second given by `unit`.
    """
    parts = time.denominator * unit
    return (2_000_000_000 * time.numerator + parts) // (2 * parts)


def _simplest(low: Fraction, high: Fraction) -> Fraction:
    """Return the fraction of the smallest denominator between two positive ones (by continued fractions)."""
    whole = math.floor(low)
    if whole == low:
        return Fraction(whole)
    if whole + 1 <= high:
        return Fraction(whole + 1)
    return whole + 1 / _simplest(1 / (high - whole), 1 / (low - whole))

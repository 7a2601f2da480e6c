"""Functions of Vensim that compiled equations call.

Source: Vensim's function reference. Two numbers that differ by less than a millionth of a unit are the same
where it says "zero".
"""

import math

__all__ = ["FUNCTIONS"]

_ZERO = 1e-6


def sinh(x: float) -> float:
    try:
        return math.sinh(x)
    except OverflowError:
        return math.copysign(math.inf, x)


def cosh(x: float) -> float:
    try:
        return math.cosh(x)
    except OverflowError:
        return math.inf


def truncate(x: float) -> float:
    """INTEGER: the whole part, towards zero."""
    return float(math.trunc(x)) if math.isfinite(x) else x


def quantum(x: float, unit: float) -> float:
    """QUANTUM: the whole multiple of `unit` next to `x` towards zero; `x` if the unit is zero or less."""
    return x if unit < _ZERO else unit * truncate(x / unit)


def remainder(x: float, unit: float) -> float:
    """MODULO: what `quantum` leaves, with the sign of `x`."""
    return x - quantum(x, unit)


def xidz(numerator: float, denominator: float, otherwise: float) -> float:
    """XIDZ, and ZIDZ with zero `otherwise`: a quotient, or `otherwise` if the denominator is zero."""
    return otherwise if abs(denominator) < _ZERO else numerator / denominator


def interval(t: float, dt: float, start: float, width: float) -> float:
    """PULSE: 1.0 from `start` for `width`, at least for one step if that is zero; otherwise 0.0.

    Half a step is added to the time, so that rounding errors don't matter.
    """
    middle = t + 0.5 * dt
    return 1.0 if start < middle < start + (width if width > 0.0 else dt) else 0.0


def intervals(t: float, dt: float, start: float, repeat: float, width: float, end: float) -> float:
    """PULSE TRAIN: 1.0 from `start` for `width`, again every `repeat`, up to and at `end`; otherwise 0.0."""
    middle = t + 0.5 * dt
    if not start < middle < end + dt:
        return 0.0
    if repeat <= width:
        return 1.0
    since = middle - start
    return 1.0 if since - repeat * math.floor(since / repeat) < max(width, dt) else 0.0


def quotient(x: float, y: float) -> float:
    """A division that goes on at zero, with inf or nan as in IEEE 754."""
    if y != 0.0:
        return x / y
    return math.nan if x == 0.0 or x != x else math.copysign(math.inf, x) * math.copysign(1.0, y)


FUNCTIONS: dict[str, object] = {
    "sinh": sinh,
    "cosh": cosh,
    "tanh": math.tanh,
    "truncate": truncate,
    "quantum": quantum,
    "quotient": quotient,
    "remainder": remainder,
    "xidz": xidz,
    "interval": interval,
    "intervals": intervals,
}
"""The names that compiled equations can use."""

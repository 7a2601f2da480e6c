"""Run specs: the grid of times of a run, and the times of its outputs.

Time is t0 + n·dt, never a sum of steps, so it has the same bits however a run is cut. Displayed times are
rounded to the decimals of the grid, so that 0.1 + 2·0.1 and 0 + 1·0.3 both read 0.3.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from perdure.engines.numbers import finite
from perdure.errors import InvalidRunSpecs

__all__ = ["RunSpecs", "decimals", "is_multiple"]

_MOST_STEPS = 2**53  # Larger numbers of grid points aren't all floats.
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class RunSpecs:
    """The checked run specs of a run; times are in the model's unit.

    Parameters
    ----------
    starttime, stoptime
        The first and the last time; the grid may end before `stoptime` if `dt` doesn't divide the span.
    dt
        The length of a step.
    timestep
        The time between two outputs, a multiple of `dt`; `dt` by default.
    method
        ``"euler"`` or ``"rk4"``.
    name
        The model's name, for errors.

    Raises
    ------
    InvalidRunSpecs
        If a value isn't a finite number, dt isn't positive or too small for the times, the times are in the
        wrong order, there are too many steps, or `timestep` isn't a multiple of `dt`.
    """

    starttime: float
    stoptime: float
    dt: float
    timestep: float | None = None
    method: str = "euler"
    name: str = ""

    def __post_init__(self) -> None:
        for key in ("starttime", "stoptime", "dt", "timestep"):
            value = getattr(self, key)
            if value is None and key == "timestep":
                value = self.dt
            number = finite(value)
            if number is None:
                raise self._error(f"{key} must be a finite number, not {value!r:.80}")
            object.__setattr__(self, key, number)
        if not self.dt > 0.0:
            raise self._error(f"dt must be positive, not {self.dt!r}")
        if self.stoptime < self.starttime:
            raise self._error(f"stoptime {self.stoptime!r} is before starttime {self.starttime!r}")
        if self.method not in ("euler", "rk4"):
            raise self._error(f"the method must be 'euler' or 'rk4', not {self.method!r:.80}")
        steps = (self.stoptime - self.starttime) / self.dt
        if not steps <= _MOST_STEPS:
            raise self._error(f"they make {steps:.6g} steps; no more than {_MOST_STEPS} can be counted")
        if any(t + self.dt == t for t in (self.starttime, self.stoptime)):
            raise self._error(
                f"dt {self.dt!r} is too small beside the times, which aren't changed by adding it"
            )
        if not is_multiple(self._timestep, self.dt):
            raise self._error(f"timestep {self.timestep!r} is not a multiple of dt {self.dt!r}")

    @property
    def last(self) -> int:
        """The number of the last grid point; the first is 0."""
        steps = (self.stoptime - self.starttime) / self.dt
        nearest = round(steps)
        return nearest if abs(steps - nearest) <= _TOLERANCE * max(1.0, steps) else math.floor(steps)

    @property
    def multiple(self) -> int:
        """The number of steps between two outputs."""
        return round(self._timestep / self.dt)

    @property
    def answers(self) -> int:
        """The number of times with outputs, the start time included."""
        return self.last // self.multiple + 1

    @property
    def tolerance(self) -> float:
        """The largest difference of two equal times: the rounding error of t0 + n·dt, with a margin."""
        return 1e-9 * self.dt + 1e-15 * max(abs(self.starttime), abs(self.stoptime))

    @property
    def decimals(self) -> int:
        """The number of decimals that times of outputs are displayed with."""
        return decimals(self.starttime, self._timestep)

    def time(self, n: int) -> float:
        """Return the time of grid point `n`."""
        return self.starttime + n * self.dt

    @property
    def _timestep(self) -> float:
        assert self.timestep is not None
        return self.timestep

    def _error(self, reason: str) -> InvalidRunSpecs:
        return InvalidRunSpecs(name=self.name, reason=reason)


def is_multiple(timestep: float, dt: float) -> bool:
    """Return whether a positive `timestep` is a whole multiple of a positive `dt`, but for rounding.

    >>> is_multiple(0.3, 0.1), is_multiple(0.25, 0.1)
    (True, False)
    """
    multiple = timestep / dt
    return 0.5 < multiple <= _MOST_STEPS and abs(multiple - round(multiple)) <= _TOLERANCE * multiple


@lru_cache(maxsize=1024)
def decimals(*numbers: float) -> int:
    """Return the largest number of decimals among finite numbers.

    >>> decimals(1.0, 0.25), decimals(0.0, 1e-07)
    (2, 7)
    """
    exponents = (Decimal(repr(float(number))).normalize().as_tuple().exponent for number in numbers)
    return max(0, *(-exponent for exponent in exponents if isinstance(exponent, int)))

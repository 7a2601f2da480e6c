"""Run specs: the grid of times a run is computed on, and those it answers.

Time is t0 + n·dt, never a sum of steps, so that it has the same bits however a run is cut. Times that are
shown are rounded to the decimals of the grid: then 0.1 + 2·0.1 reads 0.3, as 0 + 1·0.3 does.
"""

import math
from dataclasses import dataclass
from decimal import Decimal

from perdure.engines.system_dynamics.expression import finite
from perdure.errors import InvalidRunSpecs

__all__ = ["RunSpecs", "decimals"]

_MOST_STEPS = 2**53  # Beyond, not every number of a grid point is a float.
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
        The time between two answers, a multiple of `dt`; `dt` itself by default.
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
            raise self._error(f"dt {self.dt!r} is too small beside the times to tell them apart")
        multiple = self._timestep / self.dt
        if not 0.5 < multiple <= _MOST_STEPS or abs(multiple - round(multiple)) > _TOLERANCE * multiple:
            raise self._error(f"timestep {self.timestep!r} is not a multiple of dt {self.dt!r}")

    @property
    def last(self) -> int:
        """The number of the last grid point; the first is 0."""
        steps = (self.stoptime - self.starttime) / self.dt
        nearest = round(steps)
        return nearest if abs(steps - nearest) <= _TOLERANCE * max(1.0, steps) else math.floor(steps)

    @property
    def multiple(self) -> int:
        """The number of steps from one answer to the next."""
        return round(self._timestep / self.dt)

    @property
    def answers(self) -> int:
        """The number of times that are answered, the start time included."""
        return self.last // self.multiple + 1

    @property
    def tolerance(self) -> float:
        """How far apart two times may be that count as one: the rounding error of t0 + n·dt and some."""
        return 1e-9 * self.dt + 1e-15 * max(abs(self.starttime), abs(self.stoptime))

    @property
    def decimals(self) -> int:
        """How many decimals the times of the grid are shown with."""
        return decimals(self.starttime, self.dt)

    def time(self, n: int) -> float:
        """Return the time of grid point `n`."""
        return self.starttime + n * self.dt

    @property
    def _timestep(self) -> float:
        assert self.timestep is not None
        return self.timestep

    def _error(self, reason: str) -> InvalidRunSpecs:
        return InvalidRunSpecs(name=self.name, reason=reason)


def decimals(*numbers: float) -> int:
    """Return the most decimals that one of some finite numbers is written with.

    >>> decimals(1.0, 0.25), decimals(0.0, 1e-07)
    (2, 7)
    """
    exponents = (Decimal(repr(float(number))).normalize().as_tuple().exponent for number in numbers)
    return max(0, *(-exponent for exponent in exponents if isinstance(exponent, int)))

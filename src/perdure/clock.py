"""The clock that expiries and leases go by: Unix time that no change of the wall clock moves."""

import time
from collections.abc import Callable

__all__ = ["SteadyClock", "steady"]

GRACE_SECONDS = 3600.0  # what was stored before this process began doesn't expire sooner


class SteadyClock:
    """Unix time as it was when the clock was made, and the seconds since by a clock that can't be set.

    When the wall clock is set, or a virtual machine is resumed, this one goes on as if nothing had happened.
    Times that are stored, or come from elsewhere, are times of the wall clock: only these mean the same to
    another process.

    Parameters
    ----------
    wall
        Returns Unix time.
    monotonic
        Returns seconds that only grow.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def __call__(self) -> float:
        """Return the time now."""
        return self._offset + self._monotonic()

    def wall(self) -> float:
        """Return the time now by the wall clock as that is set now."""
        return self._wall()

    def from_wall(self, when: float) -> float:
        """Return what a past time of the wall clock is by this one; a time in the future is now."""
        now = self()
        return min(now, when + (now - self._wall()))

    def earliest(self, lasting: float) -> float:
        """Return when something that lasts so many seconds expires at the earliest, if it was only found now.

        The wall clock, by which its age is told, may have been set since it was stored.
        """
        return self() + min(lasting, GRACE_SECONDS)

    def to_wall(self, when: float) -> float:
        """Return what a time by this clock is by the wall clock as that is set now."""
        return when + (self._wall() - self())


steady = SteadyClock()
"""The clock of this process."""

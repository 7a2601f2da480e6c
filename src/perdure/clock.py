"""The clock for expiries and leases: Unix time that a change of the wall clock doesn't affect."""

import time
from collections.abc import Callable

__all__ = ["SteadyClock", "steady"]

GRACE_SECONDS = 3600.0  # minimum until something expires that was stored before this process started


class SteadyClock:
    """The Unix time at the clock's creation plus the seconds since, by a monotonic clock.

    When the wall clock is set, or a virtual machine is resumed, this clock isn't affected. Stored times, and
    times from elsewhere, are times of the wall clock, since only these have the same meaning in another
    process.

    Parameters
    ----------
    wall
        Returns Unix time.
    monotonic
        Returns seconds that never decrease.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def __call__(self) -> float:
        """Return the current time."""
        return self._offset + self._monotonic()

    def wall(self) -> float:
        """Return the current time of the wall clock."""
        return self._wall()

    def from_wall(self, when: float) -> float:
        """Convert a past time of the wall clock; a time in the future becomes the current time."""
        now = self()
        return min(now, when + (now - self._wall()))

    def earliest(self, lasting: float) -> float:
        """Return the earliest time at which something that was only found now may expire, given its duration.

        The wall clock, which determines its age, may have been set since it was stored.
        """
        return self() + min(lasting, GRACE_SECONDS)

    def to_wall(self, when: float) -> float:
        """Convert a time of this clock into a time of the wall clock."""
        return when + (self._wall() - self())


steady = SteadyClock()
"""The clock of this process."""

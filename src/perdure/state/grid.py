"""The grid on which savepoints lie: integer timestamps anchored at 0."""

from fractions import Fraction
from typing import TypeAlias, TypeVar

__all__ = ["Schedule", "next_savepoint", "previous_savepoint"]

Time = TypeVar("Time", int, Fraction)

Schedule: TypeAlias = int | None
"""The distance between savepoints, in the run's own integer time; None never saves."""


def next_savepoint(schedule: Time, timestamp: Time) -> Time:
    """Return the first grid point after a timestamp.

    >>> next_savepoint(60_000, 10_000), next_savepoint(60_000, 60_000)
    (60000, 120000)
    """
    return timestamp - timestamp % schedule + schedule


def previous_savepoint(schedule: int, timestamp: int) -> int:
    """Return the last grid point at or before a timestamp.

    >>> previous_savepoint(60_000, 30_000), previous_savepoint(60_000, 60_000)
    (0, 60000)
    """
    return timestamp - timestamp % schedule

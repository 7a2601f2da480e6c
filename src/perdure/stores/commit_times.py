"""Commit times: how long the transactions of a store take until they are durable."""

from bisect import bisect_left
from itertools import accumulate
from typing import Final

import msgspec

__all__ = ["LIMITS", "CommitTimes", "CommitTimesCounter"]

LIMITS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds


class CommitTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long commits took, since the store was opened here.

    Attributes
    ----------
    counts
        How many took at most as long as each of `LIMITS`, and at the end how many there were.
    seconds
        Of all of them together.
    """

    counts: tuple[int, ...] = (0,) * (len(LIMITS) + 1)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return self.counts[-1]


class CommitTimesCounter:
    """Counts commits by their time. One thread adds; any may read."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LIMITS) + 1)  # by the least limit that isn't below; longer ones at the end
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count a commit."""
        self._counts[bisect_left(LIMITS, seconds)] += 1
        self._seconds += seconds

    def read(self) -> CommitTimes:
        """Return what was counted so far."""
        return CommitTimes(counts=tuple(accumulate(self._counts)), seconds=self._seconds)

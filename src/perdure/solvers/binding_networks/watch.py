"""Decides when a search must end: at its deadline, or when its caller cancels it."""

import math
import time
from collections.abc import Callable

__all__ = ["TimeIsUp", "Watch"]

LOOK = 1024  # steps between two checks of the time


class TimeIsUp(Exception):
    """The search must end. Caught within the solver."""


class Watch:
    """A deadline and a cancellation check for searches.

    Parameters
    ----------
    timeout
        Seconds from now; None for no deadline.
    cancelled
        Returns whether to end now; called often, in the thread that solves.
    """

    def __init__(self, timeout: float | None = None, cancelled: Callable[[], bool] | None = None) -> None:
        self._deadline = math.inf if timeout is None else time.monotonic() + timeout
        self._cancelled = cancelled
        self._over = False
        self._steps = 0

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, at least 0; infinite without one."""
        return max(0.0, self._deadline - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether to end now; once true, it stays true."""
        if not self._over:
            cancelled = self._cancelled is not None and self._cancelled()
            self._over = cancelled or time.monotonic() >= self._deadline
        return self._over

    def step(self, weight: int = 1) -> None:
        """Count a step of a search, or work worth several steps; check the time now and then.

        Raises
        ------
        TimeIsUp
            The search must end.
        """
        self._steps += weight
        if self._steps >= LOOK:
            self._steps = 0
            if self.over:
                raise TimeIsUp

"""When a search has to end: its time is up, or its caller has had enough of it."""

import math
import time
from collections.abc import Callable

__all__ = ["TimeIsUp", "Watch"]

LOOK = 1024  # steps between two looks at the time


class TimeIsUp(Exception):
    """The watch says to end. Caught within the solver."""


class Watch:
    """A deadline and a question to the caller, asked by whatever searches.

    Parameters
    ----------
    timeout
        Seconds from now; None for as long as it takes.
    cancelled
        Answers whether to end now; asked often, from the thread that solves.
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
        """Whether to end now; once it is so, it stays so."""
        if not self._over:
            cancelled = self._cancelled is not None and self._cancelled()
            self._over = cancelled or time.monotonic() >= self._deadline
        return self._over

    def step(self, weight: int = 1) -> None:
        """Take note of a step of a search, or of as much work as so many; look at the time now and then.

        Raises
        ------
        TimeIsUp
            The search has to end.
        """
        self._steps += weight
        if self._steps >= LOOK:
            self._steps = 0
            if self.over:
                raise TimeIsUp

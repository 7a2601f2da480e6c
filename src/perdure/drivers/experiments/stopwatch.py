"""The stopwatch: how long a simulation has been stepping; standing still, saving and waiting don't count."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Stopwatch"]


class Stopwatch:
    """Counts the seconds from each `go` to the next `stand`, but for those in blocks `standing`.

    It may be read from any thread.

    Parameters
    ----------
    seconds
        What it begins with.
    clock
        Seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._state: tuple[float, float | None] = (seconds, None)  # until then, and since when it goes

    @property
    def seconds(self) -> float:
        """What it shows."""
        seconds, since = self._state
        return seconds if since is None else seconds + self._clock() - since

    def go(self) -> None:
        """Let it go."""
        self._state = (self._state[0], self._clock())

    def stand(self) -> None:
        """Let it stand."""
        self._state = (self.seconds, None)

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Let it stand within the block, and then go on if it went before."""
        went = self._state[1] is not None
        self.stand()
        try:
            yield
        finally:
            if went:
                self.go()

"""The threads that sessions compute and read in, away from the event loop."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

__all__ = ["Threads"]

COMPUTING = 8
READING = 8
WAITING = 64

T = TypeVar("T")


class Threads:
    """Groups of threads: neither computations nor other processes must keep short reads waiting."""

    def __init__(self) -> None:
        self._computing = anyio.CapacityLimiter(COMPUTING)
        self._reading = anyio.CapacityLimiter(READING)
        self._waiting = anyio.CapacityLimiter(WAITING)

    async def compute(self, work: Callable[[], T]) -> T:
        """Do work that may take long: stepping, restoring, replaying."""
        return await anyio.to_thread.run_sync(work, limiter=self._computing)

    async def read(self, work: Callable[[], T]) -> T:
        """Do work that waits for the store."""
        return await anyio.to_thread.run_sync(work, limiter=self._reading)

    async def wait(self, work: Callable[[], T]) -> T:
        """Do work of another process, which may never end: more of it, as it takes no time of this one."""
        return await anyio.to_thread.run_sync(work, limiter=self._waiting)

"""The expiry: what is done in the background, so that instances which nobody uses are forgotten."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from perdure.supervision import keep_going

__all__ = ["Expiry"]

SWEEP_SECONDS = 1.0
LOOK_SECONDS = 10.0  # between two looks at the store, at least
LIST_SECONDS = 300.0  # between two lists of an adapter, at least
LOOK_SHARE = 100.0  # and so many times as long as the last one took

Work = Callable[[], Awaitable[None]]

log = structlog.get_logger(__name__)


class Expiry:
    """Sweeps on and on.

    Parameters
    ----------
    sweep
        Forgets what has timed out.
    look
        Learns how what is in the store was used.
    look_elsewhere
        Learns what an adapter holds.
    """

    def __init__(self, sweep: Work, look: Work, look_elsewhere: Work) -> None:
        self._sweep = sweep
        self._look = look
        self._look_elsewhere = look_elsewhere
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(keep_going("expiry of instances", self._sweep_on_and_on))

    async def aclose(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _sweep_on_and_on(self) -> None:
        loop = asyncio.get_running_loop()
        looks = {self._look: LOOK_SECONDS, self._look_elsewhere: LIST_SECONDS}
        again = {look: loop.time() + pause for look, pause in looks.items()}
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for look, pause in looks.items():
                if (began := loop.time()) >= again[look]:
                    await _tried(look)
                    again[look] = loop.time() + max(pause, LOOK_SHARE * (loop.time() - began))
            await _tried(self._sweep)


async def _tried(work: Work) -> None:
    """Do a piece of work; whatever it fails with is logged, and the others are done in time."""
    try:
        await work()
    except Exception:
        log.exception("sweep_failed")

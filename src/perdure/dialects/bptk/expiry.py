"""The expiry: a background task that deletes unused instances."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from perdure.supervision import keep_going

__all__ = ["Expiry"]

SWEEP_SECONDS = 1.0
LOOK_SECONDS = 10.0  # minimum between two reads of the store
LIST_SECONDS = 300.0  # minimum between two lists of an adapter
LOOK_SHARE = 100.0  # also a minimum, in multiples of the duration of the last one

Work = Callable[[], Awaitable[None]]

log = structlog.get_logger(__name__)


class Expiry:
    """Runs the sweep repeatedly.

    Parameters
    ----------
    sweep
        Deletes instances that have timed out.
    look
        Reads the uses in the store.
    look_elsewhere
        Reads the adapter's list.
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
    """Do a piece of work; log any error, so that the other work isn't affected."""
    try:
        await work()
    except Exception:
        log.exception("sweep_failed")

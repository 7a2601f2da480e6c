"""Supervision: threads and tasks that others wait for go on after whatever happens to them.

One that ends of an error that nobody expected, be it a MemoryError while it answers, would leave all who wait
for it waiting for ever. So what it does is called from here, and called again when it raises.
"""

import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

__all__ = ["keep_going", "start_thread"]

PAUSE = 1.0  # seconds before work that failed twice at once is called again


def start_thread(name: str, work: Callable[[BaseException | None], None]) -> threading.Thread:
    """Start a daemon thread that works until `work` returns, whatever it raises; who starts it joins it.

    Parameters
    ----------
    work
        Called with None, and with the error after each time that it raised: then it first fails whoever waits
        for what it had begun.
    """
    thread = threading.Thread(target=_keep_on, args=(name, work), name=name, daemon=True)
    thread.start()
    return thread


def _keep_on(name: str, work: Callable[[BaseException | None], None]) -> None:
    error: BaseException | None = None
    at_once = 0
    while True:
        begun = time.monotonic()
        try:
            work(error)
            return
        except BaseException as failure:  # whatever it is: a thread that ends leaves everybody waiting
            error = failure
        with suppress(Exception):
            _log("thread_failed", error, thread=name)
        at_once = at_once + 1 if time.monotonic() - begun < PAUSE else 0
        if at_once > 1:
            time.sleep(PAUSE)


async def keep_going(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do work until it returns or this is cancelled; when it raises, it is begun anew after a pause."""
    import asyncio  # here, since simulation servers use threads alone, and start sooner without it

    while True:
        try:
            await work()
            return
        except Exception as error:
            with suppress(Exception):
                _log("task_failed", error, task=name)
        await asyncio.sleep(PAUSE)


def _log(event: str, error: BaseException, **values: str) -> None:
    import structlog  # here, for the same reason

    structlog.get_logger(__name__).error(event, exc_info=error, **values)

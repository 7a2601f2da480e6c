"""Supervision: keeps threads and tasks running that others wait for, whatever error they raise.

If one ended with an unexpected error, even a MemoryError, everything that waits for it would wait forever. So
its work is called from here, and called again when it raises.
"""

import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

__all__ = ["keep_going", "start_thread"]

PAUSE = 1.0  # seconds before the next call, if the work failed twice in a row


def start_thread(name: str, work: Callable[[BaseException | None], None]) -> threading.Thread:
    """Start a daemon thread that runs until `work` returns, whatever it raises; the caller joins it.

    Parameters
    ----------
    work
        Called with None first, and with the error after each error. In that case it must first fail
        everything that waits for what it had begun.
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
        except BaseException as failure:  # any error: if the thread ended, its clients would wait forever
            error = failure
        with suppress(Exception):
            _log("thread_failed", error, thread=name)
        at_once = at_once + 1 if time.monotonic() - begun < PAUSE else 0
        if at_once > 1:
            time.sleep(PAUSE)


async def keep_going(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do work until it returns or this is cancelled; if it raises, call it again after a pause."""
    import asyncio  # here, since simulation servers only use threads, and start faster without it

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

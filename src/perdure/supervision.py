"""Supervision: threads and tasks that others wait for go on after whatever happens to them.

A thread that dies of an error that nobody expected, be it a MemoryError while it answers, would leave all who
wait for it waiting for ever. So the work of each is called by one of these functions, which call it again.
"""

import threading
import time
from collections.abc import Callable

import structlog

__all__ = ["start_thread"]

PAUSE = 1.0  # seconds before work that failed as soon as it was called is called again

log = structlog.get_logger(__name__)


def start_thread(name: str, work: Callable[[BaseException | None], None]) -> threading.Thread:
    """Start a daemon thread that works until `work` returns, whatever it raises; who starts it joins it.

    Parameters
    ----------
    work
        Called with None, and each time that it raised with the error. It then begins by failing whoever waits
        for it.
    """
    thread = threading.Thread(target=_keep_on, args=(name, work), name=name, daemon=True)
    thread.start()
    return thread


def _keep_on(name: str, work: Callable[[BaseException | None], None]) -> None:
    error: BaseException | None = None
    pause = 0.0
    while True:
        begun = time.monotonic()
        try:
            time.sleep(pause)
            work(error)
            return
        except BaseException as failure:  # a thread that ends leaves everybody waiting
            error = failure
        pause = PAUSE if error is not None and time.monotonic() - begun < pause + PAUSE else 0.0

"""The publisher: reports the progress of a simulation, once a second and whenever it is asked to."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from perdure.supervision import start_thread

__all__ = ["Publisher"]


class Publisher:
    """Publishes reports while its ``with`` block lasts, the last one when the block ends.

    The thread is its own: started at the beginning of the block, joined at the end.

    Parameters
    ----------
    report
        Makes a report; called from any thread.
    publish
        Where reports go; called from any thread, by one at a time.
    period
        Seconds between two reports.
    """

    def __init__(
        self,
        report: Callable[[], Mapping[str, Any]],
        publish: Callable[[Mapping[str, Any]], None],
        period: float = 1.0,
    ) -> None:
        self._report = report
        self._publish = publish
        self._period = period
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Publisher":
        self._thread = start_thread("publisher", self._work)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self.now()

    def now(self) -> None:
        """Publish at once."""
        with self._lock:
            self._publish(self._report())

    def _work(self, failure: BaseException | None) -> None:
        while not self._over.wait(self._period):
            self.now()

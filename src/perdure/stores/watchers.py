"""Those who watch a store: each is notified of every commit, in order, by the thread that writes."""

from collections.abc import Callable

import structlog

from perdure.stores.commands import Committed

__all__ = ["Watchers"]

log = structlog.get_logger(__name__)


class Watchers:
    """The callbacks that are notified; adding and removing them is safe in any thread."""

    def __init__(self) -> None:
        self._callbacks: tuple[Callable[[Committed], None], ...] = ()

    def add(self, callback: Callable[[Committed], None]) -> Callable[[], None]:
        """Add a callback; return how to remove it, which is harmless when done twice."""
        self._callbacks = (*self._callbacks, callback)

        def stop() -> None:
            self._callbacks = tuple(known for known in self._callbacks if known is not callback)

        return stop

    def notify(self, committed: Committed) -> None:
        """Notify all of them; one that raises harms nobody."""
        for callback in self._callbacks:
            try:
                callback(committed)
            except Exception:
                log.exception("watcher_failed", run=committed.run_id)

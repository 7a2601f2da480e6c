"""The watchers of a store: the writer's thread notifies each of them of every commit, in order."""

from collections.abc import Callable

import structlog

from perdure.stores.commands import Committed, Notice

__all__ = ["Watchers"]

log = structlog.get_logger(__name__)


class Watchers:
    """The callbacks of the watchers; adding and removing them is safe in any thread."""

    def __init__(self) -> None:
        self._callbacks: tuple[Callable[[Committed | Notice], None], ...] = ()

    def add(self, callback: Callable[[Committed | Notice], None]) -> Callable[[], None]:
        """Add a callback; return a function that removes it."""
        self._callbacks = (*self._callbacks, callback)

        def stop() -> None:
            self._callbacks = tuple(known for known in self._callbacks if known is not callback)

        return stop

    def notify(self, committed: Committed | Notice) -> None:
        """Call every callback; one that raises doesn't affect the others."""
        for callback in self._callbacks:
            try:
                callback(committed)
            except Exception:
                log.exception("watcher_failed", run=committed.run_id)

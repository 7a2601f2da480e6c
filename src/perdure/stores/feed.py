"""The feed: notifies readers that a run may have changed.

A hint names a run and, for a commit of this process, the state that the commit led to. Only the store knows
the current state of the run. Commits of this process cause a hint at once, those of other processes when the
store receives a notice of them. A poll finds the others: if anything was committed since the last poll, it
compares the versions of all runs with subscribers. So a lost message delays a reader, but never blocks it
forever.

Readers of all runs get the hints about each run. If the store is shared, they also get one about `ANY_RUN`
from every poll after a commit: any run may have changed.
"""

import asyncio
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Self

import msgspec
import structlog

from perdure.errors import CorruptBlob, PerdureError, StoreUnavailable
from perdure.lifecycle import RunStatus
from perdure.observability import Metrics
from perdure.stores.base import Store, Version
from perdure.stores.commands import Committed, Notice
from perdure.supervision import start_thread

__all__ = ["ANY_RUN", "Feed", "Hint", "Subscription"]

EVERY = 1.0  # seconds between two polls

MAX_HINTS = 10_000  # that are kept for a reader of all runs who doesn't take them

ANY_RUN: Final = ""
"""The run of a hint for those who follow all runs: any of them may have changed."""

log = structlog.get_logger(__name__)


class Hint(msgspec.Struct, frozen=True):
    """A run may have changed.

    Attributes
    ----------
    run_id
        Which run.
    state
        The state after a commit of this process. None if it must be read from the store: another process has
        made the change, the run was deleted, or somebody asked for a look at the run.
    position
        The number of steps after the commit; 0 without a state.
    owner
        Whose it was, if a commit of this process deleted it; otherwise empty.
    """

    run_id: str
    state: RunStatus | None = None
    position: int = 0
    owner: str = ""


class Subscription:
    """The hints for one reader, on the event loop on which it was created; a context manager.

    Several hints may be merged, but no state of a run is left out: of consecutive hints with the same state
    of a run, the last is kept, in the position of the first.

    Parameters
    ----------
    limit
        Limit of pending hints; others are dropped.

    Attributes
    ----------
    overflowed
        Whether hints were dropped, so that changes were missed.
    """

    def __init__(self, feed: "Feed", limit: int = sys.maxsize) -> None:
        self.overflowed = False
        self._limit = limit
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._hinted = asyncio.Event()  # set soon after the first pending hint; used by the loop alone
        self._lock = threading.Lock()  # guards the following
        self._hints: list[Hint] = []
        self._latest: dict[str, int] = {}  # index of the last pending hint about each run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unsubscribe; does nothing if it is closed."""
        self._feed.remove(self)

    def __contains__(self, run_id: str) -> bool:
        """Whether it is subscribed to a run. Hints about a discarded run may still arrive."""
        return self._feed.has(self, run_id)

    def add(self, run_id: str) -> None:
        """Subscribe to one more run; does nothing if it is subscribed already.

        Raises as `Feed.subscribe` does.
        """
        self._feed.add(self, run_id)

    def discard(self, run_id: str) -> None:
        """Unsubscribe from a run; does nothing if it isn't subscribed."""
        self._feed.remove(self, run_id)

    def notify(self, hint: Hint) -> None:
        """Deliver a hint, from any thread; only the first pending one wakes the loop."""
        with self._lock:
            is_first = not self._hints
            last = self._latest.get(hint.run_id)
            if last is not None and self._hints[last].state == hint.state:
                self._hints[last] = hint
            elif len(self._hints) >= self._limit:
                self.overflowed = True
            else:
                self._latest[hint.run_id] = len(self._hints)
                self._hints.append(hint)
        if is_first:
            with suppress(RuntimeError):  # the loop is closed, and so the reader has ended
                self._loop.call_soon_threadsafe(self._hinted.set)

    @property
    def pending(self) -> bool:
        """Whether a hint has arrived that wasn't taken yet."""
        return bool(self._hints)

    async def wait(self) -> None:
        """Return when a hint is pending."""
        while not self._hints:
            self._hinted.clear()
            if not self._hints:
                await self._hinted.wait()

    def take(self) -> list[Hint]:
        """Return the pending hints in their order. Take first, then read the store: no change is missed."""
        with self._lock:
            hints, self._hints = self._hints, []
            self._latest.clear()
        return hints


class Feed:
    """Hints about the runs of a store; a context manager.

    It polls in a thread of its own, which ends when there are no subscriptions. Its creator closes it. A feed
    that is garbage with its store needn't be closed: without subscriptions it holds nothing but a callback
    there.

    Parameters
    ----------
    store
        Where the runs are.
    every
        Seconds between two polls.
    metrics
        Where the commits of this process are counted.

    Examples
    --------
    >>> async def until_final(feed: Feed, store: Store, run_id: str) -> None:
    ...     with feed.subscribe(run_id) as changes:
    ...         while (await asyncio.to_thread(store.run, run_id)).state not in FINAL:
    ...             await changes.wait()
    ...             changes.take()
    """

    def __init__(self, store: Store, *, every: float = EVERY, metrics: Metrics | None = None) -> None:
        self._store = store
        self._every = every
        self._metrics = metrics
        self._lock = threading.Lock()  # guards all of the following
        self._readers: dict[str, set[Subscription]] = {}  # by run
        self._subscribed: dict[Subscription, set[str]] = {}  # the same, by reader
        self._of_all: set[Subscription] = set()  # readers of all runs
        self._known: dict[str, Version | None] = {}  # versions at the last poll, by run; None is no run
        self._revision: object = None  # of the store at the last poll; None makes the next poll compare
        self._idle: threading.Event | None = None  # ends the polling thread
        self._closed = False
        self._blind = False  # whether the last poll failed
        hear = weakref.WeakMethod(self._hear)  # else the store would hold its feed, which holds the store

        def notify(change: Committed | Notice) -> None:
            if (notified := hear()) is not None:
                notified(change)

        self._unwatch = store.watch(notify)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send no more hints; does nothing if it is closed."""
        self._unwatch()
        with self._lock:
            self._closed = True
            self._readers.clear()
            self._subscribed.clear()
            self._of_all.clear()
            self._rest()

    def subscribe(self, *run_ids: str) -> Subscription:
        """Subscribe to runs, from within an event loop; more runs can be added later.

        A run that no poll has read yet counts as changed at the first poll.

        Raises
        ------
        StoreUnavailable
            If the feed is closed.
        """
        subscription = Subscription(self)
        for run_id in run_ids:
            self.add(subscription, run_id)
        return subscription

    def subscribe_to_all(self) -> Subscription:
        """Subscribe to all runs, from within an event loop, also to those that are created later.

        It overflows beyond `MAX_HINTS`.

        Raises
        ------
        StoreUnavailable
            If the feed is closed.
        """
        subscription = Subscription(self, MAX_HINTS)
        with self._lock:
            self._begin(polling=self._store.shared)
            self._of_all.add(subscription)
        return subscription

    def add(self, subscription: Subscription, run_id: str) -> None:
        """Send a subscription the hints about one more run."""
        with self._lock:
            self._begin(polling=True)
            if run_id not in self._known:
                self._revision = None
            self._readers.setdefault(run_id, set()).add(subscription)
            self._subscribed.setdefault(subscription, set()).add(run_id)

    def remove(self, subscription: Subscription, *run_ids: str) -> None:
        """Send a subscription no more hints about some runs; about any run if none is named."""
        with self._lock:
            subscribed = self._subscribed.get(subscription, set())
            for run_id in subscribed.intersection(run_ids) if run_ids else tuple(subscribed):
                subscribed.remove(run_id)
                self._readers[run_id].remove(subscription)
                if not self._readers[run_id]:
                    del self._readers[run_id]
            if not subscribed:
                self._subscribed.pop(subscription, None)
            if not run_ids:
                self._of_all.discard(subscription)
            if not self._readers and not (self._of_all and self._store.shared):
                self._rest()

    def has(self, subscription: Subscription, run_id: str) -> bool:
        """Return whether a subscription receives the hints about a run."""
        with self._lock:
            return subscription in self._of_all or run_id in self._subscribed.get(subscription, ())

    def poll(self) -> None:
        """Notify the readers of all subscribed runs that changed since the last poll; blocking.

        If nothing was committed since, it reads only the revision. A store that can't be read is logged once;
        changes meanwhile are found when it can be read again.
        """
        try:
            # Read before the versions: a commit in between then changes the revision for the next poll.
            revision = self._store.revision()
            with self._lock:
                if revision == self._revision:
                    return
                run_ids = list(self._readers)
                of_all = tuple(self._of_all if self._store.shared else ())
            versions = self._versions(run_ids)
        except PerdureError as error:
            with self._lock:
                self._revision = None
            if not self._blind:
                log.warning("changes_not_found", reason=str(error))
            self._blind = True
            return
        if self._blind:
            log.info("changes_found_again")
        self._blind = False
        found = {run_id: versions.get(run_id) for run_id in run_ids}
        with self._lock:
            changed = [id for id in run_ids if id not in self._known or self._known[id] != found[id]]
            self._known = found
            self._revision = revision if self._readers.keys() <= found.keys() else None
            readers = [(id, tuple(self._readers.get(id, ()))) for id in changed]
        for run_id, subscriptions in (*readers, (ANY_RUN, of_all)):
            for subscription in subscriptions:
                subscription.notify(Hint(run_id))

    def _versions(self, run_ids: Sequence[str]) -> Mapping[str, Version]:
        """Return the versions of runs.

        A damaged run gets a version too, so that it doesn't hide the others.
        """
        try:
            return self._store.versions(run_ids)
        except CorruptBlob:
            found: dict[str, Version] = {}
            for run_id in run_ids:
                try:
                    found.update(self._store.versions([run_id]))
                except CorruptBlob:
                    found[run_id] = ("damaged",)
            return found

    def _hear(self, change: Committed | Notice) -> None:
        """Notify the readers of a run about a commit, from the thread that committed it or learned of it."""
        if isinstance(change, Notice):
            self._hear_notice(change)
            return
        if self._metrics is not None:
            self._metrics.store_changes.inc()
        run_id = change.run_id
        if change.deleted:
            hint = Hint(run_id, owner=change.owner)
        else:
            hint = Hint(run_id, change.state, change.position)
        self._send(hint)

    def _hear_notice(self, notice: Notice) -> None:
        """Notify the readers about a commit of another process, or all if any run may have changed."""
        with self._lock:
            run_ids = [*self._readers, ANY_RUN] if notice.run_id is None else [notice.run_id]
        for run_id in run_ids:
            self._send(Hint(run_id))

    def _send(self, hint: Hint) -> None:
        with self._lock:
            readers = (*self._readers.get(hint.run_id, ()), *self._of_all)
        for subscription in readers:
            subscription.notify(hint)

    def _begin(self, *, polling: bool) -> None:
        """Start the polling thread if it is needed and isn't there; called with the lock held."""
        if self._closed:
            raise StoreUnavailable(reason="its feed of changes is closed")
        if polling and self._idle is None:
            idle = self._idle = threading.Event()
            start_thread("perdure-feed", lambda _: self._keep_polling(idle))

    def _keep_polling(self, idle: threading.Event) -> None:
        while not idle.wait(self._every):
            self.poll()

    def _rest(self) -> None:
        """End the polling thread; called with the lock held."""
        if self._idle is not None:
            self._idle.set()
            self._idle = None

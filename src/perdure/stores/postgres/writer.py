"""The writer: executes commands in PostgreSQL, in an event loop in a thread of its own.

- Commands with a lock in common are executed one after the other, others side by side. One transaction takes
  two round trips: its locks and reads, then its writes and the commit. Commands that wait for each other
  share one transaction, with one more round trip for each.
- A refused command has written nothing. If others of its transaction have, it gets a transaction of its own,
  so that its refusal is based on durable data.
- What the database rolls back in favour of others is executed again.
- While the database can't be reached or written, a command waits, up to `patience` after it was submitted.
- If the connection is lost during a commit, its outcome is unknown. Before anybody is answered, the
  transaction is ended at the server, and its outcome is read from a row that it has written. If that can't be
  read in time, the commands fail with `StoreUnavailable`, and a repeated key shows what became of them.
- While the store is unavailable, and with `probe_every` while it is idle, a transaction probes it.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

import psycopg
import structlog

from perdure.errors import StoreUnavailable
from perdure.stores.chain import ChainLink
from perdure.stores.commands import Answers, Command, Committed, Moment, Notice, Retention
from perdure.stores.commands.base import Decision
from perdure.stores.commit_times import CommitTimesCounter
from perdure.stores.events import log_event
from perdure.stores.postgres.connections import PAUSE, Watchdog
from perdure.stores.postgres.failures import Meaning, as_refusal, in_words, meaning
from perdure.stores.postgres.notifications import Listener, Notifier
from perdure.stores.postgres.queries import MIGRATIONS
from perdure.stores.postgres.schedule import Item, Schedule
from perdure.stores.postgres.transaction import Transaction
from perdure.stores.postgres.writer_pool import WriterPool
from perdure.supervision import start_thread

__all__ = ["Writer"]

WRITERS = 16  # transactions at once
OTHERS = 2  # connections for other statements
PROBE_EVERY = 1.0  # seconds, while the store is unavailable
OPENING_EVERY = 10.0  # seconds between two notes that the store is open here
CANCEL_AGAIN = 0.1  # seconds after which a task that goes on is cancelled once more
OUTCOME_SECONDS = 5.0  # at least, for finding out what became of a transaction
UNKNOWN = (
    "its answer to a commit was lost, and what became of it isn't known yet; try again with the same key"
)

R = TypeVar("R")

log = structlog.get_logger(__name__)


class Writer:
    """The writing thread, until `close`.

    Parameters
    ----------
    conninfo, listen
        What libpq connects with, for transactions and for notifications.
    name
        The URL without its password, for messages.
    opening
        A name of this opening of the store.
    retention
        How much of each run is kept.
    watchdog
        Ends connections that don't answer.
    notify
        Called for each committed change of a run, before its future is resolved, those of a run in order;
        and for each notice of another process.
    patience
        Seconds for which a command waits for a database that doesn't answer.
    probe_every
        Seconds without a write after which it probes; None never probes while the store is available.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        listen: str,
        name: str,
        opening: str,
        retention: Retention,
        watchdog: Watchdog,
        notify: Callable[[Committed | Notice], None],
        patience: float,
        probe_every: float | None = None,
    ) -> None:
        self.offset = 0.0  # of the database's clock to the monotonic one
        self.size: int | None = None  # bytes of the database
        self.commits = CommitTimesCounter()
        self._conninfo = conninfo
        self._listen = listen
        self._name = name
        self._opening = opening
        self._retention = retention
        self._watchdog = watchdog
        self._notify = notify
        self._patience = patience
        self._probe_every = probe_every
        self._lock = threading.Lock()  # guards the following three
        self._submitted: deque[Item] = deque()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[Item] = set()  # those whose futures aren't resolved; only the loop changes it
        self._unavailable: str | None = None
        self._thread = start_thread(f"perdure-writer {name}", self._work)

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None if writing works."""
        return "it is closed" if self._closed else self._unavailable

    @property
    def waiting(self) -> int:
        """Number of items that wait for their commit."""
        return sum(not item.future.done() for item in (*self._submitted, *self._waiting))

    def submit(self, command: Command[R], link: ChainLink | None = None) -> Future[R]:
        """Queue a command; its future resolves after the commit."""
        item = Item(command, link, time.monotonic() + self._patience)
        future: Future[R] = item.future
        if link is not None:
            link.follow(future)
        with self._lock:
            closed = self._closed
            if not closed:
                first = not self._submitted
                self._submitted.append(item)
                if first and self._loop is not None:
                    self._loop.call_soon_threadsafe(self._take_submitted)
        if closed:
            future.set_exception(StoreUnavailable(reason="it is closed"))
        return future

    def close(self) -> None:
        """Commit the waiting items, then end; does nothing if it is closed."""
        with self._lock:
            self._closed = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._take_submitted)
        self._thread.join()

    # The thread ---------------------------------------------------------------------------------------------

    def _work(self, failure: BaseException | None) -> None:
        """Serve until the end; `failure` is the error that ended the previous call, if any."""
        if failure is not None:
            self._fail_all(failure)
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._schedule = Schedule()
        self._slots = [f"{self._opening} {number}" for number in range(WRITERS)]
        self._idle_since = time.monotonic()
        self._changed = asyncio.Event()
        pool = self._pool = WriterPool(self._conninfo, WRITERS + OTHERS, self._watchdog, self._patience)
        async with pool, asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._notifier = Notifier(self._opening, pool.ask)
            listener = Listener(self._listen, self._opening, self._watchdog, self._notify)
            beside = self._keep_probing(), self._notifier.work(), listener.work()
            helpers = [tasks.create_task(work) for work in beside]
            with self._lock:
                self._loop = asyncio.get_running_loop()
            self._take_submitted()
            try:
                while not (self._closed and not self._waiting and not self._submitted):
                    await self._changed.wait()
                    self._changed.clear()
            finally:
                with self._lock:
                    self._loop = None
                await _end(helpers)
            with contextlib.suppress(psycopg.Error, OSError):
                await self._pool.ask("forget_opening", self._opening)

    def _take_submitted(self) -> None:
        with self._lock:
            items, self._submitted = self._submitted, deque()
            self._waiting.update(items)
        for item in items:
            try:
                self._schedule.add(item)
            except Exception as error:
                self._unexpected([item], error)
        self._start_more()
        self._changed.set()

    def _start_more(self) -> None:
        while self._slots and self._schedule.ready:
            self._tasks.create_task(self._finish(self._schedule.take(), self._slots.pop()))

    async def _finish(self, items: Sequence[Item], slot: str) -> None:
        """Execute items until all of their futures are resolved."""
        rest: Sequence[Item] = [item for item in items if item.future.set_running_or_notify_cancel()]
        most = len(rest)
        try:
            while rest:
                rest, most = await self._advance(rest, most, slot)
        except Exception as error:
            self._unexpected(rest, error)
        # Not if this is cancelled, since a helper has failed: `_fail_all` then resolves what still waits.
        self._slots.append(slot)
        self._idle_since = time.monotonic()
        self._waiting.difference_update(items)
        self._schedule.end(items)
        self._start_more()
        self._changed.set()

    async def _advance(self, items: Sequence[Item], most: int, slot: str) -> tuple[Sequence[Item], int]:
        """Execute the first items, at most `most`; return the others and how many of them to try at once."""
        if self._unavailable is not None:
            items = self._without_late(items)
            if not items:
                return items, most
        try:
            done = await self._transact(items[:most], slot)
            return items[done:], most
        except Exception as error:
            failure = error
        items = [item for item in items if not item.future.done()]
        match meaning(failure):
            case Meaning.AGAIN:
                await asyncio.sleep(0)
            case Meaning.AWAY:
                self.refuse(in_words(failure))
                items = self._without_late(items)
                if items:
                    await asyncio.sleep(PAUSE)
            case Meaning.THEIRS if most > 1:
                most = 1
            case Meaning.THEIRS:
                self._refused(items[0], as_refusal(failure))
                items = items[1:]
        return items, most

    def _without_late(self, items: Sequence[Item]) -> Sequence[Item]:
        """Fail the items that have waited too long, and return the others."""
        late = [item for item in items if item.until <= time.monotonic()]
        for item in late:
            self._refused(item, StoreUnavailable(reason=self._unavailable))
        return [item for item in items if item not in late]

    def _seconds(self, items: Sequence[Item]) -> float:
        """Return how long an attempt may wait for the database; while it is away, as long as its items."""
        if self._unavailable is None:
            return self._patience
        left = max(item.until for item in items) - time.monotonic()
        return min(max(left, PAUSE), self._patience)

    # A transaction ------------------------------------------------------------------------------------------

    async def _transact(self, items: Sequence[Item], slot: str) -> int:
        """Execute the first of some items in one transaction; return for how many that was done.

        The error of a transaction that wasn't committed is raised.
        """
        done = 0
        begun = time.perf_counter()
        seconds = self._seconds(items)
        async with self._pool.lent(seconds) as connection:
            transaction = Transaction(connection, items, self._retention, self._patience, slot)
            for item in items:
                with self._watchdog.limit(connection, seconds):
                    answers, at = await transaction.read(item)
                try:
                    transaction.decide(item, _decide(item, answers, at))
                except Exception as error:
                    if transaction.written:
                        break  # it is refused on its own, once what it is based on is durable
                    self._refused(item, error)
                done += 1
            self.offset = transaction.offset
            lost = await self._end(transaction)
        if lost is not None and not await self._find_outcome(transaction, lost):
            return done
        if transaction.written:
            self.commits.add(time.perf_counter() - begun)
        self._available()
        for item, decision in transaction.decided:
            for change in decision.changes:
                self._notify(change)
                self._notifier.add(change.run_id)
            _resolve(item, None, decision.result)
        return done

    async def _end(self, transaction: Transaction) -> Exception | None:
        """Commit; return the error that leaves the outcome unknown, if one does."""
        try:
            with self._watchdog.limit(transaction.connection, self._patience):
                await transaction.end()
        except Exception as error:
            if transaction.written and meaning(error) is not Meaning.AWAY:
                raise
            with contextlib.suppress(psycopg.Error):
                await transaction.connection.close()
            return error if transaction.written else None
        return None

    async def _find_outcome(self, transaction: Transaction, lost: Exception) -> bool:
        """Return True if a transaction was committed; if it was rolled back, raise the connection's error.

        The connection that it had may still be open at the server: then it is ended, unless it is
        committing: ended while it waits for a synchronous standby, a commit would count without being there.
        A standby doesn't know the outcome. If it can't be found in time, fail the items and return False.
        """
        self.refuse(in_words(lost))
        until = max(time.monotonic() + OUTCOME_SECONDS, *(item.until for item, _ in transaction.decided))
        while time.monotonic() < until:
            try:
                if not await self._pool.ask("end_transaction", transaction.number):
                    found = await self._pool.ask("find_outcome", transaction.slot, transaction.token)
                    ((standby, committed),) = found
                    if not standby:
                        if committed:
                            return True
                        raise lost
            except Exception as error:
                if error is lost or meaning(error) is not Meaning.AWAY:
                    raise
            await asyncio.sleep(PAUSE)
        for item, _ in transaction.decided:
            self._refused(item, StoreUnavailable(reason=UNKNOWN))
        return False

    # Answers ------------------------------------------------------------------------------------------------

    def _refused(self, item: Item, error: Exception) -> None:
        if item.link is not None:
            item.link.fail(error)
        _resolve(item, error)

    def _unexpected(self, items: Sequence[Item], error: Exception) -> None:
        """Fail items after an error that their commands mustn't raise."""
        log.error("command_failed", path=self._name, exc_info=error)
        for item in items:
            self._waiting.discard(item)
            _resolve(item, StoreUnavailable(reason=f"an unexpected error: {error!r}"))

    def _fail_all(self, failure: BaseException) -> None:
        """Fail all waiting items after an unexpected error; its effects are unknown."""
        self.refuse(f"an unexpected error: {failure!r}")
        with self._lock:
            items = [*self._waiting, *self._submitted]
            self._waiting.clear()
            self._submitted.clear()
        for item in items:
            _resolve(item, StoreUnavailable(reason=self._unavailable))

    # Availability -------------------------------------------------------------------------------------------

    def refuse(self, why: str) -> None:
        """Count the store as unavailable until a transaction succeeds; in any thread."""
        before, self._unavailable = self._unavailable, why
        if before is None:
            log_event("error", "store_unavailable", path=self._name, reason=why)

    def _available(self) -> None:
        before, self._unavailable = self._unavailable, None
        if before is not None:
            log_event("info", "store_available", path=self._name)

    async def _keep_probing(self) -> None:
        """Write now and then that the store is open here: so the store knows whether it can be written."""
        seen = 0.0
        while True:
            now = time.monotonic()
            idle = self._probe_every is not None and now - self._idle_since >= self._probe_every
            if self._unavailable is not None or idle or now - seen >= OPENING_EVERY:
                try:
                    await self._pool.ask("see_opening", self._opening, MIGRATIONS[-1].version)
                    ((self.size,),) = await self._pool.ask("read_size")
                    seen = self._idle_since = now
                    self._available()
                except Exception as error:
                    self.refuse(in_words(error))
            every = PROBE_EVERY if self._probe_every is None else min(PROBE_EVERY, self._probe_every)
            await asyncio.sleep(every)


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: the pool loses a cancellation that comes with a connection."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_AGAIN)


def _decide(item: Item, answers: Answers, at: Moment) -> Decision[Any]:
    """Return the decision of an item's command; raise if it or an earlier one of its chain is refused."""
    if item.link is None:
        decision: Decision[Any] = item.command.decide(answers, at)
        return decision

    def decided() -> tuple[Any, Decision[Any]]:
        decision = item.command.decide(answers, at)
        return decision.result, decision

    return item.link.do(decided)[1]


def _resolve(item: Item, error: Exception | None, result: Any = None) -> None:
    with contextlib.suppress(InvalidStateError):  # it is resolved
        if error is None:
            item.future.set_result(result)
        else:
            item.future.set_exception(error)

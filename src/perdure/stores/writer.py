"""The writer: one thread that takes all waiting commands and commits them as one transaction.

It is the only one that writes, and it alone decides what counts as durable:

- A command that is refused has written nothing, so that it fails alone. One that fails half-way, for example
  at a damaged page, ends its transaction: the items before it are executed again without it, and those after
  it get a transaction of their own. If a derived table is damaged, it is replaced, and all items are executed
  again.
- Every transaction first compares the number of the store's last opening: if another server has opened the
  store since, this one writes nothing more.
- Futures are resolved after the commit, once the medium has recorded that the transaction is acknowledged. If
  that fails, every item fails, except those that were refused before anything in the batch was written.
- After an I/O error at the commit its outcome is unknown. The medium is opened again, and the number of its
  last transaction shows whether the batch was committed. Until that has succeeded nothing is read either,
  since a power cut could undo it.
- While the store is unavailable, each batch, and each second, begins with a transaction that only probes. It
  writes as much as a step does, so that the store doesn't count as available while a step would fail. With
  `probe_every` an idle store is probed too.
- After any other error all waiting items fail, the medium is opened again, and the thread continues.

The medium holds the database, in a file or in memory.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import apsw
from msgspec.structs import replace

from perdure.clock import steady
from perdure.errors import CorruptBlob, Fenced, PerdureError, StoreUnavailable
from perdure.stores.chain import ChainLink
from perdure.stores.commands import Command, Committed, Moment, Retention
from perdure.stores.commit_times import CommitTimesCounter
from perdure.stores.database import reason, row
from perdure.stores.events import log_event
from perdure.stores.medium import Medium
from perdure.stores.queries import STATEMENTS
from perdure.stores.repair import repair
from perdure.stores.transaction import execute
from perdure.supervision import start_thread

__all__ = ["Writer"]

BATCH = 512  # items
PROBE_EVERY = 1.0  # seconds, while the store is unavailable
REPAIR_EVERY = 10.0  # seconds
PAGE = 4096  # bytes
MIN_PAGES, MAX_PAGES = 8, 1024  # that a probe writes

R = TypeVar("R")

_BEGIN = STATEMENTS["begin"]
_COMMIT = STATEMENTS["commit"]
_ROLLBACK = STATEMENTS["rollback"]
_SET_BATCH = STATEMENTS["set_batch"]
_WRITE_PROBE = STATEMENTS["write_probe"]

# These mean that the store can't be written; any other error of SQLite concerns the current item.
_STORE_FAILED = (
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ProtocolError,
    apsw.NoMemError,
    MemoryError,
)


@dataclass(slots=True)
class _Item:
    command: Command[Any]
    link: ChainLink | None
    future: Future[Any] = field(default_factory=Future)
    result: Any = None
    events: tuple[Committed, ...] = ()
    refusal: Exception | None = None
    on_its_own: bool = False  # nothing in the batch was written before: a refusal is based on durable data


class Writer:
    """The writing thread, until `close`.

    It starts with the first item, or at once if it has to probe. So a store without writes survives a fork of
    its process.

    Parameters
    ----------
    medium
        Holds the database; the writer closes it.
    retention
        How much of each run is kept.
    notify
        Called for each committed change of a run, in order, before its future is resolved.
    probe_every
        Seconds without a write after which it probes; None never probes while the store is available.
    """

    def __init__(
        self,
        medium: Medium,
        retention: Retention,
        notify: Callable[[Committed], None],
        probe_every: float | None = None,
    ) -> None:
        self.commits = CommitTimesCounter()
        self._medium = medium
        self._retention = retention
        self._notify = notify
        self._probe_every = probe_every
        self._step_pages = MIN_PAGES  # estimate of how many pages an item writes
        self._waiting: deque[_Item] = deque()  # items whose futures aren't resolved, in order
        self._changed = threading.Condition()  # guards the waiting items; nothing is queued after the end
        self._closed = False
        self._unavailable: str | None = None
        self._fenced = False
        self._unreported: deque[tuple[int, Committed]] = deque()  # changes of a transaction
        self._repair_at = 0.0  # when derived tables may be checked again
        self._thread: threading.Thread | None = None
        if probe_every is not None:
            self._start()

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None if writing works."""
        return "it is closed" if self._closed else self._unavailable or self._medium.problem

    @property
    def waiting(self) -> int:
        """Number of items that wait for their commit."""
        return sum(not item.future.done() for item in tuple(self._waiting))

    def submit(self, command: Command[R], link: ChainLink | None = None) -> Future[R]:
        """Queue a command; its future resolves after the commit."""
        item = _Item(command, link)
        future: Future[R] = item.future
        if link is not None:
            link.follow(item.future)
        with self._changed:
            closed = self._closed
            if not closed:
                self._start()
                self._waiting.append(item)
                self._changed.notify()
        if closed:
            future.set_exception(StoreUnavailable(reason="it is closed"))
        return future

    def end(self) -> None:
        """Let the thread commit the waiting items and then close the medium; return at once."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def close(self) -> None:
        """Commit the waiting items, then close the medium; does nothing if it is closed."""
        self.end()
        if self._thread is None:
            self._end()
        else:
            self._thread.join()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = start_thread(f"perdure-writer {self._medium.name}", self._work)

    # The thread ---------------------------------------------------------------------------------------------

    def _work(self, failure: BaseException | None) -> None:
        """Commit waiting items until the end; `failure` is the error that ended the previous call, if any."""
        if failure is not None:
            self._start_over(failure)
        going_on = True
        while going_on:
            taken, going_on, idle = self._take()
            items: Sequence[_Item] = taken
            if not self._fenced and (idle or (items and self._unavailable is not None)):
                self._transact([])
            while items and self._unavailable is None:
                items = self._transact(items)
            self._fail(items)
            self._checkpoint()
        self._end()

    def _take(self) -> tuple[list[_Item], bool, bool]:
        """Wait for items, and return all of them without the cancelled ones.

        Also returns whether more will come, and whether the wait timed out. Items stay queued until their
        futures are resolved, so that none is lost whatever happens.
        """
        patience = self._probe_every if self._unavailable is None else PROBE_EVERY
        with self._changed:
            self._forget_answered()
            came = self._changed.wait_for(
                lambda: self._waiting or self._closed, timeout=None if self._fenced else patience
            )
            taken = list(islice(self._waiting, BATCH))
            going_on = not self._closed or len(taken) < len(self._waiting)
        items = [item for item in taken if item.future.set_running_or_notify_cancel()]
        return items, going_on, not came

    def _forget_answered(self) -> None:
        while self._waiting and self._waiting[0].future.done():
            self._waiting.popleft()

    def _transact(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """Commit a batch and resolve its futures; without items, probe whether a commit succeeds.

        Returns the items after one that failed half-way: they are still to be executed.
        """
        begun = time.perf_counter()
        rest: Sequence[_Item] = ()
        batch: int | None = None  # its number, once it may be committed
        changed = True
        committed = False
        try:
            with self._medium.writing() as connection:
                try:
                    number, changed, done = self._write(connection, items)
                    items, rest = items[:done], items[done:]
                    batch = number
                    connection.execute(_COMMIT)
                    committed = True
                finally:
                    self._measure(connection, len(items), committed=committed)
        except Exception as error:
            committed = self._recover(error, batch)
        if committed and changed and batch is not None:
            committed = self._acknowledge(batch)
            if committed:
                self.commits.add(time.perf_counter() - begun)
        if committed and self._unavailable is not None:
            self._unavailable = None
            log_event("info", "store_available", path=self._medium.name)
        self._answer(items, committed)
        return rest

    def _write(
        self, connection: apsw.Connection, items: Sequence[_Item], repaired: Sequence[str] = ()
    ) -> tuple[int, bool, int]:
        """Execute everything but the commit.

        Returns the transaction's number, whether it changes anything, and how many of the items are in it.
        """
        connection.execute(_BEGIN)
        last = self._check_opening(connection)
        while self._unreported and self._unreported[-1][0] > last:
            self._unreported.pop()  # of a transaction that was rolled back; its number is used again
        at = Moment(now=time.time(), clock=steady(), retention=self._retention, repaired=repaired)
        written = untouched = connection.total_changes()
        for number, item in enumerate(items, 1):
            if item.refusal is None and not self._execute(connection, item, at, written):
                # The transaction can't continue, or holds half of this item.
                connection.execute(_ROLLBACK)
                if isinstance(item.refusal, CorruptBlob) and (repaired := self._repair(connection)):
                    item.refusal = None
                    return self._write(connection, items, repaired)
                return self._write(connection, items[:number], repaired)
            written = connection.total_changes()
            item.on_its_own = written == untouched
        if not items:
            connection.execute(_WRITE_PROBE, (self._probe(last + 1),))
        changed = connection.total_changes() != untouched
        if changed:
            connection.execute(_SET_BATCH, (last + 1,))
        self._unreported.extend((last + 1, event) for item in items for event in item.events)
        return last + 1, changed, len(items)

    def _probe(self, batch: int) -> bytes:
        """Return the bytes that a probe writes: as many pages as a step.

        They differ each time, since SQLite doesn't write equal content.
        """
        return batch.to_bytes(8, "big") * ((self._step_pages - 2) * PAGE // 8)

    def _measure(self, connection: apsw.Connection, items: int, *, committed: bool) -> None:
        """Record how many pages an item of the last transaction wrote, or would have written.

        The estimate decays, so that an idle store isn't probed with large writes.
        """
        pages, _ = connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, True)
        if items or (committed and self._unavailable is None):
            share = -(-pages // items) if items else 0
            self._step_pages = min(max(share, self._step_pages * 7 // 8, MIN_PAGES), MAX_PAGES)

    def _check_opening(self, connection: apsw.Connection) -> int:
        """Raise `Fenced` if the store was opened again since; nobody can open it during the transaction.

        Returns the number of the last transaction.
        """
        meta = row(connection, "read_meta")
        opened = self._medium.acknowledged
        if meta is None or meta[:2] != (opened.store, opened.opening):
            self._fenced = True
            raise Fenced(
                f"{self._medium.name}: another server has opened the store meanwhile, so this one writes "
                "nothing more. Stop this one",
                fence=opened.opening,
            )
        return int(meta[2])

    def _acknowledge(self, batch: int) -> bool:
        """Let the medium record that a transaction is acknowledged."""
        mark = replace(self._medium.acknowledged, batch=batch, time=time.time())
        if self._unreported:
            _, last = self._unreported[-1]
            mark = replace(mark, run=last.run_id, position=last.position)
        try:
            self._medium.acknowledge(mark)
        except StoreUnavailable as error:
            self._refuse(error)
            return False
        return True

    def _execute(self, connection: apsw.Connection, item: _Item, at: Moment, written: int) -> bool:
        """Execute an item's command; return False if it failed half-way, so that nothing may be committed."""
        try:
            if item.link is None:
                item.result, item.events = execute(connection, item.command, at)
            else:
                item.result, item.events = item.link.do(partial(execute, connection, item.command, at))
        except _STORE_FAILED:
            raise
        except Exception as error:
            item.refusal, item.events = error, ()
            if isinstance(error, apsw.CorruptError):
                item.refusal = CorruptBlob(reason=reason(self._medium.name, error))
            whole = not isinstance(error, apsw.Error) and connection.total_changes() == written
            if whole and item.link is not None:
                item.link.fail(error)
            return whole
        return True

    def _repair(self, connection: apsw.Connection) -> list[str]:
        """Rebuild derived tables with damaged pages, and return their descriptions; at most once in a while.

        Damage elsewhere is met repeatedly, and each check reads all of these tables.
        """
        if time.monotonic() < self._repair_at:
            return []
        self._repair_at = time.monotonic() + REPAIR_EVERY
        return repair(connection)

    def _answer(self, items: Sequence[_Item], committed: bool) -> None:
        """Notify the watchers of the committed changes, and resolve the futures.

        Changes that couldn't be reported, because something failed after the commit, are reported after the
        next one.
        """
        while committed and self._unreported:
            _, event = self._unreported[0]
            self._notify(event)
            self._unreported.popleft()
        for item in items:
            if item.refusal is not None and (committed or item.on_its_own):
                item.future.set_exception(item.refusal)
            elif committed:
                item.future.set_result(item.result)
            else:
                item.future.set_exception(self._refusal())

    def _fail(self, items: Sequence[_Item]) -> None:
        for item in items:
            item.future.set_exception(self._refusal())

    def _refusal(self) -> PerdureError:
        if self._fenced:
            return Fenced(f"{self._unavailable}.", fence=self._medium.acknowledged.opening)
        return StoreUnavailable(reason=self._unavailable)

    # When it fails ------------------------------------------------------------------------------------------

    def _recover(self, error: Exception, batch: int | None) -> bool:
        """Set the reason why the store is unavailable, and find out whether the failed batch was committed.

        `batch` is None if the failure came before the commit, so that the batch can't be committed.
        """
        self._refuse(error)
        if batch is not None and _outcome_unknown(error):
            return self._start_anew() == batch
        try:
            self._medium.undo()
        except apsw.Error:
            self._start_anew()
        return False

    def _start_over(self, failure: BaseException) -> None:
        """Fail all waiting items after an unexpected error; its effects are unknown."""
        self._refuse(failure)
        with self._changed:
            waiting = list(self._waiting)
        for item in waiting:
            with contextlib.suppress(InvalidStateError):  # it is resolved, or was cancelled
                item.future.set_exception(self._refusal())
        if not self._closed:
            self._start_anew()

    def _refuse(self, error: BaseException) -> None:
        known = error.values.get("reason") if isinstance(error, StoreUnavailable) else None
        why = str(known or error) if isinstance(error, PerdureError) else reason(self._medium.name, error)
        before, self._unavailable = self._unavailable, why
        if before is None:
            log_event("error", "store_unavailable", path=self._medium.name, reason=why)

    def _start_anew(self) -> int | None:
        """Open the medium again; return the number of its last transaction, or None if that fails."""
        try:
            return self._medium.reopen()
        except PerdureError as error:
            self._refuse(error)
            return None

    def _checkpoint(self) -> None:
        """Let the medium checkpoint itself, after the futures of the commit were resolved."""
        try:
            self._medium.checkpoint()
        except StoreUnavailable as error:
            self._refuse(error)
        except apsw.IOError as error:
            self._refuse(error)
            self._start_anew()
        except apsw.Error as error:
            # The log's content is durable; it grows until the database can be written again.
            self._log_failed_checkpoint(error)

    def _end(self) -> None:
        try:
            self._medium.close(intact=self._unavailable is None)
        except StoreUnavailable as error:
            self._refuse(error)
        except apsw.Error as error:
            self._log_failed_checkpoint(error)

    def _log_failed_checkpoint(self, error: apsw.Error) -> None:
        name = self._medium.name
        log_event("warning", "checkpoint_failed", path=name, reason=reason(name, error))


def _outcome_unknown(error: Exception) -> bool:
    """Return whether a commit that failed with this error may have succeeded all the same.

    A full disk shows when a page of the log is written, before the fsync: the transaction is undone, and the
    next one overwrites it.
    """
    code = getattr(error, "extendedresult", apsw.SQLITE_IOERR)
    return isinstance(error, apsw.IOError) and code != apsw.SQLITE_IOERR_WRITE

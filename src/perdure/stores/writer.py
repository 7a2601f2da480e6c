"""The writer: one thread that takes whatever waits and commits it as one transaction.

It owns the writing connection, and it alone decides what counts as durable:

- Each item of a batch runs within an SQL savepoint, so that a refused one fails only itself.
- Every transaction begins by comparing the fencing token of the store's last opening: if another server has
  opened it since, nothing is written here any more.
- Futures are resolved after the commit, once it is known that it went to the files that have the store's
  names, and its number is in the tail. If that fails, every item fails, except those that had been refused
  before anything in the batch was written.
- After an I/O error at the commit its outcome is unknown. All connections are closed, the log is made durable
  anew, and the number of the last transaction, read from the reopened file, tells whether the batch is there.
  Until that has succeeded nothing is read either: it might be gone after a power cut.
- While the store is unavailable each batch, and each second, begins with a transaction that only probes. It
  writes as much as a step does, so that the store isn't called available while a step would fail. With
  `probe_every` a store that nobody writes to is probed, too.
- Whatever else is raised, all who wait are failed, the file is opened anew, and the thread goes on.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import apsw
import structlog
from msgspec.structs import replace

from perdure.errors import CorruptBlob, Fenced, PerdureError, StoreUnavailable
from perdure.stores.base import Committed, Told, commits
from perdure.stores.chain import Link
from perdure.stores.database import Readers, connect, reason, rewrite_log, row
from perdure.stores.files import Files
from perdure.stores.queries import QUERIES
from perdure.stores.tail import Mark, Tail
from perdure.supervision import start_thread

__all__ = ["Apply", "Writer"]

BATCH = 512  # items
PROBE_EVERY = 1.0  # seconds, while the store is unavailable
PAGE = 4096  # bytes
FEWEST_PAGES, MOST_PAGES = 8, 1024  # that a probe writes
CHECKPOINT = 1000  # pages of the log
CHECKPOINT_WAITING = 16 * CHECKPOINT  # pages; then readers are waited for, so that the log can start anew

T = TypeVar("T")
Apply: TypeAlias = Callable[[apsw.Connection], tuple[T, Told]]
"""What an item does within the transaction: it answers with its result and what to tell those who watch."""

log = structlog.get_logger(__name__)

_BEGIN = QUERIES["begin"].sql
_COMMIT = QUERIES["commit"].sql
_ROLLBACK = QUERIES["rollback"].sql
_ITEM_BEGIN = QUERIES["item_begin"].sql
_ITEM_KEEP = QUERIES["item_keep"].sql
_ITEM_UNDO = QUERIES["item_undo"].sql
_READ_META = QUERIES["read_meta"].sql
_SET_BATCH = QUERIES["set_batch"].sql
_WRITE_PROBE = QUERIES["write_probe"].sql

# These say that the store can't be written; any other error of SQLite is about the item at hand.
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
    apply: Apply[Any]
    future: Future[Any] = field(default_factory=Future)
    result: Any = None
    events: tuple[Committed, ...] = ()
    refusal: Exception | None = None
    on_its_own: bool = False  # nothing in the batch was written before, so its refusal rests on durable data


class Writer:
    """The thread that writes, from construction to `close`.

    Parameters
    ----------
    connection, mark
        An open connection, which the writer owns from now on, and its last transaction.
    path, vfs
        What it was opened with.
    files, tail
        Its files, and what says which transaction was acknowledged last; the writer closes the tail.
    readers
        The reading connections, which have to be closed while the file is opened anew.
    tell
        Called for each committed change of a run, in order, before its future is resolved.
    probe_every
        Seconds without a write after which it probes; None never does while the store is available.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        mark: Mark,
        path: Path,
        vfs: str | None,
        files: Files,
        tail: Tail,
        readers: Readers,
        tell: Callable[[Committed], None],
        probe_every: float | None = None,
    ) -> None:
        self._path = path
        self._vfs = vfs
        self._files = files
        self._tail = tail
        self._readers = readers
        self._tell = tell
        self._probe_every = probe_every
        self._step_pages = FEWEST_PAGES  # that an item writes, as far as is known
        self._waiting: deque[_Item] = deque()  # those that aren't answered yet, in order
        self._changed = threading.Condition()  # guards what waits; nothing is queued behind the end
        self._closed = False
        self._unavailable: str | None = None
        self._fenced = False
        self._log_pages = 0
        self._checkpoint_at = CHECKPOINT
        self._connection: apsw.Connection | None = connection
        self._acknowledged = mark
        self._batch = mark.batch
        self._untold: deque[tuple[int, Committed]] = deque()  # changes of a transaction, not yet told
        connection.set_wal_hook(self._count_pages)
        self._thread = start_thread(f"perdure-writer {path.name}", self._work)

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None when all is well."""
        return "it is closed" if self._closed else self._unavailable or self._files.problem

    @property
    def waiting(self) -> int:
        """How many items wait for their commit."""
        return len(self._waiting)

    def submit(self, apply: Apply[T], link: Link | None = None) -> Future[T]:
        """Queue an item; its future resolves after the commit."""
        item = _Item(apply)
        future: Future[T] = item.future
        if link is not None:
            link.follow(item.future)
        with self._changed:
            closed = self._closed
            if not closed:
                self._waiting.append(item)
                self._changed.notify()
        if closed:
            future.set_exception(StoreUnavailable(reason="it is closed"))
        return future

    def close(self) -> None:
        """Commit what waits, then close the connections; harmless when done twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    # The thread ---------------------------------------------------------------------------------------------

    def _work(self, failure: BaseException | None) -> None:
        """Commit what waits until the end; `failure` is what ended the last call, if it wasn't the end."""
        if failure is not None:
            self._start_over(failure)
        going_on = True
        while going_on:
            items, going_on, idle = self._take()
            if not self._fenced and (idle or (items and self._unavailable is not None)):
                self._transact([])
            if self._unavailable is None and items:
                self._transact(items)
            else:
                self._fail(items)
            if self._log_pages >= self._checkpoint_at:
                self._checkpoint()
        self._end()

    def _take(self) -> tuple[list[_Item], bool, bool]:
        """Wait for items, and return all that are there but for those that were cancelled.

        Returns, too, whether there will be more, and whether nothing came for as long as it waits.

        They stay queued until they are answered, so that none is forgotten whatever happens meanwhile.
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

    def _transact(self, items: Sequence[_Item]) -> None:
        """Commit a batch and resolve its futures; without items, probe whether a commit succeeds."""
        batch = self._batch + 1
        committing = False
        changed = True
        try:
            connection = self._connection or self._reopen()
            self._files.check_untouched()
            connection.execute(_BEGIN)
            self._check_opening(connection)
            untouched = connection.total_changes()
            for item in items:
                self._apply(connection, item)
                item.on_its_own = connection.total_changes() == untouched
            if not items:
                connection.execute(_WRITE_PROBE, (self._probe(batch),))
            changed = connection.total_changes() != untouched
            if changed:
                connection.execute(_SET_BATCH, (batch,))
            self._untold.extend((batch, event) for item in items for event in item.events)
            committing = True
            connection.execute(_COMMIT)
        except Exception as error:
            self._measure(len(items), committed=False)
            committed = self._recover(error, batch if committing else None)
        else:
            committed = True
            self._measure(len(items), committed=True)
            self._batch = batch if changed else self._batch
        self._forget_uncommitted()
        if committed and changed:
            committed = self._acknowledge()
        if committed and self._unavailable is not None:
            self._unavailable = None
            _log_event("info", "store_available", path=str(self._path))
        self._answer(items, committed)

    def _probe(self, batch: int) -> bytes:
        """Return what a probe writes: as many pages as a step; the same bytes again aren't written."""
        return batch.to_bytes(8, "big") * ((self._step_pages - 2) * PAGE // 8)

    def _measure(self, items: int, *, committed: bool) -> None:
        """Note how many pages an item of the last transaction wrote, or was about to write.

        Large ones are forgotten by and by, so that a store at rest isn't probed with much.
        """
        if self._connection is None:
            return
        pages, _ = self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, True)
        if items or (committed and self._unavailable is None):
            share = -(-pages // items) if items else 0
            self._step_pages = min(max(share, self._step_pages * 7 // 8, FEWEST_PAGES), MOST_PAGES)

    def _check_opening(self, connection: apsw.Connection) -> None:
        """Raise `Fenced` if the store was opened again since; while the transaction lasts, nobody can."""
        meta = row(connection, _READ_META)
        if meta is None or meta[:2] != (self._acknowledged.store, self._acknowledged.opening):
            self._fenced = True
            raise Fenced(
                f"{self._path}: another server has opened the store since, so this one writes nothing more. "
                "Stop this one",
                fence=self._acknowledged.opening,
            )

    def _forget_uncommitted(self) -> None:
        """Drop the changes of a transaction that isn't there; its number is used again."""
        while self._untold and self._untold[-1][0] > self._batch:
            self._untold.pop()

    def _acknowledge(self) -> bool:
        """Put down that the last transaction is acknowledged, if it went to the files that have the names."""
        try:
            self._files.measure()
            mark = replace(self._acknowledged, batch=self._batch, time=time.time())
            if self._untold:
                _, last = self._untold[-1]
                mark = replace(mark, run=last.run_id, position=last.position)
            self._tail.write(mark)
        except StoreUnavailable as error:
            self._refuse(error)
            return False
        self._acknowledged = mark
        return True

    def _apply(self, connection: apsw.Connection, item: _Item) -> None:
        connection.execute(_ITEM_BEGIN)
        try:
            item.result, told = item.apply(connection)
            item.events = commits(told)
        except _STORE_FAILED:
            raise
        except Exception as error:
            connection.execute(_ITEM_UNDO)
            item.refusal = error
            if isinstance(error, apsw.CorruptError):
                item.refusal = CorruptBlob(reason=reason(self._path, error))
        connection.execute(_ITEM_KEEP)

    def _answer(self, items: Sequence[_Item], committed: bool) -> None:
        """Tell those who watch of what was committed, and resolve the futures.

        What couldn't be told, because something failed after the commit, is told after the next one.
        """
        while committed and self._untold:
            _, event = self._untold[0]
            self._tell(event)
            self._untold.popleft()
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
            return Fenced(f"{self._unavailable}.", fence=self._acknowledged.opening)
        return StoreUnavailable(reason=self._unavailable)

    # When it fails ------------------------------------------------------------------------------------------

    def _recover(self, error: Exception, batch: int | None) -> bool:
        """Say why the store is unavailable, and find out whether the batch whose commit failed is there.

        `batch` is None if the failure came before the commit: then it can't be there.
        """
        self._refuse(error)
        if self._connection is None:
            return False
        if batch is None or not _outcome_unknown(error):
            try:
                if self._connection.in_transaction:
                    self._connection.execute(_ROLLBACK)
            except apsw.Error:
                self._start_anew()
            return False
        return self._start_anew() and self._batch == batch

    def _start_over(self, failure: BaseException) -> None:
        """Fail all who wait, after an error that nobody expected; it isn't known what it left undone."""
        self._refuse(failure)
        with self._changed:
            waiting = list(self._waiting)
        for item in waiting:
            with contextlib.suppress(InvalidStateError):  # it is answered, or was cancelled
                item.future.set_exception(self._refusal())
        if not self._closed:
            self._start_anew()
            self._forget_uncommitted()

    def _refuse(self, error: BaseException) -> None:
        known = error.values.get("reason") if isinstance(error, StoreUnavailable) else None
        why = str(known or error) if isinstance(error, PerdureError) else reason(self._path, error)
        before, self._unavailable = self._unavailable, why
        if before is None:
            _log_event("error", "store_unavailable", path=str(self._path), reason=why)

    def _start_anew(self) -> bool:
        """Close every connection without writing, and open the file again if that can be done."""
        self._readers.suspend()
        if self._connection is not None:
            with contextlib.suppress(apsw.Error):
                self._connection.close(True)
            self._connection = None
        try:
            self._reopen()
        except PerdureError as error:
            self._refuse(error)
            return False
        return True

    def _reopen(self) -> apsw.Connection:
        try:
            self._files.check()  # before another file is made
            rewrite_log(self._path, self._vfs)
            connection = connect(self._path, self._vfs, self._acknowledged)
            try:
                meta = row(connection, _READ_META)
            except apsw.Error as error:
                connection.close(True)
                raise StoreUnavailable(reason=reason(self._path, error)) from error
        except PerdureError as error:
            self._readers.resume(str(error.values.get("reason", error)))
            raise
        assert meta is not None, "the first migration makes it"
        _, _, self._batch = meta
        connection.set_wal_hook(self._count_pages)
        self._connection = connection
        self._readers.resume()
        return connection

    # The log ------------------------------------------------------------------------------------------------

    def _count_pages(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        """Bring the log's pages into the database, after those who waited for the commit were answered."""
        pages, self._log_pages = self._log_pages, 0
        self._checkpoint_at = pages + CHECKPOINT
        if self._connection is None:
            return
        waiting = pages >= CHECKPOINT_WAITING
        mode = apsw.SQLITE_CHECKPOINT_RESTART if waiting else apsw.SQLITE_CHECKPOINT_PASSIVE
        try:
            self._files.check_untouched()
            logged, done = self._connection.wal_checkpoint(mode=mode)
            self._files.measure()
        except StoreUnavailable as error:
            self._refuse(error)
        except apsw.BusyError:
            return
        except apsw.IOError as error:
            self._refuse(error)
            self._start_anew()
        except apsw.Error as error:
            # What it holds is durable; it grows until there is room in the database again.
            _log_event("warning", "checkpoint_failed", path=str(self._path), reason=reason(self._path, error))
        else:
            if logged == done:
                self._checkpoint_at = CHECKPOINT

    def _end(self) -> None:
        self._readers.close()
        self._tail.close()
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if self._files.only_log_deleted:
                # What the database lacks is in a file without a name, which ends with this connection.
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            elif self._unavailable is None:
                self._files.check_untouched()
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)  # removes the empty log
        except StoreUnavailable as error:
            self._refuse(error)
        except apsw.Error as error:
            _log_event("warning", "checkpoint_failed", path=str(self._path), reason=reason(self._path, error))
        finally:
            connection.close(True)


def _log_event(level: str, event: str, **values: str) -> None:
    """Log an event; a program that configures its own logging may raise here, and the writer goes on."""
    with contextlib.suppress(Exception):
        getattr(log, level)(event, **values)


def _outcome_unknown(error: Exception) -> bool:
    """Return whether a commit that failed so may have happened all the same.

    A disk that is full, or takes no more for another reason, shows when a page of the log is written, before
    the fsync: the transaction is undone, and the next one is written over it.
    """
    code = getattr(error, "extendedresult", apsw.SQLITE_IOERR)
    return isinstance(error, apsw.IOError) and code != apsw.SQLITE_IOERR_WRITE

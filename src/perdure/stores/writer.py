"""The writer: one thread that takes whatever waits and commits it as one transaction.

It owns the writing connection, and it alone decides what counts as durable:

- Each item of a batch runs within an SQL savepoint, so that a refused one fails only itself.
- Futures are resolved after the commit. If that fails, every item fails, except those that had been refused
  before anything in the batch was written.
- After an I/O error at the commit its outcome is unknown. All connections are closed, the log is made durable
  anew, and the number of the last transaction, read from the reopened file, tells whether the batch is there.
  Until that has succeeded nothing is read either: it might be gone after a power cut.
- While the store is unavailable each batch, and each second, begins with a transaction that only probes.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

import apsw
import structlog

from perdure.errors import CorruptBlob, PerdureError, StoreUnavailable
from perdure.stores.base import Committed
from perdure.stores.database import Readers, connect, reason, rewrite_log, row
from perdure.stores.queries import QUERIES

__all__ = ["Apply", "Writer"]

BATCH = 512  # items
PROBE_EVERY = 1.0  # seconds
CHECKPOINT = 1000  # pages of the log
CHECKPOINT_WAITING = 16 * CHECKPOINT  # pages; then readers are waited for, so that the log can start anew

T = TypeVar("T")
Apply: TypeAlias = Callable[[apsw.Connection], tuple[T, Committed | None]]
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
    future: Future[Any]
    apply: Apply[Any]
    result: Any = None
    event: Committed | None = None
    refusal: Exception | None = None
    on_its_own: bool = False  # nothing in the batch was written before, so its refusal rests on durable data


class Writer:
    """The thread that writes, from construction to `close`.

    Parameters
    ----------
    connection, batch
        An open connection, which the writer owns from now on, and the number of its last transaction.
    path, vfs
        What it was opened with.
    readers
        The reading connections, which have to be closed while the file is opened anew.
    tell
        Called for each committed change of a run, in order, before its future is resolved.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        batch: int,
        path: Path,
        vfs: str | None,
        readers: Readers,
        tell: Callable[[Committed], None],
    ) -> None:
        self._path = path
        self._vfs = vfs
        self._readers = readers
        self._tell = tell
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._gate = threading.Lock()  # nothing is queued behind the end
        self._closed = False
        self._unavailable: str | None = None
        self._log_pages = 0
        self._checkpoint_at = CHECKPOINT
        self._connection: apsw.Connection | None = connection
        self._batch = batch
        connection.set_wal_hook(self._count_pages)
        self._thread = threading.Thread(target=self._run, name=f"perdure-writer {path.name}", daemon=True)
        self._thread.start()

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be written at the moment; None when all is well."""
        return "it is closed" if self._closed else self._unavailable

    def submit(self, apply: Apply[T]) -> Future[T]:
        """Queue an item; its future resolves after the commit."""
        future: Future[T] = Future()
        with self._gate:
            if self._closed:
                future.set_exception(StoreUnavailable(reason="it is closed"))
            else:
                self._queue.put(_Item(future, apply))
        return future

    def close(self) -> None:
        """Commit what waits, then close the connections; harmless when done twice."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    # The thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        going_on = True
        while going_on:
            items, going_on = self._take()
            if self._unavailable is not None and (items or going_on):
                self._transact([])
            if self._unavailable is not None:
                _fail(items, self._unavailable)
            elif items:
                self._transact(items)
            if self._log_pages >= self._checkpoint_at:
                self._checkpoint()
        self._end()

    def _take(self) -> tuple[list[_Item], bool]:
        """Wait for items and take all that are there; those that were cancelled are gone."""
        items: list[_Item] = []
        try:
            item = self._queue.get(timeout=None if self._unavailable is None else PROBE_EVERY)
            while item is not None:
                if item.future.set_running_or_notify_cancel():
                    items.append(item)
                if len(items) == BATCH:
                    return items, True
                item = self._queue.get_nowait()
        except Empty:
            return items, True
        return items, False

    def _transact(self, items: Sequence[_Item]) -> None:
        """Commit a batch and resolve its futures; without items, probe whether a commit succeeds."""
        batch = self._batch + 1
        committing = False
        try:
            connection = self._connection or self._reopen()
            connection.execute(_BEGIN)
            untouched = connection.total_changes()
            for item in items:
                self._apply(connection, item)
                item.on_its_own = connection.total_changes() == untouched
            changed = not items or connection.total_changes() != untouched
            if changed:
                connection.execute(_SET_BATCH, (batch,))
            committing = True
            connection.execute(_COMMIT)
        except Exception as error:
            committed = self._recover(error, batch if committing else None)
        else:
            committed = True
            self._batch = batch if changed else self._batch
            if self._unavailable is not None:
                self._unavailable = None
                log.info("store_available", path=str(self._path))
        self._answer(items, committed)

    def _apply(self, connection: apsw.Connection, item: _Item) -> None:
        connection.execute(_ITEM_BEGIN)
        try:
            item.result, item.event = item.apply(connection)
        except _STORE_FAILED:
            raise
        except Exception as error:
            connection.execute(_ITEM_UNDO)
            item.refusal = error
            if isinstance(error, apsw.CorruptError):
                item.refusal = CorruptBlob(reason=reason(self._path, error))
        connection.execute(_ITEM_KEEP)

    def _answer(self, items: Sequence[_Item], committed: bool) -> None:
        for item in items:
            if item.refusal is not None and (committed or item.on_its_own):
                item.future.set_exception(item.refusal)
            elif committed:
                if item.event is not None:
                    self._tell(item.event)
                item.future.set_result(item.result)
            else:
                item.future.set_exception(StoreUnavailable(reason=self._unavailable))

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

    def _refuse(self, error: Exception) -> None:
        known = error.values.get("reason") if isinstance(error, StoreUnavailable) else None
        why = str(known or error) if isinstance(error, PerdureError) else reason(self._path, error)
        if self._unavailable is None:
            log.error("store_unavailable", path=str(self._path), reason=why)
        self._unavailable = why

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
            rewrite_log(self._path, self._vfs)
            connection = connect(self._path, self._vfs)
            try:
                meta = row(connection, _READ_META)
            except apsw.Error as error:
                connection.close(True)
                raise StoreUnavailable(reason=reason(self._path, error)) from error
        except PerdureError as error:
            self._readers.resume(str(error.values.get("reason", error)))
            raise
        assert meta is not None, "the first migration makes it"
        self._batch = meta[1]
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
            logged, done = self._connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            return
        except apsw.IOError as error:
            self._refuse(error)
            self._start_anew()
        except apsw.Error as error:
            # What it holds is durable; it grows until there is room in the database again.
            log.warning("checkpoint_failed", path=str(self._path), reason=reason(self._path, error))
        else:
            if logged == done:
                self._checkpoint_at = CHECKPOINT

    def _end(self) -> None:
        self._readers.close()
        if self._connection is None:
            return
        try:
            if self._unavailable is None:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)  # removes the empty log
        except apsw.Error as error:
            log.warning("checkpoint_failed", path=str(self._path), reason=reason(self._path, error))
        finally:
            self._connection.close(True)


def _outcome_unknown(error: Exception) -> bool:
    """Return whether a commit that failed so may have happened all the same.

    A disk that is full, or takes no more for another reason, shows when a page of the log is written, before
    the fsync: the transaction is undone, and the next one is written over it.
    """
    code = getattr(error, "extendedresult", apsw.SQLITE_IOERR)
    return isinstance(error, apsw.IOError) and code != apsw.SQLITE_IOERR_WRITE


def _fail(items: Sequence[_Item], why: str) -> None:
    for item in items:
        item.future.set_exception(StoreUnavailable(reason=why))

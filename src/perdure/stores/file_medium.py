"""The file medium: a database file that one process has open, with its lock, tail and write-ahead log."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import apsw
import structlog

from perdure.errors import AcknowledgedLost, PerdureError, StoreUnavailable
from perdure.stores.database import connect, last_batch, rewrite_log
from perdure.stores.files import Files, make_folder
from perdure.stores.lock import Lock
from perdure.stores.opening import begin
from perdure.stores.queries import STATEMENTS
from perdure.stores.readers import Readers
from perdure.stores.tail import Mark, Tail

__all__ = ["FileMedium"]

CHECKPOINT = 1000  # pages of the log
CHECKPOINT_WAITING = 16 * CHECKPOINT  # pages; beyond them it waits for readers, to restart the log

_ROLLBACK = STATEMENTS["rollback"]

log = structlog.get_logger(__name__)


class FileMedium:
    """A `Medium` in a file; the constructor opens it.

    Parameters
    ----------
    path
        The file; it and its folder are created if they don't exist.
    vfs
        Name of a virtual file system registered with apsw; None is that of the operating system.
    accept_loss
        Whether to open files that lack acknowledged transactions.

    Raises
    ------
    StoreLocked, StoreUnavailable, AcknowledgedLost, NewerSchema, NotAStore
        As `SqliteStore` does.
    """

    def __init__(self, path: Path, *, vfs: str | None = None, accept_loss: bool = False) -> None:
        try:
            make_folder(path.parent)
        except OSError as error:
            raise StoreUnavailable(reason=f"{path.parent}: {error.strerror}") from error
        self.name = str(path)
        self._path = path
        self._vfs = vfs
        self._lock = Lock(path.with_name(f"{path.name}.lock"), path)
        self._tail = Tail(path.with_name(f"{path.name}.tail"))
        try:
            connection = _connect(path, vfs, self._tail.read(), accept_loss=accept_loss)
            try:
                self.acknowledged = begin(connection, self.name)
                self._files = Files(path)
                self._tail.renew(self.acknowledged)
            except BaseException:
                connection.close(True)
                raise
        except BaseException:
            self._tail.close()
            self._lock.release()
            raise
        self._readers = Readers(path, vfs, self._files)
        self._log_pages = 0
        self._checkpoint_at = CHECKPOINT
        self._connection: apsw.Connection | None = connection
        connection.set_wal_hook(self._count_pages)

    @property
    def problem(self) -> str | None:
        """What happened to a file that isn't in place any more; None if all are in place."""
        return self._files.problem

    def reading(self) -> AbstractContextManager[apsw.Connection]:
        """Lend one of several read-only connections."""
        return self._readers.lend()

    def snapshot(self) -> AbstractContextManager[apsw.Connection]:
        """Lend a read-only connection. With the write-ahead log no read blocks the writer, however long."""
        return self._readers.lend()

    @contextlib.contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """Lend the writing connection, after checking that the files are in place."""
        if self._connection is None:
            self.reopen()
        assert self._connection is not None, "it was opened again"
        self._files.check_untouched()
        yield self._connection

    def undo(self) -> None:
        """Roll back the transaction if it is still open."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute(_ROLLBACK)

    def acknowledge(self, mark: Mark) -> None:
        """Record the transaction in the tail, if the files are in place."""
        self._files.measure()
        self._tail.write(mark)
        self.acknowledged = mark

    def reopen(self) -> int:
        """Close every connection without writing, write the log again, and open the file again."""
        if self._connection is not None:
            self._readers.suspend()
            with contextlib.suppress(apsw.Error):
                self._connection.close(True)
            self._connection = None
        try:
            self._files.check()  # before another file is created
            rewrite_log(self._path, self._vfs)
            connection = connect(self._path, self._vfs, self.acknowledged)
            try:
                batch = last_batch(connection, self.name)
            except BaseException:
                connection.close(True)
                raise
        except PerdureError as error:
            self._readers.resume(str(error.values.get("reason", error)))
            raise
        connection.set_wal_hook(self._count_pages)
        self._connection = connection
        self._readers.resume()
        return batch

    def checkpoint(self) -> None:
        """Copy the log's pages into the database once there are many."""
        if self._log_pages < self._checkpoint_at:
            return
        pages, self._log_pages = self._log_pages, 0
        self._checkpoint_at = pages + CHECKPOINT
        if self._connection is None:
            return
        waiting = pages >= CHECKPOINT_WAITING
        mode = apsw.SQLITE_CHECKPOINT_RESTART if waiting else apsw.SQLITE_CHECKPOINT_PASSIVE
        self._files.check_untouched()
        with contextlib.suppress(apsw.BusyError):
            logged, done = self._connection.wal_checkpoint(mode=mode)
            self._files.measure()
            if logged == done:
                self._checkpoint_at = CHECKPOINT

    def close(self, *, intact: bool) -> None:
        """Copy the log into the database if it is intact, close everything, and release the lock."""
        try:
            self._readers.close()
            self._tail.close()
            connection, self._connection = self._connection, None
            if connection is not None:
                try:
                    self._bring_in_log(connection, intact=intact)
                finally:
                    connection.close(True)
        finally:
            self._lock.release()

    def _bring_in_log(self, connection: apsw.Connection, *, intact: bool) -> None:
        if self._files.only_log_deleted:
            # The log has lost its name: its content would end with this connection.
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        elif intact:
            self._files.check_untouched()
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)  # removes the empty log

    def _count_pages(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK


def _connect(path: Path, vfs: str | None, acknowledged: Mark | None, *, accept_loss: bool) -> apsw.Connection:
    """Open the file.

    Raise `AcknowledgedLost` if it lacks acknowledged transactions, unless that is accepted.
    """
    try:
        return connect(path, vfs, acknowledged)
    except AcknowledgedLost as error:
        if not accept_loss:
            raise
        log.error("loss_accepted", path=str(path), missing=error.values["missing"])
    return connect(path, vfs)

"""The readers of a database file: read-only connections, shared between threads."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from perdure.errors import CorruptBlob, StoreUnavailable
from perdure.stores.database import BUSY_TIMEOUT, reason
from perdure.stores.files import Files

__all__ = ["Readers"]

MAX_READERS = 8
CHUNK = 1 << 20  # bytes read at once
READABLE_SECONDS = 60.0
GRACE = 1.0  # seconds that readers have before they are interrupted
INTERRUPT_EVERY = 0.1  # seconds; an interrupt ends one statement, and a reader may begin another


class Readers:
    """Read-only connections, each lent to one thread at a time.

    They are opened on demand; `close` closes them.

    Parameters
    ----------
    path, vfs
        The file, which must exist, and SQLite's virtual file system.
    files
        The files that must be in place for a read: a connection opened now would open another file.
    """

    def __init__(self, path: Path, vfs: str | None, files: Files) -> None:
        self._path = path
        self._vfs = vfs
        self._files = files
        self._changed = threading.Condition()
        self._idle: list[apsw.Connection] = []
        self._lent: set[apsw.Connection] = set()
        self._suspended = False
        self._refusal: str | None = None
        self._readable_until = 0.0

    @contextlib.contextmanager
    def lend(self) -> Iterator[apsw.Connection]:
        """Lend a connection; errors of SQLite are raised as errors of Perdure.

        Raises
        ------
        StoreUnavailable
            If the store is closed, its files aren't in place, or it can't be opened again after a failure.
        CorruptBlob
            If the file is damaged where it is read.
        """
        connection = self._take()
        try:
            yield connection
        except (apsw.CorruptError, apsw.NotADBError) as error:
            failure = self._read_failure(connection)
            if failure is not None:
                raise StoreUnavailable(reason=reason(self._path, failure)) from error
            raise CorruptBlob(reason=reason(self._path, error)) from error
        except apsw.Error as error:
            raise StoreUnavailable(reason=reason(self._path, error)) from error
        finally:
            with self._changed:
                self._lent.remove(connection)
                self._idle.append(connection)
                self._changed.notify_all()

    def suspend(self) -> None:
        """Take all connections back and close them; further readers wait for `resume`.

        A read that takes longer than a short grace period is interrupted, and its reader gets an error.
        """
        with self._changed:
            self._suspended = True
            patience = GRACE
            while not self._changed.wait_for(lambda: not self._lent, timeout=patience):
                for connection in self._lent:
                    connection.interrupt()
                patience = INTERRUPT_EVERY
            while self._idle:
                self._idle.pop().close()

    def resume(self, refusal: str | None = None) -> None:
        """Let readers continue; with `refusal`, they fail with it as the reason."""
        with self._changed:
            self._suspended = False
            self._refusal = refusal
            self._changed.notify_all()

    def close(self) -> None:
        """Take all connections back as `suspend` does and close them; later reads are refused."""
        self.suspend()
        self.resume("it is closed")

    def _read_failure(self, connection: apsw.Connection) -> apsw.Error | None:
        """Return why the file can't be read, or None if it can.

        While a statement runs, SQLite reports a page as damaged that the disk couldn't read (EIO). So the
        file is read to distinguish the two, at most once a minute.
        """
        with self._changed:
            if time.monotonic() < self._readable_until:
                return None
        for which in (0, 1):  # the file itself, its log
            offset, more = 0, True
            try:
                while more:
                    more, _ = connection.read("main", which, offset, CHUNK)
                    offset += CHUNK
            except apsw.IOError as error:
                return error
            except apsw.Error:
                continue  # there is no log
        with self._changed:
            self._readable_until = time.monotonic() + READABLE_SECONDS
        return None

    def _take(self) -> apsw.Connection:
        with self._changed:
            self._changed.wait_for(
                lambda: not self._suspended and (self._idle or len(self._lent) < MAX_READERS)
            )
            if self._refusal is not None:
                raise StoreUnavailable(reason=self._refusal)
            self._files.check()
            connection = self._idle.pop() if self._idle else self._open()
            self._lent.add(connection)
            return connection

    def _open(self) -> apsw.Connection:
        try:
            connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.set_busy_timeout(BUSY_TIMEOUT)
        except apsw.Error as error:
            raise StoreUnavailable(reason=reason(self._path, error)) from error
        return connection

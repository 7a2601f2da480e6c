"""The database file: how its connections are opened, shared between readers, and opened anew after a failure.

What is written, and when it counts as durable, is the writer's.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from perdure.errors import AcknowledgedLost, CorruptBlob, NewerSchema, NotAStore, StoreUnavailable
from perdure.stores.files import Files, make_private
from perdure.stores.queries import MIGRATIONS, QUERIES, Migration
from perdure.stores.tail import Mark

__all__ = [
    "APPLICATION_ID",
    "Readers",
    "connect",
    "lost",
    "migrate",
    "reason",
    "rewrite_log",
    "row",
    "rows",
]

APPLICATION_ID = 0x50657264  # "Perd", in the file's header
MAX_READERS = 8
CHUNK = 1 << 20  # bytes read at once
READABLE_SECONDS = 60.0
GRACE = 1.0  # seconds that readers have before what they read is interrupted
INTERRUPT_EVERY = 0.1  # seconds; an interrupt ends one statement, and a reader may begin another
BUSY_TIMEOUT = 5000  # milliseconds to wait for another program that has the file open
IDENTITY = 4  # the schema since which a store has an identity

_SQL = {name: query.sql for name, query in QUERIES.items()}

_WORDS: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "the disk is full"),
    (apsw.ReadOnlyError, "it is read-only"),
    (apsw.CantOpenError, "it can't be opened"),
    (apsw.IOError, "input or output failed"),
    (apsw.BusyError, "another program has locked it"),
    (apsw.LockedError, "another program has locked it"),
    (apsw.InterruptError, "it is being closed or opened anew"),
)


def reason(path: Path, error: BaseException) -> str:
    """Say in words why the file can't be used, with SQLite's own name for it."""
    otherwise = "SQLite failed" if isinstance(error, apsw.Error) else "an unexpected error"
    words = next((words for kind, words in _WORDS if isinstance(error, kind)), otherwise)
    code = getattr(error, "extendedresult", -1)
    name = apsw.mapping_extended_result_codes.get(code) or apsw.mapping_result_codes.get(code)
    details = ": ".join(str(part) for part in (name or type(error).__name__, error) if str(part))
    return f"{path}: {words} ({details})"


def connect(path: Path, vfs: str | None = None, acknowledged: Mark | None = None) -> apsw.Connection:
    """Open the file for writing, make it if there is none, and bring its schema up to date.

    Parameters
    ----------
    acknowledged
        What the file has to hold at least, if that is known.

    Raises
    ------
    AcknowledgedLost
        If it holds less than what was acknowledged; it is left as it is.
    NewerSchema
        If a newer Perdure wrote it; it is left as it is.
    NotAStore
        If it is something else.
    StoreUnavailable
        If it can't be opened or written.
    """
    if acknowledged is not None and not path.exists():
        raise AcknowledgedLost(path=str(path), missing=_told(acknowledged, "there is no such file"))
    connection: apsw.Connection | None = None
    try:
        make_private(path)
        connection = apsw.Connection(str(path), vfs=vfs)
        # Closing must not write: after a failed fsync the next one on the same handle may succeed without the
        # data being there, and a file of a newer schema isn't ours to change.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(BUSY_TIMEOUT)
        _check(connection, path)
        if acknowledged is not None and (missing := lost(connection, acknowledged)) is not None:
            raise AcknowledgedLost(path=str(path), missing=missing)
        connection.pragma("foreign_keys", True)
        connection.pragma("temp_store", "memory")  # undoing an item needs no disk
        if connection.pragma("journal_mode", "wal") != "wal":
            raise StoreUnavailable(
                reason=f"{path}: its file system can't keep a write-ahead log; put the store on a local disk"
            )
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", True)  # on macOS fsync alone leaves data in the drive's cache
        connection.pragma("checkpoint_fullfsync", True)
        connection.pragma("journal_size_limit", 64 << 20)  # bytes
        connection.wal_autocheckpoint(0)  # the writer does it, after it has answered
        migrate(connection)
    except BaseException as error:
        if connection is not None:
            connection.close(True)
        if isinstance(error, apsw.NotADBError):
            raise NotAStore(path=str(path), reason="it isn't an SQLite database") from error
        if isinstance(error, apsw.Error):
            raise StoreUnavailable(reason=reason(path, error)) from error
        if isinstance(error, OSError):
            raise StoreUnavailable(reason=f"{path}: {error.strerror}") from error
        raise
    return connection


def _check(connection: apsw.Connection, path: Path) -> None:
    """Refuse a file that isn't ours, or newer than this code, before anything is written to it."""
    found = connection.pragma("user_version")
    application = connection.pragma("application_id")
    if application != APPLICATION_ID:
        empty = connection.execute("SELECT count(*) = 0 FROM sqlite_schema").get
        if application or found or not empty:
            raise NotAStore(path=str(path), reason="it is the database of another program")
    known = MIGRATIONS[-1].version
    if found > known:
        raise NewerSchema(what=f"The store {path}", found=found, known=known)


def lost(connection: apsw.Connection, acknowledged: Mark) -> str | None:
    """Return in words what a file lacks of what was acknowledged, or None if it lacks nothing."""
    if connection.pragma("user_version") < IDENTITY:
        return _told(acknowledged, "the file is empty, another store, or a copy from before an upgrade")
    meta = row(connection, _SQL["read_meta"])
    if meta is None or meta[0] != acknowledged.store:
        return _told(acknowledged, "the file is another store")
    batch = meta[2]
    if batch >= acknowledged.batch:
        return None
    newest = row(connection, _SQL["newest_change"])
    when = "" if newest is None or newest[0] is None else f" of {_utc(newest[0])}"
    return _told(
        acknowledged, f"the file ends at transaction {batch}{when}: {acknowledged.batch - batch} are missing"
    )


def migrate(connection: apsw.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Apply each migration that the file lacks, in a transaction of its own."""
    for migration in migrations:
        if migration.version <= connection.pragma("user_version"):
            continue
        with connection:
            connection.pragma("application_id", APPLICATION_ID)
            connection.execute(migration.script)
            connection.pragma("user_version", migration.version)


def _told(acknowledged: Mark, found: str) -> str:
    last = f"step {acknowledged.position} of the run {acknowledged.run!r}, " if acknowledged.run else ""
    return f"transaction {acknowledged.batch} was acknowledged ({last}{_utc(acknowledged.time)}), but {found}"


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def rewrite_log(path: Path, vfs: str | None = None) -> None:
    """Write the write-ahead log once more, byte for byte, and make it durable.

    After an fsync has failed the kernel may show data that never reached the disk, and report success next
    time (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). Only data that is
    written again is durable after the next fsync, so this comes before anything is believed of what the log
    holds. No connection may be open.
    """
    log = Path(f"{path}-wal")
    if not log.exists():
        return
    try:
        file = apsw.VFSFile(vfs or "", str(log), [apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE, 0])
        try:
            size, chunk = file.xFileSize(), 1 << 16  # SQLite's own write takes less than 1 << 17 at once
            for offset in range(0, size, chunk):
                file.xWrite(file.xRead(min(chunk, size - offset), offset), offset)
            file.xSync(apsw.SQLITE_SYNC_FULL)
        finally:
            file.xClose()
    except apsw.Error as error:
        raise StoreUnavailable(reason=reason(log, error)) from error


class Readers:
    """Connections that only read, lent to one thread at a time; opened when needed, closed by `close`.

    Parameters
    ----------
    path, vfs
        The file, which has to exist, and SQLite's virtual file system.
    files
        What has to be in place for anything to be read: a connection opened now would open another file.
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
        """Lend a connection; what SQLite raises meanwhile comes out as an error of Perdure.

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
        """Take all connections back, close them, and let further readers wait for `resume`.

        What takes longer than a short grace is interrupted; whoever reads it is refused.
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
        """Let readers go on; with a refusal, let each fail with it as the reason."""
        with self._changed:
            self._suspended = False
            self._refusal = refusal
            self._changed.notify_all()

    def close(self) -> None:
        """Take all connections back as `suspend` does and close them; who reads later is refused."""
        self.suspend()
        self.resume("it is closed")

    def _read_failure(self, connection: apsw.Connection) -> apsw.Error | None:
        """Return why the file can't be read, or None if it can.

        While a statement runs SQLite calls a page damaged that the disk couldn't read (EIO). So the file is
        read once, at most every minute, however often damage is met.
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


def rows(connection: apsw.Connection, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return all rows that a query answers with; raise `CorruptBlob` if a text among them isn't one.

    A reader tries once more what seems damaged: SQLite says so too of a page that the disk couldn't read.
    """
    try:
        try:
            return connection.execute(sql, values).fetchall()
        except apsw.CorruptError:
            if not connection.readonly("main"):
                raise
            return connection.execute(sql, values).fetchall()
    except UnicodeDecodeError as error:
        raise CorruptBlob(reason=f"a text isn't UTF-8: {error}") from error


def row(connection: apsw.Connection, sql: str, values: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
    """Return the first row that a query answers with, or None."""
    found = rows(connection, sql, values)
    return found[0] if found else None

"""The database file: opens it, migrates its schema, makes its log durable again, and reads rows.

The writer writes, and decides when something counts as durable.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw
import structlog

from perdure.errors import (
    AcknowledgedLost,
    CorruptBlob,
    NewerSchema,
    NotAStore,
    RunNotFound,
    StoreUnavailable,
)
from perdure.stores.files import make_private
from perdure.stores.queries import MIGRATIONS, STATEMENTS, Migration
from perdure.stores.tail import Mark

__all__ = [
    "APPLICATION_ID",
    "BUSY_TIMEOUT",
    "connect",
    "intact",
    "last_batch",
    "lost",
    "migrate",
    "not_text",
    "reason",
    "rewrite_log",
    "row",
    "rows",
]

APPLICATION_ID = 0x50657264  # "Perd", in the file's header
BUSY_TIMEOUT = 5000  # milliseconds to wait for another program that has the file open
IDENTITY = 4  # the first schema with an identity

T = TypeVar("T")

log = structlog.get_logger(__name__)

_WORDS: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "the disk is full"),
    (apsw.ReadOnlyError, "it is read-only"),
    (apsw.CantOpenError, "it can't be opened"),
    (apsw.IOError, "input or output failed"),
    (apsw.BusyError, "another program has locked it"),
    (apsw.LockedError, "another program has locked it"),
    (apsw.InterruptError, "it is being closed or opened again"),
)


def reason(name: Path | str, error: BaseException) -> str:
    """Return a sentence that says why a database can't be used, with SQLite's own name of the error."""
    otherwise = "SQLite failed" if isinstance(error, apsw.Error) else "an unexpected error"
    words = next((words for kind, words in _WORDS if isinstance(error, kind)), otherwise)
    code = getattr(error, "extendedresult", -1)
    result = apsw.mapping_extended_result_codes.get(code) or apsw.mapping_result_codes.get(code)
    details = ": ".join(str(part) for part in (result or type(error).__name__, error) if str(part))
    return f"{name}: {words} ({details})"


def connect(path: Path, vfs: str | None = None, acknowledged: Mark | None = None) -> apsw.Connection:
    """Open the file for writing, create it if there is none, and migrate its schema.

    Parameters
    ----------
    acknowledged
        The last acknowledged transaction, if known; the file must hold it.

    Raises
    ------
    AcknowledgedLost
        If the file lacks acknowledged transactions; it is left unchanged.
    NewerSchema
        If a newer version of Perdure wrote it; it is left unchanged.
    NotAStore
        If it isn't a store of Perdure.
    StoreUnavailable
        If it can't be opened or written.
    """
    if acknowledged is not None and not path.exists():
        raise AcknowledgedLost(path=str(path), missing=_missing(acknowledged, "there is no such file"))
    connection: apsw.Connection | None = None
    try:
        make_private(path)
        connection = apsw.Connection(str(path), vfs=vfs)
        # Closing must not write: after a failed fsync, the next one on the same handle may succeed although
        # the data never reached the disk; and a file of a newer schema must not be changed.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(BUSY_TIMEOUT)
        _check(connection, path)
        if acknowledged is not None and (missing := lost(connection, acknowledged)) is not None:
            raise AcknowledgedLost(path=str(path), missing=missing)
        connection.pragma("foreign_keys", True)
        connection.pragma("temp_store", "memory")  # undoing a statement then needs no disk
        if connection.pragma("journal_mode", "wal") != "wal":
            raise StoreUnavailable(
                reason=f"{path}: its file system can't keep a write-ahead log; put the store on a local disk"
            )
        connection.pragma("synchronous", "full")
        connection.pragma("fullfsync", True)  # on macOS fsync alone leaves data in the drive's cache
        connection.pragma("checkpoint_fullfsync", True)
        connection.pragma("journal_size_limit", 64 << 20)  # bytes
        connection.wal_autocheckpoint(0)  # the writer checkpoints, after it has resolved the futures
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
    """Refuse a file of another program or of a newer version, before anything is written to it."""
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
    """Return a sentence that says which acknowledged transactions a file lacks; None if it lacks none."""
    if connection.pragma("user_version") < IDENTITY:
        return _missing(acknowledged, "the file is empty, another store, or a copy from before an upgrade")
    meta = row(connection, "read_meta")
    if meta is None or meta[0] != acknowledged.store:
        return _missing(acknowledged, "the file is another store")
    batch = meta[2]
    if batch >= acknowledged.batch:
        return None
    newest = row(connection, "newest_change")
    when = "" if newest is None or newest[0] is None else f" of {_utc(newest[0])}"
    return _missing(
        acknowledged, f"the file ends at transaction {batch}{when}: {acknowledged.batch - batch} are missing"
    )


def migrate(connection: apsw.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Apply each migration that the file lacks, each in a transaction of its own."""
    for migration in migrations:
        if migration.version <= connection.pragma("user_version"):
            continue
        with connection:
            connection.pragma("application_id", APPLICATION_ID)
            connection.execute(migration.script)
            connection.pragma("user_version", migration.version)


def last_batch(connection: apsw.Connection, name: str) -> int:
    """Return the number of the last transaction."""
    try:
        meta = row(connection, "read_meta")
    except apsw.Error as error:
        raise StoreUnavailable(reason=reason(name, error)) from error
    assert meta is not None, "the first migration creates the row"
    return int(meta[2])


def _missing(acknowledged: Mark, found: str) -> str:
    last = f"step {acknowledged.position} of the run {acknowledged.run!r}, " if acknowledged.run else ""
    return f"transaction {acknowledged.batch} was acknowledged ({last}{_utc(acknowledged.time)}), but {found}"


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def rewrite_log(path: Path, vfs: str | None = None) -> None:
    """Write the write-ahead log again, byte for byte, and make it durable.

    After an fsync has failed, the kernel may show data that never reached the disk, and report success the
    next time (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). Only data
    that is written again is durable after the next fsync. So call this before trusting the content of the
    log. No connection may be open.
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


def rows(connection: apsw.Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return all rows of a named query; raise `CorruptBlob` if a text among them isn't UTF-8.

    A reader tries again if a page seems damaged: SQLite also reports a page as damaged that the disk couldn't
    read.
    """
    sql = STATEMENTS[query]
    try:
        try:
            return connection.execute(sql, values).fetchall()
        except apsw.CorruptError:
            if not connection.readonly("main"):
                raise
            return connection.execute(sql, values).fetchall()
    except UnicodeDecodeError as error:
        raise not_text(error) from error


def intact(connection: apsw.Connection, query: str, read: Callable[..., Iterable[T]]) -> Iterator[T]:
    """Yield what `read` returns for each row of a named query, one by one, without damaged rows."""
    try:
        found = rows(connection, query)
    except (apsw.CorruptError, CorruptBlob) as error:
        log.error("rows_not_read", query=query, reason=str(error))
        return
    for values in found:
        # An id may be damaged in a row but not in its index; then the run isn't found by it.
        with suppress(apsw.CorruptError, CorruptBlob, RunNotFound):
            yield from read(*values)


def not_text(error: UnicodeDecodeError) -> CorruptBlob:
    """Return the error for a text in the file that isn't UTF-8."""
    return CorruptBlob(reason=f"a text isn't UTF-8: {error}")


def row(connection: apsw.Connection, query: str) -> tuple[Any, ...] | None:
    """Return the first row of a named query, or None."""
    found = rows(connection, query)
    return found[0] if found else None

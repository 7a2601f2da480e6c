"""The copy of a store: a database file, written by a reader while the store is in use.

SQLite writes it page by page in one read transaction, so that damage is detected instead of copied.
"""

from pathlib import Path

import apsw

from perdure.durable import sync
from perdure.errors import BackupRefused
from perdure.stores.database import reason, rows

__all__ = ["copy_to"]

_DAMAGED = (apsw.CorruptError, apsw.NotADBError)


def copy_to(connection: apsw.Connection, path: Path) -> None:
    """Write a copy to a file that is empty or new; raise `BackupRefused` if that is impossible."""
    try:
        rows(connection, "copy_store", str(path))
    except _DAMAGED:
        raise
    except apsw.Error as error:
        raise BackupRefused(folder=str(path.parent), reason=reason(path, error)) from error
    sync(path)  # by now no connection of this process has it open
    sync(path.parent)

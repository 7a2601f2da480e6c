"""The medium: what holds a store's database, as its writer and its readers use it.

There are two: `FileMedium` and `MemoryMedium`.
"""

from contextlib import AbstractContextManager
from typing import Protocol

import apsw

from perdure.stores.tail import Mark

__all__ = ["Medium"]


class Medium(Protocol):
    """Holds a database and opens its connections.

    Every thread may use `problem`, `reading` and `snapshot`; everything else belongs to the writer's thread.

    Attributes
    ----------
    name
        Name of the database for messages and log events.
    acknowledged
        The last acknowledged transaction; at first the one that opened the database.
    """

    @property
    def name(self) -> str: ...

    @property
    def acknowledged(self) -> Mark: ...

    @property
    def problem(self) -> str | None:
        """Why nothing can be written, as far as the files show; None if nothing is wrong."""
        ...

    def reading(self) -> AbstractContextManager[apsw.Connection]:
        """Lend a connection for a short read of the committed state.

        Errors of SQLite are raised as errors of Perdure.

        Raises
        ------
        StoreUnavailable
            If the store is closed, or the database isn't in place or can't be opened.
        CorruptBlob
            If the database is damaged where it is read.
        """
        ...

    def snapshot(self) -> AbstractContextManager[apsw.Connection]:
        """Lend a connection for a read of any length, which doesn't block the writer.

        Raises as `reading` does.
        """
        ...

    def writing(self) -> AbstractContextManager[apsw.Connection]:
        """Lend the writing connection for one transaction; open it again if it is closed.

        Raises
        ------
        PerdureError
            If it can't be opened, or the database isn't in place.
        """
        ...

    def undo(self) -> None:
        """Roll back the transaction if one is open; raise `apsw.Error` if that fails."""
        ...

    def acknowledge(self, mark: Mark) -> None:
        """Record a transaction before it is acknowledged; raise `StoreUnavailable` if that fails."""
        ...

    def reopen(self) -> int:
        """Close every connection and open the database again; return the number of its last transaction.

        Raises
        ------
        PerdureError
            If that fails; then nothing can be read either until it succeeds.
        """
        ...

    def checkpoint(self) -> None:
        """Checkpoint the database after a commit, if enough has been written.

        Raises
        ------
        StoreUnavailable
            If the database isn't in place.
        apsw.Error
            If SQLite failed; after an `apsw.IOError` the database must be opened again.
        """
        ...

    def close(self, *, intact: bool) -> None:
        """Close the database; does nothing if it is closed.

        Parameters
        ----------
        intact
            Whether the last transaction succeeded; otherwise nothing more is written.

        Raises
        ------
        StoreUnavailable, apsw.Error
            As `checkpoint` does; everything is closed all the same.
        """
        ...

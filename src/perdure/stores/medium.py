"""The medium: what a store's database lies in, as its writer and its readers need to know it.

There are two: `FileMedium` and `MemoryMedium`.
"""

from contextlib import AbstractContextManager
from typing import Protocol

import apsw

from perdure.stores.tail import Mark

__all__ = ["Medium"]


class Medium(Protocol):
    """Where a database is, and what keeps it there.

    Every thread may use `problem`, `reading` and `snapshot`; all else belongs to the writer's thread.

    Attributes
    ----------
    name
        Names the database in messages and log lines.
    acknowledged
        The last transaction that was acknowledged, at first the one that opened the database.
    """

    @property
    def name(self) -> str: ...

    @property
    def acknowledged(self) -> Mark: ...

    @property
    def problem(self) -> str | None:
        """Why nothing can be written, as far as that shows from outside; None if nothing is wrong."""
        ...

    def reading(self) -> AbstractContextManager[apsw.Connection]:
        """Lend a connection for a short read; it shows what is committed.

        What SQLite raises meanwhile comes out as an error of Perdure.

        Raises
        ------
        StoreUnavailable
            If the store is closed, or the database isn't where it was or can't be opened.
        CorruptBlob
            If the database is damaged where it is read.
        """
        ...

    def snapshot(self) -> AbstractContextManager[apsw.Connection]:
        """Lend a connection for a read of any length, which keeps no write waiting; raises as `reading`."""
        ...

    def writing(self) -> AbstractContextManager[apsw.Connection]:
        """Lend the connection that writes, for one transaction; open it anew if it is closed.

        Raises
        ------
        PerdureError
            If it can't be opened, or the database isn't where it was.
        """
        ...

    def undo(self) -> None:
        """Roll back the transaction if it is still open; raise `apsw.Error` if that can't be done."""
        ...

    def acknowledge(self, mark: Mark) -> None:
        """Note that a transaction is about to be acknowledged; `StoreUnavailable` if that can't be done."""
        ...

    def reopen(self) -> int:
        """Give up every connection, and open the database anew; return the number of its last transaction.

        Raises
        ------
        PerdureError
            If that can't be done; nothing is read either until it succeeds.
        """
        ...

    def checkpoint(self) -> None:
        """Bring the database in order after a commit, if it is time for that.

        Raises
        ------
        StoreUnavailable
            If the database isn't where it was.
        apsw.Error
            If SQLite failed; after an `apsw.IOError` the database has to be opened anew.
        """
        ...

    def close(self, *, intact: bool) -> None:
        """Let go of the database; harmless when done twice.

        Parameters
        ----------
        intact
            Whether the last transaction succeeded; otherwise nothing more is written.

        Raises
        ------
        StoreUnavailable, apsw.Error
            As `checkpoint`; everything is closed all the same.
        """
        ...

"""The memory medium: a database with one connection, which the writer and the readers use in turn.

SQLite has no write-ahead log for a database in memory, so two connections would block each other. With one
connection, lent under a lock for a whole transaction, nobody is refused and nobody sees half a transaction.
Long reads use a copy.
"""

import contextlib
import threading
from collections.abc import Iterator

import apsw

from perdure.errors import StoreUnavailable
from perdure.stores.database import last_batch, migrate, reason
from perdure.stores.opening import begin
from perdure.stores.queries import STATEMENTS
from perdure.stores.tail import Mark

__all__ = ["MemoryMedium"]

_ROLLBACK = STATEMENTS["rollback"]


class MemoryMedium:
    """A `Medium` in this process's memory, which ends with the process."""

    name = "memory://"
    problem = None

    def __init__(self) -> None:
        self._turn = threading.Lock()  # its holder may use the connection
        self._connection = apsw.Connection(":memory:")
        self._connection.pragma("foreign_keys", True)
        migrate(self._connection)
        self.acknowledged = begin(self._connection, self.name)
        self._closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Lend the connection between two transactions, after rolling back the rest of a failed one."""
        with self._turn:
            if self._closed:
                raise StoreUnavailable(reason="it is closed")
            try:
                self._roll_back()
                yield self._connection
            except apsw.Error as error:
                raise StoreUnavailable(reason=reason(self.name, error)) from error

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[apsw.Connection]:
        """Lend a copy of the whole database."""
        copy = apsw.Connection(":memory:")
        try:
            with self.reading() as connection, copy.backup("main", connection, "main") as copying:
                copying.step()
            yield copy
        except apsw.Error as error:
            raise StoreUnavailable(reason=reason(self.name, error)) from error
        finally:
            copy.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """Lend the connection; nobody reads meanwhile."""
        with self._turn:
            yield self._connection

    def undo(self) -> None:
        """Roll back the transaction if one is open."""
        with self._turn:
            self._roll_back()

    def acknowledge(self, mark: Mark) -> None:
        """Record the transaction; nothing outlives the process to be compared with it."""
        self.acknowledged = mark

    def reopen(self) -> int:
        """Continue with the same database, which exists only as long as its connection."""
        with self._turn:
            try:
                self._roll_back()
            except apsw.Error as error:
                raise StoreUnavailable(reason=reason(self.name, error)) from error
            return last_batch(self._connection, self.name)

    def checkpoint(self) -> None:
        """Do nothing: there is no log."""

    def close(self, *, intact: bool) -> None:
        """Close the connection, which deletes everything."""
        with self._turn:
            self._closed = True
            self._connection.close(True)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(_ROLLBACK)

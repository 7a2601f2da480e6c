"""Memory as a medium: a database of one connection, which the writer and the readers have in turns.

SQLite keeps no write-ahead log of a database in memory, so a second connection would be refused while the
first one writes, and the other way round. With one connection, which is lent under a lock for a whole
transaction, nobody is refused and nobody sees half of one. Reads that take long have a copy.
"""

import contextlib
import threading
from collections.abc import Iterator

import apsw

from perdure.errors import StoreUnavailable
from perdure.stores.database import last_batch, migrate, reason
from perdure.stores.opening import begin
from perdure.stores.queries import QUERIES
from perdure.stores.tail import Mark

__all__ = ["MemoryMedium"]

_ROLLBACK = QUERIES["rollback"].sql


class MemoryMedium:
    """A `Medium` in this process's memory, which ends with it."""

    name = "memory://"
    problem = None

    def __init__(self) -> None:
        self._turn = threading.Lock()  # whose it is may use the connection
        self._connection = apsw.Connection(":memory:")
        self._connection.pragma("foreign_keys", True)
        migrate(self._connection)
        self.acknowledged = begin(self._connection, self.name)
        self._closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Lend the connection between two transactions; what is left of a failed one is rolled back first."""
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
        """Roll back the transaction if it is still open."""
        with self._turn:
            self._roll_back()

    def acknowledge(self, mark: Mark) -> None:
        """Note the transaction; nothing outlives the process that it could be compared with."""
        self.acknowledged = mark

    def reopen(self) -> int:
        """Go on with the same database, which ends with its connection."""
        with self._turn:
            try:
                self._roll_back()
            except apsw.Error as error:
                raise StoreUnavailable(reason=reason(self.name, error)) from error
            return last_batch(self._connection, self.name)

    def checkpoint(self) -> None:
        """Do nothing: there is no log."""

    def close(self, *, intact: bool) -> None:
        """Forget everything."""
        with self._turn:
            self._closed = True
            self._connection.close(True)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(_ROLLBACK)

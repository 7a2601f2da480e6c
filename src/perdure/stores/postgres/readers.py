"""The readers: connections for reads, each lent to one thread at a time."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from perdure.errors import PerdureError, StoreUnavailable
from perdure.stores.commands.base import Rows
from perdure.stores.postgres.connections import GET_SECONDS, PAUSE, Watchdog, connect_options, prepare
from perdure.stores.postgres.failures import Meaning, as_refusal, in_words, meaning
from perdure.stores.postgres.queries import STATEMENTS

__all__ = ["Readers", "run"]

READERS = 8  # connections

R = TypeVar("R")


class Readers:
    """Lends connections, and repeats reads while the database is away.

    Parameters
    ----------
    conninfo
        What libpq connects with.
    watchdog
        Ends connections that don't answer.
    patience
        Seconds for which a read waits for a database that doesn't answer.
    report
        Called with the reason when the database is away.
    """

    def __init__(
        self, conninfo: str, watchdog: Watchdog, patience: float, report: Callable[[str], None]
    ) -> None:
        self._report = report
        self._conninfo = conninfo
        self._watchdog = watchdog
        self._patience = patience
        self._failure: Exception | None = None  # of the last attempt to connect
        self._pool: ConnectionPool[Connection[TupleRow]] = ConnectionPool(
            conninfo,
            kwargs=connect_options(psycopg.RawCursor),
            min_size=0,
            max_size=READERS,
            open=True,
            configure=self._connected,
            reconnect_timeout=0.0,
            reconnect_failed=self._not_connected,
            num_workers=1,
        )

    def close(self) -> None:
        """Close all connections; does nothing if they are closed."""
        self._pool.close()

    def ask(self, name: str, *values: Any) -> Rows:
        """Run a query on any connection; run it again while the database is away.

        Raises
        ------
        StoreUnavailable
            If it doesn't come back within `patience`, or the readers are closed.
        """

        def ask() -> Rows:
            with self._lent(self._patience) as connection:
                return run(connection, name, *values)

        return self._patiently(ask)

    @contextlib.contextmanager
    def snapshot(self, seconds: float | None = None) -> Iterator[Connection[TupleRow]]:
        """Lend a connection in a transaction of reads, which may take some seconds, by default `patience`."""
        with contextlib.ExitStack() as stack:

            def begun() -> Connection[TupleRow]:
                with contextlib.ExitStack() as attempt:
                    limit = seconds or self._patience
                    connection = attempt.enter_context(self._lent(limit))
                    with connection.pipeline():
                        connection.execute(STATEMENTS["begin_reading"])
                        connection.execute(STATEMENTS["limit_idle"], [str(int(limit * 1000))])
                    stack.push(attempt.pop_all())
                return connection

            connection = self._patiently(begun)
            try:
                yield connection
                run(connection, "commit")
            except (psycopg.Error, OSError) as error:
                raise _unreadable(error) from error

    @contextlib.contextmanager
    def _lent(self, seconds: float) -> Iterator[Connection[TupleRow]]:
        """Lend a connection; after an error it is closed, since its state is unknown."""
        connection = self._taken()
        try:
            with self._watchdog.limit(connection, seconds):
                yield connection
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                connection.close()
            raise
        finally:
            self._pool.putconn(connection)

    def _taken(self) -> Connection[TupleRow]:
        """Take a connection from the pool; raise the error if none can be made or is free in time."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return self._pool.getconn(GET_SECONDS)
            except PoolTimeout:
                if self._failure is not None:
                    raise self._failure from None
                if time.monotonic() >= until:
                    raise

    def _patiently(self, read: Callable[[], R]) -> R:
        """Return what `read` returns; while the database is away, call it again."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return read()
            except PerdureError:
                raise
            except Exception as error:
                if self._pool.closed:
                    raise StoreUnavailable(reason="it is closed") from error
                if meaning(error) is Meaning.AWAY:
                    self._report(in_words(error))
                if meaning(error) is Meaning.THEIRS or time.monotonic() > until:
                    raise _unreadable(error) from error
            time.sleep(PAUSE)

    def _connected(self, connection: Connection[TupleRow]) -> None:
        prepare(connection)
        self._failure = None

    def _not_connected(self, pool: ConnectionPool[Any]) -> None:
        """Find out why the pool can't connect."""
        try:
            psycopg.connect(self._conninfo).close()
        except psycopg.Error as error:
            self._failure = error


def run(connection: Connection[TupleRow], name: str, *values: Any) -> Rows:
    """Execute a named query, and return its rows if it has some."""
    cursor = connection.execute(STATEMENTS[name], values, binary=True)
    return cursor.fetchall() if cursor.description else []


def _unreadable(error: Exception) -> Exception:
    """Return the error of a read that isn't repeated."""
    return StoreUnavailable(reason=in_words(error)) if meaning(error) is Meaning.AWAY else as_refusal(error)

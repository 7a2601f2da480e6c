"""The writer's pool: connections for its transactions, and for single statements of its own."""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from perdure.stores.postgres.connections import GET_SECONDS, Watchdog, connect_options
from perdure.stores.postgres.queries import STATEMENTS
from perdure.stores.postgres.round_trip import WriterConnection

__all__ = ["WriterPool"]


class WriterPool:
    """Connections of one event loop, while its ``async with`` block lasts.

    Parameters
    ----------
    conninfo
        What libpq connects with.
    size
        The limit of the number of connections.
    watchdog
        Ends connections that don't answer.
    patience
        Seconds for which a single statement waits for a connection, and for its answer.
    """

    def __init__(self, conninfo: str, size: int, watchdog: Watchdog, patience: float) -> None:
        self._conninfo = conninfo
        self._watchdog = watchdog
        self._patience = patience
        self._failure: Exception | None = None  # of the last attempt to connect
        self._pool: AsyncConnectionPool[WriterConnection] = AsyncConnectionPool(
            conninfo,
            connection_class=WriterConnection,
            kwargs=connect_options(psycopg.AsyncRawCursor),
            min_size=1,
            max_size=size,
            open=False,
            configure=self._connected,
            reconnect_timeout=0.0,
            reconnect_failed=self._not_connected,
        )

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def ask(self, name: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        """Execute a named query in a transaction of its own."""
        async with self.lent(self._patience) as connection:
            with self._watchdog.limit(connection, self._patience):
                cursor = await connection.execute(STATEMENTS[name], values, binary=True)
                return await cursor.fetchall() if cursor.description else []

    @contextlib.asynccontextmanager
    async def lent(self, seconds: float) -> AsyncIterator[WriterConnection]:
        """Lend a connection; after an error it is closed, since its state is unknown.

        Raises
        ------
        psycopg.Error, PoolTimeout
            If none can be made, or none is free within `seconds`.
        """
        connection = await self._taken(seconds)
        try:
            yield connection
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                await connection.close()
            raise
        finally:
            await self._pool.putconn(connection)

    async def _taken(self, seconds: float) -> WriterConnection:
        until = time.monotonic() + seconds
        while True:
            try:
                return await self._pool.getconn(GET_SECONDS)
            except PoolTimeout:
                if self._failure is not None:
                    raise self._failure from None
                if time.monotonic() >= until:
                    raise

    async def _connected(self, connection: WriterConnection) -> None:
        with self._watchdog.limit(connection, self._patience):
            await connection.configure()
        self._failure = None

    async def _not_connected(self, pool: AsyncConnectionPool[Any]) -> None:
        """Find out why the pool can't connect."""
        try:
            connection = await AsyncConnection.connect(self._conninfo)
            await connection.close()
        except psycopg.Error as error:
            self._failure = error

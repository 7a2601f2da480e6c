"""A round trip to PostgreSQL: sends any number of statements together, then reads all of their answers.

psycopg's own pipeline sends each statement by itself, waits each time until the socket can be written, and so
wakes the server for each: that took most of the time of a transaction. This uses its layer over libpq.
"""

import asyncio
from collections.abc import Sequence

import psycopg
from psycopg import AsyncConnection, abc, errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import TupleRow, tuple_row

from perdure.stores.commands import Query
from perdure.stores.commands.base import Rows
from perdure.stores.postgres.connections import prepare
from perdure.stores.postgres.queries import STATEMENTS

__all__ = ["WriterConnection"]

LOST = "the connection is lost"


class WriterConnection(AsyncConnection[TupleRow]):
    """A connection whose statements share round trips.

    Statements are prepared, so that the server doesn't parse and plan them each time; unless a pooler is in
    between, which may give each transaction another connection to the server.
    """

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn, tuple_row)
        self._converter: abc.Transformer = Transformer(self)
        self._is_direct = False  # without a pooler
        self._statements: dict[tuple[str, tuple[int, ...]], bytes] = {}  # by the query's name and its types

    async def configure(self) -> None:
        """Let it convert values, and find out whether statements can be prepared.

        A pooler gives its clients process numbers of its own.
        """
        prepare(self)
        self._converter = Transformer(self)
        ((number,),) = (await self.round_trip([Query("read_backend")]))[0]
        self._is_direct = number == self.info.backend_pid

    async def round_trip(self, queries: Sequence[Query]) -> list[Rows]:
        """Execute named queries in their order; return the rows of each.

        If one fails, its error is raised, and none after it was executed. The connection must be closed
        then, as after a cancellation.
        """
        self.pgconn.enter_pipeline_mode()
        sent = [part for query in queries for part in self._send(query)]
        self.pgconn.pipeline_sync()
        await self._flush()
        results = await self._results()
        self.pgconn.exit_pipeline_mode()
        answered = (result for result, answers in zip(results, sent, strict=True) if answers)
        return [self._rows(result) for result in answered]

    def _send(self, query: Query) -> list[bool]:
        """Let libpq send a query; return for each of its messages whether the result is the query's."""
        statement = STATEMENTS[query.name].encode()
        values = self._converter.dump_sequence(query.values, [PyFormat.AUTO] * len(query.values))
        types, formats = self._converter.types or (), self._converter.formats
        if not self._is_direct:
            self.pgconn.send_query_params(statement, values, types, formats, Format.BINARY)
            return [True]
        key = query.name, tuple(types)
        new = key not in self._statements
        if new:
            self._statements[key] = f"{query.name} {len(self._statements)}".encode()
            self.pgconn.send_prepare(self._statements[key], statement, types)
        self.pgconn.send_query_prepared(self._statements[key], values, formats, Format.BINARY)
        return [False, True] if new else [True]

    async def _flush(self) -> None:
        """Send all; what the server answers meanwhile is taken in, so that neither waits for the other."""
        while self.pgconn.flush():
            await _until_ready(self.pgconn.socket, writing=True)
            self.pgconn.consume_input()

    async def _results(self) -> list[PGresult]:
        """Return the result of each message."""
        results = []
        failure: psycopg.Error | None = None
        while True:
            try:
                result = await self._next()
            except psycopg.OperationalError as error:
                raise (failure or error) from None  # a server that ends a connection says why before
            if result is None:  # the end of what belongs to one message
                continue
            match result.status:
                case ExecStatus.PIPELINE_SYNC:
                    break
                case ExecStatus.FATAL_ERROR:
                    failure = failure or errors.error_from_result(result)
                case _:
                    results.append(result)
        if failure is not None:
            raise failure
        return results

    async def _next(self) -> PGresult | None:
        while self.pgconn.is_busy():
            await _until_ready(self.pgconn.socket)
            self.pgconn.consume_input()
            while self.pgconn.notifies():  # behind a pooler, the server's connection may have listened
                pass
        result = self.pgconn.get_result()
        if result is None and self.pgconn.status == ConnStatus.BAD:
            raise psycopg.OperationalError(LOST)
        return result

    def _rows(self, result: PGresult) -> Rows:
        self._converter.set_pgresult(result, format=Format.BINARY)
        return self._converter.load_rows(0, result.ntuples, tuple)


async def _until_ready(file: int, *, writing: bool = False) -> None:
    """Wait until a socket can be read, or also until it can be written."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(file, note)
    if writing:
        loop.add_writer(file, note)
    try:
        await ready
    finally:
        loop.remove_reader(file)
        if writing:
            loop.remove_writer(file)

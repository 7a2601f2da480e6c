"""Statements that share a round trip: their rows, their errors, and which of them are prepared."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from perdure.stores.commands import Query
from perdure.stores.postgres import round_trip
from perdure.stores.postgres.connections import connect_options
from perdure.stores.postgres.round_trip import WriterConnection

pytestmark = pytest.mark.anyio

STATEMENTS = {
    "read_backend": "SELECT pg_backend_pid()",
    "echo": "SELECT $1, $2::text",
    "divide": "SELECT 1 / $1",
    "count": "SELECT nextval('counted')",
    "prepared": "SELECT count(*) FROM pg_prepared_statements",
    "notify": "NOTIFY noise",
    "listen": "LISTEN noise",
    "nothing": "SELECT 1 WHERE $1",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_trip, "STATEMENTS", STATEMENTS)


@pytest.fixture
async def connection(postgres: str) -> AsyncIterator[WriterConnection]:
    async with await connected(postgres) as connection:
        yield connection


async def connected(url: str) -> WriterConnection:
    connection = await WriterConnection.connect(url, **connect_options(psycopg.AsyncRawCursor))
    await connection.configure()
    return connection


async def test_each_query_is_answered_with_its_rows(connection: WriterConnection) -> None:
    for _ in range(3):  # the later ones with prepared statements
        queries = Query("echo", (1, "a\0b")), Query("nothing", (False,)), Query("echo", (2**40, None))
        assert await connection.round_trip(queries) == [[(1, "a\0b")], [], [(2**40, None)]]
    assert await connection.round_trip([]) == []


async def test_large_values_are_sent_and_received_at_once(connection: WriterConnection) -> None:
    values = [bytes([number]) * 200_000 for number in range(200)]  # more than the sockets hold
    rows = await connection.round_trip([Query("echo", (value, "")) for value in values])
    assert [row[0][0] for row in rows] == values


async def test_the_error_of_the_first_query_that_fails_is_raised(connection: WriterConnection) -> None:
    await connection.execute("CREATE TEMPORARY SEQUENCE counted")
    assert await connection.round_trip([Query("count")]) == [[(1,)]]
    with pytest.raises(psycopg.errors.DivisionByZero):
        await connection.round_trip([Query("divide", (0,)), Query("count"), Query("divide", ("x",))])


async def test_a_server_that_ends_the_connection_says_why(
    connection: WriterConnection, postgres: str
) -> None:
    async with await connected(postgres) as other:
        await other.execute("SELECT pg_terminate_backend($1)", [connection.info.backend_pid])
    with pytest.raises(psycopg.errors.AdminShutdown):
        await connection.round_trip([Query("echo", (1, ""))])
    with pytest.raises(psycopg.OperationalError):
        await connection.round_trip([Query("echo", (1, ""))])


async def test_statements_are_prepared_once_unless_a_pooler_is_in_between(
    connection: WriterConnection, bounced: str
) -> None:
    queries = [Query("echo", (1, "")), Query("echo", (2, "")), Query("prepared")]
    *_, ((prepared,),) = await connection.round_trip(queries)
    assert prepared == 2
    *_, ((prepared,),) = await connection.round_trip(queries)
    assert prepared == 2
    async with await connected(bounced) as pooled:
        *_, ((prepared,),) = await pooled.round_trip(queries)
        assert prepared == 0


async def test_notifications_are_dropped(connection: WriterConnection) -> None:
    await connection.round_trip([Query("listen")])
    assert await connection.round_trip([Query("notify"), Query("echo", (1, ""))]) == [[], [(1, "")]]
    assert await connection.round_trip([Query("echo", (2, ""))]) == [[(2, "")]]
    assert connection.pgconn.notifies() is None

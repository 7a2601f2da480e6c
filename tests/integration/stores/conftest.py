"""Databases of PostgreSQL for tests of its store."""

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest
from tests.support.half_open import Proxy
from tests.support.postgres import PORT, Databases, PostgresServer
from tests.support.services import service_folder


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    """The URL of a database with the schema of a store, and no runs."""
    taken = databases.take()
    yield taken
    databases.give_back([taken])


@pytest.fixture
def proxied(url: str, shared_postgres: PostgresServer) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the server, and the URL of the test's database through it."""
    with service_folder("proxy") as folder:
        socket = f".s.PGSQL.{PORT}"
        proxy = Proxy(folder / socket, shared_postgres.folder / socket)
        with closing(proxy):
            yield proxy, url.replace(quote(str(shared_postgres.folder), safe=""), quote(str(folder), safe=""))

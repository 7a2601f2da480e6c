"""A server process without tokens on a SQLite store, shared by the tests of a module, and a client of it."""

from collections.abc import Iterator

import httpx
import pytest
from tests.support.served import Served, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made

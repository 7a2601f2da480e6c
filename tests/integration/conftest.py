"""Fixtures of integration tests: a server process that a module shares, and no expiry in the background."""

from collections.abc import Iterator

import httpx
import pytest
from tests.support.served import Served, served

from perdure.dialects.bptk import expiry


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server process without tokens, on a SQLite store."""
    with served(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


@pytest.fixture
def no_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the dialect of BPTK expire nothing in the background."""
    monkeypatch.setattr(expiry, "SWEEP_SECONDS", 1_000_000.0)

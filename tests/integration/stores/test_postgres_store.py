"""The PostgreSQL store passes the suites of a durable store and of one that several processes share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.postgres import Databases

from perdure.stores.options import StoreOptions
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.stores import DurableStoreConformance, SharedStoreConformance


class TestPostgresStore(SharedStoreConformance, DurableStoreConformance):
    """Runs both suites; each folder of a test is a database of its own."""

    @pytest.fixture(autouse=True)
    def folders(self, databases: Databases) -> Iterator[None]:
        self.databases = databases
        self.urls: dict[Path, str] = {}
        yield
        self.databases.give_back(self.urls.values())

    def open_store(self, folder: Path, *, keep: int = 3, keep_lines: int = 10_000) -> PostgresStore:
        if folder not in self.urls:
            self.urls[folder] = self.databases.take()
        return PostgresStore(self.urls[folder], StoreOptions(keep=keep, keep_lines=keep_lines))

"""The key that signs logins: one for all servers of a store, whenever and however they start."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from perdure.api.login_key import DIALECT, ID, login_key
from perdure.stores.base import Store
from perdure.stores.commands import Document
from perdure.stores.memory import MemoryStore
from perdure.stores.open import open_store
from perdure.web.logins import KEY_BYTES


@pytest.fixture
def store() -> Iterator[Store]:
    made = MemoryStore()
    yield made
    made.close()


def test_it_is_made_once_and_of_each_store_another(store: Store) -> None:
    key = login_key(store)
    assert len(key) == KEY_BYTES
    assert [login_key(store) for _ in range(3)] == [key] * 3
    with closing(MemoryStore()) as other:
        assert login_key(other) != key


def test_servers_that_start_at_once_agree_on_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them finds none at first, and only one can make it."""
    servers = 4
    barrier, read = Barrier(servers), store.document
    asked = []

    def document(dialect: str, id: str) -> Document | None:
        found = read(dialect, id)
        asked.append(found)
        if len(asked) <= servers:
            barrier.wait(60)
        return found

    monkeypatch.setattr(store, "document", document)
    with ThreadPoolExecutor(servers) as threads:
        keys = set(threads.map(login_key, [store] * servers))
    assert asked[:servers] == [None] * servers
    assert len(keys) == 1
    assert keys == {login_key(store)}


def test_one_that_is_damaged_gives_way_to_another(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    with closing(open_store(f"sqlite:///{file}")) as store:
        key = login_key(store)
    with closing(sqlite3.connect(file)) as connection, connection:
        changed = connection.execute(
            "UPDATE records SET blob = zeroblob(32) WHERE dialect = ? AND id = ?", (DIALECT, ID)
        )
        assert changed.rowcount == 1
    with closing(open_store(f"sqlite:///{file}")) as store:
        new = login_key(store)
        assert new not in (key, bytes(KEY_BYTES))
        assert login_key(store) == new

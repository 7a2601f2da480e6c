"""The suite of stores that can be shared, on one store object that is opened several times."""

from pathlib import Path
from typing import Any

import pytest

from perdure.errors import PerdureError, StoreUnavailable
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_sharing import SharedStoreConformance

_objects: dict[Path, tuple[SqliteStore, set[int]]] = {}


class Opening:
    """One of the openings of a store object, which closes with the last of them."""

    shared = True

    def __init__(self, folder: Path, **options: int) -> None:
        if folder not in _objects:
            _objects[folder] = (SqliteStore(folder, **options), set())
        self._folder = folder
        self._store, self._openings = _objects[folder]
        self._openings.add(id(self))

    def __getattr__(self, name: str) -> Any:
        if id(self) not in self._openings:
            raise StoreUnavailable(reason="it is closed")
        return getattr(self._store, name)

    def other_openings(self) -> list[str]:
        return [str(opening) for opening in self._openings - {id(self)}]

    def close(self) -> None:
        self._openings.discard(id(self))
        if not self._openings:
            self._store.close()
            _objects.pop(self._folder, None)


class TestSharedObject(SharedStoreConformance):
    def open_store(self, folder: Path, *, keep: int = 3, keep_lines: int = 10_000) -> Opening:
        return Opening(folder, keep=keep, keep_lines=keep_lines)


class _Apart(SharedStoreConformance):
    """Opens a store that only says that it is shared: each opening is another one."""

    def open_store(self, folder: Path, *, keep: int = 3, keep_lines: int = 10_000) -> MemoryStore:
        store = MemoryStore(keep=keep, keep_lines=keep_lines)
        store.shared = True
        return store


@pytest.mark.parametrize("name", [name for name in vars(SharedStoreConformance) if name.startswith("test_")])
def test_two_stores_that_are_not_one_fail_each_test_of_the_suite(name: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, PerdureError)):
        getattr(_Apart(), name)(tmp_path)

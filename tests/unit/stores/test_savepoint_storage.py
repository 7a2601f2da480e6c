"""The state store works on any store, through the storage for one run."""

from contextlib import closing
from pathlib import Path

import pytest

from perdure.errors import NoSavepoint, SavepointNotFound
from perdure.state.state_store import StateStore
from perdure.stores.base import Store
from perdure.stores.commands import MarkSavepoint
from perdure.stores.memory import MemoryStore
from perdure.stores.savepoints import SavepointStorage
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import a_run, a_savepoint


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path):
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "perdure.db")
    with closing(made):
        yield made


def test_a_run_is_resumed_from_its_newest_savepoint(store: Store) -> None:
    state = StateStore("run", 10, SavepointStorage(store, a_run()))
    assert not state.initialized()
    (entity,) = state.init_run_state(0, {"model": {"x": 0}})
    for at in range(10, 60, 10):
        entity.update_state({"x": at})
        entity.ack_processed_time(at)

    again = StateStore("run", 10, SavepointStorage(store, a_run()))
    assert again.initialized()
    timestamp, (entity,) = again.load_run_state()
    assert (timestamp, entity.id, entity.state) == (50, "model", {"x": 50})


def test_an_upgrade_is_durable_and_keeps_the_marks(store: Store) -> None:
    storage = SavepointStorage(store, a_run())
    (entity,) = StateStore("run", 10, storage).init_run_state(0, {"model": 1})
    entity.ack_processed_time(10)
    store.submit(MarkSavepoint("run", 10, name="before", pinned=True)).result()
    StateStore("run", 10, storage).load_run_state(lambda states: {"model": states["model"], "new": 2})
    assert set(storage.load(10).entities) == {"model", "new"}
    assert store.savepoints("run")[0].name == "before"


def test_a_run_that_only_began_has_no_savepoint(store: Store) -> None:
    storage = SavepointStorage(store, a_run())
    storage.initialize()
    storage.initialize()
    assert storage.initialized()
    assert list(storage.timestamps()) == []
    with pytest.raises(NoSavepoint):
        StateStore("run", 10, storage).load_run_state()
    with pytest.raises(SavepointNotFound):
        storage.load(10)


def test_a_deleted_run_is_gone_and_may_be_deleted_again(store: Store) -> None:
    storage = SavepointStorage(store, a_run())
    storage.initialize()
    storage.publish(a_savepoint(10))
    storage.delete()
    storage.delete()
    assert not storage.initialized()

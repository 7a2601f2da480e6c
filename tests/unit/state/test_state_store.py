"""The state store: what was saved is loaded, damage is passed over and reported, upgrades are kept."""

from typing import Any

import pytest
import structlog

from perdure.errors import CorruptBlob, NewerSchema, NoSavepoint, PerdureError, SavepointNotFound
from perdure.state.codec import encode
from perdure.state.savepoint import Savepoint
from perdure.state.state_store import StateStore
from perdure.testing.storage import MemoryStorage


def advance(store: StateStore, entities: list[Any], upto: int) -> None:
    for timestamp in range(10, upto + 1, 10):
        for entity in entities:
            entity.ack_processed_time(timestamp)
            entity.update_state({"at": timestamp})


def with_three_savepoints() -> MemoryStorage:
    storage = MemoryStorage(keep=3)
    store = StateStore("run", 10, storage)
    advance(store, store.init_run_state(0, {"a": {"at": 0}, "b": {"at": 0}}), 30)
    assert storage.timestamps() == [10, 20, 30]
    return storage


def test_a_saved_state_does_not_alias_the_live_one() -> None:
    storage = MemoryStorage()
    store = StateStore("run", 10, storage)
    live = {"values": [1.0]}
    (entity,) = store.init_run_state(0, {"a": live})
    entity.ack_processed_time(10)
    live["values"].append(2.0)
    _, (loaded,) = StateStore("run", 10, storage).load_run_state()
    assert loaded.state == {"values": [1.0]}


def test_the_transform_runs_only_when_something_is_saved() -> None:
    store = StateStore("run", 10, MemoryStorage())
    (entity,) = store.init_run_state(0, {"a": 5})
    calls = []

    def transform(state: int) -> int:
        calls.append(state)
        return state

    for timestamp in (1, 9, 10, 11, 19):
        entity.ack_processed_time(timestamp, transform)
    assert calls == [5]


@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_the_next_older_intact_savepoint_is_used_and_the_damage_is_reported(damage: str) -> None:
    storage = with_three_savepoints()
    for timestamp in (20, 30):
        blob = storage.blobs[timestamp]
        storage.blobs[timestamp] = blob[:-3] if damage == "truncate" else blob[:20] + b"\xff" + blob[21:]
    with structlog.testing.capture_logs() as logs:
        timestamp, entities = StateStore("run", 10, storage).load_run_state()
    assert timestamp == 10
    assert {entity.id: entity.state for entity in entities} == {"a": {"at": 0}, "b": {"at": 0}}
    assert [(line["event"], line["timestamp"]) for line in logs] == [
        ("savepoint_damaged", 30),
        ("savepoint_damaged", 20),
    ]


def test_a_savepoint_of_a_newer_schema_is_reported_and_the_older_one_used() -> None:
    storage = with_three_savepoints()
    storage.blobs[30] = encode([30, 0, {}], schema=9)
    with structlog.testing.capture_logs() as logs:
        timestamp, _ = StateStore("run", 10, storage).load_run_state()
    assert timestamp == 20
    assert [(line["timestamp"], line["code"]) for line in logs] == [(30, "newer_schema")]
    with pytest.raises(NewerSchema, match="schema 9"):
        StateStore("run", 10, storage).load_run_state(timestamp=30)


def test_nothing_intact_is_no_savepoint() -> None:
    storage = with_three_savepoints()
    storage.blobs = dict.fromkeys(storage.blobs, b"garbage")
    with pytest.raises(NoSavepoint):
        StateStore("run", 10, storage).load_run_state()


def test_a_savepoint_is_loaded_by_its_timestamp() -> None:
    storage = with_three_savepoints()
    timestamp, entities = StateStore("run", 10, storage).load_run_state(timestamp=20)
    assert timestamp == 20
    assert entities[0].state == {"at": 10}
    assert entities[0].next_savepoint == 30
    with pytest.raises(SavepointNotFound, match="25"):
        StateStore("run", 10, storage).load_run_state(timestamp=25)
    storage.blobs[20] = b"garbage"
    with pytest.raises(CorruptBlob):
        StateStore("run", 10, storage).load_run_state(timestamp=20)


def test_an_upgrade_is_committed_on_load() -> None:
    storage = with_three_savepoints()

    def upgrade(states: Any) -> Any:
        return {name: {"version": 2, **state} for name, state in states.items()}

    StateStore("run", 10, storage).load_run_state(upgrade)
    _, entities = StateStore("run", 10, storage).load_run_state()
    assert entities[0].state == {"version": 2, "at": 20}


def test_the_completing_save_is_durable_when_it_returns() -> None:
    storage = MemoryStorage()
    store = StateStore("run", 10, storage)
    store.init_run_state(0, {"a": 0, "b": 0})
    assert store.save("a", 10, encode(1)) is None
    completed = store.save("b", 10, encode(2))
    assert completed == Savepoint(timestamp=10, entities={"a": encode(1), "b": encode(2)})
    assert storage.load(10) == completed


def test_a_silent_entity_is_reported_once_by_name() -> None:
    store = StateStore("run", 10, MemoryStorage())
    store.init_run_state(0, {"fast": 0, "slow": 0})
    with structlog.testing.capture_logs() as logs:
        for timestamp in range(10, 200, 10):
            store.save("fast", timestamp, encode(0))
    assert [(line["event"], line["entity"]) for line in logs] == [("entity_silent", "slow")]


def test_a_deleted_run_is_forgotten() -> None:
    storage = with_three_savepoints()
    store = StateStore("run", 10, storage)
    store.load_run_state()
    store.delete_run()
    assert not store.initialized()
    with pytest.raises(NoSavepoint):
        StateStore("run", 10, storage).load_run_state()
    with pytest.raises(PerdureError, match="not live"):
        store.save("a", 40, encode(0))

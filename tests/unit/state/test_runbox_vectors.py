"""The state store answers like Runbox's, vector by vector (seed 002)."""

import json
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import NoSavepoint, UnknownEntity
from perdure.state import grid
from perdure.state.codec import decode, encode
from perdure.state.entity import Entity
from perdure.state.savepoint import Savepoint
from perdure.state.state_store import StateStore
from perdure.testing.storage import MemoryStorage

VECTORS = json.loads((Path(__file__).parent / "runbox_vectors.json").read_text())


class RecordingStorage(MemoryStorage):
    def __init__(self, keep: int) -> None:
        super().__init__(keep)
        self.published: list[Any] = []

    def publish(self, savepoint: Savepoint) -> None:
        super().publish(savepoint)
        states = {name: decode(blob) for name, blob in savepoint.entities.items()}
        self.published.append([savepoint.timestamp, states])


def _fail(_: Any) -> None:
    raise RuntimeError("the transform failed")


@pytest.mark.parametrize(
    ("function", "schedule", "timestamp", "expected"), VECTORS["schedule_utils"], ids=lambda value: str(value)
)
def test_grid_points_are_those_of_runbox(function: str, schedule: int, timestamp: int, expected: int) -> None:
    assert getattr(grid, function)(schedule, timestamp) == expected


@pytest.mark.parametrize("scenario", VECTORS["scenarios"], ids=lambda scenario: scenario["name"])
def test_scenario_is_answered_like_runbox(scenario: dict[str, Any]) -> None:
    storage = RecordingStorage(VECTORS["keep"])
    store = StateStore("run", scenario["schedule"], storage)
    entities = {e.id: e for e in store.init_run_state(scenario["start"], scenario["entities"])}
    assert store.initialized()
    for step in scenario["steps"]:
        storage.published.clear()
        result = _do(store, entities, step)
        assert result == step["result"]
        assert storage.published == step["persisted"]
        if "open" in step:
            assert list(store.open) == step["open"]
        if "expect_load" in step:
            expected = step["expect_load"]
            assert {name: entity.state for name, entity in entities.items()} == expected["entities"]
            assert {name: entity.next_savepoint for name, entity in entities.items()} == expected["next"]


def _do(store: StateStore, entities: dict[str, Entity], step: dict[str, Any]) -> str:
    match step["op"]:
        case "save":
            try:
                store.save(step["id"], step["ts"], encode(step["state"]))
            except UnknownEntity:
                return "unknown_entity"
        case "update":
            entities[step["id"]].update_state(step["state"])
        case "ack":
            transform = _fail if step.get("transform") == "error" else None
            try:
                entities[step["id"]].ack_processed_time(step["ts"], transform)
            except RuntimeError:
                return "error"
        case "reload":
            try:
                timestamp, loaded = store.load_run_state()
            except NoSavepoint:
                return "no_savepoint"
            entities.clear()
            entities.update({entity.id: entity for entity in loaded})
            assert timestamp == step["expect_load"]["ts"]
        case unknown:
            raise AssertionError(f"no such operation: {unknown}")
    return "ok"

"""The law of state: crash anywhere, resume from the loaded savepoint, replay, and end in the same state."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from perdure.errors import NoSavepoint
from perdure.state.entity import Entity
from perdure.state.state_store import StateStore
from perdure.testing.storage import MemoryStorage


@dataclass
class Timeline:
    """What one entity does: messages at ascending timestamps; its last one may be that it leaves."""

    name: str
    messages: list[tuple[int, int]]
    leaves: bool
    children: dict[int, "Timeline"] = field(default_factory=dict)  # message index → who it lets join

    def tree(self) -> list["Timeline"]:
        return [self, *(line for child in self.children.values() for line in child.tree())]


@st.composite
def timelines(draw: st.DrawFn, name: str = "e", start: int = 0, depth: int = 0) -> Timeline:
    steps = draw(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 9)), min_size=1, max_size=8))
    messages, at = [], start
    for gap, value in steps:
        at += gap
        messages.append((at, value))
    line = Timeline(name, messages, leaves=draw(st.booleans()))
    if depth < 2:
        for index in draw(st.sets(st.integers(0, len(messages) - 1), max_size=2)):
            child = draw(timelines(f"{name}.{index}", messages[index][0], depth + 1))
            line.children[index] = child
    return line


class Simulation:
    """Entities that fold their messages, in an interleaving given from outside."""

    def __init__(self, lines: list[Timeline], schedule: int, storage: MemoryStorage) -> None:
        self.lines = {line.name: line for root in lines for line in root.tree()}
        self.roots = [line.name for line in lines]
        self.store = StateStore("run", schedule, storage)
        self.entities: dict[str, Entity] = {}
        self.next: dict[str, int] = {}
        self.final: dict[str, int] = {}

    def begin(self) -> None:
        try:
            timestamp, entities = self.store.load_run_state()
            event("resumed from a savepoint")
        except NoSavepoint:
            timestamp, entities = 0, self.store.init_run_state(0, dict.fromkeys(self.roots, 0))
        for entity in entities:
            line = self.lines[entity.id]
            self.entities[entity.id] = entity
            self.next[entity.id] = sum(at < timestamp for at, _ in line.messages)
            if self.next[entity.id] == len(line.messages) and line.leaves:
                self._leave(entity, timestamp)

    def choose(self, pick: int) -> bool:
        """Let one of the entities with messages left process its next; False when there is none."""
        waiting = [name for name, index in self.next.items() if index < len(self.lines[name].messages)]
        if not waiting:
            return False
        name = waiting[pick % len(waiting)]
        line, entity, index = self.lines[name], self.entities[name], self.next[name]
        at, value = line.messages[index]
        entity.ack_processed_time(at)
        entity.update_state(_fold(entity.state, value))
        self.next[name] = index + 1
        if index in line.children:
            child = line.children[index]
            self.entities[child.name] = self.store.join(child.name, at, 0)
            self.next[child.name] = 0
        if index + 1 == len(line.messages) and line.leaves:
            self._leave(entity, at)
        return True

    def states(self) -> dict[str, Any]:
        return {name: entity.state for name, entity in self.entities.items()} | self.final

    def _leave(self, entity: Entity, at: int) -> None:
        self.store.leave(entity, at)
        self.final[entity.id] = entity.state
        del self.entities[entity.id], self.next[entity.id]


def _fold(state: int, value: int) -> int:
    return (state * 31 + value + 1) % 1_000_003


@settings(max_examples=400, deadline=None)
@given(
    lines=st.tuples(timelines("a"), timelines("b")).map(list) | timelines("a").map(lambda line: [line]),
    schedule=st.integers(1, 30),
    crashes=st.lists(st.lists(st.integers(0, 5), max_size=25), max_size=4),
    picks=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    damage=st.lists(st.integers(0, 400), max_size=3),
)
def test_a_run_that_crashed_anywhere_ends_like_one_that_never_stopped(
    lines: list[Timeline],
    schedule: int,
    crashes: list[list[int]],
    picks: list[int],
    damage: list[int],
) -> None:
    expected = {}
    for root in lines:
        for line in root.tree():
            state = 0
            for _, value in line.messages:
                state = _fold(state, value)
            expected[line.name] = state

    storage = MemoryStorage(keep=3)
    for crash in crashes:
        doomed = Simulation(lines, schedule, storage)
        doomed.begin()
        for pick in crash:
            doomed.choose(pick)
        if damage and storage.blobs:  # the newest savepoint is corrupt: the one before it must do
            newest = max(storage.blobs)
            blob = bytearray(storage.blobs[newest])
            place = damage.pop() % len(blob)
            blob[place] ^= 1 << (place % 8)
            storage.blobs[newest] = bytes(blob)

    survivor = Simulation(lines, schedule, storage)
    survivor.begin()
    turn = 0
    while survivor.choose(picks[turn % len(picks)]):
        turn += 1
    assert survivor.states() == expected

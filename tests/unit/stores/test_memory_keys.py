"""The memory store tells the idempotency keys it holds, so that a mirror can write them down."""

from perdure.run import Entry, Key, Run
from perdure.stores.commands import Append, CreateRun, DeleteRun, Unleased
from perdure.stores.memory import MemoryStore


def test_keys_of_steps_are_told_by_position_and_that_of_the_creation() -> None:
    store = MemoryStore()
    run = Run(id="r", kind="session", owner="me", spec=b"", created=0.0, updated=0.0)
    store.submit(CreateRun(run, key=Key("made", b"m"))).result()
    one, two = Key("one", b"1"), Key("two", b"2", 5)
    entries = [Entry(inputs=None, outputs=b"", key=key) for key in (one, None, two)]
    store.submit(Append("r", Unleased(0), 0, entries)).result()
    assert store.keys("r") == [(1, one), (3, two)]
    assert store.keys("r", 1) == [(3, two)]
    assert store.keys("r", 3) == []
    assert store.creation_key("r") == Key("made", b"m")
    store.submit(DeleteRun("r")).result()
    assert store.creation_key("r") is None

"""Recorded parts: the inputs of what can't be saved are noted as they were, whatever they hold."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.engines.recorded import Notes, Recorded
from perdure.errors import NotSnapshotable
from perdure.state.codec import decode, encode

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
inputs = st.dictionaries(st.text(), json, max_size=3)


class Closed:
    """Keeps what it was given; its state can't be taken after some steps."""

    def __init__(self, steps: int = 0) -> None:
        self.given: list[Any] = []
        self._steps = steps

    def step(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self.given.append(repr(inputs))
        if isinstance(inputs, dict):
            inputs.clear()
        return {"steps": len(self.given)}

    def snapshot(self) -> Any:
        if len(self.given) > self._steps:
            raise NotSnapshotable(what="it", reason="it is closed")
        return list(self.given)

    def restore(self, state: Any) -> None:
        self.given = state


@given(
    steps=st.lists(st.tuples(inputs, st.booleans()), max_size=8),
    open_for=st.integers(0, 8),
    saves=st.sets(st.integers(0, 8)),
)
def test_a_part_that_cannot_be_saved_is_given_its_inputs_again(
    steps: list[tuple[dict[str, Any], bool]], open_for: int, saves: set[int]
) -> None:
    recorded, notes = Recorded(Closed(open_for), "it"), Notes()
    for number, (given_inputs, takes_part) in enumerate(steps):
        notes.add({"it": given_inputs, "other": number} if takes_part else {"other": number})
        if takes_part:
            notes.add({"answered": recorded.part.step(given_inputs)})
        if number in saves:
            recorded.snapshot(notes.of("it"), notes.of("answered"))
            notes.clear()
    state = decode(encode(recorded.snapshot(notes.of("it"), notes.of("answered"))))
    again = Recorded(Closed(), "it")
    again.restore(state)
    assert again.part.given == recorded.part.given  # type: ignore[attr-defined]


def test_half_a_surrogate_pair_is_refused_when_it_is_to_be_saved() -> None:
    recorded, notes = Recorded(Closed(1), "it"), Notes()
    notes.add({"it": {"pack": "\ud800"}})
    recorded.part.step({})
    recorded.snapshot(notes.of("it"), notes.of("answered"))
    recorded.part.step({})
    with pytest.raises(NotSnapshotable, match="isn't Unicode"):
        recorded.snapshot(notes.of("it"), notes.of("answered"))

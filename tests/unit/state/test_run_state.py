"""Run state: caps, silence, joins and leaves, and what the vectors don't reach."""

import pytest

from perdure.errors import Invalid, UnknownEntity
from perdure.state.run_state import RunState


def test_a_jump_over_a_billion_savepoints_opens_only_as_many_as_the_cap() -> None:
    state = RunState(1, 0, ["fast", "slow"], max_open=8)
    assert state.save("fast", 10**12, b"far") is None
    assert len(state.open) == 8
    assert state.open[0] == 1
    assert state.open[-1] == 10**12


def test_a_slow_entity_completes_the_oldest_savepoints_although_a_fast_one_reached_the_cap() -> None:
    state = RunState(10, 0, ["fast", "slow"], max_open=4)
    for timestamp in range(10, 1000, 10):
        assert state.save("fast", timestamp, b"%d" % timestamp) is None
    assert state.open == (10, 20, 30, 990)
    completed = state.save("slow", 20, b"slow")
    assert completed is not None
    assert completed.timestamp == 20
    assert completed.entities == {"fast": b"20", "slow": b"slow"}


def test_a_single_entity_that_jumps_keeps_only_the_newest_savepoint() -> None:
    state = RunState(10, 0, ["a"], max_open=4)
    completed = state.save("a", 995, b"x")
    assert completed is not None
    assert completed.timestamp == 990
    assert state.open == (1000,)


def test_an_entity_silent_beyond_the_limit_is_named_with_its_last_timestamp() -> None:
    state = RunState(10, 0, ["a", "b"])
    state.save("b", 15, b"")
    state.save("a", 45, b"")
    assert state.silent(3) == {}
    state.save("a", 55, b"")
    assert state.silent(3) == {"b": 15}


def test_one_that_joins_counts_for_savepoints_after_its_timestamp_only() -> None:
    state = RunState(10, 0, ["a"])
    state.join("late", 10)
    first = state.save("a", 10, b"a10")
    assert first is not None
    assert dict(first.entities) == {"a": b"a10"}
    assert state.save("a", 20, b"a20") is None
    second = state.save("late", 20, b"late")
    assert second is not None
    assert dict(second.entities) == {"a": b"a20", "late": b"late"}


def test_one_that_leaves_may_complete_a_savepoint_with_its_last_state() -> None:
    state = RunState(10, 0, ["a", "b"])
    assert state.save("a", 10, b"a") is None
    completed = state.leave("b", 7, b"last")
    assert completed is not None
    assert dict(completed.entities) == {"a": b"a", "b": b"last"}
    again = state.save("a", 20, b"a")
    assert again is not None
    assert dict(again.entities) == {"a": b"a", "b": b"last"}


def test_when_all_have_left_no_savepoint_lies_after_the_last_of_them() -> None:
    state = RunState(10, 0, ["a", "b"])
    assert state.save("a", 10, b"a10") is None
    assert state.leave("a", 12, b"a12") is None
    completed = state.leave("b", 17, b"b17")
    assert completed is not None
    assert completed.timestamp == 10
    assert dict(completed.entities) == {"a": b"a10", "b": b"b17"}


def test_strangers_and_taken_ids_are_refused() -> None:
    state = RunState(10, 0, ["a", "b"])
    with pytest.raises(UnknownEntity, match="'c'"):
        state.save("c", 10, b"")
    with pytest.raises(UnknownEntity, match="'c'"):
        state.leave("c", 10, b"")
    with pytest.raises(Invalid, match="'a'"):
        state.join("a", 10)
    state.leave("b", 5, b"")
    with pytest.raises(Invalid, match="'b'"):
        state.join("b", 10)
    with pytest.raises(Invalid, match="schedule"):
        RunState(0, 0, ["a"])


def test_without_a_schedule_nothing_is_ever_open() -> None:
    state = RunState(None, 0, ["a"])
    assert state.save("a", 10**9, b"x") is None
    assert state.open == ()
    assert state.silent(1) == {}
    assert state.leave("a", 10**9, b"x") is None

"""A task and what its function sees of the world."""

import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.small_tasks import Anything, Total, add
from tests.support.task_context import Kept

from perdure.errors import CorruptBlob, Invalid, InvalidTask, NotSnapshotable
from perdure.execution.context import RunContext
from perdure.execution.link import Link
from perdure.execution.messages import Start
from perdure.execution.progress_slot import ProgressSlot
from perdure.state.codec import pack, unpack
from perdure.state.savepoint import Savepoint
from perdure.tasks import Task, TaskContext

START = Start(
    path=(),
    body="",
    run_id="r",
    spec=b"",
    attempt=1,
    seconds=0.0,
    position=0,
    savepoint=None,
    paused=False,
    given={},
)


def test_progress_is_what_json_can_say() -> None:
    kept = Kept()
    context = TaskContext("t", kept.context)
    context.progress(done=3, share=0.5, best=[1, {"a": None}], lower=float("-inf"), model=Anything(pipe="p"))
    told = {"done": 3, "share": 0.5, "best": [1, {"a": None}], "lower": None, "model": {"pipe": "p"}}
    assert kept.reports == [{"progress": told}]


numbers = st.integers() | st.floats() | st.sampled_from([10**50, -(10**50), 2**64, -(2**63) - 1, 10**4299])


@given(st.lists(numbers, min_size=1))
def test_progress_takes_any_number_and_is_read_as_it_was_said(values: list[int | float]) -> None:
    slot = ProgressSlot.create()
    try:
        context = TaskContext("t", RunContext(START, [], cast("Link", None), slot))
        context.progress(values=values)
        read = unpack(slot.read() or b"")["progress"]["values"]
    finally:
        slot.close()
    assert read == [value if isinstance(value, int) or math.isfinite(value) else None for value in values]


def test_progress_takes_numpys_numbers() -> None:
    kept = Kept()
    numbers = {"n": np.int64(3), "x": np.float32(0.5), "nan": np.float64("nan"), "inf": np.float32("inf")}
    TaskContext("t", kept.context).progress(**numbers)
    assert kept.reports == [{"progress": {"n": 3, "x": 0.5, "nan": None, "inf": None}}]


@pytest.mark.parametrize(
    "value",
    [pytest.param(10**5000, id="huge"), object(), pytest.param("\ud800", id="surrogate"), b"\xff"],
)
def test_progress_that_json_cannot_say_is_refused_and_the_report_before_stays(value: object) -> None:
    kept = Kept()
    context = TaskContext("t", kept.context)
    context.progress(done=1)
    with pytest.raises(Invalid, match="A report of progress must be JSON values"):
        context.progress(done=value)
    assert kept.reports == [{"progress": {"done": 1}}]


def test_what_there_is_of_the_result_stays_beside_the_progress() -> None:
    kept = Kept()
    context = TaskContext("t", kept.context)
    context.partial(Total(total=1, added=1, attempt=1))
    context.progress(done=1)
    context.partial(Total(total=3, added=2, attempt=1))
    assert kept.reports[1:] == [
        {"partial": {"total": 1, "added": 1, "attempt": 1}, "progress": {"done": 1}},
        {"partial": {"total": 3, "added": 2, "attempt": 1}, "progress": {"done": 1}},
    ]


def test_a_report_of_progress_does_not_pack_what_there_is_of_the_result_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed: list[Any] = []
    monkeypatch.setattr("perdure.tasks.pack", lambda value: packed.append(value) or pack(value))
    context = TaskContext("t", Kept().context)
    context.partial(Total(total=1, added=1, attempt=1))
    context.progress(done=1)
    context.progress(done=2)
    assert packed == [{"total": 1, "added": 1, "attempt": 1}, {"done": 1}, {"done": 2}]


def test_a_state_is_kept_as_it_is_and_comes_back_with_the_same_bits() -> None:
    kept = Kept()
    context = TaskContext("t", kept.context)
    assert context.resumed is None
    state: dict[str, Any] = {"n": 2**100, "x": 0.1, "a": np.arange(3.0), "raw": b"\0", "list": [1, None]}
    context.savepoint(state)
    state["n"] = 0  # what was kept is no alias
    context.savepoint([])
    assert [savepoint.timestamp for savepoint in kept.saved] == [1, 2]
    resumed = TaskContext("t", Kept(savepoint=kept.saved[0], attempt=2).context)
    assert resumed.attempt == 2
    assert resumed.resumed.pop("a").tobytes() == np.arange(3.0).tobytes()
    assert resumed.resumed == {"n": 2**100, "x": 0.1, "raw": b"\0", "list": [1, None]}


def test_timestamps_go_on_where_the_attempt_before_ended() -> None:
    before = Kept()
    TaskContext("t", before.context).savepoint("state")
    kept = Kept(savepoint=before.saved[0])
    TaskContext("t", kept.context).savepoint("next")
    assert [savepoint.timestamp for savepoint in kept.saved] == [2]


def test_a_state_that_cannot_be_kept_says_where_and_keeps_nothing() -> None:
    kept = Kept()
    with pytest.raises(NotSnapshotable, match=r"the task 'mine' \(at state\['seen'\]\).*builtins.set"):
        TaskContext("mine", kept.context).savepoint({"seen": {1}})  # type: ignore[dict-item]
    assert kept.saved == []


def test_a_savepoint_of_something_else_is_not_taken_for_a_tasks() -> None:
    with pytest.raises(CorruptBlob):
        TaskContext("t", Kept(savepoint=Savepoint(timestamp=1, entities={"model": b""})).context)


def test_the_end_that_was_asked_for_is_seen() -> None:
    kept = Kept()
    context = TaskContext("t", kept.context)
    assert not context.cancelled
    kept.stopping = True
    assert context.cancelled


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": ""}, "1 to 200 characters"),
        ({"name": "x" * 201}, "1 to 200 characters"),
        ({"input": dict}, "not a pydantic model"),
        ({"result": Total(total=1, added=1, attempt=1)}, "not a pydantic model"),
        ({"timeout": 0.0}, "above 0"),
        ({"timeout": float("nan")}, "above 0"),
    ],
)
def test_a_task_that_cannot_be_used_says_why(given: dict[str, Any], words: str) -> None:
    right: dict[str, Any] = {"name": "t", "input": Anything, "result": Total, "function": add}
    with pytest.raises(InvalidTask, match=words):
        Task(**{**right, **given})

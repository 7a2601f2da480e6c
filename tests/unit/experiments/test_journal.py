"""The journal gives back the calls it was given, whatever happens to them afterwards."""

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.drivers.experiments.journal import RUN_LOOP, Journal, Looped, Record, records, trajectory
from perdure.drivers.experiments.publisher import Publisher
from perdure.errors import CorruptBlob, NotSnapshotable
from perdure.run import Entry, Step

rows = st.lists(st.one_of(st.integers(), st.floats(), st.lists(st.text(max_size=3), max_size=2)), max_size=3)
looped = st.builds(
    lambda count, packs, rows, done, whole: Record(
        name=RUN_LOOP,
        arguments=[count, packs],
        answer=Looped(rows=rows, steps=count, done=done),
        whole=whole,
    ),
    st.integers(1, 3),
    st.sampled_from([[], [], [["pack", "engine", {"x": 1.5}]]]),
    st.one_of(st.just([]), rows),
    st.booleans(),
    st.booleans(),
)
clocks = st.builds(
    lambda name, answer: Record(name=name, arguments=[], answer=answer),
    st.sampled_from(["time.time", "uuid.uuid1"]),
    st.one_of(st.floats(), st.text(max_size=5), st.integers()),
)


def steps_of(entries: list[Entry]) -> list[Step]:
    return [
        Step(position=number, inputs=entry.inputs, outputs=entry.outputs)
        for number, entry in enumerate(entries, 1)
    ]


@given(pages=st.lists(st.lists(st.one_of(looped, clocks), max_size=8), max_size=4))
def test_calls_come_back_as_they_were(pages: list[list[Record]]) -> None:
    journal, entries = Journal(), []
    for page in pages:
        for record in page:
            journal.add(record)
        assert bool(journal) == bool(page)
        taken = journal.take()
        assert len(taken) == (1 if page else 0)
        entries += taken
    found = list(records(steps_of(entries)))
    assert repr(found) == repr([record for page in pages for record in page])  # repr, since NaN isn't itself
    expected = [
        row for page in pages for record in page if record.name == RUN_LOOP for row in record.answer.rows
    ]
    assert repr(list(trajectory(steps_of(entries)))) == repr(expected)


def test_what_is_changed_after_the_call_stays_as_it_was_in_the_journal() -> None:
    journal = Journal()
    answer: list[Any] = [{"x": [1]}]
    data = {"y": 1}
    journal.add(Record(name=RUN_LOOP, arguments=[1, [["p", "e", data]]], answer=Looped(rows=answer, steps=1)))
    answer[0]["x"].append(2)
    data["y"] = 2
    (record,) = records(steps_of(journal.take()))
    assert record.answer.rows == [{"x": [1]}]
    assert record.arguments[1] == [["p", "e", {"y": 1}]]


def test_arrays_may_be_answered() -> None:
    journal = Journal()
    journal.add(Record(name=RUN_LOOP, arguments=[1, []], answer=Looped(rows=[np.arange(3.0)], steps=1)))
    (record,) = records(steps_of(journal.take()))
    assert record.answer.rows[0].tolist() == [0.0, 1.0, 2.0]


def test_what_would_not_come_back_is_refused() -> None:
    with pytest.raises(NotSnapshotable):
        Journal().add(Record(name=RUN_LOOP, arguments=[1, []], answer=Looped(rows=[(1, 2)], steps=1)))


def test_a_damaged_page_is_found() -> None:
    journal = Journal()
    journal.add(Record(name="time.time", arguments=[], answer=1.5))
    (entry,) = journal.take()
    with pytest.raises(CorruptBlob):
        list(records([Step(position=1, inputs=entry.inputs, outputs=entry.outputs[:-1])]))


def test_a_publisher_publishes_in_time_and_at_the_end() -> None:
    published: list[Any] = []
    enough = threading.Event()

    def publish(report: Any) -> None:
        published.append(report)
        if len(published) == 5:
            enough.set()

    state = {"at": "work"}
    with Publisher(lambda: dict(state), publish, period=0.001):
        assert enough.wait(60)
        state["at"] = "the end"
    assert published[0] == {"at": "work"}
    assert published[-1] == {"at": "the end"}
    assert not any(thread.name == "publisher" for thread in threading.enumerate())

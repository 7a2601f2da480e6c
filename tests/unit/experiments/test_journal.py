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
from perdure.state.codec import decode

rows = st.lists(st.one_of(st.integers(), st.floats(), st.lists(st.text(max_size=3), max_size=2)), max_size=3)
looped = st.builds(
    lambda count, packs, rows, done, cut: Record(
        name=RUN_LOOP,
        arguments=[count, packs],
        answer=Looped(rows=rows, steps=count, done=done, cut=cut),
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


@given(
    calls=st.lists(st.tuples(st.one_of(looped, clocks), st.integers(1, 3)), max_size=12),
    most_records=st.integers(1, 6),
    most_bytes=st.integers(1, 200),
)
def test_calls_come_back_as_they_were_however_soon_a_page_is_full(
    calls: list[tuple[Record, int]], most_records: int, most_bytes: int
) -> None:
    journal, entries, given = Journal(most_records=most_records, most_bytes=most_bytes), [], []
    for record, times in calls:
        for _ in range(times):
            if journal.full:
                entries += journal.take()
            journal.add(record)
            given.append(record)
    entries += journal.take()
    assert repr(list(records(steps_of(entries)))) == repr(given)
    assert all(len(decode(entry.inputs or b"")) <= most_records for entry in entries)


@pytest.mark.parametrize(
    "record",
    [
        Record(name="time.time", arguments=[], answer=1.5),
        Record(name="time.sleep", arguments=[0.0], answer=None),
        Record(name=RUN_LOOP, arguments=[5, []], answer=Looped(rows=[], steps=5)),
        Record(name=RUN_LOOP, arguments=[5, []], answer=Looped(rows=[], steps=0)),
        Record(name=RUN_LOOP, arguments=[5, [["p", "e", {"x": 1}]]], answer=Looped(rows=[[1.0]], steps=5)),
    ],
)
def test_the_same_call_with_the_same_answer_is_counted(record: Record) -> None:
    journal = Journal(most_records=2)
    for _ in range(1000):
        journal.add(record)
    assert not journal.full
    found = list(records(steps_of(journal.take())))
    assert found == [record] * 1000


def test_what_only_seems_the_same_is_not_counted() -> None:
    journal, answers = Journal(), [0.0, -0.0, 0, False, 1.0, 1, True, "1", "", None]
    for answer in answers:
        journal.add(Record(name="time.time", arguments=[], answer=answer))
        journal.add(Record(name="time.sleep", arguments=[answer], answer=None))
    found = list(records(steps_of(journal.take())))
    assert repr([record.answer for record in found[::2]]) == repr(answers)
    assert repr([record.arguments[0] for record in found[1::2]]) == repr(answers)


def test_of_a_counted_call_each_has_an_answer_of_its_own() -> None:
    journal = Journal()
    for _ in range(3):
        journal.add(Record(name=RUN_LOOP, arguments=[1, []], answer=Looped(rows=[{"x": 1}], steps=1)))
    for record in records(steps_of(journal.take())):
        assert record.answer.rows == [{"x": 1}]
        record.answer.rows[0]["x"] = 2


def test_a_journal_is_full_of_many_calls_or_of_large_ones() -> None:
    journal = Journal(most_records=3, most_bytes=10_000)
    for number in range(3):
        assert not journal.full
        journal.add(Record(name="time.time", arguments=[], answer=number))
    assert journal.full
    journal.take()
    assert not journal.full
    journal.add(Record(name="time.time", arguments=[], answer="x" * 10_000))
    assert journal.full


def test_pages_are_read_one_after_the_other() -> None:
    journal = Journal()
    journal.add(Record(name="time.time", arguments=[], answer=1.5))
    (entry,) = journal.take()
    pages = [Step(position=1, inputs=entry.inputs, outputs=entry.outputs)]
    reading = records([*pages, Step(position=2, inputs=b"damaged", outputs=b"")])
    assert next(reading).answer == 1.5


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
        Journal().add(Record(name=RUN_LOOP, arguments=[1, []], answer=Looped(rows=[object()], steps=1)))


def test_large_integers_may_be_answered() -> None:
    journal = Journal()
    journal.add(Record(name=RUN_LOOP, arguments=[1, []], answer=Looped(rows=[1 << 70], steps=1)))
    (record,) = records(steps_of(journal.take()))
    assert record.answer.rows == [1 << 70]


def test_a_damaged_page_is_found() -> None:
    journal = Journal()
    journal.add(Record(name="time.time", arguments=[], answer=1.5))
    (entry,) = journal.take()
    with pytest.raises(CorruptBlob):
        list(records([Step(position=1, inputs=entry.inputs, outputs=entry.outputs[:-1])]))


def test_a_publisher_goes_on_after_a_report_that_failed() -> None:
    published: list[Any] = []
    enough = threading.Event()

    def report() -> dict[str, int]:
        if not published:
            published.append(None)
            raise MemoryError
        return {"at": len(published)}

    def publish(report: Any) -> None:
        published.append(report)
        enough.set()

    with Publisher(report, publish, period=0.001):
        assert enough.wait(60)


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

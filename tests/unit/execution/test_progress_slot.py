"""The latest report is the one that is read, whole, whatever the writer does or doesn't come to do."""

import os
import threading
from collections.abc import Iterator

import pytest

from perdure.errors import LimitExceeded
from perdure.execution import progress_slot
from perdure.execution.progress_slot import ProgressSlot


@pytest.fixture
def slot() -> Iterator[ProgressSlot]:
    made = ProgressSlot.create()
    yield made
    made.close()


def test_an_empty_slot_has_no_report(slot: ProgressSlot) -> None:
    assert (slot.count, slot.read()) == (0, None)


def test_the_latest_report_is_read_also_by_another_who_shares_the_file(slot: ProgressSlot) -> None:
    other = ProgressSlot(os.dup(slot.file))
    try:
        for report in (b"first", b"the second", b"", b"x" * progress_slot.LARGEST):
            other.write(report)
            assert slot.read() == report
        assert slot.count == 4
    finally:
        other.close()


def test_a_report_that_is_too_large_is_refused_and_the_former_stays(slot: ProgressSlot) -> None:
    slot.write(b"former")
    with pytest.raises(LimitExceeded, match="at most 262144 bytes"):
        slot.write(b"x" * (progress_slot.LARGEST + 1))
    assert slot.read() == b"former"


def test_a_writer_that_is_killed_within_a_report_leaves_the_former(slot: ProgressSlot) -> None:
    slot.write(b"former")
    # What a writer does until it shows a report.
    progress_slot._NUMBER.pack_into(slot._memory, progress_slot._PLACES[0], 4)
    slot._memory[progress_slot._PLACES[0] + 8 : progress_slot._PLACES[0] + 12] = b"torn"
    assert slot.read() == b"former"


def test_nonsense_in_the_memory_does_no_harm(slot: ProgressSlot) -> None:
    slot._memory[:] = b"\xff" * len(slot._memory)
    assert len(slot.read() or b"") <= progress_slot.LARGEST


def test_no_report_is_torn_while_it_is_overwritten_again_and_again(slot: ProgressSlot) -> None:
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            slot.write(bytes([number % 256]) * 5000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2000):
            report = slot.read()
            assert report is None or len(set(report)) == 1
    finally:
        over.set()
        writer.join()

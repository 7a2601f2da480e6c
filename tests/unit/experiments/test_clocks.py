"""Clocks: what a script reads is told to the journal, and what the journal holds is what it reads."""

import datetime
import math
import time
import timeit
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.engines.clocks import PATIENCE, TICK, Polled, facades

READINGS = {
    "time": 12.5,
    "time_ns": 13,
    "perf_counter": 14.5,
    "perf_counter_ns": 15,
    "monotonic": 16.5,
    "monotonic_ns": 17,
    "process_time": 18.5,
    "process_time_ns": 19,
    "thread_time": 20.5,
    "thread_time_ns": 21,
}


class Told:
    """Readings that a script was told, in place of the real ones where there is one."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.read: list[tuple[str, Any]] = []
        self.slept: list[float] = []
        self.modules: dict[str, Any] = dict(facades(self._tell, self.slept.append))

    def _tell(self, name: str, reading: Any) -> Any:
        self.read.append((name, reading))
        return self.answers.get(name.partition(".")[2], reading)


@pytest.mark.parametrize("name", READINGS)
def test_a_reading_is_told_and_comes_from_the_journal(name: str) -> None:
    told = Told()
    before = getattr(time, name)()
    assert before <= getattr(told.modules["time"], name)() <= getattr(time, name)()
    assert [kept for kept, _ in told.read] == [f"time.{name}"]
    assert getattr(Told(**READINGS).modules["time"], name)() == READINGS[name]


def test_the_other_names_of_a_clock_are_told_too() -> None:
    told = Told(**READINGS, clock_gettime=3.5, clock_gettime_ns=4)
    assert told.modules["timeit"].default_timer() == READINGS["perf_counter"]
    assert told.modules["timeit"].Timer is timeit.Timer
    assert told.modules["time"].clock_gettime(time.CLOCK_REALTIME) == 3.5
    assert told.modules["time"].clock_gettime_ns(time.CLOCK_REALTIME) == 4
    with pytest.raises(OSError, match="Invalid argument"):
        told.modules["time"].clock_gettime(-1234)


def test_calendar_time_is_made_of_what_is_told() -> None:
    module = Told(time=86400.0).modules["time"]
    assert module.gmtime() == time.gmtime(86400)
    assert module.localtime() == time.localtime(86400)
    assert module.ctime() == time.ctime(86400)
    assert module.asctime() == time.asctime(time.localtime(86400))
    assert module.strftime("%Y-%j") == time.strftime("%Y-%j", time.localtime(86400))


def test_calendar_time_of_a_given_moment_reads_no_clock() -> None:
    told = Told()
    module = told.modules["time"]
    assert module.gmtime(5) == time.gmtime(5)
    assert module.localtime(5) == time.localtime(5)
    assert module.ctime(5) == time.ctime(5)
    assert module.asctime(time.gmtime(5)) == time.asctime(time.gmtime(5))
    assert module.strftime("%Y", time.gmtime(5)) == "1970"
    assert module.mktime is time.mktime
    assert told.read == []


def test_sleep_is_given_over_and_checked() -> None:
    told = Told()
    told.modules["time"].sleep(3)
    assert told.slept == [3.0]
    with pytest.raises(ValueError, match="sleep length must be non-negative"):
        told.modules["time"].sleep(-1)
    with pytest.raises(TypeError):
        told.modules["time"].sleep("long")


def test_identifiers_made_of_the_clock_are_told() -> None:
    told = Told()
    made = told.modules["uuid"].uuid1()
    assert told.read == [("uuid.uuid1", made.hex)]
    again = Told(uuid1=made.hex)
    assert again.modules["uuid"].uuid1() == made
    assert told.modules["uuid"].UUID is uuid.UUID


class Now:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 5.0

    def __call__(self) -> float:
        return self.seconds


def test_a_clock_that_is_polled_stands_still_for_a_moment() -> None:
    now = Now()
    polled = Polled(now)
    assert [polled.reading("time.time", n) for n in range(PATIENCE)] == list(range(PATIENCE))
    assert [polled.reading("time.time", PATIENCE + n) for n in range(5)] == [PATIENCE] * 5
    assert polled.reading("time.monotonic", 7.5) == 7.5
    now.seconds += TICK
    assert [polled.reading("time.time", 5000 + n) for n in range(5)] == [5000] * 5
    polled.over()
    assert [polled.reading("time.time", 6000 + n) for n in range(5)] == list(range(6000, 6005))


@pytest.mark.parametrize("name", ["uuid.uuid1", "time.clock_gettime", "nrp.real_time"])
def test_what_is_not_one_clock_is_never_answered_again(name: str) -> None:
    polled = Polled(Now())
    found = [polled.reading(name, number) for number in range(PATIENCE + 10)]
    assert found == list(range(PATIENCE + 10))


@given(st.lists(st.floats(0, 0.003), max_size=300))
def test_a_clock_that_is_polled_neither_goes_back_nor_ahead(passing: list[float]) -> None:
    now, last = Now(), 0.0
    polled = Polled(now)
    for _ in range(PATIENCE):
        polled.reading("time.time", 0.0)
    for seconds in passing:
        now.seconds += seconds
        reading = polled.reading("time.time", now.seconds)
        assert last <= reading <= now.seconds
        assert now.seconds - reading < TICK + 1e-12
        last = reading


def test_the_real_modules_are_left_alone() -> None:
    Told(time=math.nan)
    assert not math.isnan(time.time())
    assert type(datetime.datetime.now()) is datetime.datetime

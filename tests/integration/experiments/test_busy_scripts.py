"""Scripts that wait without taking steps: what they were answered is kept in pages, and bounded."""

import itertools
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.cosimulated import MILLISECOND, Killed, MemoryKeeper, SmallCoSimulation, contents
from tests.support.scripted import folder_of, plan_of

from perdure.drivers.experiments import simulation, tape
from perdure.drivers.experiments.journal import Journal, Record, records
from perdure.drivers.experiments.plan import Ending, EndState
from perdure.drivers.experiments.script_position import POSITION
from perdure.drivers.experiments.simulation import Simulation
from perdure.engines import clocks
from perdure.state.codec import decode

BUSY = """
import random, time

out = open("readings.txt", "w")
nrp.run_loop(2)
end, count = time.time() + 300, 0
while (now := time.time()) < end:
    count += 1
    out.write(f"{now!r} {random.random()}\\n")
file_logger.info("%s", count)
nrp.run_loop(2)
"""
TIMES_UP = """
nrp.run_loop(3)
for _ in range(5000):
    try:
        nrp.run_loop(1)
    except NRPSimulationTimeout:
        pass
file_logger.info("enough")
"""
PAGE = 20  # records


@pytest.fixture(autouse=True)
def _a_clock_that_goes_with_each_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let real time go on from reading to reading, also over attempts; polled clocks stand still for four."""
    seconds, moments = itertools.count(1000), itertools.count()
    fake = types.ModuleType("time")
    fake.__dict__.update(vars(clocks.time))
    fake.__dict__["time"] = lambda: float(next(seconds))
    monkeypatch.setattr(clocks, "time", fake)
    monkeypatch.setattr(clocks, "PATIENCE", 50)
    polled = partial(clocks.Polled, lambda: next(moments) * clocks.TICK / 4)
    monkeypatch.setattr(simulation, "Polled", polled)
    monkeypatch.setattr(tape, "Journal", partial(Journal, most_records=PAGE))


def simulate(tmp_path: Path, script: str, keeper: MemoryKeeper, **given: Any) -> tuple[Ending, Path]:
    folder = folder_of(tmp_path, script, len(list(tmp_path.iterdir())))
    past = keeper.past()
    plan = plan_of(script, every=1000, **given)
    return Simulation(plan, SmallCoSimulation(folder), keeper, folder, past, period=3600).run(), folder


def readings(keeper: MemoryKeeper) -> list[Record]:
    return [record for record in records(keeper.steps) if record.name == "time.time"]


def killed_at(number: int) -> Callable[[int], None]:
    def kill(appended: int) -> None:
        if appended == number:
            raise Killed

    return kill


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("when", ["before_append", "after_append"])
def test_a_busy_wait_that_is_killed_goes_on_with_the_readings_it_had(
    tmp_path: Path, number: int, when: str
) -> None:
    keeper = MemoryKeeper()
    setattr(keeper, when, killed_at(number))
    with pytest.raises(Killed):
        simulate(tmp_path, BUSY, keeper)
    setattr(keeper, when, lambda appended: None)
    before = list(records(keeper.steps))
    ending, folder = simulate(tmp_path, BUSY, keeper)
    assert ending == Ending(how=EndState.COMPLETED)
    assert list(records(keeper.steps))[: len(before)] == before
    first, *told, last = (record.answer for record in readings(keeper))
    written = contents(folder)["readings.txt"].decode().splitlines()
    assert [float(line.split()[0]) for line in written] == told
    assert told == sorted(told)
    assert told[-1] < first + 300 <= last
    assert keeper.lines == [("info", str(len(told)))]


def test_what_a_busy_script_draws_is_what_it_would_have_drawn(tmp_path: Path) -> None:
    def drawn(folder: Path) -> list[str]:
        return [line.split()[1] for line in contents(folder)["readings.txt"].decode().splitlines()]

    _, undisturbed = simulate(tmp_path, BUSY, MemoryKeeper())
    keeper = MemoryKeeper()
    keeper.after_append = killed_at(3)
    with pytest.raises(Killed):
        simulate(tmp_path, BUSY, keeper)
    keeper.after_append = lambda appended: None
    _, folder = simulate(tmp_path, BUSY, keeper)
    assert [a for a, b in zip(drawn(undisturbed), drawn(folder), strict=False) if a != b] == []


def test_a_busy_wait_is_kept_in_pages_at_the_same_simulation_time(tmp_path: Path) -> None:
    keeper = MemoryKeeper()
    simulate(tmp_path, BUSY, keeper)
    pages = [decode(step.inputs or b"") for step in keeper.steps]
    assert len(pages) > 4
    assert all(len(page) == PAGE for page in pages[:-1])
    assert [savepoint.timestamp for savepoint in keeper.order] == [
        0,
        *[2 * MILLISECOND] * (len(pages) - 1),
        4 * MILLISECOND,
    ]
    positions = [savepoint.position for savepoint in keeper.order]
    assert positions == sorted(set(positions))
    # Polled clocks tick every fourth time: what is answered again is counted.
    assert sum(len(page) for page in pages) < len(list(records(keeper.steps))) / 2
    assert set(keeper.order[0].entities) > {POSITION}


def test_time_outs_that_a_script_meets_again_and_again_are_counted(tmp_path: Path) -> None:
    keeper = MemoryKeeper()
    ending, _ = simulate(tmp_path, TIMES_UP, keeper, steps=3)
    assert ending == Ending(how=EndState.COMPLETED)
    assert keeper.lines == [("info", "enough")]
    assert [len(decode(step.inputs or b"")) for step in keeper.steps] == [2]
    assert len(list(records(keeper.steps))) == 5001


def test_a_store_that_fails_within_a_reading_ends_the_run(tmp_path: Path) -> None:
    keeper = MemoryKeeper()

    def fail(appended: int) -> None:
        if appended == 2:
            raise OSError("the disk is full")

    keeper.before_append = fail
    with pytest.raises(OSError, match="the disk is full"):
        simulate(tmp_path, BUSY.replace("while", "for _ in range(10**6):\n    time.time()\nwhile"), keeper)

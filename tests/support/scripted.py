"""Runs main scripts over the small co-simulation, broken off where a test wants it, until they have ended."""

import contextlib
import datetime
import time
import types
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from tests.support.cosimulated import STEP, Killed, MemoryKeeper, SmallCoSimulation

from perdure.drivers.experiments.plan import Ending, Plan
from perdure.drivers.experiments.simulation import Simulation
from perdure.engines import clock_methods, clocks
from perdure.state.savepoint import Savepoint

HELPER = "import time\n\n\ndef stamp():\n    return time.monotonic_ns()\n"

Break = tuple[str, int]
"""Where an attempt is broken off: at the n-th question what is wanted, before or after the n-th append."""


def folder_of(root: Path, script: str | None, number: int = 0) -> Path:
    """Make a fresh copy of an experiment."""
    folder = root / f"attempt{number}"
    folder.mkdir()
    if script is not None:
        (folder / "main_script.py").write_text(script)
        (folder / "helper.py").write_text(HELPER)
    return folder.resolve()


def plan_of(script: str | None, *, steps: int | None = None, every: int | None = 5, **more: Any) -> Plan:
    """Return a plan; `every` and `steps` count timesteps."""
    return Plan(
        sim_id=more.pop("sim_id", 3),
        script=None if script is None else "main_script.py",
        seed=more.pop("seed", 11),
        timeout=None if steps is None else steps * STEP,
        every=None if every is None else every * STEP,
    )


@contextlib.contextmanager
def told_by(simulated: Callable[[], int]) -> Iterator[None]:
    """Let clocks tell a number that only depends on how far the engines are."""

    def seconds() -> float:
        return 1e9 + simulated() / 1e6

    fake_time = types.ModuleType("time")
    fake_time.__dict__.update(time.__dict__)
    fake_time.__dict__.update(
        time=seconds, perf_counter=seconds, monotonic_ns=lambda: simulated() + 7, time_ns=simulated
    )

    class Datetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return datetime.datetime.fromtimestamp(seconds(), tz)

    fake_datetime = types.ModuleType("datetime")
    fake_datetime.__dict__.update(datetime.__dict__)
    fake_datetime.__dict__["datetime"] = Datetime
    fake_uuid = types.ModuleType("uuid")
    fake_uuid.__dict__.update(uuid.__dict__)
    fake_uuid.__dict__["uuid1"] = lambda: uuid.UUID(int=simulated())
    with (
        mock.patch.multiple(clocks, time=fake_time, uuid=fake_uuid),
        mock.patch.multiple(clock_methods, datetime=fake_datetime),
    ):
        yield


def attempt(
    keeper: MemoryKeeper,
    plan: Plan,
    folder: Path,
    savepoint: Savepoint | None = None,
    **engine: Any,
) -> tuple[Ending, SmallCoSimulation]:
    """Make one attempt, from where the keeper left off."""
    cosimulation = SmallCoSimulation(folder, **engine)
    with told_by(lambda: cosimulation.time_ns):
        past = keeper.past(savepoint)
        simulation = Simulation(plan, cosimulation, keeper, folder, past, clock=lambda: 0.0, period=3600)
        ending = simulation.run()
    return ending, cosimulation


def until_it_ends(
    keeper: MemoryKeeper,
    plan: Plan,
    root: Path,
    script: str | None,
    breaks: Sequence[Break] = (),
    older: Sequence[int] = (),
    after_the_first: Callable[[MemoryKeeper], None] = lambda keeper: None,
    **engine: Any,
) -> tuple[Ending, Path]:
    """Attempt it again and again, each time broken off once; return the ending and the last folder.

    `older` tells for each attempt how many of the newest savepoints are passed over, as damaged ones are;
    `after_the_first` is called with the keeper after the first attempt, if that was broken off.
    """
    for number, (kind, at) in enumerate([*breaks, ("never", 0)]):
        folder = folder_of(root, script, number)
        _break_off(keeper, kind, at)
        back = older[number] if number < len(older) else 0
        savepoint = keeper.order[max(0, len(keeper.order) - 1 - back)] if keeper.order else None
        try:
            ending, _ = attempt(keeper, plan, folder, savepoint, **engine)
        except Killed:
            if not number:
                after_the_first(keeper)
            continue
        return ending, folder
    raise AssertionError("the last attempt was broken off")


def _break_off(keeper: MemoryKeeper, kind: str, at: int) -> None:
    start_asked, start_saved = keeper.asked, len(keeper.order)

    def asked(number: int) -> None:
        if kind == "step" and number - start_asked > at:
            raise Killed

    def before(number: int) -> None:
        if kind == "before append" and number - start_saved >= at:
            raise Killed

    def after(number: int) -> None:
        if kind == "after append" and number - start_saved >= at:
            raise Killed

    keeper.on_control, keeper.before_append, keeper.after_append = asked, before, after

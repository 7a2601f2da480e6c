"""What it costs an experiment to be resumable: the MuJoCo example in a store, beside its co-simulation.

The cost is in CPU time, which other work on the machine disturbs less, and in waiting for the disk. Both
parts of the ratio are taken in the same run; what measuring itself takes counts as cost.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.figure import Figure, spread
from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.engines import engine_kinds
from perdure.drivers.experiments.keeper import Control
from perdure.drivers.experiments.plan import Plan
from perdure.drivers.experiments.simulation import Simulation
from perdure.run import Entry, Run
from perdure.state.savepoint import Savepoint
from perdure.stores.sqlite import SqliteStore

__all__ = ["measure"]

EXAMPLE = Path(__file__).parents[1] / "examples" / "experiments" / "pendulum"
BUDGET = 5.0  # percent of the run time
STEPS = 12_000
ROUNDS = 5
SEED = 1


class _StoreKeeper:
    """Keeps runs in a store, one after the other."""

    def __init__(self, store: SqliteStore, run: str) -> None:
        self._store = store
        self._run = run
        self._position = 0
        self.savepoints = 0
        self.waited = 0.0

    def append(self, entries: Sequence[Entry], savepoint: Savepoint) -> None:
        begun = time.perf_counter()
        self._store.append(self._run, self._store.fence, self._position, entries, savepoint).result()
        self.waited += time.perf_counter() - begun
        self._position += len(entries)
        self.savepoints += 1

    def control(self) -> Control:
        return Control.RUNNING

    def hold(self) -> None:
        raise AssertionError("nobody pauses it")

    def progress(self, report: Mapping[str, Any]) -> None:
        pass

    def write_line(self, text: str, level: str) -> None:
        pass


class _Timed(CoSimulation):
    """The example's co-simulation, which adds up the CPU time that it takes by itself."""

    cpu_seconds = 0.0

    def initialize(self) -> None:
        begun = time.thread_time()
        super().initialize()
        self.cpu_seconds += time.thread_time() - begun

    def step(self) -> None:
        begun = time.thread_time()
        super().step()
        self.cpu_seconds += time.thread_time() - begun


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the time that journal and savepoints add, and how many steps a second there are with them."""
    steps = STEPS // 6 if quick else STEPS
    costs, waits, rates, savepoints = [], [], [], 0
    with closing(SqliteStore(folder / "perdure.db")) as store:
        _simulate(folder / "first", 100, store, "first")  # imports the simulator
        for number in range(3 if quick else ROUNDS):
            measured = _simulate(folder / f"run{number}", steps, store, f"r{number}")
            costs.append((measured.cpu_seconds / measured.cosimulation - 1) * 100)
            waits.append(measured.waited * 100)
            rates.append(steps / measured.cpu_seconds)
            savepoints = measured.savepoints
    cost = median(costs) + median(waits)
    yield Figure(
        f"journal and savepoints ({steps:,} steps of the pendulum, {savepoints} savepoints)",
        f"{cost:.1f} % of the run time",
        f"< {BUDGET:g} %",
        cost < BUDGET,
    )
    yield Figure("  in CPU time", f"{spread(costs, '.1f')} %")
    yield Figure("  in waiting for the store", f"{spread(waits, '.1f')} %")
    yield Figure("  steps a second of CPU time", spread(rates, ",.0f"))


class _Measured(NamedTuple):
    """CPU seconds of a run, those of its co-simulation, the share of time it waited, and its savepoints."""

    cpu_seconds: float
    cosimulation: float
    waited: float
    savepoints: int


def _simulate(folder: Path, steps: int, store: SqliteStore, run: str) -> _Measured:
    """Run the example in a store."""
    shutil.copytree(EXAMPLE, folder)
    configuration = load(folder, "simulation_config.json", engine_kinds())
    timeout_ns = steps * configuration.timestep_ns
    plan = Plan(sim_id=run, script="main_script.py", seed=SEED, timeout_ns=timeout_ns)
    made = Run(id=run, kind="experiment", owner="me", spec=b"", created=0, updated=0)
    store.create_run(made, None).result()
    keeper = _StoreKeeper(store, run)
    cosimulation = _Timed(configuration, folder, SEED)
    begun, begun_cpu = time.perf_counter(), time.process_time()
    # Savepoints lie a second of CPU time apart, however busy the machine is.
    Simulation(plan, cosimulation, keeper, folder, clock=time.thread_time).run()
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
    return _Measured(cpu_seconds, cosimulation.cpu_seconds, keeper.waited / seconds, keeper.savepoints)

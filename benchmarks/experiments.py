"""What it costs an experiment to be resumable: the MuJoCo example in a store, beside its bare co-simulation.

The cost is in CPU time, which other work on the machine disturbs less, and in waiting for the disk.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

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
ROUNDS = 7
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


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the time that journal and savepoints add, and how many steps a second there are with them."""
    steps = STEPS // 6 if quick else STEPS
    costs, waits, rates, savepoints = [], [], [], 0
    with closing(SqliteStore(folder / "perdure.db")) as store:
        for number in range(3 if quick else ROUNDS):
            bare = _bare(folder / f"bare{number}", steps)
            kept, share, keeper = _kept(folder / f"kept{number}", steps, store, f"r{number}")
            costs.append((kept / bare - 1) * 100)
            waits.append(share * 100)
            rates.append(steps / kept)
            savepoints = keeper.savepoints
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


def _bare(folder: Path, steps: int) -> float:
    """Return the CPU seconds that the co-simulation alone takes."""
    shutil.copytree(EXAMPLE, folder)
    configuration = load(folder, "simulation_config.json", engine_kinds())
    begun = time.process_time()
    cosimulation = CoSimulation(configuration, folder, SEED)
    cosimulation.initialize()
    for _ in range(steps):
        cosimulation.step()
        cosimulation.take_trajectory()
    cosimulation.close()
    return time.process_time() - begun


def _kept(folder: Path, steps: int, store: SqliteStore, run: str) -> tuple[float, float, _StoreKeeper]:
    """Return the CPU seconds of the example in a store, the share of time that it waits, and its keeper."""
    shutil.copytree(EXAMPLE, folder)
    configuration = load(folder, "simulation_config.json", engine_kinds())
    timeout_ns = steps * configuration.timestep_ns
    plan = Plan(sim_id=run, script="main_script.py", seed=SEED, timeout_ns=timeout_ns)
    made = Run(id=run, kind="experiment", owner="me", spec=b"", created=0, updated=0)
    store.create_run(made, None).result()
    keeper = _StoreKeeper(store, run)
    begun, begun_cpu = time.perf_counter(), time.process_time()
    Simulation(plan, CoSimulation(configuration, folder, SEED), keeper, folder).run()
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
    return cpu_seconds, keeper.waited / seconds, keeper

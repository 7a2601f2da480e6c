"""What it costs an experiment to be resumable: the MuJoCo example in a store, beside its mere co-simulation.

Every so many steps the run stands still while the same co-simulation, driven by a plain loop with nothing
kept, takes as many: so both meet the same machine. There are three of them, that leave out more and more.
Figures are in CPU time, which other work disturbs less, and in waiting for the disk.
"""

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.figure import Figure, spread
from perdure.artifacts import Artifacts
from perdure.drivers.experiments.configuration import Configuration, load
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.plan import Plan
from perdure.drivers.experiments.saved_files import SavedFiles
from perdure.drivers.experiments.simulation import Simulation
from perdure.engines.kinds import engine_kinds
from perdure.run import Entry, Run
from perdure.state.savepoint import Savepoint
from perdure.stores.commands import Append, CreateRun, Unleased, UseBlobs, encoded
from perdure.stores.sqlite import SqliteStore

__all__ = ["measure"]

EXAMPLE = Path(__file__).parents[1] / "examples" / "experiments" / "pendulum"
BUDGET = 5.0  # percent of the run time
STEPS = 20_000
TURN = 500  # steps
CALL = 10  # steps of a call, as in the example's script
ROUNDS = 3
SEED = 1


class _Plain:
    """The example's co-simulation, driven by a loop that nothing is kept of.

    Parameters
    ----------
    noting
        Whether inputs are noted, as they are in case that an engine can't be saved; forgotten every turn.
    own_generators
        Whether engines and functions draw from generators of their own.
    """

    def __init__(self, folder: Path, *, noting: bool, own_generators: bool) -> None:
        shutil.copytree(EXAMPLE, folder)
        self.seconds = 0.0
        begun = time.process_time()
        self._cosimulation = CoSimulation(_configuration(folder), folder, SEED)
        self._cosimulation.initialize()
        if not noting:
            self._cosimulation.notes.add = _note_nothing  # type: ignore[method-assign]
        parts: Any = () if own_generators else self._cosimulation.parts.values()
        for recorded in parts:
            recorded.part._part._generators = contextlib.nullcontext()
        self.seconds = time.process_time() - begun

    def take_steps(self, count: int) -> None:
        """Do what the example's script does."""
        cosimulation, begun = self._cosimulation, time.process_time()
        for _ in range(count // CALL):
            rows = []
            for _ in range(CALL):
                cosimulation.step()
                rows += cosimulation.take_trajectory()
        cosimulation.notes.clear()
        self.seconds += time.process_time() - begun

    def close(self) -> None:
        """Shut the engines down."""
        self._cosimulation.close()


class _StoreKeeper:
    """Keeps a run in a store, and lets others have their turn between its steps."""

    def __init__(
        self, store: SqliteStore, saved_files: SavedFiles, run: str, others: Callable[[], None]
    ) -> None:
        self._store = store
        self._saved_files = saved_files
        self._run = run
        self._others = others
        self._position = 0
        self._asked = 0
        self.savepoints = 0
        self.waited = 0.0

    def append(self, entries: Sequence[Entry], savepoint: Savepoint) -> None:
        savepoint, _ = self._saved_files.save(savepoint)
        begun = time.perf_counter()
        self._store.submit(
            Append(self._run, Unleased(0), self._position, entries, encoded(savepoint))
        ).result()
        self.waited += time.perf_counter() - begun
        self._position += len(entries)
        self.savepoints += 1

    def arrived(self) -> None:
        raise AssertionError("it goes on from nowhere")

    @property
    def stopping(self) -> bool:
        self._asked += 1
        if self._asked % TURN == 0:
            self._others()
        return False

    preempted = pausing = False

    def hold(self) -> None:
        raise AssertionError("nobody pauses it")

    @property
    def watched(self) -> threading.Event:
        return threading.Event()

    def show(self, view: bytes) -> None:
        raise AssertionError("nobody watches it")

    def progress(self, report: Mapping[str, Any]) -> None:
        pass

    def write_line(self, text: str, level: str) -> None:
        pass

    def print_line(self, text: str, level: str) -> bool:
        return False


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the time that being resumable adds, what of it is what, and how many steps a second there are."""
    steps = STEPS // 4 if quick else STEPS
    with closing(SqliteStore(folder / "perdure.db")) as store:
        first = _simulate(folder / "first", TURN, TURN, store, "first")  # imports the simulator
        every = round(TURN / first.plain)  # about a second
        rounds = [
            _simulate(folder / f"run{number}", steps, every, store, f"r{number}") for number in range(ROUNDS)
        ]
    waits = [measured.waited * 100 for measured in rounds]
    costs = [(measured.resumable / measured.noted - 1) * 100 for measured in rounds]
    noted = [(measured.resumable / measured.own - 1) * 100 for measured in rounds]
    whole = [(measured.resumable / measured.plain - 1) * 100 for measured in rounds]
    cost = median(costs) + median(waits)
    savepoints = rounds[0].savepoints
    yield Figure(
        f"journal, savepoints, files ({steps:,} steps of the pendulum, {savepoints} savepoints)",
        f"{cost:.1f} % of the run time",
        f"< {BUDGET:g} %",
        cost < BUDGET,
    )
    yield Figure("  in CPU time", f"{spread(costs, '.1f')} %")
    yield Figure("  in waiting for the store", f"{spread(waits, '.1f')} %")
    yield Figure("  in CPU time, noted inputs included", f"{spread(noted, '.1f')} %")
    yield Figure("  in CPU time, generators of each engine's own included too", f"{spread(whole, '.1f')} %")
    yield Figure(
        "  steps a second of CPU time", spread([steps / measured.resumable for measured in rounds], ",.0f")
    )


class _Measured(NamedTuple):
    """CPU seconds of a run, and of the co-simulation that notes inputs, that doesn't, and with no generators.

    Also the share of time that the run waited for the store, and its savepoints.
    """

    resumable: float
    noted: float
    own: float
    plain: float
    waited: float
    savepoints: int


def _simulate(folder: Path, steps: int, every: int, store: SqliteStore, run: str) -> _Measured:
    """Run the example in a store, and its co-simulation beside it."""
    folder.mkdir()
    noted = _Plain(folder / "noted", noting=True, own_generators=True)
    own = _Plain(folder / "own", noting=False, own_generators=True)
    plain = _Plain(folder / "plain", noting=False, own_generators=False)
    aside = 0.0

    def take_turns() -> None:
        nonlocal aside
        begun = time.process_time()
        for beside in (noted, own, plain):
            beside.take_steps(TURN)
        aside += time.process_time() - begun

    shutil.copytree(EXAMPLE, place := folder / "run")
    store.submit(
        CreateRun(Run(id=run, kind="experiment", owner="me", spec=b"", created=0, updated=0))
    ).result()
    saved_files = SavedFiles(
        Artifacts(str(folder / "artifacts")).blobs("me"),
        lambda new: store.submit(UseBlobs("me", new)).result(),
        place.resolve(),
    )
    keeper = _StoreKeeper(store, saved_files, run, take_turns)
    begun = time.process_time()
    cosimulation = CoSimulation(configuration := _configuration(place), place, SEED)
    timestep = configuration.timestep
    plan = Plan(
        sim_id=run,
        script="main_script.py",
        seed=SEED,
        timeout=steps * timestep,
        every=every * timestep,
    )
    Simulation(plan, cosimulation, keeper, place).run()
    resumable = time.process_time() - begun - aside
    for beside in (noted, own, plain):
        beside.close()
    seconds = (noted.seconds, own.seconds, plain.seconds)
    return _Measured(resumable, *seconds, keeper.waited / resumable, keeper.savepoints)


def _configuration(folder: Path) -> Configuration:
    return load(folder, "simulation_config.json", engine_kinds())


def _note_nothing(given: Mapping[str, Any]) -> None:
    pass

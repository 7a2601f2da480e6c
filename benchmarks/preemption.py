"""What it costs an experiment that its workers are ended again and again, and whether it ends the same.

Each worker is a process, `perdure worker`, that lives for some seconds and then gets SIGTERM; the next one
goes on. The same experiment is worked on by one worker that nobody ends, and has to come to the same numbers.
Workers that are ended when the script has begun show what the start of the processes costs. Figures are in
CPU time of the workers with their children.
"""

import io
import json
import os
import resource
import select
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from msgspec.structs import replace

from benchmarks.errors import BenchmarkFailed
from benchmarks.figure import Figure, spread
from benchmarks.servers import environment
from perdure.drivers.experiments.experiment_requests import NewExperiment
from perdure.drivers.experiments.experiments import KIND
from perdure.drivers.experiments.preparing import Preparing
from perdure.drivers.experiments.requirements import needs
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.drivers.experiments.transcript import rows_text
from perdure.lifecycle import RunStatus
from perdure.places import open_artifacts, working_root
from perdure.run import Execution, Run, new_run_id
from perdure.settings import Settings
from perdure.stores.commands import CreateRun
from perdure.stores.sqlite import SqliteStore

__all__ = ["measure"]

EXAMPLE = Path(__file__).parents[1] / "examples" / "experiments" / "pendulum"
LIFE = 10.0  # seconds that a worker works
LIVES = 12
QUICK = 2.0, 3  # the same of a quick measurement
STARTS = 3  # workers whose start is measured
FIRST = 5_000  # steps with which the speed is measured
TIMESTEP = 0.01
BUDGET = 5.0  # percent
END = 5.0  # seconds in which a worker ends
OWNER = "me"
SCRIPT = """
pipe = open({pipe!r}, "w")  # until the process ends
print("begun", file=pipe, flush=True)
try:
    while True:
        nrp.run_loop(100)
except NRPSimulationTimeout:
    pass
"""


class Measured(NamedTuple):
    """CPU seconds of the workers of a run, how many there were, the seconds in which each ended, its rows."""

    cpu: float
    lives: int
    ends: list[float]
    rows: list[bytes]


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield what the ends of workers cost, and how long they take."""
    life, lives = QUICK if quick else (LIFE, LIVES)
    workers = Workers(folder)
    starts = workers.start(STARTS + 1)[1:]  # the first one reads files from the disk
    start = median(starts)
    speed = FIRST / (workers.work(FIRST).cpu - start)
    steps = round(speed * life * lives)
    alone = workers.work(steps)
    ended = workers.work(steps, life)
    if alone.rows != ended.rows:
        raise BenchmarkFailed("An experiment whose workers were ended came to other numbers.")
    work = alone.cpu - start
    more = 100 * (ended.cpu - start * ended.lives - work) / work
    yield Figure(
        f"{steps:,} steps by {ended.lives} workers of {life:g} s, ended by SIGTERM",
        f"{more:+.1f} % CPU time",
        f"< {BUDGET:g} %",
        more < BUDGET,
        "beside the start of the processes",
    )
    yield Figure("  by one worker", f"{alone.cpu:.1f} s")
    yield Figure("  the start of a worker and its children", f"{spread(starts, '.2f')} s")
    yield Figure(
        "  from SIGTERM to the end of the worker",
        f"{spread(ended.ends, '.2f')} s",
        f"< {END:g} s",
        max(ended.ends) < END,
    )


class Workers:
    """Experiments in a store of their own, and the workers that work on them one after the other.

    Parameters
    ----------
    folder
        Where the store is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "perdure.db"
        self._settings = Settings.model_validate({"store": f"sqlite:///{self._file}"})

    def start(self, count: int) -> list[float]:
        """Let workers begin to simulate, and end each at once; return the CPU seconds of each."""
        run_id, pipe = self._queue(FIRST)
        found = []
        for _ in range(count):
            before = _cpu_seconds()
            self._live(pipe, 0.0)
            found.append(_cpu_seconds() - before)
        while self._state(run_id) is not RunStatus.COMPLETED:
            self._live(pipe, None)
        return found

    def work(self, steps: int, life: float | None = None) -> Measured:
        """Let workers simulate a number of steps, each for some seconds; None is until the end."""
        run_id, pipe = self._queue(steps)
        before, seconds = _cpu_seconds(), []
        while (state := self._state(run_id)) not in (RunStatus.COMPLETED, RunStatus.FAILED):
            seconds.append(self._live(pipe, life))
        if state is RunStatus.FAILED:
            raise BenchmarkFailed(f"The run {run_id} failed; see {self._folder}/worker.log.")
        with closing(SqliteStore(self._file)) as store:
            rows = [*rows_text(store, store.run(run_id))]
        return Measured(_cpu_seconds() - before, len(seconds), seconds, b"".join(rows).splitlines())

    def _live(self, pipe: Path, life: float | None) -> float:
        """Let a worker work until the run has ended, but not for longer; return how long its end took."""
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        with (self._folder / "worker.log").open("a") as log:
            command = [sys.executable, "-m", "perdure", "worker", "--store", str(self._file)]
            worker = subprocess.Popen(
                command, cwd=self._folder, env=environment(), stdout=subprocess.DEVNULL, stderr=log
            )
        try:
            select.select([reading], [], [])
            os.read(reading, 1 << 12)
            select.select([reading], [], [], life)  # it can be read again when the other end is closed
            begun = time.monotonic()
            worker.terminate()
            worker.wait()
            return time.monotonic() - begun
        finally:
            os.close(reading)
            worker.kill()
            worker.wait()

    def _queue(self, steps: int) -> tuple[str, Path]:
        """Queue a run as a server does, though without one; return its id, and the pipe of its script."""
        run_id = new_run_id()
        os.mkfifo(pipe := self._folder / run_id)
        with (
            closing(SqliteStore(self._file)) as store,
            working_root(store, self._settings) as root,
        ):
            artifacts = open_artifacts(store, self._settings)
            artifacts.experiments(OWNER).create(run_id, io.BytesIO(_experiment(steps, pipe)))
            preparing = Preparing(store, artifacts, WorkingFolders(root, artifacts))
            spec = preparing.new(run_id, OWNER, NewExperiment(experiment=run_id, seed=1)).spec
            spec = replace(spec, sim_id=1)
            now = time.time()
            run = Run(id=run_id, kind=KIND, owner=OWNER, spec=spec.to_blob(), created=now, updated=now)
            execution = Execution(run_id=run_id, kind=KIND, owner=OWNER, needs=needs(spec), stored=None)
            store.submit(CreateRun(run, execution=execution)).result()
        return run_id, pipe

    def _state(self, run_id: str) -> RunStatus:
        with closing(SqliteStore(self._file)) as store:
            return store.run(run_id).state


def _experiment(steps: int, pipe: Path) -> bytes:
    """Return the example that takes a number of steps, zipped."""
    config = json.loads((EXAMPLE / "simulation_config.json").read_text())
    config |= {"SimulationTimeout": steps * TIMESTEP}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path in EXAMPLE.iterdir():
            if path.is_file() and path.name not in ("simulation_config.json", "main_script.py"):
                archive.write(path, path.name)
        archive.writestr("simulation_config.json", json.dumps(config))
        archive.writestr("main_script.py", SCRIPT.format(pipe=str(pipe)))
    return made.getvalue()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

"""An experiment killed again and again: ``python -m tests.support.killed_experiment ROOT FOLDER KILLS SEED``.

This process forks a child that simulates the experiment in FOLDER, kept in a store below ROOT, and tells of
each step; it kills the child after a random number of them, until it has killed KILLS, and lets the last one
come to its end. It prints one line of JSON: how that one ended, and the folder it worked in.
"""

import json
import os
import random
import shutil
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

from perdure.artifacts import Artifacts
from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.plan import Past, Plan
from perdure.drivers.experiments.saved_files import SavedFiles, files_at, lay_out
from perdure.drivers.experiments.simulation import Simulation
from perdure.engines.kinds import engine_kinds
from perdure.errors import NoSavepoint
from perdure.run import Entry, Run
from perdure.state.savepoint import Savepoint
from perdure.state.state_store import newest_intact
from perdure.stores.commands import Append, CreateRun, Unleased, UseBlobs, encoded
from perdure.stores.sqlite import SqliteStore

RUN = "experiment"
SEED = 23
EVERY = Fraction(1, 4)  # s
MOST_STEPS = 300  # that a child may take before it is killed


class StoreKeeper:
    """Keeps a run in a store, its files in artifacts beside it, and writes a byte for each step."""

    def __init__(self, store: SqliteStore, saved_files: SavedFiles, report: int) -> None:
        self._store = store
        self._saved_files = saved_files
        self._report = report

    def append(self, entries: Sequence[Entry], savepoint: Savepoint) -> None:
        savepoint, _ = self._saved_files.save(savepoint)
        position = self._store.run(RUN).position
        self._store.submit(Append(RUN, Unleased(0), position, entries, encoded(savepoint))).result()

    def arrived(self) -> None:
        pass

    @property
    def stopping(self) -> bool:
        os.write(self._report, b".")
        return False

    preempted = pausing = False

    def hold(self) -> None:
        raise AssertionError("nobody pauses it")

    watched = threading.Event()

    def show(self, view: bytes) -> None:
        raise AssertionError("nobody watches it")

    def progress(self, report: Mapping[str, Any]) -> None:
        pass

    def write_line(self, text: str, level: str) -> None:
        pass

    def print_line(self, text: str, level: str) -> bool:
        return False


def simulate(root: Path, experiment: Path, attempt: int, report: int) -> None:
    """Make one attempt, in a fresh copy of the experiment."""
    folder = root / f"attempt{attempt}"
    shutil.copytree(experiment, folder)
    configuration = load(folder, "simulation_config.json", engine_kinds())
    plan = Plan(sim_id=1, script="main_script.py", seed=SEED, timeout=configuration.timeout, every=EVERY)
    with closing(SqliteStore(root / "perdure.db")) as store:
        if not store.runs(limit=1):
            run = Run(id=RUN, kind="experiment", owner="me", spec=b"", created=0, updated=0)
            store.submit(CreateRun(run)).result()
        shutil.rmtree(root / f"attempt{attempt - 1}", ignore_errors=True)
        kept, blobs = files_at(store, RUN), Artifacts(str(root / "artifacts")).blobs("me")
        saved_files = SavedFiles(
            blobs, lambda new: store.submit(UseBlobs("me", new)).result(), folder.resolve(), kept
        )
        keeper = StoreKeeper(store, saved_files, report)
        cosimulation = CoSimulation(configuration, folder, SEED)
        saved = root / f"saved{attempt}"
        if kept is not None:
            lay_out(kept["files"], blobs, saved)
        past = past_of(store, saved)
        ending = Simulation(plan, cosimulation, keeper, folder, past).run()
    words = "" if ending.error is None else ending.error.in_words
    (root / "ending.json").write_text(json.dumps({"how": ending.how, "error": words, "folder": str(folder)}))


def past_of(store: SqliteStore, saved: Path) -> Past | None:
    """Return where the run left off, or None if it hasn't begun."""
    timestamps = [info.timestamp for info in store.savepoints(RUN)]
    try:
        savepoint, _ = newest_intact(RUN, timestamps, lambda at: store.savepoint(RUN, at))
    except NoSavepoint:
        return None
    return Past(savepoint=savepoint, steps=store.steps(RUN, limit=1_000_000), folder=saved, beginning=saved)


def main(root: Path, experiment: Path, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    for attempt in range(kills + 1):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            simulate(root, experiment, attempt, write)
            os._exit(0)
        os.close(write)
        steps = draw.randrange(MOST_STEPS)
        if attempt < kills:
            while steps >= 0 and (told := os.read(read, steps + 1)):
                steps -= len(told)
            os.kill(child, signal.SIGKILL)
        else:
            while os.read(read, 1 << 16):
                pass
        os.close(read)
        _, status = os.waitpid(child, 0)
        if attempt == kills:
            assert status == 0, status
    print((root / "ending.json").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

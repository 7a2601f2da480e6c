"""An experiment whose process is killed again and again ends as one that never was."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from tests.support.cosimulated import looks
from tests.support.killed_experiment import RUN, SEED
from tests.support.mujoco_models import MODELS

from perdure.drivers.experiments.journal import RUN_LOOP, records, trajectory
from perdure.engines.generators import hash_seed
from perdure.run import Step
from perdure.stores.sqlite import SqliteStore

ROOT = Path(__file__).parents[3]
KILLS = 5

SCRIPT = """
import random, time, uuid

import numpy as np

out = open("script.csv", "w")
begun = time.time()
file_logger.info("begun as %s", uuid.uuid4())
try:
    count = 0
    while True:
        done, rows = nrp.run_loop(1 + count % 13)
        count += 1
        assert time.time() >= begun
        for word in {"north", "east", "south", "west", str(rows)[:9]}:
            out.write(f"{word} {random.random()} {np.random.default_rng().normal()} {len(rows)}\\n")
        if count % 40 == 0:
            waited = [time.perf_counter() for _ in range(30_000)]  # of which a page holds 20,000
            assert waited == sorted(waited)
        if count % 7 == 0:
            file_logger.info("at %s: %s", nrp.simulation_time, np.random.normal())
except NRPSimulationTimeout:
    file_logger.info("simulation time is up")
"""


SHELVES = """
import os, shutil
from pathlib import Path

from nrp_core.engines.python_json import EngineScript


class Script(EngineScript):
    def initialize(self):
        self.count = 0
        self._registerDataPack("count")
        self._setDataPack("count", {"n": 0})

    def runLoop(self, timestep):
        shelf, step = Path(f"shelf{self.count // 200}"), self.count % 200
        if step == 0:
            shelf.mkdir()
            (shelf / "empty").mkdir(mode=0o700)
            (shelf / "tool.sh").write_text("#!/bin/sh\\n")
            (shelf / "tool.sh").chmod(0o755)
            Path("latest").unlink(missing_ok=True)
            Path("latest").symlink_to(shelf)
        if step == 190:
            (shelf / "empty" / "late.txt").write_text(oct((shelf / "tool.sh").stat().st_mode))
            Path("latest", "through.txt").write_text(os.readlink("latest"))
            if self.count > 200:
                shutil.rmtree(f"shelf{self.count // 200 - 1}")
        self.count += 1
        self._setDataPack("count", {"n": self.count})

    def shutdown(self):
        pass
"""
CONFIG = {
    "SimulationName": "shelves",
    "SimulationTimeout": 9.95,
    "EngineConfigs": [
        {
            "EngineName": "shelves",
            "EngineType": "python_json",
            "PythonFileName": "shelves.py",
            "EngineTimestep": 0.01,
        }
    ],
}


PLANT = """
import numpy as np
from nrp_core.engines.py_sim import PySimEngineScript


class Script(PySimEngineScript):
    def initialize(self):
        self.seen = (np.float64(0.0), ())
        self._registerDataPack("seen")
        self._setDataPack("seen", (0.0, 0.0))

    def runLoop(self, timestep):
        tip = self.sim_manager.get_model_property("tip", "site_xpos")
        push = 3.0 * (self._time_ns % 700_000_000 == 0) - tip[0]
        self.sim_manager.run_step([push], timestep)
        self.seen = (np.float64(push), tuple(tip))
        self._setDataPack("seen", (push, self.sim_manager.get_model_all_properties("qpos")))

    def shutdown(self):
        self.sim_manager.shutdown()
"""
STATUS = """
from nrp_core import *
from nrp_core.data.nrp_json import *


@EngineDataPack(keyword="first", id=DataPackIdentifier("seen", "guided"))
@EngineDataPack(keyword="second", id=DataPackIdentifier("seen", "resting"))
@StatusFunction()
def status(first, second):
    row = JsonRawData()
    row.data = {"first": first.data, "second": second.data}
    return False, [row]
"""


def simulate(root: Path, example: str, kills: int, seed: int) -> tuple[dict[str, str], dict[str, Any], Path]:
    """Simulate an example under `SCRIPT`; return how it ended, what it left in its folder, and its store."""
    experiment = root / "experiment"
    shutil.copytree(ROOT / "examples" / "experiments" / example, experiment)
    (experiment / "main_script.py").write_text(dedent(SCRIPT))
    return simulate_folder(root, experiment, kills, seed)


def simulate_folder(
    root: Path, experiment: Path, kills: int, seed: int
) -> tuple[dict[str, str], dict[str, Any], Path]:
    """Simulate what is in a folder; otherwise as `simulate`."""
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.support.killed_experiment",
            str(root),
            str(experiment),
            str(kills),
            str(seed),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed(SEED)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    ending = json.loads(finished.stdout)
    files = looks(Path(ending.pop("folder")))
    return ending, files, root / "perdure.db"


def loops(steps: list[Step]) -> list[tuple[list[Any], list[Any], int, bool]]:
    """Return what each `run_loop` was given and answered, whatever chunks savepoints have cut it into."""
    found, given, rows, taken = [], None, [], 0
    for record in records(steps):
        if record.name == RUN_LOOP:
            looped = record.answer
            given = given or record.arguments
            rows += looped.rows
            taken += looped.steps
            if not looped.cut:
                found.append((given, rows, taken, looped.done))
                given, rows, taken = None, [], 0
    return found


@pytest.mark.parametrize("example", ["pendulum", "cartpole"])
def test_a_killed_experiment_ends_as_one_that_never_was(tmp_path: Path, example: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    ending, files, whole = simulate(tmp_path / "one", example, 0, 0)
    assert ending == {"how": "completed", "error": ""}
    same_ending, same_files, killed = simulate(tmp_path / "other", example, KILLS, 4)
    assert same_ending == ending
    assert same_files == files
    with closing(SqliteStore(whole)) as one, closing(SqliteStore(killed)) as other:
        undisturbed, disturbed = one.steps(RUN, limit=100_000), other.steps(RUN, limit=100_000)
        rows = list(trajectory(undisturbed))
        assert len(rows) > 500
        assert list(trajectory(disturbed)) == rows
        assert loops(disturbed) == loops(undisturbed)
        newest = [store.savepoint(RUN, store.savepoints(RUN)[-1].timestamp) for store in (one, other)]
        # The one tells the seconds that steps took, the other names blobs by their numbers in each store.
        ours = ("experiment/place", "experiment/files")
        states = [{id: state for id, state in s.entities.items() if id not in ours} for s in newest]
        assert states[0] == states[1]


def test_folders_modes_and_links_that_an_engine_made_are_put_back(tmp_path: Path) -> None:
    left = []
    for name, kills in (("one", 0), ("other", 12)):
        experiment = tmp_path / name / "experiment"
        experiment.mkdir(parents=True)
        (experiment / "simulation_config.json").write_text(json.dumps(CONFIG))
        (experiment / "shelves.py").write_text(SHELVES)
        (experiment / "main_script.py").write_text("while True:\n    nrp.run_loop(9)\n")
        ending, files, _ = simulate_folder(tmp_path / name, experiment, kills, 7)
        assert ending == {"how": "completed", "error": ""}
        left.append(files)
    assert left[0] == left[1]
    assert left[0]["latest"][1] == Path("shelf4")
    assert left[0]["shelf4/empty/late.txt"][1] == b"0o100755"


def test_models_with_plugins_and_sleeping_bodies_survive_kills(tmp_path: Path) -> None:
    models = {"guided": MODELS["pid plugin"], "resting": MODELS["sleep"]}
    engines = [
        {
            "EngineName": name,
            "EngineType": "py_sim",
            "Simulator": "Mujoco",
            "WorldFileName": f"{name}.xml",
            "PythonFileName": "plant.py",
            "EngineTimestep": 0.01,
        }
        for name in models
    ]
    status = {"Name": "status", "FileName": "status.py"}
    left = []
    for name, kills in (("one", 0), ("other", KILLS)):
        experiment = tmp_path / name / "experiment"
        experiment.mkdir(parents=True)
        config = CONFIG | {"SimulationTimeout": 8, "EngineConfigs": engines, "StatusFunction": status}
        (experiment / "simulation_config.json").write_text(json.dumps(config))
        for model, text in models.items():
            (experiment / f"{model}.xml").write_text(text)
        (experiment / "plant.py").write_text(PLANT)
        (experiment / "status.py").write_text(STATUS)
        (experiment / "main_script.py").write_text("while True:\n    nrp.run_loop(9)\n")
        ending, files, database = simulate_folder(tmp_path / name, experiment, kills, 11)
        assert ending == {"how": "completed", "error": ""}
        with closing(SqliteStore(database)) as store:
            rows = list(trajectory(store.steps(RUN, limit=100_000)))
        left.append((files, rows))
    assert left[0] == left[1]
    assert len(left[0][1]) == 800

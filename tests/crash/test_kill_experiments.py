"""Experiments whose processes are killed at random moments end as undisturbed ones, to the bit.

The simulation server, its guard, the server, and all at once are killed, over the real server, and its worker
is ended by SIGTERM. ``make test`` does that 10 times, ``make crash KILLS=n`` as often as one likes.
"""

import contextlib
import hashlib
import os
import random
import signal
import sys
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.drawing import files_of, outcome
from tests.support.experiment_runs import ended, made, put, send
from tests.support.processes import marked
from tests.support.served import Served, served
from tests.support.waiting import until

from perdure.drivers.experiments.journal import trajectory
from perdure.stores.sqlite import SqliteStore

KILLS = int(os.environ.get("CRASH_KILLS", "10"))
EXAMPLES = ("pendulum", "cartpole")
VICTIMS = ("simulation server", "guard", "server", "all", "worker")
SAVEPOINT = 0.5  # simulated seconds
STEPS_BETWEEN_KILLS = 300

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="docs/execution.md says what is weaker elsewhere"
)


class Chaos:
    """A server whose processes are killed, and which is started again when it was among them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kills: Counter[str] = Counter()
        self._chance = random.Random()
        self._stack = ExitStack()
        self._identity = hashlib.sha256(bytes(folder / "perdure.db")).hexdigest()[:16]
        self.client = self._start()

    def close(self) -> None:
        """End the server."""
        self._stack.close()

    def left_over(self) -> list[int]:
        """Return the processes that are left of all that ever ran."""
        return marked(self._identity)

    def kill(self, victim: str, run_id: str, after: float) -> None:
        """Kill something when a run has come to a simulation time and is somewhere after that."""
        if not self._come_to(run_id, after):
            return
        processes = {pid: self._command(pid) for pid in marked(self._identity)}
        guards = [pid for pid, command in processes.items() if b"guard.py" in command]
        children = [pid for pid, command in processes.items() if command and b"guard.py" not in command]
        chosen = {
            "simulation server": children[:1],
            "guard": guards[:1],
            "server": [self.server.process.pid],
            "worker": [self.server.process.pid],
            "all": [self.server.process.pid, *processes],
        }[victim]
        self._chance.shuffle(chosen)
        for pid in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if victim == "worker" else signal.SIGKILL)
        self.kills[victim] += bool(chosen)
        if self.server.process.pid in chosen:
            self.server.process.wait()
            self._stack.close()
            self.client = self._start()

    def _start(self) -> httpx.Client:
        self.server: Served = self._stack.enter_context(served(self.folder))
        return self._stack.enter_context(self.server.client())

    def _come_to(self, run_id: str, after: float) -> bool:
        """Follow a run's savepoints; return whether it has one at that time and hasn't ended."""

        def over() -> bool:
            return self.client.get(f"/runs/{run_id}").json()["state"] != "started"

        def come() -> bool:
            savepoints = self.client.get(f"/runs/{run_id}/savepoints").json()["savepoints"]
            return bool(savepoints) and savepoints[-1]["timestamp"] >= after * 1e9

        until(lambda: come() or over())
        return not over()

    def _command(self, pid: int) -> bytes:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        return b""


def rows(folder: Path, run_id: str) -> list[Any]:
    """Return a run's trajectory, from the store of a server that has ended."""
    with closing(SqliteStore(folder / "perdure.db")) as store:
        return list(trajectory(store.steps(run_id, limit=10**9)))


def test_killed_experiments_end_alike(tmp_path: Path) -> None:
    each = -(-KILLS // len(EXAMPLES))
    timesteps = {"pendulum": 0.01, "cartpole": 0.02}
    seconds = {name: step * STEPS_BETWEEN_KILLS * (each + 2) for name, step in timesteps.items()}
    chaos = Chaos(tmp_path)
    chance = random.Random()
    with closing(chaos):
        runs = {}
        for name in EXAMPLES:
            send(chaos.client, name, files_of(name, seconds[name], SAVEPOINT))
            undisturbed = made(chaos.client, name, seed=11)["id"]
            put(chaos.client, undisturbed, "started")
            expected = outcome(chaos.client, ended(chaos.client, undisturbed))
            assert (expected["state"], expected["time"]) == ("completed", pytest.approx(seconds[name]))
            killed = made(chaos.client, name, seed=11)["id"]
            put(chaos.client, killed, "started")
            for number in range(each):
                time = (number + chance.random()) * STEPS_BETWEEN_KILLS * timesteps[name]
                chaos.kill(VICTIMS[number % len(VICTIMS)], killed, time)
            assert outcome(chaos.client, ended(chaos.client, killed)) == expected
            attempts = chaos.client.get(f"/runs/{killed}").json()["attempt"]
            assert attempts > 1
            runs[name] = undisturbed, killed
    for undisturbed, killed in runs.values():
        expected_rows = rows(tmp_path, undisturbed)
        assert len(expected_rows) > STEPS_BETWEEN_KILLS
        assert rows(tmp_path, killed) == expected_rows
    assert chaos.left_over() == []
    # What is being removed when a server ends goes when the next one starts.
    assert list((tmp_path / "perdure.db.working").glob("*/place.json")) == []
    assert chaos.kills.total() > KILLS // 2  # others met nothing: there was no process just then
    print(f"\n{dict(chaos.kills)}: all trajectories, logs and outcomes the same")

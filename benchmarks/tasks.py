"""Tasks in guarded child processes: how soon they start, end and go on, and what their guards cost."""

import asyncio
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.errors import BenchmarkFailed
from benchmarks.figure import Figure, spread
from perdure.execution import guard
from perdure.execution.child_limits import ChildLimits
from perdure.execution.local import LocalExecutor
from perdure.lifecycle import DesiredState, Outcome, RunStatus
from perdure.stores.sqlite import SqliteStore
from perdure.testing.executors import BODIES, Trial

__all__ = ["measure"]

SOON = 0.3  # seconds
AGAIN = 1.0
TIMEOUT = 1.0
ROUNDS = 10


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the seconds from a cause to its effect as it stands in the store."""
    rounds = ROUNDS // 5 if quick else ROUNDS
    found = asyncio.run(_measure(folder, rounds))
    yield Figure("a small task, from its submission to its result", _seconds(found["small"]))
    yield Figure("  beside one that computes in C", _seconds(found["beside"]))
    for name, what in (
        ("timeout", f"time-out of {TIMEOUT:g} s in C, from then to the end"),
        ("terminated", "terminating what computes in C"),
        ("paused", "pausing what computes in C"),
    ):
        yield Figure(what, _seconds(found[name]), f"< {SOON} s", max(found[name]) < SOON)
    again = max(found["again"]) < AGAIN
    yield Figure("killed child, until its body works again", _seconds(found["again"]), f"< {AGAIN} s", again)
    yield Figure("a guard, until its child is started", _seconds(found["guard"]))
    yield Figure("  its memory that it shares with nobody", f"{spread(found['memory'], '.1f')} MB")


async def _measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    async with _trial(folder) as trial:
        for number in range(rounds):
            for name, seconds in (await _round(trial, str(number))).items():
                found.setdefault(name, []).append(seconds)
    for _ in range(rounds):
        seconds, megabytes = _guard()
        found.setdefault("guard", []).append(seconds)
        found.setdefault("memory", []).append(megabytes)
    return found


async def _round(trial: Trial, number: str) -> dict[str, float]:
    """Take each time once."""
    store = trial.store

    async def begin(name: str, **given: object) -> str:
        id = f"{name}-{number}"
        await trial.submit(id, **given)
        return id

    async def small(name: str) -> float:
        begun = time.monotonic()
        await trial.until_final(await begin(name, do="echo", value=1))
        return time.monotonic() - begun

    found = {"small": await small("small")}

    id = await begin("timeout", do="spin", timeout=TIMEOUT)
    await trial.until(lambda: store.execution(id).attempt == 1, id)
    begun = time.monotonic()
    run, _ = await trial.until_final(id)
    found["timeout"] = time.monotonic() - begun - TIMEOUT
    _require(run.outcome is Outcome.TIMED_OUT)

    id = await begin("terminated", do="spin")
    await trial.until_reported(id)
    found["beside"] = await small("beside")
    begun = time.monotonic()
    await trial.want(DesiredState.PAUSED, id)
    await trial.until(lambda: store.run(id).state is RunStatus.PAUSED, id)
    found["paused"] = time.monotonic() - begun
    await trial.want(DesiredState.STARTED, id)
    await trial.until(lambda: store.run(id).state is RunStatus.STARTED, id)
    begun = time.monotonic()
    await trial.want(DesiredState.STOPPED, id)
    await trial.until_final(id)
    found["terminated"] = time.monotonic() - begun

    id = await begin("again", do="count", to=10**9)
    await trial.until(lambda: store.run(id).position > 10, id)
    begun, position = time.monotonic(), _kill_child(trial, id)
    await trial.until(lambda: store.run(id).position > position, id)
    found["again"] = time.monotonic() - begun
    await trial.want(DesiredState.STOPPED, id)
    await trial.until_final(id)
    return found


@asynccontextmanager
async def _trial(folder: Path) -> AsyncIterator[Trial]:
    """Open a store and an executor."""
    store = SqliteStore(folder)
    try:
        async with LocalExecutor(store, BODIES, identity=f"benchmark-{os.getpid()}") as executor:
            yield Trial(store, executor)
    finally:
        store.close()


def _kill_child(trial: Trial, id: str) -> int:
    """Kill a run's child; return how many steps its log has."""
    told = subprocess.run(["ps", "-axo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in told.splitlines()]
    (child,) = [int(line[0]) for line in lines if line[-1] == id and "guard.py" not in " ".join(line)]
    os.kill(child, signal.SIGKILL)
    return trial.store.run(id).position


def _guard() -> tuple[float, float]:
    """Start a guard; return the seconds until its child was started, and the megabytes that are its own."""
    control, its_control = socket.socketpair()
    begun = time.monotonic()
    with its_control:
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", guard.__file__, str(its_control.fileno()), ""),
                *(*ChildLimits().arguments(), "/bin/sh", "-c", "echo there; exec sleep 600"),
            ],
            stdout=subprocess.PIPE,
            pass_fds=(its_control.fileno(),),
        )
    assert process.stdout is not None
    with control, process.stdout:
        _require(process.stdout.readline() == b"there\n")
        seconds, megabytes = time.monotonic() - begun, _own_megabytes(process.pid)
    process.wait()  # it ends, with its child, since nobody is at the other end any more
    return seconds, megabytes


def _own_megabytes(pid: int) -> float:
    """Return what a process holds that no other shares; nan where the system doesn't tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return math.nan
    kilobytes = (int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return sum(kilobytes) / 1000


def _seconds(found: list[float]) -> str:
    return f"{spread(found, '.3f')} s"


def _require(kept: bool) -> None:
    if not kept:
        raise BenchmarkFailed("A task ended otherwise than it should have; run the tests first.")

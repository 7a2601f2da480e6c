"""Server processes: started on a free port of the loopback, their CPU time read, ended by their id."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.client import Address
from benchmarks.errors import BenchmarkFailed
from benchmarks.models import MANAGER, OUTPUTS, SCENARIO

__all__ = ["Server", "environment", "new_session", "perdure", "started", "take_steps"]

ROOT = Path(__file__).parents[1]
STOP_SECONDS = 30
MOST_STEPS = 10_000  # in a request

_URL = re.compile(r"http://([\d.]+):(\d+)")
_PROCESS_CPU_CLOCK = 2  # CPUCLOCK_SCHED in Linux's numbering of clocks


@dataclass(frozen=True)
class Server:
    """A process that serves HTTP."""

    address: Address
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self.address
        return f"http://{host}:{port}"

    def cpu_seconds(self) -> float:
        """Return the CPU time it has used, with all its threads, those that have ended too.

        Linux has a clock for each process, with the resolution of schedstat; elsewhere `ps` tells, in
        hundredths of a second at best.
        """
        pid = self.process.pid
        if sys.platform == "linux":
            return time.clock_gettime(~pid << 3 | _PROCESS_CPU_CLOCK)
        told = subprocess.run(
            ["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True
        )
        parts = re.split("[-:]", told.stdout.strip())
        units = (1, 60, 3600, 86_400)
        return sum(float(part) * unit for part, unit in zip(reversed(parts), units, strict=False))

    def stop(self) -> None:
        """End it as an operator does, and wait until it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


def environment() -> dict[str, str]:
    """Return the environment of a measured process: no settings of Perdure's, and this code on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    paths = [str(ROOT), *filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))]
    kept["PYTHONPATH"] = os.pathsep.join(str(Path(path).absolute()) for path in paths)
    return kept


@contextmanager
def started(
    command: Sequence[str], folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server for as long as the context lasts.

    Parameters
    ----------
    command
        Modules and arguments for Python. The first line the process prints has to hold its URL.
    folder
        Its working folder, where what it has to say goes to ``server.log``.
    settings
        Further variables of its environment.
    """
    said = folder / "server.log"
    with said.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**environment(), **(settings or {})},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        found = _URL.search(process.stdout.readline())
        if found is None:
            raise BenchmarkFailed(f"{' '.join(command)} didn't start: {said.read_text()[-1000:]}")
        server = Server((found[1], int(found[2])), process)
        yield server
        server.stop()
    finally:
        process.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


@contextmanager
def perdure(
    folder: Path,
    store: str | None = None,
    settings: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "perdure"),
) -> Iterator[Server]:
    """Run ``perdure serve`` on the models of the benchmarks; by default on an SQLite store in the folder."""
    command = [*program, "serve", "benchmarks.models:catalogue", "--port", "0", "--store"]
    url = store or f"sqlite:///{folder.absolute()}/perdure.db"
    given = {"PERDURE_LOG_LEVEL": "WARNING", **(settings or {})}
    with started([*command, url], folder, given) as server:
        yield server


def new_session(server: Server) -> str:
    """Make a session on the 15-element model; return the path to which its steps are posted."""
    body = {"kind": "session", "scenarios": {MANAGER: [SCENARIO]}, "outputs": OUTPUTS, "seed": 1}
    answer = httpx.post(f"{server.url}/runs", json=body, timeout=60)
    answer.raise_for_status()
    return f"/runs/{answer.json()['id']}/steps"


def take_steps(server: Server, path: str, count: int) -> None:
    """Take many steps of a session, as few requests as may be."""
    while count:
        steps = min(count, MOST_STEPS)
        answer = httpx.post(f"{server.url}{path}", json={"steps": steps}, timeout=300)
        answer.raise_for_status()
        count -= steps

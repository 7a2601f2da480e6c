"""A co-simulation of two small engines, and a keeper in memory that can break off at any moment."""

import random
import shutil
import stat
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from perdure.artifacts import Blobs
from perdure.drivers.experiments.keeper import Control
from perdure.drivers.experiments.plan import Past
from perdure.drivers.experiments.saved_files import SavedFiles, lay_out
from perdure.drivers.experiments.script_position import FILES
from perdure.engines.generators import Generators
from perdure.engines.warned import Modules
from perdure.run import Entry, Step
from perdure.state.codec import State, decode
from perdure.state.savepoint import Savepoint
from perdure.stores.commands import Blob

MILLISECOND = 1_000_000
STEP = Fraction(1, 1000)


class Killed(Exception):
    """Stands for the end of the process."""


class SmallCoSimulation:
    """Two engines: one draws, one adds up; every step appends to a file and rewrites another."""

    timestep = STEP

    def __init__(
        self,
        folder: Path,
        seed: int = 1,
        *,
        done_at: int | None = None,
        fails_at: int | None = None,
        quiet: bool = False,
    ) -> None:
        self.folder = folder
        self.time_ns = 0
        self.done = False
        self.closed = False
        self.steps_taken = 0
        self._done_at, self._fails_at, self._quiet = done_at, fails_at, quiet
        self._generators = Generators(seed, "engine")
        self._sum = 0.0
        self._sent: list[Any] = []
        self._rows: list[Any] = []

    @property
    def time(self) -> Fraction:
        return Fraction(self.time_ns, 10**9)

    @property
    def modules(self) -> Modules:
        return {}

    @property
    def kept(self) -> Mapping[str, str | None]:
        return {"engine": None}

    def initialize(self, entities: Mapping[str, Any] | None = None) -> None:
        with self._generators:
            self._sum = random.random()
        (self.folder / "engine.csv").write_text("time,sum\n")

    def step(self) -> None:
        self.time_ns += MILLISECOND
        self.steps_taken += 1
        step = self.time_ns // MILLISECOND
        if step == self._fails_at:
            raise ZeroDivisionError("the engine divides by zero")
        with self._generators:
            self._sum += random.gauss(0, 1) + float(np.random.standard_normal())
        for _, _, data in self._sent:
            self._sum += data["x"]
        self._sent.clear()
        self.done = step == self._done_at
        if not self._quiet:
            with (self.folder / "engine.csv").open("a") as file:
                file.write(f"{step},{self._sum!r}\n")
            (self.folder / "latest.txt").write_text(f"{step}: {self._sum!r}")
            if step % 3:
                self._rows.append([step, self._sum])

    def take_trajectory(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    def set_datapack(self, name: str, engine: str, data: Any) -> None:
        self._sent.append((name, engine, data))

    hidden = False

    def scenes(self) -> Mapping[str, Any]:
        return {}

    def snapshot(self) -> Mapping[str, Any]:
        engine = {"sum": self._sum, "generators": self._generators.snapshot()}
        return {"engine": engine, "clock": {"time": self.time_ns, "done": self.done}}

    unsaved = 0
    samples: State = None

    def readings(self) -> None:
        return None

    def restore(self, entities: Mapping[str, Any], ahead: Iterable[Any] = ()) -> None:
        assert set(entities) == {"engine", "clock"}
        self._sum = entities["engine"]["sum"]
        self._generators.restore(entities["engine"]["generators"])
        self.time_ns, self.done = entities["clock"]["time"], entities["clock"]["done"]

    def close(self) -> None:
        self.closed = True


class MemoryKeeper:
    """Keeps a run in memory; hooks may raise `Killed`, or want a pause or a stop."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.savepoints: dict[int, Savepoint] = {}
        self.order: list[Savepoint] = []
        self.lines: list[tuple[str, str]] = []
        self.reports: list[Mapping[str, Any]] = []
        self.arrivals = 0
        self.asked = 0
        self.held = 0
        self.watched = threading.Event()
        self.views: list[bytes] = []
        self.desired = Control.RUNNING
        self.on_control: Callable[[int], None] = lambda asked: None
        self.before_append: Callable[[int], None] = lambda number: None
        self.after_append: Callable[[int], None] = lambda number: None

        self.blobs = MemoryBlobs()
        self.saving: tuple[Path, SavedFiles] | None = None

    def append(self, entries: Sequence[Entry], savepoint: Savepoint) -> None:
        number = len(self.order)
        self.before_append(number)
        savepoint = self.save_files(savepoint)
        for entry in entries:
            self.steps.append(Step(position=len(self.steps) + 1, inputs=entry.inputs, outputs=entry.outputs))
        assert savepoint.position == len(self.steps)
        self.order.append(savepoint)
        self.savepoints[savepoint.timestamp] = savepoint
        self.after_append(number)

    def arrived(self) -> None:
        self.arrivals += 1

    @property
    def stopping(self) -> bool:
        self.asked += 1
        self.on_control(self.asked)
        return self.desired is Control.STOPPING

    @property
    def preempted(self) -> bool:
        return self.desired is Control.PREEMPTED

    @property
    def pausing(self) -> bool:
        return self.desired is Control.PAUSED

    def hold(self) -> None:
        self.held += 1
        self.desired = Control.RUNNING

    def show(self, view: bytes) -> None:
        self.views.append(view)

    def progress(self, report: Mapping[str, Any]) -> None:
        self.reports.append(report)

    def write_line(self, text: str, level: str) -> None:
        self.lines.append((level, text))

    def print_line(self, text: str, level: str) -> bool:
        self.lines.append((level, text))
        return True

    def save_files(self, savepoint: Savepoint) -> Savepoint:
        """Keep the files of the folder that a simulation works in."""
        folder = Path.cwd()
        if self.saving is None or self.saving[0] != folder:
            kept = decode(self.order[-1].entities[FILES]) if self.order else None
            self.saving = folder, SavedFiles(self.blobs, self.blobs.use, folder, kept)
        return self.saving[1].save(savepoint)[0]

    def past(self, savepoint: Savepoint | None = None) -> Past | None:
        """Return what there is to go on from: the newest savepoint, or the one given."""
        if not self.order:
            return None
        chosen = savepoint or self.order[-1]
        laid_out = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, laid_out, ignore_errors=True)
        saved, found = laid_out / "saved", laid_out / "found"
        kept: Any = decode(chosen.entities[FILES])
        lay_out(kept["files"], self.blobs, saved)
        if kept["beginning"]:
            lay_out(kept["beginning"]["files"], self.blobs, found)
        return Past(savepoint=chosen, steps=tuple(self.steps), folder=saved, beginning=found)


class MemoryBlobs(Blobs):
    """Blobs in memory, which are all there, and notes of them."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.written = 0

    def use(self, contents: Sequence[tuple[str, int]]) -> list[Blob]:
        return [Blob(1, "", digest, digest in self.kept) for digest, _ in contents]

    def write(self, number: int, digest: str, data: bytes) -> None:
        self.kept[digest] = data
        self.written += len(data)

    def read(self, number: int, digest: str) -> bytes:
        return self.kept[digest]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder, by its path there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def looks(folder: Path) -> dict[str, Any]:
    """Return what is in a folder: the mode and content of each file, the mode of each folder, each link."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (stat.filemode(mode), content)
    return found

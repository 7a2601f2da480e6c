"""The plan of a simulation, what there is of it when it is to go on, and how it ended: values."""

from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

import msgspec

from perdure.run import Step
from perdure.state.savepoint import Savepoint

__all__ = ["EndState", "Ending", "Past", "Plan", "ScriptError"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be simulated.

    Attributes
    ----------
    sim_id
        The simulation's id, as its script and the name of its log have it.
    script
        The main script's path in the folder; without one it runs to the time-out, or until it is done.
    seed
        What all generators of the run are seeded from.
    timeout
        Simulation time that there is, in seconds; None is endless.
    every
        Distance of savepoints in simulation time, rounded up to a multiple of the timestep; None measures it.
    keep
        How many of the newest savepoints are kept; None leaves that to the store.
    """

    sim_id: int | str
    script: str | None
    seed: int
    timeout: Fraction | None = None
    every: Fraction | None = None
    keep: int | None = None


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a run that is to go on.

    Attributes
    ----------
    savepoint
        The newest intact one.
    steps
        The step log, whole.
    folder
        A folder with the files that the savepoint lists.
    beginning
        One with those that the script of a fork found at its top, if that was another one than its parent's.
    """

    savepoint: Savepoint
    steps: Sequence[Step]
    folder: Path
    beginning: Path


class EndState(StrEnum):
    """How a simulation ended; called as the lifecycle calls the state it leads to."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


class ScriptError(msgspec.Struct, frozen=True, kw_only=True):
    """An error that ended a simulation.

    Attributes
    ----------
    type, message
        The error's class, and what it says.
    file, line, text
        Where in the experiment's folder it was raised, and that line; empty and 0 for one from elsewhere.
    traceback
        The lines of the experiment's files that it came by, as Python shows a traceback.
    """

    type: str
    message: str
    file: str = ""
    line: int = 0
    text: str = ""
    traceback: str = ""

    @property
    def in_words(self) -> str:
        """Say it in one line."""
        place = f" ({self.file}, line {self.line})" if self.file else ""
        return f"{self.type}: {self.message}{place}" if self.message else f"{self.type}{place}"


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a simulation ended; `error` is why, if it failed."""

    how: EndState
    error: ScriptError | None = None

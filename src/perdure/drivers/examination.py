"""The examination of a session: every checksum of what is stored, and everything that follows from it.

The inputs and the spec are the truth. What follows from them, the outputs and the savepoints, is computed
again from the first step to the last and compared, because a blob with an intact checksum may be in the
wrong place. Damaged savepoints and outputs are written back; damaged inputs or specs are only reported.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import msgspec

from perdure.drivers.kept_parts import KEPT
from perdure.drivers.live_session import LiveSession
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.step_inputs import decode_inputs
from perdure.errors import (
    CorruptBlob,
    Damaged,
    EngineCrashed,
    ModelChanged,
    NewerSchema,
    NotFound,
    OtherNumerics,
    PerdureError,
)
from perdure.run import Run, Step
from perdure.state.codec import decode, same
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores.base import Store
from perdure.stores.commands import Command, PutSavepoint, RepairStep, Unleased, encoded

__all__ = ["Finding", "Hole", "examine", "walk"]

PAGE = 1000  # steps read at once
OTHER_NUMBERS = (
    "They don't follow from the inputs: replay gives other numbers. They were acknowledged, so they stay."
)

Begin = Callable[[Savepoint | None], LiveSession]
"""Returns the session as it stood at a savepoint, or at its start."""


class Finding(msgspec.Struct, frozen=True):
    """Something that is wrong with a run, or could not be checked.

    Attributes
    ----------
    place
        What it is, for example ``savepoint 101`` or ``step 7, outputs``.
    problem
        What is wrong with it.
    repaired
        Whether it was put right.
    checked
        False if the finding is that something couldn't be checked; nothing is known to be wrong with it.
    """

    place: str
    problem: str
    repaired: bool = False
    checked: bool = True


def examine(store: Store, run: Run, begin: Begin, *, repair: bool) -> list[Finding]:
    """Check all that is stored of a session whose lock is held; blocks while it reads and replays.

    Parameters
    ----------
    begin
        Brings the session back to where it can be computed anew from.
    repair
        Whether to write back what replay gives. Acknowledged outputs with an intact checksum are never
        overwritten.
    """
    examination = _Examination(store, run, begin, repair)
    with closing(examination):
        examination.walk()
    return examination.findings


class Hole(msgspec.Struct, frozen=True):
    """Steps that are missing from the log, or can't be read."""

    first: int
    last: int
    problem: str


class _Examination:
    """One walk along the log, with the session computed anew beside it as far as that can be done."""

    def __init__(self, store: Store, run: Run, begin: Begin, repair: bool) -> None:
        self.findings: list[Finding] = []
        self._store = store
        self._run = run
        self._begin_at = begin
        self._repair = repair
        self._replayable = True  # the models are the ones it was made with
        self._live: LiveSession | None = None
        self._why_not = "no intact savepoint leads there."  # the reason when there is no live session
        self._departed: int | None = None  # where replay first differed, until a savepoint confirms it
        self._streak: tuple[int, int, str, str] | None = None  # first, last, suffix and problem of like steps
        self._savepoints = self._list_savepoints()
        self._base = 0  # the first position that can be computed anew

    def walk(self) -> None:
        """Examine all that is stored, in the order of steps."""
        self._begin()
        position = 0
        self._examine_savepoints(0)
        for found in walk(self._store, self._run):
            if isinstance(found, Hole):
                position = found.last
                self._examine_hole(found)
            else:
                position = found.position
                self._examine_step(found)
            self._examine_savepoints(position)
        self._end_streak()
        if position != self._run.position:
            problem = f"It ends at step {position}, but {self._run.position} steps were acknowledged."
            self.findings.append(Finding("log", problem))
            self._lose(problem)
        self._examine_savepoints(None)

    def close(self) -> None:
        """Close the session that is computed anew."""
        if self._live is not None:
            self._live.close()

    def _begin(self) -> None:
        try:
            spec = SessionSpec.from_blob(self._run.spec)
        except Damaged as error:
            self.findings.append(Finding("spec", str(error)))
            self._why_not = "the spec is damaged."
            self._replayable = False
            return
        self._base = spec.base
        if spec.base == 0:
            self._resume(None)  # the spec alone leads there
        else:
            self._why_not = (
                f"the run was upgraded at step {spec.base}, or forked there with another seed "
                "or stop time; what came before follows from its former model, or its parent."
            )

    # The live session ---------------------------------------------------------------------------------------

    def _resume(self, savepoint: Savepoint | None) -> None:
        """Compute the session anew from a savepoint, or its start, if it can be brought back there."""
        position = 0 if savepoint is None else savepoint.position
        if not self._replayable or position < self._base:
            return
        try:
            self._live = self._begin_at(savepoint)
            self._departed = None
        except (ModelChanged, OtherNumerics) as error:
            self._replayable = False
            self._why_not = str(error)
            problem = f"It could not be checked, only checksums were: {error}"
            self.findings.append(Finding("replay", problem, checked=False))
        except Exception as error:  # what has an intact checksum may still be another run's
            self._why_not = str(error)

    def _lose(self, why: str) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None
            self._why_not = why

    # Steps --------------------------------------------------------------------------------------------------

    def _examine_hole(self, hole: Hole) -> None:
        self._tell_steps(hole.first, hole.last, "", hole.problem)
        self._lose(f"step {hole.first} is missing.")

    def _examine_step(self, step: Step) -> None:
        damaged = _problem(step.inputs)
        if damaged is not None:
            self._report(f"step {step.position}, inputs", damaged)
            self._lose(f"the inputs of step {step.position} are damaged.")
        outputs = self._replayed(step)
        if (problem := _problem(step.outputs)) is not None:
            mend = None
            if outputs is not None:
                repaired = msgspec.structs.replace(step, outputs=outputs)
                mend = RepairStep(self._run.id, repaired)
            self._report(f"step {step.position}, outputs", problem, mend, damaged=True)
        elif outputs is not None and not same(outputs, step.outputs):
            self._departed = self._departed or step.position
            self._tell_steps(step.position, step.position, ", outputs", OTHER_NUMBERS)
        else:
            self._end_streak()

    def _replayed(self, step: Step) -> bytes | None:
        """Take a step again; return its outputs, or None if that can't be done."""
        if self._live is None:
            return None
        try:
            given = decode_inputs(step.inputs)
            return self._live.step(given.inputs, given.answers).outputs
        except EngineCrashed as error:
            place, problem = f"step {step.position}", f"It could not be checked: {error}"
            self.findings.append(Finding(place, problem, checked=False))
            self._lose(f"the engine crashed in step {step.position}.")
            return None
        except Exception as error:  # inputs with an intact checksum may still be in the wrong place
            problem = f"It doesn't follow from the steps before: {error}"
            self._report(f"step {step.position}", problem)
            self._lose(f"step {step.position} can't be replayed.")
            return None

    # Savepoints ---------------------------------------------------------------------------------------------

    def _list_savepoints(self) -> list[SavepointInfo]:
        """Return the savepoints, the last one first."""
        try:
            return sorted(self._store.savepoints(self._run.id), key=_position, reverse=True)
        except CorruptBlob as error:
            self.findings.append(Finding("savepoints", str(error)))
            return []

    def _examine_savepoints(self, position: int | None) -> None:
        """Check the savepoints up to the live session's position; None means all that are left."""
        while self._savepoints and (position is None or _position(self._savepoints[-1]) <= position):
            info = self._savepoints.pop()
            self._examine_savepoint(info, here=_position(info) == position)

    def _examine_savepoint(self, info: SavepointInfo, *, here: bool) -> None:
        place = f"savepoint {info.timestamp}"
        live = self._live if here else None
        try:
            savepoint = self._store.savepoint(self._run.id, info.timestamp)
            for blob in savepoint.entities.values():
                decode(blob)
        except NewerSchema as error:
            self._report(place, str(error))
        except Damaged as error:
            self._report(place, str(error), self._mend(info, live), damaged=True)
        except NotFound:
            pass  # retention gave it up when another one was repaired
        else:
            if live is None:
                if here:
                    self._resume(savepoint)
            elif _same_states(live.savepoint(), savepoint):
                self._departed = None
            else:
                problem = "Its states aren't those that the steps before it lead to."
                wrong_here = self._streak is not None  # replay differs from the log at this very step
                self._end_streak()
                self._report(place, problem, self._mend(info, live), damaged=True)
                if wrong_here:
                    self._lose(f"replay departs from the log at step {self._departed}.")
                    self._resume(savepoint)

    def _mend(self, info: SavepointInfo, live: LiveSession | None) -> PutSavepoint | None:
        if live is None:
            return None
        savepoint = live.savepoint(milestone=info.milestone)
        guard = Unleased.of(self._run)
        return PutSavepoint(self._run.id, guard, encoded(savepoint), info.name, info.pinned)

    # Reporting ----------------------------------------------------------------------------------------------

    def _report(
        self, place: str, problem: str, mend: Command[Any] | None = None, *, damaged: bool = False
    ) -> None:
        """Report something; if it is damaged and replay knows better, put it right."""
        if not damaged or not self._repair:
            self.findings.append(Finding(place, problem))
        elif mend is None:
            self.findings.append(Finding(place, f"{problem} It can't be repaired: {self._why_not}"))
        elif self._departed is not None:
            why = f"replay departs from the log at step {self._departed}."
            self.findings.append(Finding(place, f"{problem} It can't be repaired: {why}"))
        else:
            try:
                self._store.submit(mend).result()
            except PerdureError as error:
                self.findings.append(Finding(place, f"{problem} It can't be repaired: {error}"))
            else:
                self.findings.append(Finding(place, problem, repaired=True))

    def _tell_steps(self, first: int, last: int, suffix: str, problem: str) -> None:
        """Report steps, those that follow each other with the same problem as one."""
        if self._streak is not None:
            begun, ended, *alike = self._streak
            if ended + 1 == first and alike == [suffix, problem]:
                self._streak = (begun, last, suffix, problem)
                return
        self._end_streak()
        self._streak = (first, last, suffix, problem)

    def _end_streak(self) -> None:
        if self._streak is not None:
            first, last, suffix, problem = self._streak
            steps = f"step {first}" if first == last else f"steps {first} to {last}"
            self.findings.append(Finding(f"{steps}{suffix}", problem))
            self._streak = None


def walk(store: Store, run: Run) -> Iterator[Step | Hole]:
    """Yield the log page by page, and what is missing from it; where pages are damaged, step by step."""
    position, limit = 0, PAGE
    while True:
        try:
            steps = store.steps(run.id, position, limit)
        except CorruptBlob as error:
            missing, following = error.values.get("missing"), error.values.get("next")
            if missing is not None and missing > position + 1:
                limit = missing - position - 1
            elif missing is not None and following is not None:
                yield Hole(position + 1, following - 1, f"The log has a gap up to step {following}.")
                position = following - 1
            elif missing is not None:
                return  # nothing is there beyond
            elif limit > 1:
                limit //= 2
            elif position < run.position:
                position += 1
                yield Hole(position, position, f"It can't be read: {error}")
            else:
                if following is not None:
                    yield Hole(position + 1, following, str(error))
                return
            continue
        if not steps:
            return
        yield from steps
        position = steps[-1].position
        limit = min(PAGE, 2 * limit)


def _problem(blob: bytes | None) -> str | None:
    try:
        if blob is not None:
            decode(blob)
    except Damaged as error:
        return str(error)
    return None


def _position(info: SavepointInfo) -> int:
    """Return the step that a savepoint is of: a session's timestamp is the next step's number."""
    return max(0, info.timestamp - 1)


def _same_states(one: Savepoint, other: Savepoint) -> bool:
    # Why an engine can't be saved is no state: an earlier version didn't say it, or in other words.
    names = one.entities.keys() - {KEPT}
    return names == other.entities.keys() - {KEPT} and all(
        same(one.entities[name], other.entities[name]) for name in names
    )

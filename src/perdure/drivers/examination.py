"""The examination of a session: every checksum of what is stored, and repair by replay.

What replay can give back is damaged savepoints and damaged outputs: both follow from the spec, the inputs and
an intact savepoint before them. Damaged inputs or specs are the truth itself and are only reported.
"""

from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from perdure.drivers.live_session import LiveSession
from perdure.drivers.session_spec import SessionSpec
from perdure.errors import Damaged, NewerSchema, PerdureError
from perdure.run import Run, Step
from perdure.state.codec import decode
from perdure.state.savepoint import SavepointInfo
from perdure.stores.base import Store

__all__ = ["Finding", "examine"]

PAGE = 1000  # steps read at once

Restore = Callable[[int, frozenset[int]], LiveSession]
"""Returns the session at a position without starting from the savepoints of the given timestamps."""


class Finding(msgspec.Struct, frozen=True):
    """Something that is wrong with a run.

    Attributes
    ----------
    place
        What it is, for example ``savepoint 101`` or ``step 7, outputs``.
    problem
        What is wrong with it.
    repaired
        Whether it was put right.
    """

    place: str
    problem: str
    repaired: bool = False


def examine(store: Store, run: Run, restore: Restore, *, repair: bool) -> list[Finding]:
    """Check all that is stored of a session whose lock is held; blocks while it reads and replays.

    Parameters
    ----------
    restore
        Brings the session back as it stood at a position.
    repair
        Whether to write back what replay gives.
    """
    try:
        SessionSpec.from_blob(run.spec)
    except (Damaged, msgspec.ValidationError) as error:
        return [Finding("spec", str(error))]
    findings = []
    damaged = list(_damaged_savepoints(store, run))
    broken = frozenset(info.timestamp for info, _ in damaged)
    for place, text, mend in _step_problems(store, run, restore, broken):
        findings.append(_finding(place, text, mend if repair else None))
    for info, problem in damaged:
        mend = (
            None
            if isinstance(problem, NewerSchema)
            else partial(_mend_savepoint, store, run, restore, info, broken)
        )
        findings.append(_finding(f"savepoint {info.timestamp}", str(problem), mend if repair else None))
    return findings


def _finding(place: str, problem: str, mend: Callable[[], None] | None) -> Finding:
    if mend is None:
        return Finding(place, problem)
    try:
        mend()
    except PerdureError as error:
        return Finding(place, f"{problem} It can't be repaired: {error}")
    return Finding(place, problem, repaired=True)


def _damaged_savepoints(store: Store, run: Run) -> Iterator[tuple[SavepointInfo, PerdureError]]:
    for info in store.savepoints(run.id):
        try:
            savepoint = store.savepoint(run.id, info.timestamp)
            for blob in savepoint.entities.values():
                decode(blob)
        except Damaged as error:
            yield info, error


def _step_problems(
    store: Store, run: Run, restore: Restore, broken: frozenset[int]
) -> Iterator[tuple[str, str, Callable[[], None] | None]]:
    position = 0
    while steps := store.steps(run.id, position, PAGE):
        for step in steps:
            if step.position != position + 1:
                yield f"step {position + 1}", f"The log has a gap up to step {step.position}.", None
            position = step.position
            if step.inputs is not None and (problem := _problem(step.inputs)):
                yield f"step {position}, inputs", problem, None
            if problem := _problem(step.outputs):
                mend = partial(_mend_outputs, store, run, restore, step, broken)
                yield f"step {position}, outputs", problem, mend
    if position != run.position:
        yield "log", f"It ends at step {position}, but {run.position} steps were acknowledged.", None


def _problem(blob: bytes) -> str | None:
    try:
        decode(blob)
    except Damaged as error:
        return str(error)
    return None


def _mend_outputs(store: Store, run: Run, restore: Restore, step: Step, broken: frozenset[int]) -> None:
    live = restore(step.position - 1, broken)
    inputs = [] if step.inputs is None else [(index, given) for index, given in decode(step.inputs)]
    stepped = live.step(inputs)
    live.close()
    store.repair_step(run.id, msgspec.structs.replace(step, outputs=stepped.outputs)).result()


def _mend_savepoint(
    store: Store, run: Run, restore: Restore, info: SavepointInfo, broken: frozenset[int]
) -> None:
    live = restore(info.position, broken)
    savepoint = msgspec.structs.replace(live.savepoint(milestone=info.milestone), timestamp=info.timestamp)
    live.close()
    store.put_savepoint(run.id, store.fence, savepoint, name=info.name, pinned=info.pinned).result()

"""The examination of an experiment: every checksum of what is stored of it."""

from collections.abc import Callable
from functools import partial

from perdure.drivers.examination import Finding, Hole, walk
from perdure.drivers.experiments.journal import records
from perdure.drivers.experiments.script_position import ScriptPosition
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.errors import Damaged
from perdure.run import Run, Step
from perdure.state.codec import decode
from perdure.stores.base import Store

__all__ = ["examine_experiment"]


def examine_experiment(store: Store, run: Run) -> list[Finding]:
    """Return what is damaged; nothing of it is repaired.

    A damaged savepoint harms nothing: the run goes on from the one before.
    """
    findings: list[Finding] = []
    last = 0

    def check(place: str, read: Callable[[], object]) -> None:
        try:
            read()
        except Damaged as error:
            findings.append(Finding(place=place, problem=str(error)))

    def read_savepoint(timestamp: int) -> None:
        savepoint = store.savepoint(run.id, timestamp)
        ScriptPosition.read(savepoint)
        for blob in savepoint.entities.values():
            decode(blob)

    check("spec", lambda: ExperimentSpec.from_blob(run.spec))
    check("execution", lambda: store.execution(run.id))
    for info in store.savepoints(run.id):
        check(f"savepoint {info.timestamp}", partial(read_savepoint, info.timestamp))
    for found in walk(store, run):
        if isinstance(found, Hole):
            findings.append(Finding(place=f"steps {found.first} to {found.last}", problem=found.problem))
        else:
            check(f"step {found.position}", partial(_read, found))
            last = found.position
    if last != run.position:
        problem = f"It ends at step {last}, but {run.position} steps were acknowledged."
        findings.append(Finding(place="log", problem=problem))
    return findings


def _read(step: Step) -> None:
    """Read every record of a page; `Damaged` if that can't be done."""
    for _ in records([step]):
        pass

"""The examination of an experiment: every checksum of what is stored of it."""

from collections.abc import Callable, Iterable
from functools import partial

from perdure.artifacts import Artifacts
from perdure.drivers.examination import Finding, Hole, walk
from perdure.drivers.experiments.journal import records
from perdure.drivers.experiments.saved_files import pieces_of
from perdure.drivers.experiments.script_position import FILES, ScriptPosition
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.errors import Damaged, NotFound
from perdure.run import Run, Step
from perdure.state.codec import decode
from perdure.stores.base import Store

__all__ = ["examine_experiment"]


def examine_experiment(store: Store, artifacts: Artifacts, run: Run) -> list[Finding]:
    """Return what is damaged or missing; nothing of it is repaired.

    A damaged savepoint harms nothing: the run goes on from the one before. A file of it that is missing ends
    the run when it goes on from there; a fork at an older savepoint may do without it.
    """
    findings: list[Finding] = []
    blobs, results = artifacts.blobs(run.owner), artifacts.results(run.owner)
    intact: set[str] = set()
    last = 0

    def check(place: str, read: Callable[[], object]) -> None:
        try:
            read()
        except (Damaged, NotFound) as error:
            findings.append(Finding(place=place, problem=str(error)))

    def read_savepoint(timestamp: int) -> None:
        savepoint = store.savepoint(run.id, timestamp)
        ScriptPosition.read(savepoint)
        for blob in savepoint.entities.values():
            decode(blob)
        for _, number, digest in pieces_of(decode(savepoint.entities[FILES])):
            if digest and digest not in intact:
                blobs.read(number, digest)
                intact.add(digest)

    def read_experiment() -> None:
        spec, owned = ExperimentSpec.from_blob(run.spec), artifacts.experiments(run.owner)
        for file in owned.version(spec.experiment, spec.version).files.values():
            _read_all(owned.read(spec.experiment, file))

    def read_results() -> None:
        found = results.get(run.id, store.execution(run.id).stored)
        for file in () if found is None else found.files.values():
            _read_all(results.read(run.id, file))

    check("spec", lambda: ExperimentSpec.from_blob(run.spec))
    check("execution", lambda: store.execution(run.id))
    check("experiment", read_experiment)
    check("files", read_results)
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


def _read_all(chunks: Iterable[bytes]) -> None:
    """Read a stored file, which checks it at its end."""
    for _ in chunks:
        pass


def _read(step: Step) -> None:
    """Read every record of a page; `Damaged` if that can't be done."""
    for _ in records([step]):
        pass

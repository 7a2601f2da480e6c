"""The examination of a task: checks every checksum of its stored data."""

from collections.abc import Callable
from functools import partial

from perdure.drivers.examination import Finding
from perdure.drivers.kept_files import KeptFiles
from perdure.drivers.task_spec import TaskSpec
from perdure.errors import Damaged
from perdure.run import Run
from perdure.state.codec import decode
from perdure.stores.base import Store

__all__ = ["examine_task"]


def examine_task(store: Store, run: Run) -> list[Finding]:
    """Return the damage found. None of it can be repaired, since a task has no step log to replay.

    A damaged savepoint does no harm: the task resumes from the previous one, or from its start.
    """
    findings: list[Finding] = []

    def check(place: str, read: Callable[[], object]) -> None:
        try:
            read()
        except Damaged as error:
            findings.append(Finding(place=place, problem=str(error)))

    def read_result() -> None:
        result = store.execution(run.id).result
        if result is not None:
            decode(result)

    def read_files() -> None:
        if sha256 := TaskSpec.from_blob(run.spec).sha256:
            KeptFiles(store).read(sha256)

    check("spec", read_files)
    check("execution", read_result)
    for info in store.savepoints(run.id):
        check(f"savepoint {info.timestamp}", partial(store.savepoint, run.id, info.timestamp))
    return findings

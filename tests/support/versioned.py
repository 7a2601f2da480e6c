"""A kind of runs that is computed in versions: each run says which one has computed every part of it."""

import time
from pathlib import Path

import msgspec
from msgspec.structs import replace

from perdure.drivers.computed_by import ComputedBy
from perdure.execution.body import Body, Provision
from perdure.execution.context import RunContext
from perdure.run import Execution, Run
from perdure.state.savepoint import Savepoint

PATH = "tests.support.versioned:run"
NEEDS = ComputedBy(task="work").to_text()
PACE = 0.01  # seconds between two savepoints


def body(version: str, *, slots: int) -> Body:
    """Return the body of a worker that has one version of it."""
    here = ComputedBy(task="work", version=version, python="3")

    def provide(run: Run, execution: Execution, is_cancelled: object) -> Provision:
        return Provision(given={"version": version}, computed_by=here.to_text())

    def lacks(needs: str) -> str:
        needed = ComputedBy.from_text(needs)
        return needed.differs(replace(here, task=needed.task))

    return Body(path=PATH, slots=slots, lacks=lacks, provide=provide)


def run(context: RunContext) -> bytes:
    """Save until a file exists; return the versions that have computed the run, in their order."""
    until = Path(context.spec.decode())
    versions: list[str] = []
    number = 0
    if context.savepoint is not None:
        number = context.savepoint.timestamp
        versions = msgspec.msgpack.decode(context.savepoint.entities["versions"])
    while not until.exists():
        number += 1
        versions = [*dict.fromkeys([*versions, context.given["version"]])]
        context.save(Savepoint(timestamp=number, entities={"versions": msgspec.msgpack.encode(versions)}))
        time.sleep(PACE)
    return msgspec.msgpack.encode(versions)

"""Execution rows: what commands on the execution of a run read of it, check in it and write of it."""

from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace

from perdure.errors import Fenced, RunFinished
from perdure.lifecycle import FINAL
from perdure.run import Execution, Run
from perdure.stores.checksums import checksum
from perdure.stores.commands.base import Query, Rows, Write, write
from perdure.stores.commands.found import Found, RunCommand, find_run
from perdure.stores.values import execution_values, to_execution

__all__ = [
    "ExecutionCommand",
    "begun",
    "changed_execution",
    "check_token",
    "check_unfinished",
    "execution_in",
    "find_execution",
    "given_back",
    "held_execution",
    "put_execution",
    "put_result",
    "with_report",
]

R = TypeVar("R")


class ExecutionCommand(RunCommand[R], frozen=True):
    """A command on the execution of one run, which reads the run and its execution."""

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run and its execution."""
        return find_run(self.run_id), find_execution(self.run_id)


def find_execution(run_id: str) -> Query:
    """Return the query whose rows `changed_execution` takes."""
    return Query("find_execution", (run_id,))


def execution_in(rows: Rows) -> Execution:
    """Return the execution in the rows of a query; raise `NotExecuted` if there is none."""
    return to_execution(rows[0])


def put_execution(run: Found, execution: Execution) -> list[Write]:
    """Return the writes that replace the execution of a run."""
    writes = [write("change_execution", *execution_values(run.number, execution))]
    if execution.fence != run.lease:
        writes.append(write("set_lease", run.number, execution.fence))
    return writes


def changed_execution(
    run: Found, rows: Rows, *, took_savepoint: bool = False, ended: bool = False
) -> list[Write]:
    """Return the writes that change the execution of a run, if it has one, after a savepoint or at its end.

    A run with a savepoint needs from then on what has computed it so far. One that had ended before keeps its
    lease, under which its files are stored.
    """
    if run.lease is None:
        return []
    execution = former = execution_in(rows)
    if took_savepoint:
        execution = replace(execution, crashes=0, needs=former.computed_by or former.needs)
    if ended and run.state not in FINAL:
        execution = given_back(execution)
    writes = [] if execution == former else put_execution(run, execution)
    if execution.needs != former.needs:
        writes.append(write("bind_needs", run.number))
    return writes


def begun(run: Run, execution: Execution) -> list[Write]:
    """Return the writes that store the execution of a run that is being created."""
    new = Execution(
        run_id=run.id,
        kind=run.kind,
        owner=run.owner,
        timeout=execution.timeout,
        needs=execution.needs,
        desired=execution.desired,
        stored=execution.stored,
    )
    return [
        *([write("insert_needs", run.number, new.needs)] if new.needs else []),
        write("insert_execution", *execution_values(run.number, new)),
        write("set_lease", run.number, new.fence),
        *([write("insert_unstored", run.number)] if new.stored is None else []),
    ]


def put_result(number: int, result: bytes) -> list[Write]:
    """Return the writes that store the result of the run with this number."""
    kept = checksum(number, result)
    return [write("insert_result", number, result, kept), write("note_result", number)]


def given_back(execution: Execution) -> Execution:
    """Return an execution without its lease."""
    return replace(execution, holder="", fence=0, lease_until=0.0)


def held_execution(token: int, rows: Rows) -> Execution:
    """Return an execution whose lease has this token; raise `Fenced` otherwise."""
    execution = execution_in(rows)
    check_token(execution, token)
    return execution


def check_token(execution: Execution, token: int) -> None:
    if not token or token != execution.fence:
        raise Fenced(run=execution.run_id, fence=token)


def check_unfinished(run: Found) -> None:
    if run.state in FINAL:
        raise RunFinished(
            f"The run {run.id!r} is {run.state} and has ended.",
            run=run.id,
            state=run.state.value,
        )


def with_report(
    execution: Execution,
    seconds: float | None,
    crashes: int | None = None,
    progress: bytes | None = None,
) -> Execution:
    """Return an execution with the reported values; a None stays unchanged."""
    return replace(
        execution,
        progress=execution.progress if progress is None else progress,
        seconds=execution.seconds if seconds is None else seconds,
        crashes=execution.crashes if crashes is None else crashes,
    )

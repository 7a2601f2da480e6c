"""The execution of a run: its lease, what the lease's holder reports, and its end.

The holder of a lease is the worker that carries its fencing token. A lease lasts until it is given back,
or until it has ended and another worker takes the run.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from perdure.errors import Fenced, Invalid, LeaseHeld, RunFinished, SavepointNotFound
from perdure.lifecycle import FINAL, DesiredState, RunStatus
from perdure.run import Change, Execution, LogLine, Run
from perdure.stores.checksums import checksum
from perdure.stores.commands import locks
from perdure.stores.commands.base import (
    READ_COUNTER,
    Answers,
    Command,
    Committed,
    Decision,
    Moment,
    Query,
    Rows,
    Write,
    count,
    write,
)
from perdure.stores.commands.found import Found, changed, find_run, found, read_run
from perdure.stores.commands.locks import Lock
from perdure.stores.values import (
    execution_values,
    line_values,
    to_execution,
    to_run,
)

__all__ = [
    "CutLines",
    "Finish",
    "Lease",
    "MarkStored",
    "Release",
    "Renew",
    "Report",
    "SetDesiredState",
    "begun",
    "changed_execution",
    "execution_in",
    "find_execution",
    "given_back",
    "put_execution",
    "take",
]

STORING = (
    10.0  # seconds for which a lease outlasts the end of its run, for its holder to begin to store files
)


class Lease(Command[Execution], frozen=True):
    """Lease a run, with a new fencing token and one more attempt.

    The token is larger than any before in this store, also than those of a deleted run with the same id. If
    the desired state of the run is started, it becomes started in the same transaction; if it is paused, the
    run keeps its state and is prepared. Raises `RunFinished` if the run's state is final, `NotExecuted` if it
    has no execution, and `LeaseHeld` if a lease hasn't ended yet.
    """

    run_id: str
    holder: str
    seconds: float

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the run."""
        return (locks.run(self.run_id),)

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, its execution, and the counter of tokens."""
        return find_run(self.run_id), find_execution(self.run_id), READ_COUNTER

    def decide(self, answers: Answers, at: Moment) -> Decision[Execution]:
        """Lease the run, unless it has a lease."""
        run, former = found(self.run_id, answers[0]), execution_in(answers[1])
        _check_unfinished(run)
        if former.leased(at.clock):
            raise LeaseHeld(run=self.run_id, holder=former.holder)
        return take(run, former, self.holder, self.seconds, answers[2], at)


class Renew(Command[Execution], frozen=True):
    """Extend a lease to the given number of seconds from now; raises `Fenced` if it was given back or taken.

    A lease that has ended is still held as long as nobody else has taken the run. With `unbegun` its holder
    can't begin now: the attempt doesn't count, the lease has no holder any more, and nobody takes the run
    before the lease has ended.
    """

    run_id: str
    token: int
    seconds: float
    unbegun: bool = False

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the run."""
        return (locks.run(self.run_id),)

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run and its execution."""
        return find_run(self.run_id), find_execution(self.run_id)

    def decide(self, answers: Answers, at: Moment) -> Decision[Execution]:
        """Extend the lease."""
        run, held = found(self.run_id, answers[0]), _held(self.token, answers[1])
        renewed = replace(held, lease_until=at.clock + self.seconds)
        if not self.unbegun:
            return Decision(renewed, put_execution(run, renewed))
        left, writes, committed = _unbegun(run, replace(renewed, holder=""), at)
        return Decision(left, writes, (committed,))


class Report(Command[None], frozen=True):
    """Record the progress of a run and its output lines; a None stays unchanged.

    Raises `Fenced` as `Renew` does.

    Retention deletes the oldest lines, but never the last one.
    """

    run_id: str
    token: int
    progress: bytes | None = None
    seconds: float | None = None
    crashes: int | None = None
    lines: Sequence[LogLine] = ()
    computed_by: str | None = None

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the run."""
        return (locks.run(self.run_id),)

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, its execution, and its last line."""
        last = Query("find_last_log_line", (self.run_id,))
        return find_run(self.run_id), find_execution(self.run_id), last

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Record what is new."""
        run, held = found(self.run_id, answers[0]), _held(self.token, answers[1])
        reported = _reported(held, self.seconds, self.crashes, self.progress)
        if self.computed_by not in (None, held.computed_by):
            reported = replace(reported, computed_by=self.computed_by)
        writes = [] if reported == held else put_execution(run, reported)
        if reported.computed_by != held.computed_by:
            writes.append(write("set_computed_by", run.number, reported.computed_by))
        if self.lines:
            last = answers[2]
            writes += self._written_lines(run, last[0][0] if last else 0, at)
        return Decision(None, writes, (run.committed(),))

    def _written_lines(self, run: Found, size: int, at: Moment) -> Iterator[Write]:
        """Yield the writes that add the lines; `size` is the total bytes of the lines before."""
        keep, keep_bytes = at.retention.lines, at.retention.line_bytes
        last = run.lines + len(self.lines)
        kept = self.lines[-keep:]
        added = []
        for number, line in enumerate(kept, last - len(kept) + 1):
            size += len(line.text.encode())
            added.append(line_values(run.number, number, line, size))
        yield write("count_log_lines", run.number, last)
        yield Write("insert_log_line", added)
        yield write("prune_log_lines", run.number, last - keep)
        if size > keep_bytes:
            yield write("prune_log_bytes", run.number, size - keep_bytes, last - 1)


class Finish(Command[Run], frozen=True):
    """Bring a run to a final state with its result, and end its lease, in one transaction.

    If the run has written files that aren't stored yet, its holder keeps the lease, to store them, for
    `STORING` seconds if it isn't renewed. With `unbegun` the attempt doesn't count, and the lease ends.

    Raises `RunFinished` if the run's state is final already, else `Fenced` as `Renew` does, and `Invalid` if
    the change leads to no final state.
    """

    run_id: str
    token: int
    change: Change
    result: bytes | None = None
    seconds: float | None = None
    unbegun: bool = False

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the run."""
        return (locks.run(self.run_id),)

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, its execution and its record."""
        return find_run(self.run_id), find_execution(self.run_id), read_run(self.run_id)

    def decide(self, answers: Answers, at: Moment) -> Decision[Run]:
        """End the run."""
        run, held = found(self.run_id, answers[0]), execution_in(answers[1])
        _check_unfinished(run)
        _check_token(held, self.token)
        if self.change.state not in FINAL:
            raise Invalid(f"The run {self.run_id!r} can't be finished with the state {self.change.state}.")
        left = _reported(held, self.seconds)
        if left.stored is None and not self.unbegun:
            left = replace(left, lease_until=at.clock + STORING)
        else:
            left = replace(given_back(left), attempt=left.attempt - self.unbegun)
        writes = put_execution(run, left)
        if self.result is not None:
            kept = checksum(run.number, self.result)
            writes += [
                write("insert_result", run.number, self.result, kept),
                write("note_result", run.number),
            ]
        writes += changed(run, self.change, at)
        ended = self.change.applied(to_run(answers[2][0]), at.now)
        return Decision(ended, writes, (run.committed(state=ended.state),))


class Release(Command[None], frozen=True):
    """Give a lease back, so that the run can be taken again. Raises `Fenced` as `Renew` does.

    With `unbegun` the attempt doesn't count.
    """

    run_id: str
    token: int
    seconds: float | None = None
    crashes: int | None = None
    unbegun: bool = False

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the run."""
        return (locks.run(self.run_id),)

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run and its execution."""
        return find_run(self.run_id), find_execution(self.run_id)

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """End the lease."""
        run, held = found(self.run_id, answers[0]), _held(self.token, answers[1])
        left = given_back(_reported(held, self.seconds, self.crashes))
        if self.unbegun:
            _, writes, committed = _unbegun(run, left, at)
            return Decision(None, writes, (committed,))
        return Decision(None, put_execution(run, left), (run.committed(),))


class SetDesiredState(Command[Execution], frozen=True):
    """Set the desired state of a run, unless that is an end of it already, which stays.

    Raises `RunFinished` if its state is final.
    """

    run_id: str
    desired: DesiredState

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the run."""
        return (locks.run(self.run_id),)

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run and its execution."""
        return find_run(self.run_id), find_execution(self.run_id)

    def decide(self, answers: Answers, at: Moment) -> Decision[Execution]:
        """Set the desired state; an end can't be taken back, since it may be in progress."""
        run, execution = found(self.run_id, answers[0]), execution_in(answers[1])
        _check_unfinished(run)
        if not execution.desired.ends:
            execution = replace(execution, desired=self.desired)
        return Decision(execution, put_execution(run, execution), (run.committed(),))


class MarkStored(Command[None], frozen=True):
    """Record the version of the stored files of a run, 0 if it has none, unless that is recorded already.

    The lease of a run that has ended, which its holder kept for that, ends.
    """

    run_id: str
    version: int

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the run."""
        return (locks.run(self.run_id),)

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run and its execution."""
        return find_run(self.run_id), find_execution(self.run_id)

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Record the version."""
        run, writes = found(self.run_id, answers[0]), []
        if run.lease and run.state in FINAL:
            writes = put_execution(run, given_back(execution_in(answers[1])))
        return Decision(None, [*writes, write("set_stored", run.number, self.version)], (run.committed(),))


class CutLines(Command[None], frozen=True):
    """Delete the output lines of a run after the savepoint with this timestamp; all of them for None.

    The next line has the number after the last one that was written before the savepoint, even if retention
    has deleted that one. A fork wrote nothing before the savepoints that it begins with. Raises
    `SavepointNotFound`, and `Fenced` as `Renew` does.
    """

    run_id: str
    token: int
    savepoint: int | None

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the run."""
        return (locks.run(self.run_id),)

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, its execution, and the number of lines at the savepoint."""
        written = Query("find_lines_at_savepoint", (self.run_id, self.savepoint))
        return find_run(self.run_id), find_execution(self.run_id), written

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Cut them."""
        run, written = found(self.run_id, answers[0]), answers[2]
        _held(self.token, answers[1])
        if self.savepoint is not None and not written:
            raise SavepointNotFound(run=self.run_id, savepoint=self.savepoint)
        last = written[0][0] if written else 0
        writes = [write("cut_log_lines", run.number, last)]
        if last < run.lines:
            writes.append(write("count_log_lines", run.number, last))
        return Decision(None, writes, (run.committed(),))


def take(
    run: Found, former: Execution, holder: str, seconds: float, counter: Rows, at: Moment
) -> Decision[Any]:
    """Return the decision that leases a run without a lease."""
    token, counted = count(counter)
    begun = replace(
        former,
        attempt=former.attempt + 1,
        holder=holder,
        fence=token,
        lease_until=at.clock + seconds,
    )
    writes, state = [counted, *put_execution(run, begun)], run.state
    if begun.desired is DesiredState.STARTED:
        state = RunStatus.STARTED
        writes += changed(run, Change(state=state), at)
    return Decision(begun, writes, (run.committed(state=state),))


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


def find_execution(run_id: str) -> Query:
    """Return the query whose rows `changed_execution` takes."""
    return Query("find_execution", (run_id,))


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


def put_execution(run: Found, execution: Execution) -> list[Write]:
    """Return the writes that replace the execution of a run."""
    writes = [write("change_execution", *execution_values(run.number, execution))]
    if execution.fence != run.lease:
        writes.append(write("set_lease", run.number, execution.fence))
    return writes


def execution_in(rows: Rows) -> Execution:
    """Return the execution in the rows of a query; raise `NotExecuted` if there is none."""
    return to_execution(rows[0])


def _held(token: int, rows: Rows) -> Execution:
    """Return an execution whose lease has this token; raise `Fenced` otherwise."""
    execution = execution_in(rows)
    _check_token(execution, token)
    return execution


def _check_token(execution: Execution, token: int) -> None:
    if not token or token != execution.fence:
        raise Fenced(run=execution.run_id, fence=token)


def _check_unfinished(run: Found) -> None:
    if run.state in FINAL:
        raise RunFinished(
            f"The run {run.id!r} is {run.state} and has ended.",
            run=run.id,
            state=run.state.value,
        )


def _reported(
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


def _unbegun(run: Found, left: Execution, at: Moment) -> tuple[Execution, list[Write], Committed]:
    """Return the end of an attempt that didn't begin: it doesn't count, and a first one undoes the start."""
    counted = replace(left, attempt=left.attempt - 1)
    writes, state = put_execution(run, counted), run.state
    if counted.attempt == 0 and state is RunStatus.STARTED:
        state = RunStatus.CREATED
        writes += changed(run, Change(state=state), at)
    return counted, writes, run.committed(state=state)


def given_back(execution: Execution) -> Execution:
    """Return an execution without its lease."""
    return replace(execution, holder="", fence=0, lease_until=0.0)

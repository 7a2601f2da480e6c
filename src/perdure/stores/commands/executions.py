"""The execution of a run: its desired state, what the holder of its lease reports, and its end."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from perdure.errors import Invalid, SavepointNotFound
from perdure.lifecycle import FINAL, DesiredState
from perdure.run import Change, Execution, LogLine, Run
from perdure.stores.commands.base import Answers, Decision, Moment, Query, Write, write
from perdure.stores.commands.execution_rows import (
    ExecutionCommand,
    check_token,
    check_unfinished,
    execution_in,
    given_back,
    held_execution,
    put_execution,
    put_result,
    with_report,
)
from perdure.stores.commands.found import Found, changed, found, read_run
from perdure.stores.values import line_values, to_run

__all__ = ["CutLines", "Finish", "MarkStored", "Report", "SetDesiredState"]

STORING = 10.0
"""Seconds for which a lease outlasts the end of its run, for its holder to begin to store files."""


class SetDesiredState(ExecutionCommand[Execution], frozen=True):
    """Set the desired state of a run, unless that is an end of it already, which stays.

    Raises `RunFinished` if its state is final.
    """

    desired: DesiredState

    def decide(self, answers: Answers, at: Moment) -> Decision[Execution]:
        """Set the desired state; an end can't be taken back, since it may be in progress."""
        run, execution = found(self.run_id, answers[0]), execution_in(answers[1])
        check_unfinished(run)
        if not execution.desired.ends:
            execution = replace(execution, desired=self.desired)
        return Decision(execution, put_execution(run, execution), (run.committed(),))


class Report(ExecutionCommand[None], frozen=True):
    """Record the progress of a run and its output lines; a None stays unchanged.

    Raises `Fenced` as `Renew` does.

    Retention deletes the oldest lines, but never the last one.
    """

    token: int
    progress: bytes | None = None
    seconds: float | None = None
    crashes: int | None = None
    lines: Sequence[LogLine] = ()
    computed_by: str | None = None

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, its execution, and its last line."""
        last = Query("find_last_log_line", (self.run_id,))
        return *super().reads(), last

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Record what is new."""
        run, held = found(self.run_id, answers[0]), held_execution(self.token, answers[1])
        reported = with_report(held, self.seconds, self.crashes, self.progress)
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


class Finish(ExecutionCommand[Run], frozen=True):
    """Bring a run to a final state with its result, and end its lease, in one transaction.

    If the run has written files that aren't stored yet, its holder keeps the lease, to store them, for
    `STORING` seconds if it isn't renewed. With `unbegun` the attempt doesn't count, and the lease ends.

    Raises `RunFinished` if the run's state is final already, else `Fenced` as `Renew` does, and `Invalid` if
    the change leads to no final state.
    """

    token: int
    change: Change
    result: bytes | None = None
    seconds: float | None = None
    unbegun: bool = False

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, its execution and its record."""
        return *super().reads(), read_run(self.run_id)

    def decide(self, answers: Answers, at: Moment) -> Decision[Run]:
        """End the run."""
        run, held = found(self.run_id, answers[0]), execution_in(answers[1])
        check_unfinished(run)
        check_token(held, self.token)
        if self.change.state not in FINAL:
            raise Invalid(f"The run {self.run_id!r} can't be finished with the state {self.change.state}.")
        left = with_report(held, self.seconds)
        if left.stored is None and not self.unbegun:
            left = replace(left, lease_until=at.clock + STORING)
        else:
            left = replace(given_back(left), attempt=left.attempt - self.unbegun)
        writes = put_execution(run, left)
        if self.result is not None:
            writes += put_result(run.number, self.result)
        writes += changed(run, self.change, at)
        ended = self.change.applied(to_run(answers[2][0]), at.now)
        return Decision(ended, writes, (run.committed(state=ended.state),))


class MarkStored(ExecutionCommand[None], frozen=True):
    """Record the version of the stored files of a run, 0 if it has none, unless that is recorded already.

    The lease of a run that has ended, which its holder kept for that, ends.
    """

    version: int

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Record the version."""
        run, writes = found(self.run_id, answers[0]), []
        if run.lease and run.state in FINAL:
            writes = put_execution(run, given_back(execution_in(answers[1])))
        return Decision(None, [*writes, write("set_stored", run.number, self.version)], (run.committed(),))


class CutLines(ExecutionCommand[None], frozen=True):
    """Delete the output lines of a run after the savepoint with this timestamp; all of them for None.

    The next line has the number after the last one that was written before the savepoint, even if retention
    has deleted that one. A fork wrote nothing before the savepoints that it begins with. Raises
    `SavepointNotFound`, and `Fenced` as `Renew` does.
    """

    token: int
    savepoint: int | None

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, its execution, and the number of lines at the savepoint."""
        written = Query("find_lines_at_savepoint", (self.run_id, self.savepoint))
        return *super().reads(), written

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Cut them."""
        run, written = found(self.run_id, answers[0]), answers[2]
        held_execution(self.token, answers[1])
        if self.savepoint is not None and not written:
            raise SavepointNotFound(run=self.run_id, savepoint=self.savepoint)
        last = written[0][0] if written else 0
        writes = [write("cut_log_lines", run.number, last)]
        if last < run.lines:
            writes.append(write("count_log_lines", run.number, last))
        return Decision(None, writes, (run.committed(),))

"""The record of a run: changes with their times, and deletion."""

from collections.abc import Sequence

from perdure.errors import VersionConflict
from perdure.lifecycle import FINAL
from perdure.run import Change, Run
from perdure.stores.commands.base import Answers, Command, Committed, Decision, Moment, Query, write
from perdure.stores.commands.execution_rows import changed_execution, find_execution
from perdure.stores.commands.found import RunCommand, changed, find_run, found, read_run
from perdure.stores.values import to_run

__all__ = ["ChangeRun", "DeleteRun", "ReadTime"]


class ChangeRun(RunCommand[Run], frozen=True):
    """Change a run's record if its version is still `version`; raises `VersionConflict` otherwise.

    A change to a final state ends the run's lease.
    """

    version: int
    change: Change

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, its record and, if it ends, its execution."""
        queries = [find_run(self.run_id), read_run(self.run_id)]
        return [*queries, find_execution(self.run_id)] if self.change.state in FINAL else queries

    def decide(self, answers: Answers, at: Moment) -> Decision[Run]:
        """Change the record if it has the expected version."""
        run = found(self.run_id, answers[0])
        if run.version != self.version:
            raise VersionConflict(name=self.run_id)
        after = self.change.applied(to_run(answers[1][0]), at.now, fenced=run.is_fenced(self.change))
        writes = changed(run, self.change, at)
        if self.change.state in FINAL:
            writes += changed_execution(run, answers[2], ended=True)
        return Decision(after, writes, (run.committed(state=after.state),))


class DeleteRun(RunCommand[None], frozen=True):
    """Delete a run with its steps, savepoints, keys, execution and output lines."""

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run and its owner."""
        return find_run(self.run_id), Query("find_owner", (self.run_id,))

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Forget it."""
        run = found(self.run_id, answers[0])
        owner = bytes(answers[1][0][0]).decode(errors="replace")
        gone = Committed(run.id, run.state, run.position, deleted=True, owner=owner)
        return Decision(None, [write("delete_run", run.number)], (gone,))


class ReadTime(Command[float], frozen=True):
    """Return the Unix time by the clock that sets `Run.updated`; in a database, its own."""

    def decide(self, answers: Answers, at: Moment) -> Decision[float]:
        """Return the time."""
        return Decision(at.now)

"""The queue of runs that nothing works on: `Claim` leases the next one, `Settle` ends or pauses one."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from msgspec.structs import replace

from perdure.errors import CorruptBlob
from perdure.lifecycle import FINAL, DesiredState, RunStatus
from perdure.run import Change, Execution, Run, ending
from perdure.stores.commands.base import READ_COUNTER, Answers, Command, Decision, Moment, Query, write
from perdure.stores.commands.execution_rows import execution_in, find_execution, given_back, put_execution
from perdure.stores.commands.found import Found, RunCommand, changed, find_run, found, read_run
from perdure.stores.commands.leases import take
from perdure.stores.queue import QueueGroup
from perdure.stores.values import group_values, to_execution, to_run

__all__ = ["Claim", "Settle"]


class Claim(Command[Execution | CorruptBlob | None], frozen=True):
    """Lease the next run of some groups of the queue that has no lease.

    It has no lock: the query for the candidates locks them, and skips those that others have locked.

    Runs with an id in `working` are skipped even if their lease has ended: the claimant still works on them,
    and is late with the renewal.

    The result is None if there is no such run. If its execution is damaged, the result is the error; the run
    then leaves the queue. If only its row in the queue is wrong, that is corrected. The duration doesn't grow
    with the queue.
    """

    holder: str
    seconds: float
    groups: Collection[QueueGroup]
    working: Collection[str] = ()

    def reads(self) -> Sequence[Query]:
        """Return the query for the candidates, and the counter of tokens."""
        groups = json.dumps([group_values(group) for group in self.groups])
        return Query("find_claimable", (groups,)), READ_COUNTER

    def decide(self, answers: Answers, at: Moment) -> Decision[Execution | CorruptBlob | None]:
        """Lease the first candidate without a lease."""
        for number, leased_until, *values in answers[0]:
            if leased_until <= at.clock:
                try:
                    run, execution = _trusted(values)
                except CorruptBlob as error:
                    return Decision(error, [write("forget_queued", number)])
                if run.id in self.working:
                    continue
                if not self._has(run, execution) or execution.leased(at.clock):
                    why = f"the run {run.id!r} was queued otherwise than its execution says"
                    queued_again = [write("forget_queued", number), write("fill_queue_of_run", number)]
                    return Decision(CorruptBlob(reason=why), queued_again)
                return take(run, execution, self.holder, self.seconds, answers[1], at)
        return Decision(None)

    def _has(self, run: Found, execution: Execution) -> bool:
        """Return whether a run is in one of the groups.

        The queue has no checksum, so its row may be wrong.
        """
        stands = (execution.kind, execution.desired, run.state, execution.needs)
        return stands in {(group.kind, group.desired, group.state, group.needs) for group in self.groups}


class Settle(RunCommand[Run | CorruptBlob | None], frozen=True):
    """End or pause a run that nothing works on, as its desired state says.

    With `interrupted`, the desired state of a started run whose work was interrupted becomes paused. The
    result is the changed run, or None if there was nothing to do. If the run's execution is damaged, the
    result is the error; the run then leaves the queue.
    """

    interrupted: bool = False

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, its execution and its record."""
        return find_run(self.run_id), find_execution(self.run_id), read_run(self.run_id)

    def decide(self, answers: Answers, at: Moment) -> Decision[Run | CorruptBlob | None]:
        """Change the run if it isn't in the desired state."""
        run = found(self.run_id, answers[0])
        try:
            execution = execution_in(answers[1])
        except CorruptBlob as error:
            return Decision(error, [write("forget_queued", run.number)])
        if run.state in FINAL or execution.worked_on(at.clock):
            return Decision(None)
        settled = given_back(execution)
        if self.interrupted and execution.desired is DesiredState.STARTED:
            settled = replace(settled, desired=DesiredState.PAUSED)
        if settled.desired.ends:
            change = ending(settled.desired)
        elif settled.desired is DesiredState.PAUSED and run.state is RunStatus.STARTED:
            change = Change(state=RunStatus.PAUSED)
        else:
            return Decision(None)
        after = change.applied(to_run(answers[2][0]), at.now)
        writes = [*put_execution(run, settled), *changed(run, change, at)]
        return Decision(after, writes, (run.committed(state=after.state),))


def _trusted(values: Sequence[Any]) -> tuple[Found, Execution]:
    """Return a run and its execution from the rows of ``find_claimable``.

    Raise `CorruptBlob` if they are damaged.
    """
    of_run, of_execution = tuple(values[:7]), tuple(values[7:])  # as those of ``find_run``
    number, run_id, *_ = of_execution
    if number is None:
        raise CorruptBlob(reason="the queue has a run that doesn't exist")
    return found(run_id, [of_run]), to_execution(of_execution)

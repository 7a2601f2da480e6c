"""Leases: a worker takes a run, keeps it and gives it back.

The holder of a lease is the worker that carries its fencing token. A lease lasts until it is given back,
or until it has ended and another worker takes the run.
"""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from perdure.errors import LeaseHeld
from perdure.lifecycle import DesiredState, RunStatus
from perdure.run import Change, Execution
from perdure.stores.commands.base import (
    READ_COUNTER,
    Answers,
    Committed,
    Decision,
    Moment,
    Query,
    Rows,
    Write,
    count,
)
from perdure.stores.commands.execution_rows import (
    ExecutionCommand,
    check_unfinished,
    execution_in,
    given_back,
    held_execution,
    put_execution,
    with_report,
)
from perdure.stores.commands.found import Found, changed, found

__all__ = ["Lease", "Release", "Renew", "take"]


class Lease(ExecutionCommand[Execution], frozen=True):
    """Lease a run, with a new fencing token and one more attempt.

    The token is larger than any before in this store, even those of a deleted run with the same id. If
    the desired state of the run is started, it becomes started in the same transaction; if it is paused, the
    run keeps its state and is prepared. Raises `RunFinished` if the run's state is final, `NotExecuted` if it
    has no execution, and `LeaseHeld` if a lease hasn't ended yet.
    """

    holder: str
    seconds: float

    def reads(self) -> Sequence[Query]:
        """Return the queries for the run, its execution, and the counter of tokens."""
        return *super().reads(), READ_COUNTER

    def decide(self, answers: Answers, at: Moment) -> Decision[Execution]:
        """Lease the run, unless it has a lease."""
        run, former = found(self.run_id, answers[0]), execution_in(answers[1])
        check_unfinished(run)
        if former.leased(at.clock):
            raise LeaseHeld(run=self.run_id, holder=former.holder)
        return take(run, former, self.holder, self.seconds, answers[2], at)


class Renew(ExecutionCommand[Execution], frozen=True):
    """Extend a lease to the given number of seconds from now; raises `Fenced` if it was given back or taken.

    A lease that has ended is still held as long as nobody else has taken the run. With `unbegun` its holder
    can't begin now: the attempt doesn't count, the lease has no holder any more, and nobody takes the run
    before the lease has ended.
    """

    token: int
    seconds: float
    unbegun: bool = False

    def decide(self, answers: Answers, at: Moment) -> Decision[Execution]:
        """Extend the lease."""
        run, held = found(self.run_id, answers[0]), held_execution(self.token, answers[1])
        renewed = replace(held, lease_until=at.clock + self.seconds)
        if not self.unbegun:
            return Decision(renewed, put_execution(run, renewed))
        left, writes, committed = _unbegun(run, replace(renewed, holder=""), at)
        return Decision(left, writes, (committed,))


class Release(ExecutionCommand[None], frozen=True):
    """Give a lease back, so that the run can be taken again. Raises `Fenced` as `Renew` does.

    With `unbegun` the attempt doesn't count.
    """

    token: int
    seconds: float | None = None
    crashes: int | None = None
    unbegun: bool = False

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """End the lease."""
        run, held = found(self.run_id, answers[0]), held_execution(self.token, answers[1])
        left = given_back(with_report(held, self.seconds, self.crashes))
        if self.unbegun:
            _, writes, committed = _unbegun(run, left, at)
            return Decision(None, writes, (committed,))
        return Decision(None, put_execution(run, left), (run.committed(),))


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


def _unbegun(run: Found, left: Execution, at: Moment) -> tuple[Execution, list[Write], Committed]:
    """Return the end of an attempt that didn't begin: it doesn't count, and a first one undoes the start."""
    counted = replace(left, attempt=left.attempt - 1)
    writes, state = put_execution(run, counted), run.state
    if counted.attempt == 0 and state is RunStatus.STARTED:
        state = RunStatus.CREATED
        writes += changed(run, Change(state=state), at)
    return counted, writes, run.committed(state=state)

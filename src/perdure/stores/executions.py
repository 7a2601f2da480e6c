"""What happens to an execution in any store: pure functions from one value to the next, or an error.

A lease is held by whoever carries its fence token, until it is given back, runs out and is taken by another,
or the store is opened anew. Stores hand in what only they know: the opening, the next token, the time.
"""

from msgspec.structs import replace

from perdure.errors import Fenced, Invalid, LeaseHeld, NotExecuted, RunFinished
from perdure.lifecycle import FINAL, RunState, Wanted
from perdure.run import Change, Execution, Run

__all__ = ["begun", "ended", "given_back", "held", "new", "renewed", "reported", "require", "wanting"]


def new(run: Run, execution: Execution) -> Execution:
    """Return the execution of a run that is being created: nobody has worked on it yet."""
    return Execution(
        run_id=run.id,
        kind=run.kind,
        owner=run.owner,
        timeout=execution.timeout,
        wanted=execution.wanted,
    )


def require(execution: Execution | None, run_id: str, kind: str) -> Execution:
    """Return an execution; raise `NotExecuted` if there is none."""
    if execution is None:
        raise NotExecuted(run=run_id, kind=kind)
    return execution


def held(execution: Execution, fence: int, opening: int) -> Execution:
    """Return an execution whose lease has this token; else raise `Fenced`.

    A lease that has run out is still held: nobody else has taken it.
    """
    if fence <= opening or fence != execution.fence:
        raise Fenced(run=execution.run_id, fence=fence)
    return execution


def begun(
    execution: Execution,
    state: RunState,
    *,
    holder: str,
    seconds: float,
    fence: int,
    opening: int,
    now: float,
) -> Execution:
    """Take the lease with a new token; `RunFinished` and `LeaseHeld` if that can't be done."""
    _unfinished(execution, state)
    if execution.leased(opening, now):
        raise LeaseHeld(run=execution.run_id, holder=execution.holder)
    return replace(
        execution, attempt=execution.attempt + 1, holder=holder, fence=fence, lease_until=now + seconds
    )


def renewed(execution: Execution, seconds: float, now: float) -> Execution:
    """Let a lease that is held run for so many seconds from now."""
    return replace(execution, lease_until=now + seconds)


def reported(
    execution: Execution,
    *,
    progress: bytes | None = None,
    seconds: float | None = None,
    deaths: int | None = None,
) -> Execution:
    """Put down how far it got; what is None stays."""
    return replace(
        execution,
        progress=execution.progress if progress is None else progress,
        seconds=execution.seconds if seconds is None else seconds,
        deaths=execution.deaths if deaths is None else deaths,
    )


def given_back(execution: Execution) -> Execution:
    """End the lease."""
    return replace(execution, holder="", fence=0, lease_until=0.0)


def ended(
    execution: Execution,
    state: RunState,
    fence: int,
    opening: int,
    change: Change,
    *,
    result: bytes | None,
    seconds: float | None,
) -> Execution:
    """End the work of the lease's holder with a result."""
    _unfinished(execution, state)
    held(execution, fence, opening)
    if change.state not in FINAL:
        raise Invalid(f"The run {execution.run_id!r} can't be finished with the state {change.state}.")
    execution = given_back(reported(execution, seconds=seconds))
    return execution if result is None else replace(execution, result=result)


def wanting(execution: Execution, state: RunState, wanted: Wanted) -> Execution:
    """Put down which state the owner wants; an end that was wanted stays, since it may be on its way."""
    _unfinished(execution, state)
    return execution if execution.wanted.ends else replace(execution, wanted=wanted)


def _unfinished(execution: Execution, state: RunState) -> None:
    if state in FINAL:
        raise RunFinished(
            f"The run {execution.run_id!r} is {state}, and nothing works on it any more.",
            run=execution.run_id,
            state=state.value,
        )

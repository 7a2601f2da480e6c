"""The conclusion: what becomes of a run after an attempt, decided from how the attempt ended."""

from typing import TypeAlias

import msgspec

from perdure.execution.end import End, EndKind
from perdure.execution.link import PIPE_LOST
from perdure.execution.messages import Failure, Result
from perdure.lifecycle import DesiredState, Outcome, RunStatus
from perdure.run import Change, ending

__all__ = [
    "Again",
    "Conclusion",
    "Finish",
    "Leave",
    "Unbegun",
    "failed",
    "judge",
    "requested",
    "timed_out",
]

MAX_CRASHES = 3
_KILLED = (EndKind.SIGNAL, EndKind.KERNEL, EndKind.ORDER)
_TOO_OFTEN = "the third time in a row without a new savepoint"


class Finish(msgspec.Struct, frozen=True):
    """The run ends."""

    change: Change
    result: bytes | None = None


class Again(msgspec.Struct, frozen=True):
    """The run is resumed from its newest savepoint, with this number of crashes in a row."""

    crashes: int


class Leave(msgspec.Struct, frozen=True):
    """Nothing is written, and the lease ends by itself.

    Another worker has the run, the run is final or deleted, or the store can't be written. With `unbegun`,
    something that the attempt needs is unavailable now: the attempt doesn't count, and nobody resumes the run
    at once.
    """

    unbegun: bool = False


class Unbegun(msgspec.Struct, frozen=True):
    """The attempt ended before it began, and doesn't count; the run ends with the change, if there is one."""

    change: Change | None = None


Conclusion: TypeAlias = Finish | Again | Leave | Unbegun


def judge(
    end: End,
    said: Result | Failure | None,
    crashes: int,
    *,
    ending: DesiredState | None,
    preempted: bool = False,
) -> Conclusion:
    """Decide what becomes of a run.

    A result that arrived completely is the answer, however the process ended afterwards.

    Parameters
    ----------
    end
        How the child ended.
    said
        The last message of its body.
    crashes
        The number of crashes in a row before this, without a savepoint in between.
    ending
        The end that was requested before the body's last message, if any.
    preempted
        Whether the worker is about to end, so that it has ended the child.
    """
    if ending is not None:
        return requested(ending, None if said is None else said.result)
    if isinstance(said, Result):
        return Finish(Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED), said.result)
    if isinstance(said, Failure):
        if said.again and preempted:
            return Again(crashes)
        if said.again and crashes + 1 < MAX_CRASHES:
            return Again(crashes + 1)
        return failed(f"{said.reason}; {_TOO_OFTEN}." if said.again else said.reason, said.result)
    if end.how is EndKind.TIME:
        return timed_out()
    if end.how is EndKind.UNWATCHED or (preempted and end.how in _KILLED):
        return Again(crashes)
    if end.how in (EndKind.SIGNAL, EndKind.KERNEL):
        crashes += 1
        if crashes < MAX_CRASHES:
            return Again(crashes)
        return failed(f"Its process {end.in_words}, {_TOO_OFTEN}.")
    if end in (End(EndKind.EXIT, PIPE_LOST), End(EndKind.ORDER)):  # it was killed because its pipe had closed
        return failed("Its process lost the pipe to the server.")
    return failed(f"Its process {end.in_words}.")


def failed(reason: str, result: bytes | None = None) -> Finish:
    """Return the end of a run that failed."""
    return Finish(Change(state=RunStatus.FAILED, outcome=Outcome.FAILED, reason=reason), result)


def requested(desired: DesiredState, result: bytes | None = None) -> Finish:
    """Return the end of a run that its owner requested."""
    return Finish(ending(desired), result)


def timed_out() -> Finish:
    """Return the end of a run that has used its running time."""
    reason = "It reached its time-out, in running time."
    return Finish(Change(state=RunStatus.FAILED, outcome=Outcome.TIMED_OUT, reason=reason))

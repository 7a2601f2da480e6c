"""The verdict: what becomes of a run after an attempt at it, decided from how the attempt ended."""

from typing import TypeAlias

import msgspec

from perdure.execution.end import End, How
from perdure.execution.link import PIPE_LOST
from perdure.execution.messages import Failure, Result
from perdure.lifecycle import Outcome, RunState, Wanted
from perdure.run import Change, ending

__all__ = [
    "Again",
    "Finish",
    "Leave",
    "Unbegun",
    "Verdict",
    "failed",
    "judge",
    "requested",
    "timed_out",
]

MOST_DEATHS = 3
_TOO_OFTEN = "the third time in a row without a new savepoint"


class Finish(msgspec.Struct, frozen=True):
    """The run ends."""

    change: Change
    result: bytes | None = None


class Again(msgspec.Struct, frozen=True):
    """The run is taken up again from its newest savepoint; so many deaths in a row it has had."""

    deaths: int


class Leave(msgspec.Struct, frozen=True):
    """Nothing is written, and the lease runs out by itself.

    Another has the run, it is final or gone, or the store can't be written. With `unbegun`, what an attempt
    needs can't be had now: it isn't counted, and nobody takes the run up again at once.
    """

    unbegun: bool = False


class Unbegun(msgspec.Struct, frozen=True):
    """The attempt ended before it began, and isn't counted; the run ends with the change, if there is one."""

    change: Change | None = None


Verdict: TypeAlias = Finish | Again | Leave | Unbegun


def judge(end: End, said: Result | Failure | None, deaths: int, *, ending: Wanted | None) -> Verdict:
    """Decide what becomes of a run.

    A result that arrived whole is the answer, however the process ended afterwards.

    Parameters
    ----------
    end
        How the child ended.
    said
        What its body said last.
    deaths
        Deaths in a row before, without a savepoint since.
    ending
        Which end had been asked for before it said anything, if one had.
    """
    if ending is not None:
        return requested(ending, None if said is None else said.result)
    if isinstance(said, Result):
        return Finish(Change(state=RunState.COMPLETED, outcome=Outcome.SUCCEEDED), said.result)
    if isinstance(said, Failure):
        if said.again and deaths + 1 < MOST_DEATHS:
            return Again(deaths + 1)
        return failed(f"{said.reason}; {_TOO_OFTEN}." if said.again else said.reason, said.result)
    if end.how is How.TIME:
        return timed_out()
    if end.how is How.UNWATCHED:
        return Again(deaths)
    if end.how in (How.SIGNAL, How.KERNEL):
        deaths += 1
        if deaths < MOST_DEATHS:
            return Again(deaths)
        return failed(f"Its process {end.in_words}, {_TOO_OFTEN}.")
    if end in (End(How.EXIT, PIPE_LOST), End(How.ORDER)):  # it was ended, since its pipe had closed
        return failed("Its process lost the pipe to the server.")
    return failed(f"Its process {end.in_words}.")


def failed(reason: str, result: bytes | None = None) -> Finish:
    """Return the end of a run that failed."""
    return Finish(Change(state=RunState.FAILED, outcome=Outcome.FAILED, reason=reason), result)


def requested(wanted: Wanted, result: bytes | None = None) -> Finish:
    """Return the end of a run that its owner wanted to end."""
    return Finish(ending(wanted), result)


def timed_out() -> Finish:
    """Return the end of a run that used up its running time."""
    reason = "It reached its time-out, in running time."
    return Finish(Change(state=RunState.FAILED, outcome=Outcome.TIMED_OUT, reason=reason))

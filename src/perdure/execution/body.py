"""The body of a kind of run, as an executor is told of it: what does the work, with what, and where."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from perdure.execution.limits import Limits
from perdure.lifecycle import FINAL, RunState, Wanted
from perdure.run import Execution, Run

__all__ = ["Body", "Provision"]


def _nothing() -> None:
    pass


class Provision(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt is given besides its run.

    Attributes
    ----------
    environment
        Variables of the child's environment, besides those of the server that every child may see.
    given
        What the body finds in ``RunContext.given``.
    arrived
        Called when an attempt that replays has arrived at its savepoint, before the child goes on; blocking.
    settled
        Called before the attempt's first savepoint is kept; blocking.
    folders
        Where the attempt writes; what they hold counts against the limit of its folders.
    """

    environment: Mapping[str, str] = {}
    given: Mapping[str, str] = {}
    arrived: Callable[[], None] = _nothing
    settled: Callable[[], None] = _nothing
    folders: Sequence[Path] = ()


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """How an executor works on the runs of one kind. Kinds have slots of their own: none waits for another.

    Attributes
    ----------
    path
        The function that does the work, ``module:function``, importable in a child.
    slots
        How many runs are worked on at a time; None is as many as there are cores.
    limits
        What each child may use. Its seconds bind runs that ask for no time-out, or for a longer one.
    begins_paused
        Whether a new run that is wanted paused is begun all the same: it prepares itself, and is paused when
        its body first calls `RunContext.hold`. Otherwise it waits until it is wanted started.
    waits
        Whether nothing is done for runs of the kind: they wait for another executor, or to be stopped.
    resumes
        Whether a run whose work was broken off is taken up again by itself; else it is paused.
    replays
        Whether an attempt that has a savepoint does again what had led to it. What it prints meanwhile is
        dropped, until its body calls `RunContext.arrived`.
    provide
        Prepares each attempt, under its lease; it may block. `NotFound`, `Damaged` and `TooMany` fail the
        run. After other errors the run is attempted again when the lease has run out. Receives
        `is_cancelled`. Once that returns True the result is discarded, and the hook must clean up after
        itself.
    """

    path: str
    slots: int | None = None
    limits: Limits = Limits()
    begins_paused: bool = False
    waits: bool = False
    resumes: bool = True
    replays: bool = False
    provide: Callable[[Run, Execution, Callable[[], bool]], Provision] | None = None

    def is_due(self, run: Run, execution: Execution) -> bool:
        """Return whether there is something to do for a run that nobody works on."""
        if self.waits or run.state in FINAL:
            return False
        if execution.wanted is Wanted.PAUSED:
            return self.begins_paused and run.state is RunState.CREATED
        return execution.wanted is Wanted.STARTED

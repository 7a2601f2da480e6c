"""The body of a kind of run: what does the work, with what, and where."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from perdure.execution.child_limits import ChildLimits
from perdure.lifecycle import DesiredState, RunStatus
from perdure.run import Execution, Run
from perdure.stores.queue import QueueGroup

__all__ = ["Body", "Provision"]


def _lacks_nothing(needs: str) -> str:
    return ""


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
    computed_by
        What computes the run in this process, as `Execution.computed_by`; empty if nobody needs to know.
    folders
        Where the attempt writes; what they hold counts against the limit of its folders.
    """

    environment: Mapping[str, str] = {}
    given: Mapping[str, str] = {}
    arrived: Callable[[], None] | None = None
    settled: Callable[[], None] | None = None
    computed_by: str = ""
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
    lacks
        Returns in words what this process lacks to compute runs whose `Execution.needs` it is given, or an
        empty text. Such runs are left to other processes. It may block.
    provide
        Prepares each attempt, under its lease; it may block. After an `OSError` or an `Unavailable` the run
        is attempted again when the lease has run out; other errors fail it. Receives `is_cancelled`. Once
        that returns True the result is discarded, and the hook must clean up after itself.
    """

    path: str
    slots: int | None = None
    limits: ChildLimits = ChildLimits()
    begins_paused: bool = False
    waits: bool = False
    resumes: bool = True
    replays: bool = False
    lacks: Callable[[str], str] = _lacks_nothing
    provide: Callable[[Run, Execution, Callable[[], bool]], Provision] | None = None

    def claims(self, group: QueueGroup) -> bool:
        """Return whether there is something to do for the runs of a group that nobody works on."""
        if self.waits or self.is_interrupted(group):
            return False
        if group.desired is DesiredState.PAUSED:
            return self.begins_paused and group.state is RunStatus.CREATED
        return group.desired is DesiredState.STARTED

    def is_interrupted(self, group: QueueGroup) -> bool:
        """Return whether runs of a group are paused, since the work on them was broken off."""
        started = group.desired is DesiredState.STARTED and group.state is RunStatus.STARTED
        return started and not self.resumes

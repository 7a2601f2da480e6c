"""The body of a kind of run: the function that works on it, with its limits and how it is prepared."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from perdure.execution.child_limits import ChildLimits
from perdure.lifecycle import DesiredState, RunStatus
from perdure.run import Execution, Run
from perdure.state.savepoint import Savepoint
from perdure.stores.queue import QueueGroup

__all__ = ["Body", "Provision"]


def _lacks_nothing(needs: str) -> str:
    return ""


class Provision(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt receives besides its run.

    Attributes
    ----------
    environment
        Variables of the child's environment, besides those of the server that every child may see.
    given
        The body finds this in ``RunContext.given``.
    arrived
        Called when an attempt that replays has reached its savepoint, before the child continues; blocking.
    save
        Completes each savepoint of the child before it is stored. Returns it with lines for the run's output
        lines; blocking. None stores it as it is.
    computed_by
        What computes the run in this process, as `Execution.computed_by`; empty if it isn't recorded.
    folders
        Where the attempt writes; their content counts against the limit of its folders.
    """

    environment: Mapping[str, str] = {}
    given: Mapping[str, str] = {}
    arrived: Callable[[], None] | None = None
    save: Callable[[Savepoint], tuple[Savepoint, Sequence[str]]] | None = None
    computed_by: str = ""
    folders: Sequence[Path] = ()


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """How an executor works on the runs of one kind.

    Each kind has its own slots, so that no kind waits for another.

    Attributes
    ----------
    path
        The function that does the work, ``module:function``, importable in a child.
    slots
        How many runs are worked on at a time; None is the number of cores.
    limits
        What each child may use. Its `seconds` also limit runs without a time-out or with a longer one.
    begins_paused
        Whether a new run whose desired state is paused is begun: it prepares itself, and pauses when its body
        first calls `RunContext.hold`. Otherwise it waits until its desired state is started.
    waits
        Whether runs of the kind are left alone: they wait for another executor, or for a stop.
    resumes
        Whether an interrupted run is resumed automatically; otherwise it is paused.
    replays
        Whether an attempt with a savepoint first repeats what led to it. Output during the replay is dropped,
        until the body calls `RunContext.arrived`.
    shows
        Whether the body shows the run to those who watch it, by `RunContext.show`.
    lacks
        Receives the `Execution.needs` of runs; returns a sentence that says what this process lacks to
        compute them, or an empty text. Such runs are left to other processes. It may block.
    provide
        Prepares each attempt, under its lease; it may block. After an `OSError` or an `Unavailable` the run
        is attempted again when the lease has ended; other errors fail it. Receives `is_cancelled`. Once
        that returns True the result is discarded, and the hook must clean up after itself.
    """

    path: str
    slots: int | None = None
    limits: ChildLimits = ChildLimits()
    begins_paused: bool = False
    waits: bool = False
    resumes: bool = True
    replays: bool = False
    shows: bool = False
    lacks: Callable[[str], str] = _lacks_nothing
    provide: Callable[[Run, Execution, Callable[[], bool]], Provision] | None = None

    def claims(self, group: QueueGroup) -> bool:
        """Return whether an executor works on the runs of a group that have no lease."""
        if self.waits or self.is_interrupted(group):
            return False
        if group.desired is DesiredState.PAUSED:
            return self.begins_paused and group.state is RunStatus.CREATED
        return group.desired is DesiredState.STARTED

    def is_interrupted(self, group: QueueGroup) -> bool:
        """Return whether interrupted runs of a group are to be paused."""
        started = group.desired is DesiredState.STARTED and group.state is RunStatus.STARTED
        return started and not self.resumes

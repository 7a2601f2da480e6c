"""The queue: unfinished runs with an execution, grouped so that workers needn't read each of them."""

from enum import StrEnum

import msgspec

from perdure.lifecycle import DesiredState, RunStatus

__all__ = ["ANY_TAG", "SHORT", "QueueCount", "QueueGroup", "QueueState", "QueueWait"]

ANY_TAG = ""
"""The tag of the groups that contain all runs, whatever their tags."""

SHORT = 10.0
"""The longest time-out, in seconds, of a run that is short."""


class QueueState(StrEnum):
    """Where an unfinished run with an execution stands.

    A run whose desired state is paused is paused. Any other run is worked on while it has a lease with a
    holder, and waits otherwise.
    """

    WAITING = "waiting"
    WORKING = "working"
    PAUSED = "paused"


class QueueGroup(msgspec.Struct, frozen=True, array_like=True):
    """Unfinished runs with an execution that are the same to every worker.

    Attributes
    ----------
    tag
        A tag that all of them have, or `ANY_TAG`.
    kind, desired, state, needs
        Their common values.
    short
        Whether their time-out is at most `SHORT`.
    """

    tag: str
    kind: str
    desired: DesiredState
    state: RunStatus
    short: bool
    needs: str

    @property
    def settles(self) -> bool:
        """Whether `Settle` ends or pauses a run of the group that nothing works on."""
        return self.desired.ends or (self.desired is DesiredState.PAUSED and self.state is RunStatus.STARTED)


class QueueCount(msgspec.Struct, frozen=True):
    """How many runs of a kind and owner are in a state of the queue."""

    kind: str
    owner: str
    state: QueueState
    count: int


class QueueWait(msgspec.Struct, frozen=True):
    """How many runs with a tag wait for a worker, and since when.

    Attributes
    ----------
    tag
        A tag that all of them have, or `ANY_TAG` for all runs.
    kind
        Their kind.
    count
        How many they are.
    since
        Unix time of the last change of the run that changed longest ago.
    """

    tag: str
    kind: str
    count: int
    since: float

"""The queue: what a store answers about the unfinished runs that have an execution, without reading those."""

from enum import StrEnum

import msgspec

from perdure.lifecycle import DesiredState, RunStatus

__all__ = ["ANY_TAG", "SHORT", "QueueCount", "QueueGroup", "QueueState"]

ANY_TAG = ""
"""The tag of the groups in which all runs are, whatever tags they have."""

SHORT = 10.0
"""The longest time-out, in seconds, of a run that is short."""


class QueueState(StrEnum):
    """Where an unfinished run that has an execution stands.

    One that is wanted paused is paused, another one is worked on while somebody holds a lease of it, and
    waits otherwise.
    """

    WAITING = "waiting"
    WORKING = "working"
    PAUSED = "paused"


class QueueGroup(msgspec.Struct, frozen=True, array_like=True):
    """Unfinished runs with an execution between which workers make no difference.

    Attributes
    ----------
    tag
        A tag that all of them have, or `ANY_TAG`.
    kind, wanted, state, needs
        Those of all of them.
    short
        Whether they have a time-out of at most `SHORT`.
    """

    tag: str
    kind: str
    desired: DesiredState
    state: RunStatus
    short: bool
    needs: str

    @property
    def settles(self) -> bool:
        """Whether a run that nobody works on is brought to its end or to a pause, see `Settle`."""
        return self.desired.ends or (self.desired is DesiredState.PAUSED and self.state is RunStatus.STARTED)


class QueueCount(msgspec.Struct, frozen=True):
    """How many runs of a kind and owner stand in the same place."""

    kind: str
    owner: str
    state: QueueState
    count: int

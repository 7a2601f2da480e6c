"""The queue: what a store answers about the unfinished runs that have an execution, without reading those."""

from enum import StrEnum

import msgspec

from perdure.lifecycle import RunState, Wanted

__all__ = ["QueueCount", "QueueState", "Queued"]


class QueueState(StrEnum):
    """Where an unfinished run that has an execution stands.

    One that is wanted paused is paused, another one is worked on while somebody holds a lease of it, and
    waits otherwise.
    """

    WAITING = "waiting"
    WORKING = "working"
    PAUSED = "paused"


class Queued(msgspec.Struct, frozen=True, array_like=True, gc=False):  # many are read at once, as rows
    """An unfinished run that has an execution, with the state that is desired of it, and the one it is in."""

    run_id: str
    kind: str
    owner: str
    wanted: Wanted
    state: RunState


class QueueCount(msgspec.Struct, frozen=True):
    """How many runs of a kind and owner stand in the same place."""

    kind: str
    owner: str
    state: QueueState
    count: int

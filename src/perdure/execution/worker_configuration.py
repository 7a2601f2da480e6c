"""The place: where an executor has work done, and in whose name."""

from collections.abc import Mapping

import msgspec

from perdure.execution.body import Body
from perdure.execution.isolation import Isolation
from perdure.execution.scratch import Scratch
from perdure.observability import Metrics
from perdure.stores.feed import Feed

__all__ = ["WorkerConfiguration"]


class WorkerConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """Where work is done, and by whom.

    Attributes
    ----------
    bodies
        What works on the runs of each kind.
    holder
        How leases name this place.
    identity
        The store's, by which processes left behind are found.
    lease_seconds
        How long a lease runs if it isn't renewed.
    scratch
        Where the temporary files of children are that have no user id of their own.
    metrics
        Where attempts and ends are counted.
    feed
        Notifies of changes of the runs that are worked on.
    isolation
        Who children run as; None is the user of this process, for all owners.
    """

    bodies: Mapping[str, Body]
    holder: str
    identity: str
    lease_seconds: float
    scratch: Scratch
    metrics: Metrics
    feed: Feed
    isolation: Isolation | None = None

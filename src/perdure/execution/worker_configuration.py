"""The worker configuration: bodies, limits and resources that all work of an executor shares."""

from collections.abc import Mapping

import msgspec

from perdure.execution.body import Body
from perdure.execution.isolation import Isolation
from perdure.execution.scratch import Scratch
from perdure.observability import Metrics
from perdure.stores.feed import Feed

__all__ = ["WorkerConfiguration"]


class WorkerConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """How an executor works on runs.

    Attributes
    ----------
    bodies
        The body of each kind of run.
    holder
        The worker's name in leases.
    identity
        The store's identity, with which processes of a killed worker are found.
    lease_seconds
        How long a lease lasts without a renewal.
    scratch
        The temporary folders of children that have no user id of their own.
    metrics
        Where attempts and ends are counted.
    feed
        Notifies of changes of the runs that are worked on.
    isolation
        The users that children run as; None is the user of this process, for all owners.
    """

    bodies: Mapping[str, Body]
    holder: str
    identity: str
    lease_seconds: float
    scratch: Scratch
    metrics: Metrics
    feed: Feed
    isolation: Isolation | None = None

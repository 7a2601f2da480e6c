"""The executor port: what places the work on runs. The store is the truth; this only wakes and places."""

from typing import Protocol

from perdure.stores.queue import Queued

__all__ = ["Executor"]


class Executor(Protocol):
    """Sees to it that runs are worked on, somewhere.

    All methods are called in the event loop, after what they are about is durable. They may be repeated, and
    may be lost with the process: `perdure.execution.reconcile` calls them again for what was left.
    `perdure.testing.executors` holds the conformance suite that every executor runs.
    """

    async def submit(self, run_id: str) -> None:
        """See to it that a run is worked on, or that who works on it looks at what is wanted of it.

        Harmless for a run that waits already or is final. Raises `RunNotFound`, and `NotExecuted` for a run
        that isn't for executors, or of a kind that this one has no body for.
        """
        ...

    def needs(self, queued: Queued) -> bool:
        """Return whether a run, as it was found in the queue, has to be submitted; reads no store.

        False for one that is wanted started and waits here already, and for one of a kind that this executor
        doesn't work on. True is always right: `submit` finds out what there is to do.
        """
        ...

    async def cancel(self, run_id: str) -> None:
        """See to it that a run that is wanted stopped ends at once; one that waits never starts.

        Raises as `submit` does.
        """
        ...

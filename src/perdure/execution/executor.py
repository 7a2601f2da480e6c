"""The executor port: what wakes those who work on runs. The store is the truth, and has the queue."""

from typing import Protocol

__all__ = ["Executor"]


class Executor(Protocol):
    """Sees to it that runs are worked on, somewhere.

    All methods are called in the event loop, after what they are about is durable. They may be repeated, and
    may be lost with the process: they only save time. Workers claim runs from the store by themselves.
    `perdure.testing.executors` holds the conformance suite that every executor runs.
    """

    async def submit(self, run_id: str) -> None:
        """See to it that a run is worked on, or that who works on it looks at what is wanted of it.

        Harmless for a run that waits already or is final. Raises `RunNotFound`, and `NotExecuted` for a run
        that isn't for executors, or of a kind that this one has no body for.
        """
        ...

    async def cancel(self, run_id: str) -> None:
        """See to it that a run that is wanted stopped ends at once; one that waits never starts.

        Raises as `submit` does.
        """
        ...

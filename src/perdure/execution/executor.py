"""The executor port: wakes the workers. The store has the queue and is authoritative."""

from typing import Protocol

__all__ = ["Executor"]


class Executor(Protocol):
    """Wakes the workers, so that a run is worked on at once.

    All methods are called in the event loop, after the change that they report is durable. Calls may be
    repeated, and may be lost with the process, since they only save time: workers claim runs from the store
    by themselves. `perdure.testing.executors` holds the conformance suite that every executor runs.
    """

    async def submit(self, run_id: str) -> None:
        """Have a run worked on, or have its worker read the run's desired state again.

        Does nothing for a run that waits already or is final. Raises `RunNotFound`, and `NotExecuted` for a
        run without an execution or of a kind that this executor doesn't work on.
        """
        ...

    async def cancel(self, run_id: str) -> None:
        """Have a run whose desired state is stopped end at once; a waiting run never starts.

        Raises as `submit` does.
        """
        ...

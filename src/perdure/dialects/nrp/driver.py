"""The driver port: what this dialect asks of whoever runs experiments."""

from typing import Protocol

from perdure.drivers.experiments.experiment_requests import NewExperiment
from perdure.drivers.session_requests import Owner
from perdure.run import Run

__all__ = ["Experiments"]


class Experiments(Protocol):
    """The driver of runs of kind ``experiment``.

    What the owner doesn't own isn't there: `RunNotFound`.
    """

    async def create(self, owner: str, run_id: str, request: NewExperiment) -> Run:
        """Make a run of that id, fetch its experiment and initialize it; return it ``paused``, or ``failed``.

        Raises
        ------
        ExperimentNotFound, Invalid
            If it can't be made of that.
        Refused, TooMany
            If there are as many as may be.
        """
        ...

    async def trigger(self, owner: Owner, run_id: str, trigger: str) -> Run:
        """Bring a run to another state; return it as it was there.

        Raises
        ------
        TriggerRefused
            If its state doesn't allow it, as `perdure.lifecycle.after` says, or another request overruled it.
        """
        ...

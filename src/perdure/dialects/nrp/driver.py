"""The driver port: what this dialect asks of whoever runs experiments."""

from typing import Protocol

import msgspec

from perdure.drivers.requests import Owner
from perdure.run import Run

__all__ = ["Experiments", "NewSimulation"]


class NewSimulation(msgspec.Struct, frozen=True, kw_only=True):
    """A simulation to be made of an experiment.

    Attributes
    ----------
    experiment
        The experiment's name.
    configuration, script
        The paths of its simulation configuration and its main script.
    """

    experiment: str
    configuration: str
    script: str


class Experiments(Protocol):
    """The driver of runs of kind ``experiment``.

    What the owner doesn't own isn't there: `RunNotFound`.
    """

    async def create(self, owner: str, run_id: str, request: NewSimulation) -> Run:
        """Make a run of that id, fetch its experiment and initialize it; return it in the state ``paused``.

        Raises
        ------
        ExperimentNotFound, Invalid
            If it can't be made of that.
        Refused, TooMany
            If there are as many as may be.
        """
        ...

    async def trigger(self, owner: Owner, run_id: str, trigger: str) -> Run:
        """Bring a run to another state; return when it is there.

        Raises
        ------
        TriggerRefused
            If its state doesn't allow it, as `perdure.lifecycle.after` says.
        """
        ...

"""What callers ask of experiments and what they get, as values that no dialect owns."""

from typing import Any

import msgspec

from perdure.drivers.experiments.file_names import CONFIGURATION, SCRIPT
from perdure.drivers.experiments.samples import SAMPLES, read_samples
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.lifecycle import FINAL, RunStatus
from perdure.run import Execution, Run
from perdure.state.codec import unpack

__all__ = ["ExperimentView", "ForkExperiment", "NewExperiment"]


class NewExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """A run to be made of an experiment.

    Attributes
    ----------
    experiment
        The experiment's name.
    configuration
        The path of its simulation configuration.
    script
        The path of its main script. One that is called `SCRIPT` need not be there: without a script it runs
        to its time-out, or until it is done.
    seed
        Of the random draws; None makes one.
    sim_id
        What the script knows its simulation by; None is the run's id.
    """

    experiment: str
    configuration: str = CONFIGURATION
    script: str = SCRIPT
    seed: int | None = None
    sim_id: int | None = None


class ForkExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """Where a fork is to begin, and what is to be different.

    Attributes
    ----------
    savepoint
        The timestamp of a savepoint; None is the newest that is intact.
    configuration, script
        Paths of others than the run's own; None keeps those.
    newest
        Whether the experiment's files are taken as they are now, rather than as the run has them.
    """

    savepoint: int | None = None
    configuration: str | None = None
    script: str | None = None
    newest: bool = False


class ExperimentView(msgspec.Struct, frozen=True, kw_only=True):
    """Where an experiment stands.

    Attributes
    ----------
    run, execution
        What the store holds of it.
    stored
        Whether it has ended and all that it wrote is stored.
    missing
        What this server lacks to compute it while nobody does, in words; empty if nothing.
    """

    run: Run
    execution: Execution
    stored: bool
    missing: str = ""

    @property
    def spec(self) -> ExperimentSpec:
        """What it is made of."""
        return ExperimentSpec.from_blob(self.run.spec)

    @property
    def progress(self) -> dict[str, Any] | None:
        """Its state, and its latest report: real time, simulation time, time left, steps.

        The state is the run's: a process that is gone, or frozen, can't report it.
        """
        report = self.execution.progress
        if report is None:
            return None
        told = unpack(report)
        told.pop(SAMPLES, None)
        return {**told, "state": self.run.state.value}

    @property
    def samples(self) -> tuple[list[float], dict[str, list[float]]]:
        """Times and series of the numbers in data packs, as of the latest report."""
        report = self.execution.progress
        packed = None if report is None else unpack(report).get(SAMPLES)
        return read_samples(None if packed is None else unpack(packed))

    def in_state(self, state: RunStatus) -> "ExperimentView":
        """Return it as it was when its run came to a state."""
        return msgspec.structs.replace(self, run=msgspec.structs.replace(self.run, state=state))

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.run.state in FINAL

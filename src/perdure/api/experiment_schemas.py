"""The shapes of experiments' runs in the native API, as pydantic models, strict in what they take."""

from typing import Literal

from pydantic import Field, JsonValue

from perdure.api.computed_schemas import COMPUTED_BY, MISSING, ComputedByRecord, computed_fields
from perdure.api.label_schemas import RunName, Tags
from perdure.api.schemas import ForkRun, Name, RunRecord, Seed, Strict, run_fields
from perdure.drivers.experiments.experiment_requests import ExperimentView, ForkExperiment, NewExperiment
from perdure.drivers.experiments.file_names import CONFIGURATION, SCRIPT
from perdure.errors import Damaged, Invalid
from perdure.run import Run

__all__ = [
    "CreateExperiment",
    "RunningExperiment",
    "RunningExperimentSummary",
    "damaged_experiment",
    "experiment_record",
    "experiment_summary",
    "fork_of_experiment",
]


# What clients send ------------------------------------------------------------------------------------------


class CreateExperiment(Strict):
    """An experiment to be run."""

    kind: Literal["experiment"]
    experiment: Name = Field(description="The experiment's name.", examples=["pendulum"])
    configuration: Name = Field(default=CONFIGURATION, description="Its simulation configuration's path.")
    script: Name = Field(
        default=SCRIPT,
        description=f"Its main script's path; without {SCRIPT} it runs to its time-out, or until done.",
    )
    seed: Seed | None = Field(default=None, description="Of the random draws; by default one is made.")
    name: RunName = Field(default="", description="What the run is called.")
    tags: Tags = Field(default=[], description="Words that the run is found by.")

    def asked(self) -> NewExperiment:
        """Return it as the driver takes it."""
        return NewExperiment(
            experiment=self.experiment,
            configuration=self.configuration,
            script=self.script,
            seed=self.seed,
        )


def fork_of_experiment(body: ForkRun | None) -> ForkExperiment:
    """Return a fork as the driver takes it; `Invalid` if a session's field is given."""
    if body is None:
        return ForkExperiment()
    if body.step is not None:
        raise Invalid("An experiment is forked at a savepoint: give `savepoint` instead of `step`.")
    if body.seed is not None:
        raise Invalid(
            "An experiment's fork goes on with the generators of its savepoint, so it takes no `seed`. "
            "Make a new run with that seed."
        )
    if body.stoptime is not None:
        raise Invalid(
            "An experiment's fork takes no `stoptime`: name a `configuration` with another SimulationTimeout."
        )
    return ForkExperiment(
        savepoint=body.savepoint, configuration=body.configuration, script=body.script, newest=body.newest
    )


# What they get ----------------------------------------------------------------------------------------------


class _Experiment(RunRecord):
    kind: Literal["experiment"]
    state: Literal["created", "paused", "started", "completed", "stopped", "failed"]
    outcome: Literal["succeeded", "failed", "timed_out", "terminated"] | None
    reason: str = Field(
        description="Why it ended so, in words, a script's error with file and line; and why its files "
        "aren't stored yet, if that failed."
    )
    created: float = Field(description="Unix time, in seconds.")
    updated: float = Field(description="Unix time, in seconds.")
    progress: dict[str, JsonValue] | None = Field(
        description="Its state, and its latest report: real_time, simulation_time and time_left in seconds, "
        "steps, max_steps and the fraction of these that is done, and whether it is replaying; what only a "
        "time-out says is null without one. And `parts`: of each engine (engine/NAME) and the functions "
        "whether it is saved or replayed (kept), and the reason why it can't be saved."
    )
    attempt: int = Field(description="How often a simulation server began.")
    parent: str | None = Field(description="The run it was forked from.")


class RunningExperimentSummary(_Experiment):
    """A run of an experiment."""

    experiment: str | None = Field(description="Its name; null if that is damaged.")
    damage: str | None = Field(description="What is wrong with what is stored of it; null if nothing is.")


class RunningExperiment(_Experiment):
    """A run of an experiment with all that it is made of."""

    experiment: str
    version: int = Field(description="Which version of the experiment; it is kept for the run.")
    configuration: str
    script: str | None = Field(description="Its main script; null if it has none.")
    seed: int
    sim_id: int | str = Field(
        description="What its script reads as nrp.sim_id, and what its log is called by: the run's id, the "
        "number of a simulation made at /simulation; a fork keeps its parent's."
    )
    desired: Literal["started", "paused", "stopped", "completed", "failed"] = Field(
        description="The state that is requested."
    )
    stored: bool = Field(description="Whether it has ended, and its logs and files are stored.")
    sources: dict[str, str] = Field(
        description="The SHA-256 of its script, modules and configuration, and of files that this names."
    )
    computed_by: ComputedByRecord | None = Field(description=COMPUTED_BY)
    missing: str | None = Field(description=MISSING)


# From what the driver answers -------------------------------------------------------------------------------


def experiment_record(view: ExperimentView) -> RunningExperiment:
    """Return a run with all that it is made of; its spec is decoded, so keep it off the event loop."""
    spec = view.spec
    return RunningExperiment.model_validate(
        {
            **_fields(view.run),
            "progress": view.progress,
            "attempt": view.execution.attempt,
            "experiment": spec.experiment,
            "version": spec.version,
            "configuration": spec.configuration,
            "script": spec.script,
            "seed": spec.seed,
            "sim_id": spec.sim_id,
            "desired": view.execution.desired.value,
            "stored": view.stored,
            "sources": spec.sources,
            **computed_fields(view.execution, view.missing, spec.sha256),
        }
    )


def experiment_summary(view: ExperimentView) -> RunningExperimentSummary:
    """Return a run as a list shows it; raise `Damaged` if its spec is."""
    return RunningExperimentSummary.model_validate(
        {
            **_fields(view.run),
            "progress": view.progress,
            "attempt": view.execution.attempt,
            "experiment": view.spec.experiment,
            "damage": None,
        }
    )


def damaged_experiment(run: Run, error: Damaged) -> RunningExperimentSummary:
    """Return a run as a list shows it of which something can't be read."""
    return RunningExperimentSummary.model_validate(
        {**_fields(run), "progress": None, "attempt": 0, "experiment": None, "damage": str(error)}
    )


def _fields(run: Run) -> dict[str, object]:
    return {**run_fields(run), "parent": run.parent}

"""The schemas of runs and sessions in the native API: pydantic models, which are strict in what they take."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from perdure.api.computed_schemas import EARLIER_NUMERICS, NUMERICS
from perdure.api.label_schemas import RunName, Tags
from perdure.drivers.seeds import LARGEST_SEED
from perdure.drivers.session_requests import ForkSession, SessionView
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.errors import Damaged, Invalid
from perdure.run import Run, is_unicode
from perdure.web.bodies import LARGEST_NUMBER
from perdure.web.structs import whole

__all__ = [
    "CreateSession",
    "EditRun",
    "ForkRun",
    "ForkRuns",
    "Forks",
    "Name",
    "RunRecord",
    "Seed",
    "SessionRecord",
    "SessionScenario",
    "SessionSummary",
    "SetState",
    "Strict",
    "Text",
    "UpgradedRun",
    "Whole",
    "digits",
    "fork_of_session",
    "run_fields",
]


def _text(value: str) -> str:
    """Refuse half a surrogate pair, which JSON can escape but no store can keep."""
    if not is_unicode(value):
        raise ValueError("must be valid Unicode")
    return value


Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[Text, Field(min_length=1, max_length=200)]


def digits(value: object) -> object:
    """Let only plain digits through: pydantic would take ``1_0`` for a number too."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) <= 16):
            raise ValueError("must be a whole number of at most 16 digits")
        return int(value)
    return value


Whole = Annotated[int, Field(ge=0, le=LARGEST_NUMBER), BeforeValidator(whole)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED), BeforeValidator(whole)]
"""A whole number in a body."""


class Strict(BaseModel):
    """A body that is taken as its schema says, and not otherwise."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


# What clients send ------------------------------------------------------------------------------------------


class CreateSession(Strict):
    """A session to be made."""

    kind: Literal["session"]
    scenarios: dict[Text, Annotated[list[Text], Field(min_length=1)]] = Field(
        min_length=1, description="Manager → names of its scenarios.", examples=[{"smSir": ["base"]}]
    )
    outputs: list[Text] = Field(
        default=[], description="Elements to answer with; each scenario answers those it has. None means all."
    )
    dt: float | None = Field(
        default=None,
        gt=0,
        description="Distance of answers in the model's unit; by default each scenario's dt.",
    )
    seed: Seed | None = Field(default=None, description="Of the random draws; by default one is made.")
    name: RunName = Field(default="", description="What it is called.")
    tags: Tags = Field(default=[], description="Words that it is found by.", examples=[["nightly"]])


class EditRun(Strict):
    """What is to change about a run's name and tags; what isn't given stays as it is."""

    name: RunName | None = Field(default=None, description="Its new name; empty for none.")
    tags: Tags | None = Field(default=None, description="All its tags.")
    add_tags: Tags = Field(default=[], description="Tags to add.")
    remove_tags: Tags = Field(default=[], description="Tags to remove.")


class SetState(Strict):
    """The state a run is to be in; a session can only be stopped, only an experiment completed or failed."""

    state: Literal["stopped", "paused", "started", "completed", "failed"]


class ForkRun(Strict):
    """Where a fork is to begin, and what is to be different; only what is for the run's kind may be given."""

    step: Whole | None = Field(
        default=None, description="Of a session: the last step it shares; by default all of them."
    )
    seed: Seed | None = Field(
        default=None, description="Of a session: the seed of its random draws from there on."
    )
    stoptime: float | None = Field(
        default=None,
        description="Of a session: the time at which its scenarios end, also one that had ended.",
    )
    savepoint: Whole | None = Field(
        default=None, description="Of an experiment: a savepoint's timestamp; by default the newest."
    )
    configuration: Name | None = Field(
        default=None, description="Of an experiment: another simulation configuration's path."
    )
    script: Name | None = Field(
        default=None, description="Of an experiment: another main script's path; it starts at its top."
    )
    newest: bool = Field(
        default=False, description="Of an experiment: take its files as they are stored now."
    )
    name: RunName | None = Field(default=None, description="What the fork is called; by default nothing.")
    tags: Tags | None = Field(default=None, description="The fork's tags; by default those of the run.")


class ForkRuns(Strict):
    """Several forks of a session, made together: all of them or none."""

    forks: list[ForkRun] = Field(
        min_length=1,
        description="Where each begins, and what is different.",
        examples=[[{"seed": 1}, {"seed": 2}]],
    )


# What they get ----------------------------------------------------------------------------------------------


class RunRecord(BaseModel):
    """What is answered first about a run of any kind."""

    id: str
    kind: str
    owner: str
    name: str = Field(description="What it is called; empty for nothing.")
    tags: list[str] = Field(description="What it is found by, sorted.")


class _Session(RunRecord):
    kind: Literal["session"]
    state: Literal["created", "started", "completed", "stopped"]
    outcome: Literal["succeeded", "terminated", "expired"] | None
    reason: str
    step: int = Field(description="Steps taken.")
    created: float = Field(description="Unix time, in seconds.")
    updated: float = Field(description="Unix time, in seconds.")
    scenarios: dict[str, list[str]] = Field(description="Manager → names of its scenarios.")
    parent: str | None = Field(description="The run it was forked from.")
    parent_step: int | None = Field(description="The last step it shares with that one.")


class SessionSummary(_Session):
    """A session."""

    damage: str | None = Field(
        description="What is wrong with its spec if that is damaged, and `scenarios` is empty; null if not."
    )


class SessionScenario(BaseModel):
    """A scenario of a session."""

    model: str
    fingerprint: str = Field(description="The hash of the model that computes it.")
    starttime: float
    stoptime: float
    dt: float = Field(description="Step of the computation, in the model's unit.")
    timestep: float = Field(description="Distance of answers, in the model's unit.")
    outputs: list[str]
    constants: dict[str, Any] = Field(description="What it began with, of what differs from the model.")
    points: dict[str, Any] = Field(description="The same of graphical functions.")
    inputs: dict[str, Any] = Field(description="The same of another engine's inputs.")


class KeptPart(BaseModel):
    """How a part of a run goes on after a restart."""

    kept: Literal["saved", "replayed"] = Field(
        description="Whether savepoints hold its state, or what it was given, which a restore repeats."
    )
    reason: str | None = Field(description="Why it can't be saved; null if it is.")


class SessionRecord(_Session):
    """A session with all that it is made of."""

    seed: int
    specs: dict[str, dict[str, SessionScenario]] = Field(description="Manager → scenario → what it runs.")
    parts: dict[str, KeptPart] = Field(
        description="Of each scenario (MANAGER/SCENARIO, percent-encoded), whether it is saved or replayed. "
        "One of a model of another engine isn't there before its first step."
    )
    numerics: str | None = Field(description=NUMERICS)
    earlier_numerics: list[str] = Field(description=EARLIER_NUMERICS)


class Forks(BaseModel):
    """The forks of a session."""

    runs: list[SessionRecord] = Field(description="In the order in which they were asked for.")


class UpgradedRun(BaseModel):
    """A session that goes on with the present models."""

    run: SessionRecord
    replayed: int = Field(description="Logged steps that the new models took again.")


# To and from the drivers ------------------------------------------------------------------------------------


def fork_of_session(body: ForkRun | None) -> ForkSession:
    """Return a fork as the driver takes it; `Invalid` if an experiment's field is given."""
    if body is None:
        return ForkSession()
    others = sorted(body.model_fields_set - {"step", "seed", "stoptime", "name", "tags"})
    if others:
        raise Invalid(
            f"A session's fork takes `step`, `seed` and `stoptime`; only an experiment's takes `{others[0]}`."
        )
    return ForkSession(step=body.step, seed=body.seed, stoptime=body.stoptime)


def summary(run: Run) -> SessionSummary:
    """Return a run as a list shows it, damaged or not; keep it off the event loop, it decodes the spec."""
    try:
        scenarios, damage = SessionSpec.from_blob(run.spec).scenarios, None
    except Damaged as error:
        scenarios, damage = [], str(error)
    return SessionSummary.model_validate({**_fields(run, scenarios), "damage": damage})


def record(view: SessionView) -> SessionRecord:
    """Return a session with all that it is made of."""
    run, spec = view.run, view.spec
    specs: dict[str, dict[str, SessionScenario]] = {}
    for part in spec.scenarios:
        specs.setdefault(part.manager, {})[part.scenario] = SessionScenario(
            model=part.model,
            fingerprint=part.fingerprint,
            starttime=part.config["starttime"],
            stoptime=part.config["stoptime"],
            dt=part.config["dt"],
            timestep=part.config.get("timestep", part.config["dt"]),
            outputs=part.outputs,
            **{kind: part.config.get(kind) or {} for kind in ("constants", "points", "inputs")},
        )
    return SessionRecord.model_validate(
        {
            **_fields(run, spec.scenarios),
            "seed": spec.seed,
            "specs": specs,
            "parts": view.parts,
            "numerics": spec.numerics or None,
            "earlier_numerics": spec.earlier_numerics,
        }
    )


def run_fields(run: Run) -> dict[str, object]:
    """Return what is answered about a run of any kind."""
    return {
        "id": run.id,
        "kind": run.kind,
        "owner": run.owner,
        "name": run.name,
        "tags": list(run.tags),
        "state": run.state.value,
        "outcome": None if run.outcome is None else run.outcome.value,
        "reason": run.reason,
        "created": run.created,
        "updated": run.updated,
    }


def _fields(run: Run, parts: Sequence[ScenarioSpec]) -> dict[str, object]:
    scenarios: dict[str, list[str]] = {}
    for part in parts:
        scenarios.setdefault(part.manager, []).append(part.scenario)
    return {
        **run_fields(run),
        "step": run.position,
        "scenarios": scenarios,
        "parent": run.parent,
        "parent_step": run.parent_position,
    }

"""The shapes of steps and results in the native API, as msgspec Structs, made of what the driver answers.

A number that isn't finite is null in JSON, which has no other word for it; the CSV results distinguish them.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from perdure.drivers.live_session import Row
from perdure.drivers.session_requests import Answer, SettingsPage, StepLogPage
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.drivers.step_inputs import Inputs
from perdure.web.bodies import LARGEST_NUMBER

__all__ = [
    "LogPage",
    "LogQuery",
    "ReadPage",
    "ResultsQuery",
    "SessionResults",
    "SettingsChanges",
    "SettingsQuery",
    "Steps",
    "StepsTaken",
]

Whole = Annotated[
    float,
    Meta(ge=1, le=LARGEST_NUMBER, multiple_of=1, extra_json_schema={"type": "integer", "multipleOf": 1}),
]
"""A positive whole number, also when it is written 3.0, as JSON schemas understand it."""

ReadPage = Callable[[int, int | None], Awaitable[StepLogPage]]
"""Reads the page of a step log after a step, of at most that many steps; None is the size of a page."""

Value = float | None
Point = Annotated[list[float], Meta(min_length=2, max_length=2)]


class Settings(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What is set in a scenario.

    Attributes
    ----------
    constants
        Numbers, by name.
    points
        The points of graphical functions, by name.
    inputs
        Data of any form, by name, where another engine than system dynamics computes the model.
    properties
        Values of properties of a model of agents, by name; also as objects with a type and a value.
    """

    constants: dict[str, float] = {}
    points: dict[str, list[Point]] = {}
    inputs: dict[str, Any] = {}
    properties: dict[str, Any] = {}


class Steps(msgspec.Struct, forbid_unknown_fields=True):
    """Steps to be taken.

    Attributes
    ----------
    settings
        Manager → scenario → what to set; in effect from the first of these steps on.
    steps
        How many.
    expected_step
        The number that the first of them must have.
    """

    settings: dict[str, dict[str, Settings]] = {}
    steps: Whole = 1.0
    expected_step: Whole | None = None


class ScenarioStep(msgspec.Struct):
    """What a scenario came to in one step; values are numbers, and of an engine of its own any data."""

    time: Value
    values: dict[str, Any]


class Step(msgspec.Struct):
    """One step: its number, and manager → scenario → what it came to. Finished scenarios are left out."""

    step: int
    results: dict[str, dict[str, ScenarioStep]]


class StepsTaken(msgspec.Struct):
    """Steps that are taken and durable."""

    run: str
    finished: bool
    replayed: bool
    steps: list[Step]


class LoggedStep(msgspec.Struct):
    """One step of the log: what was set before it, and what it answered."""

    step: int
    settings: dict[str, dict[str, Settings]]
    results: dict[str, dict[str, ScenarioStep]]


class LogPage(msgspec.Struct):
    """A page of the step log; `next` is the `after` of the next one, null on the last."""

    steps: list[LoggedStep]
    next: int | None


class SettingsChange(msgspec.Struct):
    """What was set before one step."""

    step: int
    settings: dict[str, dict[str, Settings]]


class SettingsChanges(msgspec.Struct):
    """A page of what was set; `next` is the `after` of the next one, null on the last."""

    changes: list[SettingsChange]
    next: int | None


class ScenarioResults(msgspec.Struct):
    """The results of one scenario, as columns; values as in `ScenarioStep`."""

    step: list[int]
    time: list[Value]
    values: dict[str, list[Any]]


class SessionResults(msgspec.Struct):
    """A page of results: manager → scenario → columns; `next` as in the log."""

    results: dict[str, dict[str, ScenarioResults]]
    next: int | None


class LogQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which part of the log is asked for."""

    after: Annotated[int, Meta(ge=0, le=LARGEST_NUMBER, description="The step before the first one.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1000, description="Most steps in the answer.")] = 1000


class SettingsQuery(LogQuery, forbid_unknown_fields=True):
    """Which part of what was set is asked for."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Most changes in the answer.")] = 1000


class ResultsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which part of the results is asked for, and how."""

    after: Annotated[int, Meta(ge=0, le=LARGEST_NUMBER, description="The step before the first one.")] = 0
    limit: (
        Annotated[
            int, Meta(ge=1, le=LARGEST_NUMBER, description="Most steps; CSV has all by default, JSON 1000.")
        ]
        | None
    ) = None
    format: Annotated[Literal["json", "csv"], Meta(description="As the Accept header.")] = "json"
    points: (
        Annotated[
            int,
            Meta(
                ge=4,
                le=10_000,
                description="About how many steps are left; of longer results those that a chart needs, of "
                "several outputs more.",
            ),
        ]
        | None
    ) = None


def steps_taken(answer: Answer) -> StepsTaken:
    """Return the answer to a step request."""
    scenarios = _with_decimals(answer.spec)
    taken = [Step(step.position, _results(scenarios, step.rows)) for step in answer.steps]
    return StepsTaken(answer.run_id, answer.finished, answer.replayed, taken)


def log_page(log: StepLogPage) -> LogPage:
    """Return a page of the step log."""
    scenarios = _with_decimals(log.spec)
    steps = [
        LoggedStep(
            given.step.position, _settings(log.spec, given.inputs), _results(scenarios, given.step.rows)
        )
        for given in log.steps
    ]
    return LogPage(steps, next_after(log))


def settings_changes(page: SettingsPage) -> SettingsChanges:
    """Return a page of what was set."""
    changes = [SettingsChange(position, _settings(page.spec, inputs)) for position, inputs in page.changes]
    return SettingsChanges(changes, page.next)


def results_page(log: StepLogPage) -> SessionResults:
    """Return a page of the step log as columns."""
    results: dict[str, dict[str, ScenarioResults]] = {}
    for index, (scenario, decimals) in enumerate(_with_decimals(log.spec)):
        rows = [
            (given.step.position, row) for given in log.steps if (row := given.step.rows[index]) is not None
        ]
        results.setdefault(scenario.manager, {})[scenario.scenario] = ScenarioResults(
            step=[position for position, _ in rows],
            time=[round(row[0], decimals) for _, row in rows],
            values={name: [row[at] for _, row in rows] for at, name in enumerate(scenario.outputs, start=1)},
        )
    return SessionResults(results, next_after(log))


def next_after(log: StepLogPage) -> int | None:
    """Return what a page of the log ends with if there is more after it."""
    last = log.steps[-1].step.position if log.steps else log.run.position
    return last if last < log.run.position else None


def _with_decimals(spec: SessionSpec) -> list[tuple[ScenarioSpec, int]]:
    """Return the scenarios, each with the decimals that its times are shown with."""
    return [(scenario, scenario.decimals) for scenario in spec.scenarios]


def _results(
    scenarios: Iterable[tuple[ScenarioSpec, int]], rows: Iterable[Row | None]
) -> dict[str, dict[str, ScenarioStep]]:
    results: dict[str, dict[str, ScenarioStep]] = {}
    for (scenario, decimals), row in zip(scenarios, rows, strict=True):
        if row is not None:
            values = dict(zip(scenario.outputs, row[1:], strict=True))
            shown = ScenarioStep(round(row[0], decimals), values)
            results.setdefault(scenario.manager, {})[scenario.scenario] = shown
    return results


def _settings(spec: SessionSpec, given: Inputs) -> dict[str, dict[str, Settings]]:
    settings: dict[str, dict[str, Settings]] = {}
    for index, inputs in given:
        scenario = spec.scenarios[index]
        of_manager = settings.setdefault(scenario.manager, {})
        of_manager[scenario.scenario] = Settings(**inputs)
    return settings


def engine_inputs(settings: dict[str, dict[str, Settings]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return settings as the driver takes them: what isn't set isn't there."""
    return {
        manager: {scenario: msgspec.to_builtins(given) for scenario, given in scenarios.items()}
        for manager, scenarios in settings.items()
    }

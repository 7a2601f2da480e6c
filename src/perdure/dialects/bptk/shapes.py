"""The shapes of BPTK's answers: manager → scenario → equation → time → value, of what the drivers answer.

A time is written as BPTK writes it: a float's shortest text, with no more decimals than the start and the
distance of answers have. A value that isn't finite is null, as JSON has no number for it.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from perdure.dialects.bptk.instances import Instance
from perdure.drivers.live_session import Row
from perdure.drivers.requests import Answer, Log
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.run import Run

__all__ = [
    "STOPTIME_REACHED",
    "decimals",
    "metrics_entry",
    "next_time",
    "session_results",
    "state_entry",
    "step_results",
    "time_text",
]

STOPTIME_REACHED = {"msg": "Stoptime reached"}

Tree = dict[str, dict[str, Any]]


def decimals(*numbers: float) -> int:
    """Return the most decimals that one of some finite numbers is written with.

    >>> decimals(1.0, 0.25), decimals(0.0, 1e-07)
    (2, 7)
    """
    exponents = (Decimal(repr(float(number))).normalize().as_tuple().exponent for number in numbers)
    return max(0, *(-exponent for exponent in exponents if isinstance(exponent, int)))


def time_text(time: float, digits: int) -> str:
    """Return a time as a key of an answer.

    >>> time_text(0.1 + 0.2, 1), time_text(2.0, 0)
    ('0.3', '2.0')
    """
    return repr(round(time, digits))


def step_results(answer: Answer, *, flat: bool) -> list[Tree]:
    """Return what each step of an answer came to; flat leaves the times out."""
    digits = _digits(answer.spec)
    return [_step(answer.spec, digits, step.rows, flat) for step in answer.steps]


def session_results(pages: Iterable[Log], *, flat: bool) -> Tree:
    """Return all that a session answered; {} before its first step."""
    results: Tree = {}
    for page in pages:
        digits = _digits(page.spec)
        for given in page.steps:
            for index, row in enumerate(given.step.rows):
                if row is not None:
                    _add(results, page.spec.scenarios[index], row, digits[index], flat)
    return results


def next_time(run: Run, spec: SessionSpec) -> float:
    """Return the time that a session's next step answers, in the model's unit."""
    config = spec.scenarios[0].config
    timestep = config.get("timestep", config["dt"])
    time: float = config["starttime"] + run.position * timestep
    return round(time, decimals(config["starttime"], timestep))


def metrics_entry(instance: Instance, run: Run) -> dict[str, Any]:
    """Return what the metrics say of an instance with a session."""
    return {
        "startTime": str(datetime.fromtimestamp(instance.accessed)),
        "step": next_time(run, SessionSpec.from_blob(run.spec)),
    }


def state_entry(instance: Instance, pages: list[Log]) -> dict[str, Any]:
    """Return an instance with its session as plain JSON, under the names that BPTK gives them."""
    state = _state(pages) if pages else None
    return {
        "state": state,
        "instance_id": instance.id,
        "time": str(datetime.fromtimestamp(instance.accessed)),
        "timeout": instance.timeout,
        "step": None if state is None else state["step"],
    }


def _state(pages: list[Log]) -> dict[str, Any]:
    spec, run = pages[0].spec, pages[0].run
    first = spec.scenarios[0].config
    digits = _digits(spec)
    settings_log: Tree = {}
    results_log: Tree = {}
    for page in pages:
        for given in page.steps:
            rows = given.step.rows
            time = next(
                time_text(row[0], at) for row, at in zip(rows, digits, strict=True) if row is not None
            )
            results_log[time] = _step(spec, digits, rows, flat=False)
            settings_log[time] = {}
            for index, inputs in given.inputs:
                part = spec.scenarios[index]
                settings_log[time].setdefault(part.manager, {})[part.scenario] = inputs
    return {
        "scenario_managers": list(dict.fromkeys(part.manager for part in spec.scenarios)),
        "scenarios": list(dict.fromkeys(part.scenario for part in spec.scenarios)),
        "equations": list(dict.fromkeys(name for part in spec.scenarios for name in part.outputs)),
        "step": next_time(run, spec),
        "starttime": first["starttime"],
        "stoptime": first["stoptime"],
        "dt": first.get("timestep", first["dt"]),
        "settings_log": settings_log,
        "results_log": results_log,
    }


def _digits(spec: SessionSpec) -> list[int]:
    return [
        decimals(part.config["starttime"], part.config.get("timestep", part.config["dt"]))
        for part in spec.scenarios
    ]


def _step(spec: SessionSpec, digits: list[int], rows: list[Row | None], flat: bool) -> Tree:
    results: Tree = {}
    for scenario, places, row in zip(spec.scenarios, digits, rows, strict=True):
        if row is not None:
            values: dict[str, Any] = dict(zip(scenario.outputs, row[1:], strict=True))
            if not flat:
                time = time_text(row[0], places)
                values = {name: {time: value} for name, value in values.items()}
            results.setdefault(scenario.manager, {})[scenario.scenario] = values
    return results


def _add(results: Tree, scenario: ScenarioSpec, row: Row, digits: int, flat: bool) -> None:
    equations = (
        results.setdefault(scenario.manager, {})
        .setdefault(scenario.scenario, {"equations": {}})
        .get("equations")
    )
    time = time_text(row[0], digits)
    for name, value in zip(scenario.outputs, row[1:], strict=True):
        if flat:
            equations.setdefault(name, []).append(value)
        else:
            equations.setdefault(name, {})[time] = value

"""Complete runs and listings: the catalogue, and runs of which nothing is stored.

A run's settings apply to that run alone: the catalogue and its scenarios are never changed.
"""

from collections.abc import Mapping
from typing import Any

from perdure.dialects.bptk.bodies import names, need_json
from perdure.dialects.bptk.mistakes import BptkError
from perdure.dialects.bptk.overrides import Overrides, known_overrides
from perdure.dialects.bptk.session_clock import time_text
from perdure.engines.run_specs import RunSpecs, decimals
from perdure.errors import LimitExceeded
from perdure.scenarios import Catalogue, Scenario
from perdure.scenarios.catalogue import check_outputs
from perdure.scenarios.model import ServedModel
from perdure.settings import Settings
from perdure.web.dialect import Call

__all__ = [
    "check_runs",
    "chosen",
    "equations_of",
    "no_agents",
    "run",
    "scenario_names",
    "selection",
    "series",
]

NO_AGENTS = "expecting the model to have agents"
NOTHING_ASKED = "expecting either equations or agents to be set"

_LISTED = {
    "stocks": ("stock",),
    "flows": ("flow",),
    "converters": ("converter", "output"),
    "constants": ("constant", "input"),
}

RUN_SPECS = ("starttime", "stoptime", "dt")


def selection(body: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Return the managers, scenarios and equations in a body; raise `BptkError` if one is missing."""
    for key in ("scenario_managers", "scenarios"):
        if key not in body:
            raise BptkError(400, f"expecting {key} to be set")
    managers, scenarios = names(body, "scenario_managers"), names(body, "scenarios")
    if body.get("agents"):
        raise BptkError(400, NO_AGENTS)
    if "equations" not in body:
        raise BptkError(400, NO_AGENTS if "agents" in body else NOTHING_ASKED)
    equations = names(body, "equations")
    for key, given in (("scenario_managers", managers), ("scenarios", scenarios)):
        if not given:
            raise BptkError(400, f"expecting {key} to be set")
    if not equations:
        raise BptkError(400, NOTHING_ASKED)
    return managers, scenarios, equations


def chosen(
    catalogue: Catalogue, managers: list[str], scenarios: list[str], equations: list[str]
) -> list[Scenario]:
    """Return the scenarios with these names.

    Raise `NotFound` for an unknown manager, scenario or equation.
    """
    found = catalogue.select(managers, scenarios)
    check_outputs(equations, found)
    return found


def run(
    catalogue: Catalogue,
    settings: Settings,
    selected: tuple[list[str], list[str], list[str]],
    overrides: Overrides,
) -> dict[str, dict[str, Any]]:
    """Run scenarios from start to stop; blocking.

    Returns
    -------
    dict
        Manager → scenario → ``equations`` → equation → time → value.
    """
    scenarios = chosen(catalogue, *selected)
    known = known_overrides(overrides, scenarios, run_specs=True)
    configs = [
        _config(scenario, selected[2], known.get(scenario.manager, {}).get(scenario.name, {}))
        for scenario in scenarios
    ]
    named = {
        f"{one.manager}/{one.name}": (one.model, config)
        for one, config in zip(scenarios, configs, strict=True)
    }
    check_runs(settings, named)
    results: dict[str, dict[str, Any]] = {}
    for scenario, config in zip(scenarios, configs, strict=True):
        equations = series(scenario.model, config)
        results.setdefault(scenario.manager, {})[scenario.name] = {"equations": equations}
    return results


def check_runs(settings: Settings, runs: Mapping[str, tuple[ServedModel, Mapping[str, Any]]]) -> None:
    """Raise an error if runs exceed a limit (number, length, work, values) or are invalid.

    Parameters
    ----------
    runs
        Name of each run for errors → its model and config.
    """
    values = longest = operations = 0
    for name, (model, config) in runs.items():
        specs = RunSpecs(config["starttime"], config["stoptime"], config["dt"], name=name)
        longest = max(longest, specs.last)
        values += specs.answers * len(config["outputs"])
        operations += specs.last * model.operations
    for what, limit, value, setting in (
        ("The steps of dt of a run", settings.max_run_steps, longest, "PERDURE_MAX_RUN_STEPS"),
        ("The scenarios of a request", settings.max_scenarios, len(runs), "PERDURE_MAX_SCENARIOS"),
        (
            "The operations of a request (nodes of the equations × steps of dt)",
            settings.max_operations_per_request,
            operations,
            "PERDURE_MAX_OPERATIONS_PER_REQUEST",
        ),
        (
            "The values of an answer (steps × outputs)",
            settings.max_values_per_request,
            values,
            "PERDURE_MAX_VALUES_PER_REQUEST",
        ),
    ):
        if value > limit:
            raise LimitExceeded(what=what, limit=limit, value=value, setting=setting)


def series(model: ServedModel, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Run a model; return equation → time → value."""
    times, columns = model.simulate(config)
    digits = decimals(config["starttime"], config["dt"])
    keys = [time_text(time, digits) for time in times]
    return {name: dict(zip(keys, column, strict=True)) for name, column in columns.items()}


def scenario_names(catalogue: Catalogue) -> dict[str, list[str]]:
    """Return manager → names of its scenarios; raise `BptkError` if there are none."""
    found = {manager.name: list(manager.scenarios) for manager in catalogue}
    if not found:
        raise BptkError(404, "expecting the model to have scenarios")
    return found


def equations_of(catalogue: Catalogue, call: Call) -> dict[str, list[str]]:
    """Return the names of a scenario's elements and points by kind; biflows are left out, as in BPTK.

    Another engine's outputs are called converters, and its inputs constants.
    """
    body = need_json(call)
    if "scenario_manager" not in body and "scenarioManager" not in body:
        raise BptkError(400, "expecting scenarioManager or scenario_manager to be set")
    key = "scenario_manager" if "scenario_manager" in body else "scenarioManager"
    model = _scenario(catalogue, body, key).model
    found = {
        kind: sorted(name for each in kinds for name in model.elements.get(each, ()))
        for kind, kinds in _LISTED.items()
    }
    return {**found, "points": sorted(model.points)}


def no_agents(catalogue: Catalogue, call: Call) -> BptkError:
    """Return the error that a scenario's model has no agents."""
    body = need_json(call)
    if "scenarioManager" not in body:
        return BptkError(400, "expecting scenarioManager to be set")
    _scenario(catalogue, body, "scenarioManager")
    return BptkError(400, NO_AGENTS)


def _scenario(catalogue: Catalogue, body: dict[str, Any], manager: str) -> Scenario:
    if "scenario" not in body:
        raise BptkError(400, "expecting scenario to be set")
    for key in (manager, "scenario"):
        if not isinstance(body[key], str):
            raise BptkError(400, f"expecting {key} to be a name")
    return catalogue.scenario(body[manager], body["scenario"])


def _config(scenario: Scenario, equations: list[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the engine's config for a scenario with the settings of a call; the scenario isn't changed."""
    config = scenario.config(equations, seed=0)
    for kind in scenario.model.settable:
        config[kind] = {**config[kind], **given.get(kind, {})}
    run_specs = given.get("runspecs", {})
    return {**config, **{name: run_specs[name] for name in RUN_SPECS if name in run_specs}}

"""Complete runs and listings: the catalogue, and runs of which nothing is stored.

A run's settings apply to that run alone: the catalogue and its scenarios are never changed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from perdure.dialects.bptk.agent_query import AgentQuery, has_agents, series_of
from perdure.dialects.bptk.bodies import names, need_json
from perdure.dialects.bptk.mistakes import BptkError
from perdure.dialects.bptk.overrides import Overrides, known_overrides
from perdure.dialects.bptk.session_clock import time_text
from perdure.engines.run_specs import RunSpecs, decimals
from perdure.errors import check_limit
from perdure.scenarios import Catalogue, Scenario
from perdure.scenarios.agent_model import AgentModel
from perdure.scenarios.catalogue import check_outputs
from perdure.scenarios.model import ServedModel, overridden
from perdure.settings import Settings
from perdure.web.dialect import Call

__all__ = [
    "Selection",
    "agents_of",
    "check_runs",
    "equations_of",
    "outputs_of",
    "run",
    "selection",
    "series",
]

NO_AGENTS = "expecting the model to have agents"
NOTHING_ASKED = "expecting either equations or agents to be set"

_QUERY = {
    "agents": "agents",
    "states": "agent_states",
    "properties": "agent_properties",
    "types": "agent_property_types",
}

_LISTED = {
    "stocks": ("stock",),
    "flows": ("flow",),
    "converters": ("converter", "output"),
    "constants": ("constant", "input"),
}

RUN_SPECS = ("starttime", "stoptime", "dt")


@dataclass(frozen=True)
class Selection:
    """What a call selects.

    Attributes
    ----------
    managers, scenarios, equations
        Names.
    query
        What is asked of agents.
    """

    managers: list[str]
    scenarios: list[str]
    equations: list[str]
    query: AgentQuery


def selection(body: dict[str, Any]) -> Selection:
    """Return the managers, scenarios, equations and agents in a body; `BptkError` if one is missing."""
    for key in ("scenario_managers", "scenarios"):
        if key not in body:
            raise BptkError(400, f"expecting {key} to be set")
    managers, scenarios = names(body, "scenario_managers"), names(body, "scenarios")
    of_agents: dict[str, Any] = {
        field: names(body, key) if body.get(key) else [] for field, key in _QUERY.items()
    }
    query = AgentQuery(**of_agents, individual=_individual(body))
    equations = names(body, "equations") if "equations" in body else []
    for key, given in (("scenario_managers", managers), ("scenarios", scenarios)):
        if not given:
            raise BptkError(400, f"expecting {key} to be set")
    if not equations and not query.agents:
        raise BptkError(400, NOTHING_ASKED)
    return Selection(managers, scenarios, equations, query)


def _individual(body: dict[str, Any]) -> dict[str, list[str]]:
    given = body.get("individual_agent_properties") or {}
    if not isinstance(given, dict):
        raise BptkError(400, "expecting individual_agent_properties to be an object of lists of names")
    return {kind: names(given, kind) for kind in given}


def outputs_of(selected: Selection, found: list[Scenario]) -> list[str]:
    """Return the names of all outputs that a session is asked for; `NotFound` for an unknown one."""
    outputs = [*selected.equations, *selected.query.outputs()]
    check_outputs(outputs, found)
    return outputs


def run(
    catalogue: Catalogue,
    settings: Settings,
    selected: Selection,
    overrides: Overrides,
) -> dict[str, dict[str, Any]]:
    """Run scenarios from start to stop; blocking.

    Models of agents answer the query, others the equations.

    Returns
    -------
    dict
        Manager → scenario → ``equations`` → equation → time → value; or ``agents``, as `series_of` gives it.
    """
    found = catalogue.select(selected.managers, selected.scenarios)
    check_outputs(selected.equations, found)
    scenarios = [one for one in found if (selected.query.agents if has_agents(one) else selected.equations)]
    if selected.query.agents and not selected.equations and not any(map(has_agents, found)):
        raise BptkError(400, NO_AGENTS)
    if any(map(has_agents, scenarios)) and selected.query.problem is not None:
        raise BptkError(400, f"no data was returned from simulation: {selected.query.problem}")
    agents = {key: given.pop("agents") for key, given in _each(overrides) if "agents" in given}
    known = known_overrides(overrides, scenarios, run_specs=True)
    configs = [
        _config(scenario, selected.equations, known.get(scenario.manager, {}).get(scenario.name, {}))
        for scenario in scenarios
    ]
    for scenario, config in zip(scenarios, configs, strict=True):
        if has_agents(scenario) and (given := agents.get((scenario.manager, scenario.name))) is not None:
            config["definition"]["agents"] = given
            scenario.model.check(config)
    named = {
        f"{one.manager}/{one.name}": (one.model, config)
        for one, config in zip(scenarios, configs, strict=True)
    }
    check_runs(settings, named)
    results: dict[str, dict[str, Any]] = {}
    for scenario, config in zip(scenarios, configs, strict=True):
        if isinstance(scenario.model, AgentModel):
            answered = agent_series(scenario.model, config, selected.query)
            if answered:
                results.setdefault(scenario.manager, {})[scenario.name] = {"agents": answered}
        else:
            equations = series(scenario.model, config)
            results.setdefault(scenario.manager, {})[scenario.name] = {"equations": equations}
    return results


def agent_series(model: AgentModel, config: Mapping[str, Any], query: AgentQuery) -> dict[str, Any]:
    """Run a model of agents from start to stop; return type → state → values over time."""
    progress, collected = model.run_config(config)
    if progress < 1:
        return {}  # the model has ended the run early
    try:
        return series_of(collected, query, gaps=False)
    except KeyError as error:
        raise BptkError(400, f"the agents have no property or statistic {error}") from None


def _each(overrides: Overrides) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for manager, scenarios in overrides.items():
        for scenario, given in scenarios.items():
            yield (manager, scenario), given


def check_runs(settings: Settings, runs: Mapping[str, tuple[ServedModel, Mapping[str, Any]]]) -> None:
    """Raise an error if runs exceed a limit (number, length, work, values) or are invalid.

    Parameters
    ----------
    runs
        Name of each run for errors → its model and config.
    """
    values = longest = operations = 0
    for name, (model, config) in runs.items():
        times = {key: config[key] for key in (*RUN_SPECS, "timestep") if key in config}
        specs = RunSpecs(**times, name=name)
        longest = max(longest, specs.last)
        values += specs.answers * len(config["outputs"])
        agents = config.get("definition", {}).get("agents", ())
        operations += specs.last * model.operations + specs.answers * sum(each["count"] for each in agents)
    check_limit("The steps of dt of a run", longest, settings.max_run_steps, "PERDURE_MAX_RUN_STEPS")
    check_limit("The scenarios of a request", len(runs), settings.max_scenarios, "PERDURE_MAX_SCENARIOS")
    check_limit(
        "The operations of a request (nodes of the equations × steps of dt)",
        operations,
        settings.max_operations_per_request,
        "PERDURE_MAX_OPERATIONS_PER_REQUEST",
    )
    check_limit(
        "The values of an answer (steps × outputs)",
        values,
        settings.max_values_per_request,
        "PERDURE_MAX_VALUES_PER_REQUEST",
    )


def series(model: ServedModel, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Run a model; return equation → time → value."""
    times, columns = model.simulate(config)
    digits = decimals(config["starttime"], config.get("timestep", config["dt"]))
    keys = [time_text(time, digits) for time in times]
    return {name: dict(zip(keys, column, strict=True)) for name, column in columns.items()}


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


def agents_of(catalogue: Catalogue, settings: Settings, call: Call) -> dict[str, dict[str, list[str]]]:
    """Return type → the ``states`` and ``properties`` of the agents of a scenario at its start; blocking."""
    body = need_json(call)
    if "scenarioManager" not in body:
        raise BptkError(400, "expecting scenarioManager to be set")
    scenario = _scenario(catalogue, body, "scenarioManager")
    if not isinstance(scenario.model, AgentModel):
        raise BptkError(400, NO_AGENTS)
    config = scenario.config((), seed=0)
    check_runs(settings, {scenario.name: (scenario.model, config)})
    found = scenario.model.kinds_at_start(config)
    if not found:
        raise BptkError(400, NO_AGENTS)
    return {kind: {key: list(names) for key, names in parts.items()} for kind, parts in found.items()}


def _scenario(catalogue: Catalogue, body: dict[str, Any], manager: str) -> Scenario:
    if "scenario" not in body:
        raise BptkError(400, "expecting scenario to be set")
    for key in (manager, "scenario"):
        if not isinstance(body[key], str):
            raise BptkError(400, f"expecting {key} to be a name")
    return catalogue.scenario(body[manager], body["scenario"])


def _config(scenario: Scenario, equations: list[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the engine's config for a scenario with the settings of a call; the scenario isn't changed."""
    run_specs = given.get("runspecs", {})
    times = {name: run_specs[name] for name in RUN_SPECS if name in run_specs}
    config = replace(scenario, run_specs={**scenario.run_specs, **times}).config(equations, seed=0)
    for kind in scenario.model.settable:
        config[kind] = overridden(scenario.model, kind, config[kind], given.get(kind, {}))
    return config

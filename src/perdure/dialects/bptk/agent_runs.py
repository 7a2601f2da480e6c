"""Runs of agents in this process: the model of each scenario, as BPTK-Py's `get_scenario` returns it.

A scenario is run once; its results stay until the scenario is reset.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from perdure.dialects.bptk.agent_query import AgentQuery, has_agents, series_of
from perdure.engines.agents import Model
from perdure.engines.system_dynamics.plots import frame_of
from perdure.errors import Invalid
from perdure.late_logger import LateLogger
from perdure.scenarios import Scenario
from perdure.scenarios.agent_model import AgentModel
from perdure.scenarios.bulk import results_tree
from perdure.scenarios.catalogue import check_outputs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AgentRuns", "agents_frame", "columns_of", "run_with_agents"]

RUN_SPECS = ("starttime", "stoptime", "dt")

log = LateLogger(__name__)


class AgentRuns:
    """The models of scenarios with agents, each made when it is first needed."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], tuple[Scenario, Model]] = {}

    def model(self, scenario: Scenario) -> Model:
        """Return the model of a scenario: the same object until the scenario is reset or registered again."""
        key = scenario.manager, scenario.name
        known = self._models.get(key)
        if known is None or known[0] is not scenario:
            known = self._models[key] = scenario, _constructed(scenario)
        return known[1]

    def statistics(self, scenario: Scenario) -> Mapping[float, Any]:
        """Return what was collected of a scenario, which is run unless that was done."""
        model = self.model(scenario)
        if not model.statistics():
            model.run()
            if model.scheduler.progress < 1:
                log.error("run_ended_early", manager=scenario.manager, scenario=scenario.name)
        found = model.statistics() or {}
        return found if model.scheduler.progress >= 1 else {}

    def episodes(self, scenario: Scenario, number: int) -> Iterable[Mapping[float, Any]]:
        """Run a scenario in episodes, on a new model, and yield what was collected in each last step."""
        self.reset(scenario.manager, scenario.name)
        model = self.model(scenario)
        for episode in range(number):
            model.begin_episode(episode)
            model.run(collect_data=False)
            model.end_episode(episode)
            yield model.statistics() or {}

    def reset(self, manager: str, scenario: str) -> None:
        """Forget the model of a scenario, so that its next run begins at its start."""
        self._models.pop((manager, scenario), None)


def _constructed(scenario: Scenario) -> Model:
    model = scenario.model
    assert isinstance(model, AgentModel)
    config = scenario.config((), seed=0)
    specs = {key: scenario.run_specs.get(key, getattr(model, key)) for key in RUN_SPECS}
    for key in ("starttime", "stoptime"):  # rounds are counted in integers
        if isinstance(specs[key], float) and specs[key].is_integer():
            specs[key] = int(specs[key])
    made = model.construct(
        {"agents": [], **config["definition"], "properties": config["properties"], "runspecs": specs}
    )
    for name, value in config["constants"].items():
        made.elements[name].equation = value
    made.points.update(config["points"])
    return made


def run_with_agents(
    runs: AgentRuns,
    scenarios: Sequence[Scenario],
    equations: Sequence[str],
    query: AgentQuery,
    series_names: Mapping[str, str],
    return_format: str | None,
    progress_bar: bool,
) -> Any:
    """Return the results of scenarios, of which some have agents, as `Catalogue.run_scenarios` does.

    Models of agents answer the query, others the equations.

    Returns
    -------
    DataFrame, dict, str or None
        A dict is manager → scenario → ``equations`` or ``agents`` → …; None if there are no results.

    Raises
    ------
    MissingExtra
        If the format is ``"df"`` and pandas isn't installed.
    """
    others = [one for one in scenarios if not has_agents(one)]
    check_outputs(equations, others or scenarios)
    if query.problem is not None and len(others) < len(scenarios):
        log.error("no_data", reason=query.problem)
        scenarios = others
    if return_format is None:
        return_format = "df" if find_spec("pandas") else "dict"
    if return_format == "df":
        frame_of({})  # says what is missing
        frame = agents_frame(runs, scenarios, equations, query, progress_bar=progress_bar)
        return frame if frame is None else frame.rename(columns=series_names)
    if return_format not in ("dict", "json"):
        raise Invalid(f"A return format is one of df, dict, json, not {return_format!r}.")
    tree: dict[str, dict[str, Any]] = {}
    if equations and others:
        tree = {**results_tree(others, list(equations), 0, progress_bar)}
    for scenario in filter(has_agents, scenarios):
        found = series_of(runs.statistics(scenario), query, gaps=False)
        if found:
            tree.setdefault(scenario.manager, {})[scenario.name] = {"agents": found}
    if return_format == "json":
        return json.dumps(tree, indent=2)
    if not tree:
        log.error("no_data", agents=list(query.agents), states=list(query.states))
        return None
    return _with_series(tree)


def agents_frame(
    runs: AgentRuns,
    scenarios: Sequence[Scenario],
    equations: Sequence[str],
    query: AgentQuery,
    *,
    prefixed: bool = True,
    progress_bar: bool = False,
) -> "pd.DataFrame | None":
    """Return the results of scenarios, of which some have agents, as a DataFrame; None if there are none.

    A row exists for each time at which an asked column has a value; agents have 0 elsewhere.

    Parameters
    ----------
    prefixed
        Whether the columns of a single scenario begin with the names of manager and scenario.
    """
    import pandas as pd

    columns: dict[str, dict[float, Any]] = {}
    of_agents: set[str] = set()
    for scenario in scenarios:
        prefix = f"{scenario.manager}_{scenario.name}_" if prefixed or len(scenarios) > 1 else ""
        if has_agents(scenario):
            found = columns_of(series_of(runs.statistics(scenario), query, gaps=True))
            of_agents |= {prefix + name for name in found}
        elif equations:
            tree = results_tree([scenario], list(equations), 0, progress_bar)
            found = tree[scenario.manager][scenario.name]["equations"]
        else:
            found = {}
        columns |= {prefix + name: series for name, series in found.items()}
    if not columns:
        log.error("no_data", agents=list(query.agents), states=list(query.states))
        return None
    times = sorted(dict.fromkeys(time for series in columns.values() for time in series))
    frame = pd.DataFrame(
        {
            name: [series.get(time, 0.0 if name in of_agents else None) for time in times]
            for name, series in columns.items()
        },
        index=pd.Index(times, name="t"),
    )
    gaps = [name for name, series in columns.items() if name in of_agents and len(series) < len(times)]
    return frame.astype(dict.fromkeys(gaps, float))


def columns_of(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[float, Any]]:
    """Return column → values over time; columns are ``<type>_<state>``, or end in property and statistic."""
    columns: dict[str, dict[float, Any]] = {}
    for kind, states in found.items():
        for state, series in states.items():
            if "properties" not in series:
                columns[f"{kind}_{state}"] = series
                continue
            for name, statistics in series["properties"].items():
                for statistic, values in statistics.items():
                    columns[f"{kind}_{state}_{name}_{statistic}"] = values
    return columns


def _with_series(tree: Any) -> Any:
    """Return a tree with the values of agents over time as pandas' Series, as BPTK-Py has them."""
    try:
        import pandas as pd
    except ImportError:
        return tree
    return {
        manager: {
            name: {
                part: _series(values, pd) if part == "agents" else values for part, values in parts.items()
            }
            for name, parts in scenarios.items()
        }
        for manager, scenarios in tree.items()
    }


def _series(tree: Any, pd: Any) -> Any:
    if any(isinstance(value, dict) for value in tree.values()):
        return {key: _series(value, pd) for key, value in tree.items()}
    return pd.Series(tree)

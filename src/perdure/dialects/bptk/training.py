"""Training: scenarios run in episodes, between which the hooks of their models learn."""

from collections.abc import Sequence
from dataclasses import replace

from perdure.dialects.bptk.agent_query import AgentQuery, has_agents, series_of
from perdure.dialects.bptk.agent_runs import AgentRuns, columns_of
from perdure.dialects.bptk.simulation_scenario import system_dynamics_of
from perdure.errors import Invalid
from perdure.scenarios import Scenario
from perdure.scenarios.bulk import tracked
from perdure.scenarios.system_dynamics import SystemDynamicsModel

__all__ = ["train"]


def train(
    scenarios: Sequence[Scenario],
    agent_runs: AgentRuns,
    episodes: int,
    equations: Sequence[str],
    query: AgentQuery,
    progress_bar: bool,
) -> tuple[dict[str, dict[float, float]], list[Scenario]]:
    """Run scenarios in episodes.

    Returns
    -------
    tuple
        Column → episode → last value, and the scenarios of system dynamics with their trained models.

    Raises
    ------
    Invalid
        If a scenario has agents, and the query can't be answered.
    """
    trainings = [_Training(one) for one in scenarios if not has_agents(one)]
    columns: dict[str, dict[float, float]] = {}
    for scenario in filter(has_agents, scenarios):
        if query.problem is not None:
            raise Invalid(query.problem)
        prefix = _prefix(scenario, scenarios)
        for number, statistics in enumerate(agent_runs.episodes(scenario, episodes)):
            for name, series in columns_of(series_of(statistics, query, gaps=True)).items():
                columns.setdefault(prefix + name, {})[number] = [*series.values()][-1]
    for number in tracked(range(episodes), "Training", progress_bar):
        for training in trainings:
            prefix = _prefix(training.scenario, scenarios)
            for name, value in training.episode(number, equations).items():
                columns.setdefault(prefix + name, {})[number] = value
    return columns, [training.trained() for training in trainings]


def _prefix(scenario: Scenario, scenarios: Sequence[Scenario]) -> str:
    return "" if len(scenarios) == 1 else f"{scenario.manager}_{scenario.name}_"


class _Training:
    """A scenario in training: a copy of its model for all episodes.

    Parameters
    ----------
    scenario
        The registered scenario; it isn't changed.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._model = system_dynamics_of(scenario).thawed()
        self.scenario = scenario

    def episode(self, number: int, equations: Sequence[str]) -> dict[str, float]:
        """Run an episode from start to stop; return the last value of each element.

        Each episode has its own random draws, which are the same when it is repeated.

        Parameters
        ----------
        number
            Number of the episode, from 0; passed to the hooks `begin_episode` and `end_episode`.
        equations
            Names of elements; none mean all.
        """
        self._model.begin_episode(number)
        model = SystemDynamicsModel(self._model)
        scenario = replace(self.scenario, model=model)
        _, values = model.simulate(scenario.config(equations or scenario.elements, seed=number))
        self._model.end_episode(number)
        return {name: series[-1] for name, series in values.items()}

    def trained(self) -> Scenario:
        """Return the scenario with the model after the last episode."""
        model = SystemDynamicsModel(self._model).frozen()
        return replace(self.scenario, model=model, fingerprint=model.fingerprint())

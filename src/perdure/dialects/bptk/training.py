"""Training: scenarios run in episodes, between which the hooks of their models learn."""

from collections.abc import Sequence
from dataclasses import replace

from perdure.dialects.bptk.simulation_scenario import system_dynamics_of
from perdure.scenarios import Scenario
from perdure.scenarios.system_dynamics import SystemDynamicsModel

__all__ = ["Training"]


class Training:
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

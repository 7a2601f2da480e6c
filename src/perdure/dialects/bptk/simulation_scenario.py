"""Scenarios as BPTK-Py returns them: changes of one take effect in its next run.

The catalogue's scenarios are frozen. These are copies that programs can change. Before the catalogue is used,
`SimulationScenarios` registers the changed ones.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from perdure.engines.system_dynamics import Model
from perdure.errors import Invalid
from perdure.scenarios import Catalogue, Scenario
from perdure.scenarios.model import own_name
from perdure.scenarios.scenario import frozen
from perdure.scenarios.system_dynamics import SystemDynamicsModel

__all__ = ["SimulationScenario", "SimulationScenarios", "system_dynamics_of"]


class SimulationScenario:
    """A scenario that can be changed.

    Parameters
    ----------
    scenario
        The registered scenario.

    Attributes
    ----------
    scenario_manager, name
        Its names.
    constants, points, inputs
        Its values, including the base values of its manager; points are lists of ``[x, y]``, inputs those of
        other engines than system dynamics.
    registered
        The scenario as it was last registered.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario_manager = scenario.manager
        self.name = scenario.name
        self.constants: dict[str, Any] = dict(scenario.constants)
        self.points: dict[str, Any] = _lists(scenario.points)
        self.inputs: dict[str, Any] = dict(scenario.inputs)
        self.registered = scenario
        self._settings = self._written()
        self._model_state: tuple[str, Mapping[str, Any]] | None = None

    @cached_property
    def model(self) -> Model:
        """A copy of the model with the scenario's values; its equations, points and times may be changed.

        `constants` and `points` take precedence over it.
        """
        model = system_dynamics_of(self.registered).thawed()
        config = self.registered.config((), seed=0)
        for name, value in config["constants"].items():
            model.elements[name].equation = value
        model.points |= config["points"]
        model.run_specs(config["starttime"], config["stoptime"], config["dt"])
        self._model_state = _state(model)
        return model

    @property
    def starttime(self) -> float:
        """Start of runs, in the model's unit of time."""
        return self.model.starttime

    @property
    def stoptime(self) -> float:
        """End of runs, in the model's unit of time."""
        return self.model.stoptime

    @property
    def dt(self) -> float:
        """The length of a step, in the model's unit of time."""
        return self.model.dt

    def get_property_value(self, name: str) -> Any:
        """Return the value of a constant."""
        return self.constants[own_name(self.registered.model, "constants", name)]

    def set_property_value(self, name: str, value: float) -> None:
        """Set a constant."""
        self.constants[own_name(self.registered.model, "constants", name)] = value

    def register(self, catalogue: Catalogue) -> None:
        """Register the scenario again if it was changed."""
        settings, former = self._written(), self._model_state
        state = None if former is None else _state(self.model)
        if (settings, state) == (self._settings, former):
            return
        model, specs = self.registered.model, self.registered.run_specs
        if former is not None and state is not None:
            fingerprint, times = state
            model = model if fingerprint == former[0] else SystemDynamicsModel(self.model).frozen()
            specs = {**specs, **times}
        definition = {**self.registered.others, **settings, "runspecs": specs}
        self.registered = catalogue.manager(self.scenario_manager).make(self.name, definition, model)
        self._settings, self._model_state = settings, state
        catalogue.replace_scenario(self.registered)

    def _written(self) -> dict[str, Any]:
        return {kind: frozen(getattr(self, kind)) for kind in self.registered.model.settable}

    def __repr__(self) -> str:
        return f"<Scenario {self.name!r} of {self.scenario_manager!r}>"


class SimulationScenarios:
    """The returned scenarios: the same object at each request."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], SimulationScenario] = {}

    def of(self, scenario: Scenario) -> SimulationScenario:
        """Return the copy of a registered scenario; a new object if it was registered again."""
        key = scenario.manager, scenario.name
        given = self._given.get(key)
        if given is None or given.registered is not scenario:
            given = self._given[key] = SimulationScenario(scenario)
        return given

    def register(self, catalogue: Catalogue) -> None:
        """Register changed scenarios; drop those that the catalogue no longer has.

        Raises
        ------
        InvalidOverride
            If a value is invalid.
        """
        for (manager, name), given in [*self._given.items()]:
            there = catalogue.managers.get(manager)
            if there is None or there.scenarios.get(name) is not given.registered:
                del self._given[manager, name]
            else:
                given.register(catalogue)


def system_dynamics_of(scenario: Scenario) -> Model:
    """Return a scenario's model of system dynamics; `Invalid` if another engine computes it."""
    if not isinstance(scenario.model, SystemDynamicsModel):
        raise Invalid(
            f"{scenario.manager!r} is computed by the engine {scenario.model.engine_name!r}; this is for "
            "models of system dynamics."
        )
    return scenario.model.model


def _state(model: Model) -> tuple[str, Mapping[str, Any]]:
    times = {"starttime": model.starttime, "stoptime": model.stoptime, "dt": model.dt}
    return model.fingerprint(), times


def _lists(points: Mapping[str, Any]) -> dict[str, Any]:
    return {name: [list(point) for point in table] for name, table in points.items()}

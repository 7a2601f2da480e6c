"""The catalogue: which managers and scenarios there are, and how users register them.

The names of the methods are those of BPTK's `bptk` class, whose users know them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from perdure.engines.system_dynamics import Model
from perdure.errors import InvalidScenario, OutputNotFound, ScenarioNotFound, suggest
from perdure.scenarios.bulk import Results, run
from perdure.scenarios.files import load_model
from perdure.scenarios.scenario import Scenario

__all__ = ["Catalogue", "Manager", "Names", "check_outputs", "names_of"]

log = structlog.get_logger(__name__)

_MANAGER_KEYS = ("model", "type", "name", "base_constants", "base_points", "scenarios", "source")
_SCENARIO_KEYS = ("constants", "points", "runspecs")

Names = str | Iterable[str]
"""Names as a list or, as in BPTK, as one text with commas."""


@dataclass
class Manager:
    """A scenario manager: one model, and the scenarios over it.

    Attributes
    ----------
    name
        What it is known by.
    model
        The model all its scenarios run.
    base_constants, base_points
        What every scenario sets unless it says otherwise.
    scenarios
        By name.
    problems
        What was found wrong but can be lived with, in words.
    """

    name: str
    model: Model
    base_constants: dict[str, float] = field(default_factory=dict)
    base_points: dict[str, Any] = field(default_factory=dict)
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, definition: Mapping[str, Any]) -> None:
        """Add a scenario from its definition: constants, points and runspecs, all optional."""
        place = f"the scenario {name!r} of {self.name!r}"
        _check_keys(place, definition, _SCENARIO_KEYS)
        if name in self.scenarios:
            raise InvalidScenario(reason=f"{place} is defined twice")
        constants = self.base_constants | dict(_mapping(place, definition, "constants"))
        points = self.base_points | dict(_mapping(place, definition, "points"))
        run_specs = dict(_mapping(place, definition, "runspecs"))
        scenario = Scenario(
            self.name,
            name,
            self.model,
            self._known(place, "constant", constants, self._constants()),
            self._known(place, "points", points, self.model.points),
            run_specs,
        )
        # Initialising an engine checks every value now, not at the first session.
        scenario.engine().initialize(scenario.config([], seed=0))
        self.scenarios[name] = scenario

    def _constants(self) -> list[str]:
        return [name for name, element in self.model.elements.items() if element.kind == "constant"]

    def _known(
        self, place: str, what: str, given: Mapping[str, Any], known: Iterable[str]
    ) -> Mapping[str, Any]:
        """Leave out what the model doesn't have: users' files have such rests, and BPTK runs them."""
        known = list(known)
        for name in given:
            if name not in known:
                problem = f"{place} sets the {what} {name!r}, which the model doesn't have."
                self.problems.append(problem + suggest(name, known))
                log.warning("scenario_problem", problem=self.problems[-1])
        return {name: value for name, value in given.items() if name in known}


class Catalogue:
    """The managers and scenarios that can be run.

    Examples
    --------
    >>> from perdure.engines.system_dynamics import Model
    >>> model = Model(starttime=0, stoptime=3, dt=1, name="teacup")
    >>> tea = model.stock("temperature")
    >>> tea.initial_value = 80.0
    >>> tea.equation = (20.0 - tea) / 10.0
    >>> catalogue = Catalogue()
    >>> catalogue.register_model(model)
    >>> catalogue.run_scenarios(equations="temperature", return_format="dict")["smTeacup"]["base"]
    {'equations': {'temperature': {0.0: 80.0, 1.0: 74.0, 2.0: 68.6, 3.0: 63.739999999999995}}}
    """

    def __init__(self) -> None:
        self.managers: dict[str, Manager] = {}

    # Registering --------------------------------------------------------------------------------------------

    def register_model(
        self,
        model: Model | str,
        scenario_manager: str | None = None,
        scenario: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Register a model with a manager of its own.

        Parameters
        ----------
        model
            The model, or where it is: ``package.module.name`` or ``folder/file``.
        scenario_manager
            The manager's name; by default ``sm`` and the model's name with a capital.
        scenario
            Scenarios by name; by default one, ``base``, that sets nothing.
        """
        model = load_model(model) if isinstance(model, str) else model
        name = scenario_manager or f"sm{model.name[:1].upper()}{model.name[1:]}"
        self.register_scenario_manager(
            {name: {"model": model, "scenarios": {"base": {}} if scenario is None else scenario}}
        )

    def register_scenario_manager(
        self, scenario_manager: Mapping[str, Mapping[str, Any]], *, folder: Path | None = None
    ) -> None:
        """Register managers by name, each a dict: model, base_constants, base_points, scenarios.

        A manager that exists takes further scenarios if the definition brings no other model.

        Parameters
        ----------
        folder
            Where model files are looked for; by default the working folder.
        """
        for name, definition in scenario_manager.items():
            place = f"the manager {name!r}"
            _check_keys(place, definition, _MANAGER_KEYS)
            if definition.get("type", "sd") != "sd":
                raise InvalidScenario(reason=f"{place} has type {definition['type']!r}; only 'sd' can be run")
            if definition.get("source"):
                raise InvalidScenario(
                    reason=f"{place} has a source to be translated, {definition['source']!r}; "
                    "give it a Python model instead"
                )
            manager = self._manager(name, place, definition, folder)
            for scenario, settings in _mapping(place, definition, "scenarios").items():
                if not isinstance(settings, Mapping):
                    raise InvalidScenario(reason=f"the scenario {scenario!r} of {name!r} is not an object")
                manager.add(scenario, settings)

    def register_scenarios(self, scenarios: Mapping[str, Mapping[str, Any]], scenario_manager: str) -> None:
        """Add scenarios to a manager."""
        manager = self.manager(scenario_manager)
        for name, definition in scenarios.items():
            manager.add(name, definition)

    def load(self, folder: Path | str) -> None:
        """Register all managers of all ``*.json`` files in a folder, in the order of their names."""
        for path in sorted(Path(folder).glob("*.json")):
            try:
                definitions = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise InvalidScenario(reason=f"{path} can't be read: {error}") from error
            if not isinstance(definitions, dict) or not all(
                isinstance(d, dict) for d in definitions.values()
            ):
                raise InvalidScenario(reason=f"{path} is not an object of scenario managers")
            self.register_scenario_manager(definitions, folder=path.parent.parent)

    def _manager(self, name: str, place: str, definition: Mapping[str, Any], folder: Path | None) -> Manager:
        given = definition.get("model")
        if name not in self.managers:
            if given is None:
                raise InvalidScenario(reason=f"{place} has no model")
            self.managers[name] = Manager(
                name, load_model(given, folder) if isinstance(given, str) else given
            )
        elif isinstance(given, Model) and given is not self.managers[name].model:
            raise InvalidScenario(reason=f"{place} exists with another model")
        manager = self.managers[name]
        manager.base_constants |= _mapping(place, definition, "base_constants")
        manager.base_points |= _mapping(place, definition, "base_points")
        return manager

    # Looking up ---------------------------------------------------------------------------------------------

    def manager(self, name: str) -> Manager:
        """Return a manager; raise `ScenarioNotFound` with the nearest name if there is none."""
        try:
            return self.managers[name]
        except KeyError:
            raise ScenarioNotFound(
                what="scenario manager", name=name, suggestion=suggest(name, self.managers)
            ) from None

    def scenario(self, manager: str, name: str) -> Scenario:
        """Return a scenario; raise `ScenarioNotFound` with the nearest name if there is none."""
        scenarios = self.manager(manager).scenarios
        try:
            return scenarios[name]
        except KeyError:
            what = f"scenario of {manager!r} called"
            raise ScenarioNotFound(what=what, name=name, suggestion=suggest(name, scenarios)) from None

    def select(self, managers: Iterable[str] = (), scenarios: Iterable[str] = ()) -> list[Scenario]:
        """Return the named scenarios of the named managers; no names mean all.

        A scenario name must exist in at least one of the managers.
        """
        chosen = [self.manager(name) for name in managers] or list(self.managers.values())
        wanted = list(scenarios)
        known = [name for manager in chosen for name in manager.scenarios]
        for name in wanted:
            if name not in known:
                raise ScenarioNotFound(what="scenario", name=name, suggestion=suggest(name, known))
        return [
            scenario
            for manager in chosen
            for scenario in manager.scenarios.values()
            if not wanted or scenario.name in wanted
        ]

    def __iter__(self) -> Iterator[Manager]:
        return iter(self.managers.values())

    # Running in bulk ----------------------------------------------------------------------------------------

    def run_scenarios(
        self,
        scenarios: Names = (),
        scenario_managers: Names = (),
        equations: Names = (),
        series_names: Mapping[str, str] | None = None,
        *,
        seed: int = 0,
        progress_bar: bool = False,
        return_format: str | None = None,
    ) -> Results:
        """Run scenarios from start to stop and return the elements asked for.

        Parameters
        ----------
        scenarios, scenario_managers, equations
            Names, as a list or one text with commas; none mean all.
        series_names
            New names for the columns of the DataFrame.
        seed
            Of the random draws.
        progress_bar
            Show how far it is.
        return_format
            ``dict``: manager → scenario → ``equations`` → element → time → value; ``json``: that as text;
            ``df``: a DataFrame with time as its index. By default ``df`` where pandas is installed.
        """
        chosen = self.select(names_of(scenario_managers), names_of(scenarios))
        outputs = list(names_of(equations))
        check_outputs(outputs, chosen)
        return run(chosen, outputs, series_names or {}, seed, progress_bar, return_format)


def check_outputs(outputs: Iterable[str], scenarios: Iterable[Scenario]) -> None:
    """Raise `OutputNotFound` for the first output that none of the scenarios has."""
    known = {name for scenario in scenarios for name in scenario.elements}
    for name in outputs:
        if name not in known:
            raise OutputNotFound(name=name, suggestion=suggest(name, known))


def names_of(names: Names) -> list[str]:
    """Return names as a list."""
    if isinstance(names, str):
        return [name.strip() for name in names.split(",") if name.strip()]
    return list(names)


def _mapping(place: str, definition: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = definition.get(key) or {}
    if not isinstance(value, Mapping):
        raise InvalidScenario(reason=f"{key!r} of {place} is not an object")
    return value


def _check_keys(place: str, definition: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in definition:
        if key not in known:
            raise InvalidScenario(reason=f"{place} has an unknown key {key!r}.{suggest(key, known)}")

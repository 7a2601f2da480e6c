"""The catalogue: which managers and scenarios there are, and how users register them.

The names of the methods are those of BPTK's `bptk` class, whose users know them.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from perdure.engines.system_dynamics import Model
from perdure.errors import (
    InvalidScenario,
    ManagerUnusable,
    OutputNotFound,
    PerdureError,
    ScenarioNotFound,
    nearest,
)
from perdure.late_logger import LateLogger
from perdure.scenarios.bulk import Results, run
from perdure.scenarios.files import GivenModel, load_model, model_of, read_definitions, scenario_files
from perdure.scenarios.manager import Manager, managed
from perdure.scenarios.scenario import Scenario

__all__ = ["Catalogue", "Names", "check_outputs", "names_of"]

log = LateLogger(__name__)

Names = str | Iterable[str]
"""Names as a list or, as in BPTK, as one text with commas."""


class Catalogue:
    """The managers and scenarios that can be run.

    Attributes
    ----------
    managers
        By name.
    unusable
        The managers of files that can't be served, by name, each with its reason.

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
        self.unusable: dict[str, str] = {}

    # Registering --------------------------------------------------------------------------------------------

    def register_model(
        self,
        model: GivenModel | type[Model] | str,
        scenario_manager: str | None = None,
        scenario: Mapping[str, Mapping[str, Any]] | None = None,
        units: Mapping[str, str] | None = None,
    ) -> None:
        """Register a model with a manager of its own.

        Parameters
        ----------
        model
            A model of system dynamics, its class, or an `EngineModel`; or where one of these is:
            ``package.module.name`` or ``folder/file``.
        scenario_manager
            The manager's name; by default ``sm`` and the model's name in small letters after a capital, as in
            BPTK: ``SIR`` gets ``smSir``.
        scenario
            Scenarios by name; by default one, ``base``, that sets nothing.
        units
            What elements are counted in, by their names, and ``time`` for the model's time; for display only.
        """
        model = load_model(model) if isinstance(model, str) else model_of(model, "the model")
        name = scenario_manager or f"sm{model.name.capitalize()}"
        scenarios = {"base": {}} if scenario is None else scenario
        self.register_scenario_manager({name: {"model": model, "scenarios": scenarios, "units": units}})

    def register_scenario_manager(
        self, scenario_manager: Mapping[str, Mapping[str, Any]], *, folder: Path | None = None
    ) -> None:
        """Register managers by name, each a dict: model, base_constants, base_points, units, scenarios.

        A manager that exists keeps its model and takes the scenarios, in place of those that have their
        names; given the same model object again, it takes that as it is now. If one of them is wrong, none is
        registered.

        Parameters
        ----------
        folder
            Where model files are looked for; by default the working folder.
        """
        self._register(scenario_manager.items(), folder)

    def register_scenarios(self, scenarios: Mapping[str, Mapping[str, Any]], scenario_manager: str) -> None:
        """Add scenarios to a manager, in place of those that have their names.

        If one of them is wrong, none is added.
        """
        manager = self.manager(scenario_manager).copy()
        for name, definition in scenarios.items():
            manager.add(name, definition)
        self.managers[scenario_manager] = manager

    def replace_scenario(self, scenario: Scenario) -> None:
        """Put a scenario in the place of the one with its name; no other of its manager changes."""
        manager = self.manager(scenario.manager).copy()
        manager.scenarios[scenario.name] = scenario
        self.managers[scenario.manager] = manager

    def load(self, folder: Path | str) -> None:
        """Register all managers of all ``*.json`` files in a folder, in the order of their names.

        A manager that is wrong, or of a kind that can't be run, is put into `unusable`, with a log line; the
        others are served.

        Raises
        ------
        InvalidScenario
            If a file can't be read at all.
        """
        folder = Path(folder)
        found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for path in scenario_files(folder):
            for name, definition in read_definitions(path).items():
                found.setdefault(name, []).append((name, definition))
        for name, definitions in found.items():
            try:
                self._register(definitions, folder.parent)
            except PerdureError as error:
                self.unusable[name] = str(error)
                log.error("manager_unusable", manager=name, folder=str(folder), reason=str(error))

    def _register(self, definitions: Iterable[tuple[str, Mapping[str, Any]]], folder: Path | None) -> None:
        built: dict[str, Manager] = {}
        added: set[tuple[str, str]] = set()
        for name, definition in definitions:
            known = built.get(name) or self.managers.get(name)
            manager, scenarios = managed(name, definition, known, folder)
            for scenario, settings in scenarios.items():
                if not isinstance(settings, Mapping):
                    raise InvalidScenario(reason=f"the scenario {scenario!r} of {name!r} is not an object")
                if (name, scenario) in added:
                    raise InvalidScenario(reason=f"the scenario {scenario!r} of {name!r} is defined twice")
                added.add((name, scenario))
                manager.add(scenario, settings)
            built[name] = manager
        self.managers.update(built)
        for name in built:
            self.unusable.pop(name, None)

    # Looking up ---------------------------------------------------------------------------------------------

    def manager(self, name: str) -> Manager:
        """Return a manager.

        Raises
        ------
        ManagerUnusable
            If its definition in a file can't be served.
        ScenarioNotFound
            With the nearest name, if there is none.
        """
        if name in self.managers:
            return self.managers[name]
        if name in self.unusable:
            raise ManagerUnusable(name=name, reason=self.unusable[name])
        known = [*self.managers, *self.unusable]
        raise ScenarioNotFound(what="scenario manager", name=name, suggestion=nearest(name, known))

    def scenario(self, manager: str, name: str) -> Scenario:
        """Return a scenario; raise `ScenarioNotFound` with the nearest name if there is none."""
        scenarios = self.manager(manager).scenarios
        try:
            return scenarios[name]
        except KeyError:
            what = f"scenario of {manager!r} called"
            raise ScenarioNotFound(what=what, name=name, suggestion=nearest(name, scenarios)) from None

    def select(self, managers: Iterable[str] = (), scenarios: Iterable[str] = ()) -> list[Scenario]:
        """Return the named scenarios of the named managers; no names mean all.

        A scenario name must exist in at least one of the managers.
        """
        chosen = [self.manager(name) for name in managers] or list(self.managers.values())
        wanted = list(scenarios)
        known = [name for manager in chosen for name in manager.scenarios]
        for name in wanted:
            if name not in known:
                raise ScenarioNotFound(what="scenario", name=name, suggestion=nearest(name, known))
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
    chosen = list(scenarios)
    for name in outputs:
        if not any(name in scenario.elements for scenario in chosen):
            known = {known for scenario in chosen for known in scenario.elements}
            cells = (each for each in sorted(known) if each.startswith(f"{name}["))  # of an array
            raise OutputNotFound(name=name, suggestion=next(cells, None) or nearest(name, known))


def names_of(names: Names) -> list[str]:
    """Return names as a list."""
    if isinstance(names, str):
        return [name.strip() for name in names.split(",") if name.strip()]
    return list(names)

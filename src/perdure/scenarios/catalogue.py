"""The catalogue: which managers and scenarios there are, and how users register them.

The names of the methods are those of BPTK's `bptk` class, whose users know them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from perdure.engines.system_dynamics import Model
from perdure.errors import (
    InvalidOverride,
    InvalidScenario,
    ManagerUnusable,
    OutputNotFound,
    PerdureError,
    ScenarioNotFound,
    nearest,
    suggest,
)
from perdure.scenarios.agent_model import AgentModel
from perdure.scenarios.bulk import Results, run
from perdure.scenarios.files import (
    GivenModel,
    load_agents,
    load_model,
    model_of,
    model_source,
    read_definitions,
    scenario_files,
    served,
)
from perdure.scenarios.model import ServedModel
from perdure.scenarios.model_files import MODEL_FILES, adapted_to, is_model_file
from perdure.scenarios.scenario import Scenario, frozen

__all__ = ["Catalogue", "Manager", "Names", "check_outputs", "names_of"]

log = structlog.get_logger(__name__)

_MANAGER_KEYS = (
    *("model", "type", "name", "base_constants", "base_points", "units", "scenarios", "source", "timeout"),
)
_RUN_SPECS = "runspecs"
MANAGER_TYPES = ("sd", "abm")
"""The types of managers in definitions: of system dynamics or another engine, and of agents."""

Names = str | Iterable[str]
"""Names as a list or, as in BPTK, as one text with commas."""


@dataclass
class Manager:
    """A scenario manager: one model, and the scenarios over it.

    Attributes
    ----------
    name
        What it is known by.
    given
        The model that was given.
    model
        The model all its scenarios run: the one given, as it was then.
    fingerprint
        The model's, taken when the manager is made.
    source
        Where the model was found: a file's path or ``module.attribute``; None if it was given itself.
    base_constants, base_points
        What every scenario sets unless it says otherwise.
    units
        What elements are counted in, by their names, and ``time`` for the model's time; for display only.
    scenarios
        By name.
    remarks
        What is wrong with the definition of the manager itself but doesn't prevent a run, in words.

    Raises
    ------
    ModelError
        If the model is wrong, or can't be identified.
    """

    name: str
    given: GivenModel
    source: str | None = None
    base_constants: dict[str, float] = field(default_factory=dict)
    base_points: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    model: ServedModel = field(init=False)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        self._freeze()

    @property
    def problems(self) -> list[str]:
        """What is wrong with the manager and its scenarios but doesn't prevent a run, in words."""
        return self.remarks + [each for scenario in self.scenarios.values() for each in scenario.problems]

    def copy(self) -> "Manager":
        """Return a manager that can be added to without changing this one."""
        made = copy(self)
        made.base_constants, made.base_points = dict(self.base_constants), dict(self.base_points)
        made.units, made.scenarios, made.remarks = dict(self.units), dict(self.scenarios), list(self.remarks)
        return made

    def add(self, name: str, definition: Mapping[str, Any]) -> None:
        """Add a scenario from its definition, in place of the one that has the name.

        Parameters
        ----------
        name
            The scenario's name.
        definition
            What the model can set, such as constants and points, and runspecs, all optional; other keys, such
            as a description, are kept.
        """
        if name in self.scenarios:
            log.info("scenario_replaced", manager=self.name, scenario=name)
        self.scenarios[name] = self.make(name, definition)

    def set_timeout(self, timeout: Any) -> None:
        """Let a step of agents in a process of their own take so many seconds; None for any.

        Raises
        ------
        InvalidScenario
            If its model is no model of agents, or it isn't a positive number.
        """
        if not isinstance(self.given, AgentModel):
            raise InvalidScenario(reason=f"only managers of agents have a timeout, and {self.name!r} is none")
        self.given = replace(self.given, timeout=timeout)
        self.renew()

    def renew(self) -> None:
        """Copy the given model again, as it is now, and run the scenarios with that."""
        self._freeze()
        for name, scenario in self.scenarios.items():
            definition = {
                **scenario.others,
                **{kind: getattr(scenario, kind) for kind in self.model.settable},
                _RUN_SPECS: scenario.run_specs,
            }
            self.scenarios[name] = self.make(name, definition)

    def keep_model(self, other: str) -> None:
        """Note that a definition came with another model, which isn't used."""
        remark = (
            f"The manager {self.name!r} keeps the model that it was first registered with, "
            f"{self.source or 'one given as an object'}, not {other}."
        )
        log.warning("manager_kept", manager=self.name, problem=remark)
        if remark not in self.remarks:
            self.remarks.append(remark)

    def _freeze(self) -> None:
        self.model = served(self.given).frozen()
        self.fingerprint = self.model.fingerprint()

    def make(self, name: str, definition: Mapping[str, Any], model: ServedModel | None = None) -> Scenario:
        """Return a scenario from its definition without adding it.

        Parameters
        ----------
        name, definition
            As for `add`.
        model
            A frozen model that it runs instead of the manager's.
        """
        place = f"the scenario {name!r} of {self.name!r}"
        model = model or self.model
        others = _other_keys(place, definition, (*model.settable, _RUN_SPECS))
        base: Mapping[str, Mapping[str, Any]] = {"constants": self.base_constants, "points": self.base_points}
        settings = {
            kind: {**base.get(kind, {}), **_mapping(place, definition, kind)} for kind in model.settable
        }
        model, settings = adapted_to(model, settings)
        fingerprint = self.fingerprint if model is self.model else model.fingerprint()
        try:
            known, problems = model.known(place, settings)
            scenario = Scenario(
                self.name,
                name,
                model,
                fingerprint,
                **known,
                run_specs=dict(_mapping(place, definition, _RUN_SPECS)),
                others=others,
                problems=tuple(problems),
            )
            model.check(scenario.config([], seed=0))  # now, not at the first session
        except InvalidOverride as error:
            raise InvalidOverride(
                **error.values | {"reason": f"{error.values['reason']} ({place})"}
            ) from None
        for problem in problems:
            log.warning("scenario_problem", problem=problem)
        return scenario


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
            place = f"the manager {name!r}"
            _other_keys(place, definition, _MANAGER_KEYS)
            if str(definition.get("type") or "sd").lower() not in MANAGER_TYPES:
                raise InvalidScenario(
                    reason=f"{place} has type {definition['type']!r}, not {' or '.join(MANAGER_TYPES)}"
                )
            if definition.get("source"):
                # Its `model` is where BPTK-Py writes the Python that it makes of the source.
                source = _check_name(place, definition["source"])
                if not is_model_file(source):
                    raise InvalidScenario(
                        reason=f"{place} has the source {source!r}; a source ends in {', '.join(MODEL_FILES)}"
                    )
                definition = {**definition, "model": source}
            known = built.get(name) or self.managers.get(name)
            manager = _manager(name, place, definition, folder) if known is None else known.copy()
            if known is not None:
                _meet_model(place, manager, definition.get("model"), folder)
            if "timeout" in definition:
                manager.set_timeout(definition["timeout"])
            manager.base_constants |= frozen(_mapping(place, definition, "base_constants"))
            manager.base_points |= frozen(_mapping(place, definition, "base_points"))
            manager.units |= _units(place, definition)
            for scenario, settings in _mapping(place, definition, "scenarios").items():
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


def _manager(name: str, place: str, definition: Mapping[str, Any], folder: Path | None) -> Manager:
    given = definition.get("model")
    if given is None:
        raise InvalidScenario(reason=f"{place} has no model")
    if str(definition.get("type") or "sd").lower() == "abm":
        source = None if isinstance(given, Model | type) else _check_name(place, given)
        return Manager(name, load_agents(given, name, place, folder), source)
    if isinstance(given, GivenModel | type):
        return Manager(name, model_of(given, f"the model of {place}"))
    source = _check_name(place, given)
    return Manager(name, load_model(source, folder), model_source(source, folder))


def _meet_model(place: str, manager: Manager, given: object, folder: Path | None) -> None:
    """Settle which model a manager runs that is registered again."""
    known = manager.given.given if isinstance(manager.given, AgentModel) else manager.given
    if given is known:
        manager.renew()
    elif isinstance(given, GivenModel):
        manager.keep_model(f"another object called {given.name!r}")
    elif isinstance(given, type):
        if given is not type(known):
            manager.keep_model(f"the class {given.__name__!r}")
    elif given is not None:
        source = model_source(_check_name(place, given), folder)
        if source != manager.source:
            manager.keep_model(source)


def _check_name(place: str, given: object) -> str:
    if not isinstance(given, str):
        raise InvalidScenario(reason=f"the model of {place} is {given!r:.80}, not a model or its name")
    return given


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


def _units(place: str, definition: Mapping[str, Any]) -> Mapping[str, str]:
    units = _mapping(place, definition, "units")
    for name, unit in units.items():
        if not isinstance(unit, str):
            raise InvalidScenario(reason=f"the unit of {name!r} in {place} is {unit!r:.80}, not a text")
    return units


def _other_keys(place: str, definition: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return what has other keys, for the user's own use; refuse keys that look like misspelt ones."""
    others = {key: value for key, value in definition.items() if key not in known}
    for key in others:
        if near := suggest(key, known):
            raise InvalidScenario(reason=f"{place} has an unknown key {key!r}.{near}")
    return others

"""The scenario manager: one model, and the scenarios over it, made of their definitions."""

from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from perdure.engines.system_dynamics import Model
from perdure.errors import InvalidOverride, InvalidScenario, suggest
from perdure.late_logger import LateLogger
from perdure.scenarios.agent_model import AgentModel
from perdure.scenarios.files import (
    GivenModel,
    load_agents,
    load_model,
    model_of,
    model_source,
    served,
    users_code,
)
from perdure.scenarios.model import ServedModel
from perdure.scenarios.model_files import MODEL_FILES, adapted_to, is_model_file
from perdure.scenarios.scenario import Scenario, frozen

__all__ = ["Manager", "managed"]

log = LateLogger(__name__)

_MANAGER_KEYS = (
    *("model", "type", "name", "base_constants", "base_points", "units", "scenarios", "source", "timeout"),
)
_RUN_SPECS = "runspecs"
_TYPES = ("sd", "abm")
"""The types of managers in definitions: of system dynamics or another engine, and of agents."""


@dataclass
class Manager:
    """A scenario manager: one model, and the scenarios over it.

    Attributes
    ----------
    name
        The name of the manager.
    given
        The model that was given.
    model
        The model that all its scenarios run: a copy of the given one, taken when the manager was made.
    fingerprint
        The fingerprint of that model.
    source
        Where the model was found: a file's path or ``module.attribute``; None if it was given itself.
    base_constants, base_points
        The values that a scenario has unless it sets others.
    units
        Units by the names of elements, and ``time`` for the model's time; for display only.
    scenarios
        The scenarios by name.
    remarks
        Mistakes in the definition of the manager itself that don't prevent a run, in words.

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
        """Mistakes in the manager and its scenarios that don't prevent a run, in words."""
        return self.remarks + [each for scenario in self.scenarios.values() for each in scenario.problems]

    def copy(self) -> "Manager":
        """Return a copy, to which scenarios can be added without changing this manager."""
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
        """Limit the seconds that a step of its agents may take in their process; None sets no limit.

        Raises
        ------
        InvalidScenario
            If its model is no model of agents, or it isn't a positive number.
        """
        if not isinstance(self.given, AgentModel):
            raise InvalidScenario(reason=f"only managers of agents have a timeout, and {self.name!r} is none")
        if timeout is not self.given.timeout:
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
        with users_code(f"the model of the manager {self.name!r}"):
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
        own = {kind: _mapping(place, definition, kind) for kind in model.settable}
        try:
            model, settings = adapted_to(model, base, own)
            fingerprint = self.fingerprint if model is self.model else model.fingerprint()
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


def managed(
    name: str, definition: Mapping[str, Any], known: Manager | None, folder: Path | None
) -> tuple[Manager, Mapping[str, Any]]:
    """Return the manager of a definition, and by name the scenarios that are to be added to it.

    Parameters
    ----------
    name, definition
        The manager's name, and its definition as a scenario file has it.
    known
        The manager that has the name already, or None. It isn't changed; the result begins as its copy.
    folder
        Where model files are looked for; by default the working folder.

    Raises
    ------
    InvalidScenario
        If the definition is wrong.
    """
    place = f"the manager {name!r}"
    _other_keys(place, definition, _MANAGER_KEYS)
    if str(definition.get("type") or "sd").lower() not in _TYPES:
        raise InvalidScenario(reason=f"{place} has type {definition['type']!r}, not {' or '.join(_TYPES)}")
    if definition.get("source"):
        # Its `model` is where BPTK-Py writes the Python that it makes of the source.
        source = _check_name(place, definition["source"])
        if not is_model_file(source):
            raise InvalidScenario(
                reason=f"{place} has the source {source!r}; a source ends in {', '.join(MODEL_FILES)}"
            )
        definition = {**definition, "model": source}
    manager = _manager(name, place, definition, folder) if known is None else known.copy()
    if known is not None:
        _meet_model(place, manager, definition.get("model"), folder)
    if "timeout" in definition:
        manager.set_timeout(definition["timeout"])
    manager.base_constants |= frozen(_mapping(place, definition, "base_constants"))
    manager.base_points |= frozen(_mapping(place, definition, "base_points"))
    manager.units |= _units(place, definition)
    return manager, _mapping(place, definition, "scenarios")


def _manager(name: str, place: str, definition: Mapping[str, Any], folder: Path | None) -> Manager:
    given = definition.get("model")
    if given is None:
        raise InvalidScenario(reason=f"{place} has no model")
    if str(definition.get("type") or "sd").lower() == "abm":
        source = None if isinstance(given, Model | type) else _check_name(place, given)
        agents = load_agents(given, name, place, folder)
        if "timeout" in definition:
            agents = replace(agents, timeout=definition["timeout"])
        return Manager(name, agents, source)
    if isinstance(given, GivenModel | type):
        return Manager(name, model_of(given, f"the model of {place}"))
    source = _check_name(place, given)
    return Manager(name, load_model(source, folder), model_source(source, folder))


def _meet_model(place: str, manager: Manager, given: object, folder: Path | None) -> None:
    """Decide which model a manager runs that is registered again."""
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
    """Return the entries with other keys, which are the user's own; refuse keys that look misspelt."""
    others = {key: value for key, value in definition.items() if key not in known}
    for key in others:
        if near := suggest(key, known):
            raise InvalidScenario(reason=f"{place} has an unknown key {key!r}.{near}")
    return others

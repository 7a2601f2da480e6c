"""Models of agents, as the catalogue has them."""

import copy
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import msgspec

from perdure.engines.agents import DataCollector, Model, SimultaneousScheduler
from perdure.engines.agents.complete_run import CompleteRun
from perdure.engines.agents.engine import AgentEngine
from perdure.engines.agents.outputs import OutputNames
from perdure.engines.agents.program_data import program_of
from perdure.engines.base import Engine
from perdure.engines.numbers import finite
from perdure.engines.reference import EngineReference, importable_reference
from perdure.engines.run_specs import RunSpecs
from perdure.errors import (
    InvalidRunSpecs,
    InvalidScenario,
    NotSnapshotable,
    PerdureError,
    message_of,
    nearest,
)
from perdure.execution.environment import allowed
from perdure.execution.isolated_engine import IsolatedEngine, engines_process
from perdure.late_logger import LateLogger
from perdure.scenarios.agent_identity import AgentIdentity
from perdure.scenarios.model import Settings, unknown_names, without_unknown
from perdure.scenarios.plain_objects import attributes_of_object, object_with
from perdure.scenarios.whole_run import whole_run
from perdure.state.codec import State, pack

__all__ = ["AgentModel", "make_agents"]

log = LateLogger(__name__)

_PATIENCE = 60.0  # seconds that a start or a snapshot may take, at least
_HASH_SEED = {"PYTHONHASHSEED": "0"}  # so that sets are walked in the same order in each process


@dataclass(frozen=True)
class AgentModel:
    """A model of agents, or a hybrid model; implements `perdure.scenarios.model.ServedModel`.

    Each run has a model of its own: a class is called with `name`, `scheduler` and `data_collector`, an
    object is copied. Then `instantiate_model` and `configure` are called.

    Sessions step it in a process of its own if that can import it; see `make_engine`.

    Attributes
    ----------
    given
        The model's class, or an object.
    name
        What it is called.
    manager
        The name of its manager.
    timeout
        Seconds that a step in a process of its own may take; None for any. A start or a snapshot may take as
        long, but at least 60 s.
    reference
        Where another process finds what was given. Without it, that is known of classes, and of objects that
        another process can make again from plain data.
    """

    given: Model | type[Model]
    name: str
    manager: str = ""
    timeout: float | None = 60.0
    reference: EngineReference | None = None

    engine_name: ClassVar[str] = "agents"
    reseeds: ClassVar[bool] = False  # its generators are part of its state
    inputs: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        if self.timeout is not None and not (finite(self.timeout) or 0.0) > 0.0:
            reason = f"the timeout of {self.name!r} is {self.timeout!r:.80}, not a positive number of seconds"
            raise InvalidScenario(reason=reason)

    @cached_property
    def probe(self) -> Model:
        """A model that is built and isn't run: it shows what there is."""
        return self._built()

    @property
    def upgradable(self) -> bool:
        """Whether it has an upgrade function."""
        return self.probe.upgrade is not None

    @property
    def starttime(self) -> float:
        """Where a run begins unless its scenario says otherwise."""
        return self.probe.starttime

    @property
    def stoptime(self) -> float:
        """Where a run ends unless its scenario says otherwise."""
        return self.probe.stoptime

    @property
    def dt(self) -> float:
        """The length of a step unless its scenario says otherwise."""
        return self.probe.dt

    def stepping(self, dt: Any) -> Mapping[str, Any]:
        """Return nothing: rounds and steps of agents are those of their scheduler."""
        return {}

    @property
    def kinds(self) -> list[str]:
        """The types of its agents: the names of its factories."""
        return [*self.probe.agent_factories]

    @cached_property
    def outputs(self) -> Collection[str]:
        """The names of its elements, and what it answers of its agents."""
        return OutputNames(self.probe.elements.keys(), self.kinds)

    @property
    def elements(self) -> Mapping[str, Sequence[str]]:
        """The names of its elements by kind, and the types of its agents."""
        found: dict[str, list[str]] = {}
        for name, element in self.probe.elements.items():
            found.setdefault(element.kind, []).append(name)
        return {**found, "agents": self.kinds}

    @property
    def settable(self) -> Mapping[str, Collection[str]]:
        """Its constants, its points, and properties, which a scenario may add."""
        return {
            "constants": self.probe.overridable,
            "points": self.probe.table_names,
            "properties": _Any(),
        }

    @property
    def constants(self) -> Mapping[str, float | None]:
        """Its constants, and converters that are a bare number, with their values."""
        elements = self.probe.elements
        return {name: finite(elements[name].equation) for name in self.probe.overridable}

    @property
    def points(self) -> Mapping[str, Any]:
        """The points of its graphical functions."""
        return self.probe.points

    @cached_property
    def operations(self) -> int:
        """The nodes of all its equations, and one for its agents."""
        return 1 + sum(len(each.code) for each in self.probe.program().definitions.values())

    def frozen(self) -> "AgentModel":
        """Return a copy that runs as this model does now."""
        given = self.given if isinstance(self.given, type) else copy.deepcopy(self.given)
        made = replace(self, given=given)
        made.fingerprint()
        return made

    def fingerprint(self) -> str:
        """Return the hash of the source of the modules that the model and its agents come from."""
        return self._identity.fingerprint

    def check_identity(self, code: Sequence[str], built: Mapping[str, State]) -> None:
        """Raise `ModelChanged` unless another process has this model, too; see `AgentIdentity.check`."""
        self._identity.check(code, built)

    def known(self, place: str, settings: Settings) -> tuple[Settings, list[str]]:
        """Return what it has of a scenario's settings, and in words what is left out."""
        found: Settings = {}
        problems: list[str] = []
        for kind, what in (("constants", "constant"), ("points", "points")):
            names = self.settable[kind]
            found[kind] = {name: value for name, value in settings[kind].items() if name in names}
            problems += unknown_names(place, what, settings[kind], names, names)
        found["properties"] = settings["properties"]
        for name, given in settings["properties"].items():
            if not isinstance(given, Mapping) or not {"type", "value"} <= given.keys():
                reason = f"the property {name!r} of {place} is {given!r:.80}, not a type and a value"
                raise InvalidScenario(reason=reason)
        return found, problems

    def check(self, config: Mapping[str, Any]) -> None:
        """Raise if a scenario's config is wrong; no agent is made for that."""
        if "method" in config:
            raise InvalidRunSpecs(name=self.name, reason="only models of system dynamics have a method")
        agents = config.get("definition", {}).get("agents", [])
        if not isinstance(agents, list | tuple):
            raise InvalidScenario(reason=f"the agents of {self.name!r} are {agents!r:.80}, not a list")
        for spec in agents:
            if not isinstance(spec, Mapping) or not {"name", "count"} <= spec.keys():
                raise InvalidScenario(reason=f"agents of {self.name!r} need a name and a count: {spec!r:.80}")
            if type(spec["count"]) is not int or spec["count"] < 0:
                reason = f"the number of agents of {self.name!r} is {spec['count']!r:.80}, not a whole number"
                raise InvalidScenario(reason=reason)
            if spec["name"] not in self.kinds and self._makes_agents_as_usual:
                near = nearest(str(spec["name"]), self.kinds)
                meant = "" if near is None else f" (did you mean {near!r}?)"
                known = ", ".join(map(repr, self.kinds)) or "none"
                reason = f"{self.name!r} has no agents of the type {spec['name']!r:.80}{meant}"
                raise InvalidScenario(reason=f"{reason}; its types are {known}")

    def adapted(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config of a former version, without what this one hasn't."""
        return without_unknown(self, config)

    def upgraded(self, state: Any, former: str) -> Any:
        """Return a state that a former version made in the present form, by the model's upgrade function."""
        return state if self.probe.upgrade is None else self.probe.upgrade(state, former)

    @property
    def isolated(self) -> bool:
        """Whether sessions step it in a process of its own, where nothing else draws from its generators."""
        return self._place is not None and not engines_process.here

    def make_engine(self) -> Engine:
        """Return a fresh engine, not initialised: in a process of its own if that can import the model."""
        return self._isolated(self.timeout) if self.isolated else self.make_engine_here()

    def make_engine_here(self) -> AgentEngine:
        """Return a fresh engine in this process, whose model can be looked at."""
        return AgentEngine(self.name, self.construct)

    def construct(self, definition: Mapping[str, Any]) -> Model:
        """Return a new model that is configured as a scenario's definition says."""
        model = self._built()
        model.configure(definition)
        model.set_scenario_manager(self.manager)
        return model

    def kinds_at_start(self, config: Mapping[str, Any]) -> Mapping[str, Mapping[str, Sequence[Any]]]:
        """Return type → the ``states`` and ``properties`` of the agents at the start of a scenario."""
        found: Mapping[str, Mapping[str, Sequence[Any]]] = self._complete_run(config, run=False)["agents"]
        return found

    def run_config(self, config: Mapping[str, Any]) -> tuple[float, dict[float, Any]]:
        """Run it as BPTK-Py does: all steps of the last round are taken.

        Returns
        -------
        (float, dict)
            The progress, which is less than 1 if the model has ended the run early, and what was collected,
            by time.
        """
        answer = self._complete_run(config, run=True)
        return answer["progress"], dict(answer["collected"])

    def simulate(self, config: Mapping[str, Any]) -> tuple[list[float], dict[str, list[Any]]]:
        """Run it from start to stop; return the times, and each output's values at them."""
        return whole_run(self.make_engine(), config)

    def _complete_run(self, config: Mapping[str, Any], *, run: bool) -> Mapping[str, Any]:
        """Return what a complete run answers, or what its start does."""
        if self.isolated and _can_be_sent(config, self.name):
            steps = RunSpecs(config["starttime"], config["stoptime"], config["dt"], name=self.name).answers
            engine = self._isolated(None if self.timeout is None else self.timeout * steps, complete=True)
            with closing(engine):
                engine.initialize(config)
                return engine.step({}) if run else engine.start
        with closing(CompleteRun(self.make_engine_here())) as here:
            here.initialize(config)
            return here.step({}) if run else here.outputs()

    def _isolated(self, timeout: float | None, *, complete: bool = False) -> IsolatedEngine:
        """Return an engine in a process of its own, whose steps are those of agents or a complete run."""
        assert self._place is not None
        reference, attributes = self._place
        place = [msgspec.to_builtins(reference), attributes]
        return IsolatedEngine(
            self.name,
            make_agents,
            [complete, self.name, self.manager, *place, [*self._identity.code], self._identity.built],
            timeout=timeout,
            setting=f"the timeout of the manager {self.manager!r}",
            environment=allowed(os.environ) | _HASH_SEED,
            patience=None if self.timeout is None else max(self.timeout, _PATIENCE),
            reusable=True,
        )

    @property
    def _makes_agents_as_usual(self) -> bool:
        """Whether all types of agents are known before the model is configured."""
        names = ("configure", "configure_agents", "create_agents", "create_agent")
        return all(getattr(type(self.probe), name) is getattr(Model, name) for name in names)

    def _built(self) -> Model:
        """Return a new model that isn't configured."""
        if isinstance(self.given, type):
            model = self.given(
                name=self.name, scheduler=SimultaneousScheduler(), data_collector=DataCollector()
            )
        else:
            model = copy.deepcopy(self.given)
            model.reset()
            model.scheduler = SimultaneousScheduler()
            if model.data_collector is None:
                model.data_collector = DataCollector()
        model.instantiate_model()
        return model

    @cached_property
    def _place(self) -> tuple[EngineReference, dict[str, State] | None] | None:
        """Where another process finds what was given, or its class, with the attributes of an object."""
        if self.reference is not None:
            return (self.reference, None) if self.reference.importable else None
        reference = importable_reference(self.kind)
        if reference is None or isinstance(self.given, type):
            return None if reference is None else (reference, None)
        attributes = attributes_of_object(self.given)
        return None if attributes is None else (reference, attributes)

    @property
    def kind(self) -> type[Model]:
        """The model's class."""
        return self.given if isinstance(self.given, type) else type(self.given)

    @cached_property
    def _identity(self) -> AgentIdentity:
        return AgentIdentity(self.kind, self.probe, self._built)


def make_agents(
    complete: bool,
    name: str,
    manager: str,
    reference: Any,
    attributes: dict[str, State] | None,
    code: Sequence[str],
    built: Mapping[str, State],
    config: Mapping[str, Any],
    answers: State,
) -> tuple[Engine, dict[str, Any]]:
    """Create an engine of agents in a process of its own, from plain data.

    Parameters
    ----------
    complete
        Whether its one step is a complete run.
    name, manager, reference
        The model's.
    attributes
        Those of an object of the class that `reference` leads to; None if it leads to what was given.
    code, built
        What `AgentIdentity.check` compares.
    config
        The config of the engine.
    answers
        None: agents ask for nothing.

    Raises
    ------
    ModelChanged
        If the model in the files has changed.
    InvalidScenario
        If it can't be imported.
    """
    try:
        given: Any = msgspec.convert(reference, EngineReference).load()
        program = program_of(given if isinstance(given, type) else type(given))  # before there is a run
        model = AgentModel(given if attributes is None else object_with(given, attributes), name, manager)
        model.check_identity(code, built)
    except PerdureError:
        raise
    except (Exception, SystemExit) as error:  # it is the author's code
        reason = f"its process can't import the model {name!r}: {type(error).__name__}: {message_of(error)}"
        raise InvalidScenario(reason=reason.rstrip(".")) from error
    engine = AgentEngine(name, model.construct, program)
    if not complete:
        engine.initialize(config)
        return engine, {}
    run = CompleteRun(engine)
    run.initialize(config)
    return run, run.outputs()


def _can_be_sent(config: Mapping[str, Any], name: str) -> bool:
    """Return whether another process can have a config: a program may give agents anything."""
    try:
        pack({**config})
    except NotSnapshotable as error:
        log.warning("agents_run_in_the_servers_process", model=name, reason=str(error))
        return False
    return True


class _Any(Collection[str]):
    """Names that can be anything."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

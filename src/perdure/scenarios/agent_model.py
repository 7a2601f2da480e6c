"""Models of agents, as the catalogue has them."""

import copy
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import msgspec

from perdure.engines.agents import DataCollector, Model, SimultaneousScheduler
from perdure.engines.agents.engine import AgentEngine
from perdure.engines.agents.outputs import OutputNames
from perdure.engines.base import Engine
from perdure.engines.numbers import finite
from perdure.engines.reference import EngineReference, importable_reference
from perdure.errors import (
    InvalidRunSpecs,
    InvalidScenario,
    ModelChanged,
    PerdureError,
    message_of,
    nearest,
)
from perdure.execution.environment import allowed
from perdure.execution.isolated_engine import IsolatedEngine, engines_process
from perdure.scenarios.code_identity import code_identity
from perdure.scenarios.model import Settings, unknown_names
from perdure.scenarios.plain_objects import attributes_of_object, object_with
from perdure.scenarios.whole_run import whole_run
from perdure.state.codec import State, pack

__all__ = ["AgentModel", "make_agents"]

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
    probe: Model = field(init=False, repr=False, compare=False)

    engine_name: ClassVar[str] = "agents"
    reseeds: ClassVar[bool] = False  # its generators are part of its state
    inputs: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        if self.timeout is not None and not (finite(self.timeout) or 0.0) > 0.0:
            reason = f"the timeout of {self.name!r} is {self.timeout!r:.80}, not a positive number of seconds"
            raise InvalidScenario(reason=reason)
        object.__setattr__(self, "probe", self._built())

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
        return self._fingerprint

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
        settable = self.settable
        known = {
            kind: {name: value for name, value in config.get(kind, {}).items() if name in settable[kind]}
            for kind in ("constants", "points")
        }
        return {**config, "outputs": [name for name in config["outputs"] if name in self.outputs], **known}

    def upgraded(self, state: Any, former: str) -> Any:
        """Return a state that a former version made in the present form, by the model's upgrade function."""
        return state if self.probe.upgrade is None else self.probe.upgrade(state, former)

    @property
    def isolated(self) -> bool:
        """Whether sessions step it in a process of its own, where nothing else draws from its generators."""
        return self._place is not None and not engines_process.here

    def make_engine(self) -> Engine:
        """Return a fresh engine, not initialised: in a process of its own if that can import the model."""
        if self._place is None or engines_process.here:
            return self.make_engine_here()
        reference, attributes = self._place
        place = [msgspec.to_builtins(reference), attributes]
        return IsolatedEngine(
            self.name,
            make_agents,
            [self.name, self.manager, *place, [*self._code], self._built_digest],
            timeout=self.timeout,
            setting=f"the timeout of the manager {self.manager!r}",
            environment=allowed(os.environ) | _HASH_SEED,
            patience=None if self.timeout is None else max(self.timeout, _PATIENCE),
            reusable=True,
        )

    def make_engine_here(self) -> AgentEngine:
        """Return a fresh engine in this process, whose model can be looked at."""
        return AgentEngine(self.name, self.construct)

    def construct(self, definition: Mapping[str, Any]) -> Model:
        """Return a new model that is configured as a scenario's definition says."""
        model = self._built()
        model.configure(definition)
        model.set_scenario_manager(self.manager)
        return model

    def started(self, config: Mapping[str, Any]) -> Model:
        """Return a new model at the start of a scenario's config, with random draws of its own."""
        engine = self.make_engine_here()
        engine.initialize(config)
        return engine.model

    def run_config(self, config: Mapping[str, Any]) -> Model:
        """Return a new model after a whole run, as BPTK-Py runs it: all steps of the last round are taken."""
        engine = self.make_engine_here()
        engine.initialize(config)
        engine.run()
        return engine.model

    def simulate(self, config: Mapping[str, Any]) -> tuple[list[float], dict[str, list[Any]]]:
        """Run it from start to stop; return the times, and each output's values at them."""
        return whole_run(self.make_engine(), config)

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

    def check_code(self, code: Sequence[str], built: bytes) -> None:
        """Raise `ModelChanged` unless this is the model whose code and construction another process knows.

        That one may have imported more of the same packages.
        """
        if not set(self._code) <= set(code) or self._built_digest != built:
            raise ModelChanged(
                f"What computes the model {self.name!r} has changed since it was registered. Put its files "
                "back, or start the server anew; sessions of the former version are then upgraded."
            )

    @cached_property
    def _place(self) -> tuple[EngineReference, dict[str, State] | None] | None:
        """Where another process finds what was given, or its class, with the attributes of an object."""
        if self.reference is not None:
            return (self.reference, None) if self.reference.importable else None
        reference = importable_reference(self._kind)
        if reference is None or isinstance(self.given, type):
            return None if reference is None else (reference, None)
        attributes = attributes_of_object(self.given)
        return None if attributes is None else (reference, attributes)

    @property
    def _kind(self) -> type[Model]:
        return self.given if isinstance(self.given, type) else type(self.given)

    @cached_property
    def _fingerprint(self) -> str:
        identity: list[State] = [self._kind.__qualname__, [*self._code], *self._built_identity]
        return hashlib.blake2b(pack(identity), digest_size=16).hexdigest()

    @cached_property
    def _code(self) -> list[str]:
        return code_identity(self._kind)

    @property
    def _built_digest(self) -> bytes:
        return hashlib.blake2b(pack([*self._built_identity]), digest_size=16).digest()

    @cached_property
    def _built_identity(self) -> list[dict[str, State]]:
        """What `instantiate_model` made, as plain data."""
        program = self.probe.program()
        parts = {**program.definitions, **program.initials}
        return [
            {name: repr(part.code) for name, part in sorted(parts.items())},
            {**dict(sorted(program.constants.items()))},
            {name: repr(self.probe.points[name]) for name in sorted(self.probe.points)},
            {name: repr(value) for name, value in sorted(self._plain_attributes().items())},
        ]

    def _plain_attributes(self) -> dict[str, Any]:
        """Return the attributes of a given object that are numbers or text."""
        own = self.probe.own_names() | {"name"}
        values = {name: value for name, value in vars(self.probe).items() if name not in own}
        return {name: value for name, value in values.items() if isinstance(value, str | int | float)}


def make_agents(
    name: str,
    manager: str,
    reference: Any,
    attributes: dict[str, State] | None,
    code: Sequence[str],
    built: bytes,
    config: Mapping[str, Any],
    answers: State,
) -> tuple[AgentEngine, dict[str, Any]]:
    """Create an engine of agents in a process of its own, from plain data.

    Parameters
    ----------
    name, manager, reference
        The model's.
    attributes
        Those of an object of the class that `reference` leads to; None if it leads to what was given.
    code, built
        What `AgentModel.check_code` compares.
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
        model = AgentModel(given if attributes is None else object_with(given, attributes), name, manager)
    except PerdureError:
        raise
    except (Exception, SystemExit) as error:  # it is the author's code
        reason = f"its process can't import the model {name!r}: {type(error).__name__}: {message_of(error)}"
        raise InvalidScenario(reason=reason.rstrip(".")) from error
    model.check_code(code, built)
    engine = model.make_engine_here()
    engine.initialize(config)
    return engine, {}


class _Any(Collection[str]):
    """Names that can be anything."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

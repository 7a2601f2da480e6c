"""Models of any engine: an engine with its config, and what clients may set and ask for."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import msgspec

from perdure.engines.base import Engine
from perdure.engines.given_inputs import given_inputs
from perdure.engines.json_data import copied
from perdure.engines.numbers import finite
from perdure.engines.reference import EngineReference, fingerprint_of, reference_to
from perdure.engines.run_specs import RunSpecs
from perdure.engines.stepped import SteppedEngine, make_stepped
from perdure.errors import InvalidRunSpecs, InvalidScenario, NotSnapshotable, PerdureError
from perdure.execution.environment import allowed
from perdure.execution.isolated_engine import IsolatedEngine
from perdure.scenarios.model import Settings, unknown_names, without_unknown
from perdure.scenarios.whole_run import whole_run
from perdure.state.codec import decode, encode

__all__ = ["EngineModel"]

_SCRIPTS = ("python_json", "py_sim")
_PATIENCE = 60.0  # seconds that an engine's start or a snapshot may take, at least
_HASH_SEED = {"PYTHONHASHSEED": "0"}  # so that sets are walked in the same order in each process


@dataclass(frozen=True, kw_only=True)
class EngineModel:
    """A model that any engine computes; implements `perdure.scenarios.model.ServedModel`.

    Parameters
    ----------
    name
        What it is called.
    engine
        The name of a kind of engine, Perdure's or of the entry-point group ``perdure.engines``; or a class,
        or function, without arguments, that a module defines.
    outputs
        The names of what the engine answers that clients may ask for.
    inputs
        What clients may set, each with what it is at the start; None for nothing.
    starttime, stoptime, dt
        The grid of times, in the engine's own unit. The engine is initialised with dt as its ``timestep``.
    config
        What it is initialised with besides, plain data.
    isolated
        Whether it is stepped in a process of its own. An engine whose class says so always is.
    timeout
        Seconds that a step in a process of its own may take; None for any. A start or a snapshot may take as
        long, but at least 60 s.
    version
        Raise it with every change of the numbers that isn't seen in the source of the engine's module or in
        the config.
    upgrade
        Takes the engine's state and the fingerprint of the version that made it; returns the state for this
        version.

    Raises
    ------
    InvalidScenario
        If there is no such engine, or a name or the config is wrong.
    InvalidRunSpecs
        If the times are wrong.

    Examples
    --------
    >>> EngineModel(
    ...     name="shop",
    ...     engine="python_json",
    ...     config={"folder": "models", "script": "shop.py"},
    ...     inputs={"customers_per_minute": 2.0},
    ...     outputs=["waiting"],
    ...     stoptime=480.0,
    ... ).isolated
    True
    """

    name: str
    engine: str | Callable[[], Any]
    outputs: Sequence[str]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    starttime: float = 0.0
    stoptime: float
    dt: float = 1.0
    config: Mapping[str, Any] = field(default_factory=dict)
    isolated: bool = False
    timeout: float | None = 60.0
    version: str = ""
    upgrade: Callable[[Any, str], Any] | None = None

    reseeds: ClassVar[bool] = False  # an engine may keep its generators in its state
    operations: ClassVar[int] = 1
    points: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        for attribute, kind, what in (
            ("outputs", Collection, "a list of names"),
            ("inputs", Mapping, "a mapping of names to values"),
            ("config", Mapping, "a mapping"),
            ("version", str, "a text"),
        ):
            value = getattr(self, attribute)
            if not isinstance(value, kind) or (attribute == "outputs" and isinstance(value, str)):
                reason = f"{attribute!r} of the model {self.name!r} is {value!r:.80}, not {what}"
                raise InvalidScenario(reason=reason)
        if self.timeout is not None and not (finite(self.timeout) or 0.0) > 0.0:
            reason = f"the timeout of {self.name!r} is {self.timeout!r:.80}, not a positive number of seconds"
            raise InvalidScenario(reason=reason)
        if not (self.upgrade is None or callable(self.upgrade)):
            raise InvalidScenario(reason=f"the upgrade of {self.name!r} is {self.upgrade!r:.80}, no function")
        names = (self.name, *self.outputs, *self.inputs)
        if not all(isinstance(name, str) and name for name in names) or not self.outputs:
            raise InvalidScenario(
                reason=f"the model {self.name!r} needs a name and at least one output; names are text"
            )
        given = {
            "outputs": tuple(dict.fromkeys(self.outputs)),
            "inputs": {name: copied(value, name, self.name) for name, value in self.inputs.items()},
            "config": self._checked_config(),
            "isolated": self.isolated or self._engine_isolated(),
        }
        for attribute, value in given.items():
            object.__setattr__(self, attribute, value)
        if self.isolated and not self._reference.importable:
            raise InvalidScenario(
                reason=f"the engine {self._reference.attribute!r} of {self.name!r} runs in a process of its "
                "own, which can't import it; define it at the top of a module other than the main program"
            )
        RunSpecs(self.starttime, self.stoptime, self.dt, name=self.name)

    def stepping(self, dt: Any) -> Mapping[str, Any]:
        """Return nothing: sessions step the engine by dt."""
        return {}

    @property
    def engine_name(self) -> str:
        """Which engine computes it."""
        return self._reference.kind or self._reference.attribute

    @property
    def upgradable(self) -> bool:
        """Whether it has an upgrade function."""
        return self.upgrade is not None

    @property
    def elements(self) -> Mapping[str, Sequence[str]]:
        """Its inputs and outputs."""
        return {"input": list(self.inputs), "output": list(self.outputs)}

    @property
    def settable(self) -> Mapping[str, Collection[str]]:
        """Its inputs; those that are numbers may be set as constants."""
        return {"constants": self.inputs.keys(), "inputs": self.inputs.keys()}

    @property
    def constants(self) -> Mapping[str, float | None]:
        """Its inputs that are numbers at the start."""
        numbers = {name: finite(value) for name, value in self.inputs.items()}
        return {name: number for name, number in numbers.items() if number is not None}

    def frozen(self) -> "EngineModel":
        """Return a model of the engine as it is now: others are refused when they are started."""
        made = replace(self)
        made.fingerprint()
        return made

    def fingerprint(self) -> str:
        """Return the hash of what computes it, as it was when this was first called."""
        return self._fingerprint

    def known(self, place: str, settings: Settings) -> tuple[Settings, list[str]]:
        """Return what it has of a scenario's settings, and in words what is left out."""
        found: Settings = {}
        problems: list[str] = []
        for kind, what in (("constants", "constant"), ("inputs", "input")):
            found[kind] = {name: value for name, value in settings[kind].items() if name in self.inputs}
            problems += unknown_names(place, what, settings[kind], self.inputs, self.inputs)
            given_inputs(self.name, {kind: found[kind]}, self.inputs)
        return found, problems

    def check(self, config: Mapping[str, Any]) -> None:
        """Raise if a scenario's config is wrong; no engine is started for that."""
        if "method" in config:
            raise InvalidRunSpecs(name=self.name, reason="only models of system dynamics have a method")
        RunSpecs(config["starttime"], config["stoptime"], config["dt"], name=self.name)

    def adapted(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config of a former version, without what this one hasn't."""
        return without_unknown(self, config)

    def upgraded(self, state: Any, former: str) -> Any:
        """Return a state that a former version made in the present form.

        Raises
        ------
        NotSnapshotable
            If it isn't the engine's state, but what the engine was given.
        """
        if state["steps"] == 0 or self.upgrade is None:
            return state
        base, runs, _ = state["engine"]
        if base is None or runs:
            raise NotSnapshotable(
                what=f"the engine of {self.name!r}",
                reason="the savepoint holds what a former version was given, which this one can't be given",
            )
        return {**state, "engine": [encode(self.upgrade(decode(base), former)), [], b""]}

    def make_engine(self) -> Engine:
        """Return a fresh engine, not initialised yet."""
        if not self.isolated:
            return SteppedEngine(self.name, self._makes, self.config, self.inputs)
        reference = msgspec.to_builtins(self._reference)
        identity = [self.version, self._fingerprint]
        return IsolatedEngine(
            self.name,
            make_stepped,
            [self.name, reference, dict(self.config), list(self.inputs), *identity],
            timeout=self.timeout,
            setting=f"the timeout of the model {self.name!r}",
            environment=allowed(os.environ) | _HASH_SEED,
            patience=None if self.timeout is None else max(self.timeout, _PATIENCE),
        )

    def simulate(self, config: Mapping[str, Any]) -> tuple[list[float], dict[str, list[Any]]]:
        """Run it from start to stop; return the times, and each output's values at them."""
        return whole_run(self.make_engine(), config)

    @cached_property
    def _reference(self) -> EngineReference:
        return reference_to(self.engine, self.name)

    @cached_property
    def _makes(self) -> Callable[[], Any]:
        return self._reference.load() if isinstance(self.engine, str) else self.engine

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint_of(self.name, self._reference, self._makes, self.config, self.version)

    def _engine_isolated(self) -> bool:
        try:
            return bool(getattr(self._makes, "isolated", False))
        except PerdureError:
            raise
        except Exception as error:  # it is another package's code
            reason = f"the engine of {self.name!r} can't be imported: {type(error).__name__}: {error}"
            raise InvalidScenario(reason=reason) from error

    def _checked_config(self) -> dict[str, Any]:
        named = {"name": self.name} if self._reference.kind in _SCRIPTS else {}
        try:
            config: dict[str, Any] = decode(encode({**named, **self.config}))
        except NotSnapshotable as error:
            raise InvalidScenario(reason=f"the config of {self.name!r} isn't plain data: {error}") from error
        if reserved := config.keys() & {"seed", "timestep"}:
            raise InvalidScenario(
                reason=f"the config of {self.name!r} has {min(reserved)!r}, which is each session's own"
            )
        return config

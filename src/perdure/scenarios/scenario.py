"""The scenario: a model with its constants, points and run specs, ready to be given to an engine."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from perdure.engines.base import Engine
from perdure.engines.numbers import finite
from perdure.errors import InvalidScenario
from perdure.scenarios.model import ServedModel

__all__ = ["RUN_SPECS", "Scenario", "frozen"]

RUN_SPECS: Final = ("starttime", "stoptime", "dt", "method")

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Scenario:
    """One scenario of a manager.

    Attributes
    ----------
    manager, name
        What it is known by; any text.
    model
        The model it runs.
    fingerprint
        The model's, as it was registered: what becomes of the model's file later is of no concern.
    constants, points, inputs, properties
        What it sets, the manager's base values included; inputs are those of another engine than system
        dynamics, properties those of a model of agents. They are copied when the scenario is made, as
        `run_specs` are, so that no later change of a list that was given shows in it.
    run_specs
        Those of starttime, stoptime, dt (in the model's unit) and method that differ from the model's.
    others
        Further keys of its definition, such as a description, or the agents.
    problems
        What is wrong with its definition but doesn't prevent a run, in words.
    """

    manager: str
    name: str
    model: ServedModel
    fingerprint: str
    constants: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    points: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    run_specs: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    others: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    problems: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    properties: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    def __post_init__(self) -> None:
        for name in ("constants", "points", "inputs", "properties", "run_specs", "others"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        unknown = self.run_specs.keys() - set(RUN_SPECS)
        if unknown:
            raise InvalidScenario(reason=f"{self.label} has unknown run specs: {', '.join(sorted(unknown))}")

    @property
    def label(self) -> str:
        """The scenario in words."""
        return f"the scenario {self.name!r} of {self.manager!r}"

    @property
    def stream(self) -> str:
        """The name of its stream of random draws: a function of manager and name alone."""
        return f"{len(self.manager)}:{self.manager}{self.name}"

    @property
    def elements(self) -> Collection[str]:
        """Names of what it can answer."""
        return self.model.outputs

    def start(self, config: Mapping[str, Any]) -> Engine:
        """Return a fresh engine that is initialised with a config of the scenario's."""
        engine = self.model.make_engine()
        try:
            engine.initialize(config)
        except BaseException:
            engine.close()
            raise
        return engine

    def config(self, outputs: Iterable[str], *, seed: int, timestep: float | None = None) -> dict[str, Any]:
        """Return the whole engine configuration as plain data that doesn't refer to the catalogue.

        Numbers are floats, also where the user gave NumPy's. What isn't a number is left as it is, for the
        engine to refuse.

        Parameters
        ----------
        outputs
            Elements to answer with; those the model doesn't have are left out.
        seed
            Of the random draws.
        timestep
            Distance of answers in the model's unit; by default the model's save interval, else its dt.
        """
        dt = self.run_specs.get("dt", self.model.dt)
        config: dict[str, Any] = {
            "starttime": _plain(self.model.starttime),
            "stoptime": _plain(self.model.stoptime),
            "dt": _plain(dt),
            **{key: _plain(value) for key, value in {**self.model.stepping(dt), **self.run_specs}.items()},
            "outputs": [name for name in outputs if name in self.model.outputs],
            "constants": {name: _plain(value) for name, value in self.constants.items()},
            "points": {name: _plain_points(table) for name, table in self.points.items()},
            "seed": seed,
            "stream": self.stream,
        }
        if "inputs" in self.model.settable:
            there = {name: value for name, value in self.model.inputs.items() if value is not None}
            config["inputs"] = there | config["constants"] | _thawed(self.inputs)
            config["constants"] = {}
        if "properties" in self.model.settable:
            config["properties"] = _thawed(self.properties)
            config["definition"] = _thawed(self.others)
        if timestep is not None:
            config["timestep"] = _plain(timestep)
        return config


def frozen(value: Any) -> Any:
    """Return a copy that can't be changed: mappings as read-only ones, lists and arrays as tuples.

    What is neither, a wrong value included, is returned as it is; the engine refuses it.
    """
    if isinstance(value, Mapping):
        return MappingProxyType({name: frozen(each) for name, each in value.items()})
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return tuple(map(frozen, value))
    return value


def _thawed(value: Any) -> Any:
    """Return a copy of what `frozen` returned, as plain data."""
    if isinstance(value, Mapping):
        return {name: _thawed(each) for name, each in value.items()}
    return [_thawed(each) for each in value] if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    number = finite(value)
    return value if number is None else number


def _plain_points(table: Any) -> Any:
    try:
        return [[_plain(number) for number in point] for point in table]
    except TypeError:
        return table

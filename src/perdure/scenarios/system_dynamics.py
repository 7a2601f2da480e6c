"""Models of system dynamics, as the catalogue has them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from perdure.engines.numbers import finite
from perdure.engines.system_dynamics import Model, SystemDynamicsEngine, simulate
from perdure.engines.system_dynamics.points import filled
from perdure.engines.system_dynamics.spellings import AnySpelling, by_own_names
from perdure.scenarios.model import Settings, unknown_names

__all__ = ["SystemDynamicsModel"]


@dataclass(frozen=True)
class SystemDynamicsModel:
    """A model of system dynamics; implements `perdure.scenarios.model.ServedModel`.

    Attributes
    ----------
    model
        The model itself.
    """

    model: Model

    engine_name: ClassVar[str] = "system_dynamics"
    reseeds: ClassVar[bool] = True  # draws are functions of the seed and the step
    inputs: ClassVar[Mapping[str, Any]] = {}

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.model.name

    @property
    def upgradable(self) -> bool:
        """Whether it has an upgrade function."""
        return self.model.upgrade is not None

    @property
    def starttime(self) -> float:
        """Where a run begins, in the model's unit of time."""
        return self.model.starttime

    @property
    def stoptime(self) -> float:
        """Where a run ends."""
        return self.model.stoptime

    @property
    def dt(self) -> float:
        """The length of a step."""
        return self.model.dt

    def stepping(self, dt: Any) -> Mapping[str, Any]:
        """Return the model's timestep and method in runs with this dt."""
        return {"timestep": self.model.timestep(dt), "method": self.model.method}

    @property
    def outputs(self) -> Collection[str]:
        """The names of its elements that have a value."""
        return AnySpelling(self.model.outputs, self.model.spelled)

    @property
    def elements(self) -> Mapping[str, Sequence[str]]:
        """The names of its elements by kind."""
        found: dict[str, list[str]] = {}
        for name, element in self.model.elements.items():
            found.setdefault(element.kind, []).append(name)
        return found

    @property
    def settable(self) -> Mapping[str, Collection[str]]:
        """Its elements, of which the engine refuses what isn't a constant, and its points."""
        spelled = self.model.spelled
        return {
            "constants": AnySpelling(self.model.elements.keys(), spelled),
            "points": AnySpelling(self.model.table_names, spelled),
        }

    @property
    def constants(self) -> Mapping[str, float | None]:
        """Its constants, and converters that are a bare number, with their values."""
        return {name: finite(self.model.elements[name].equation) for name in self.model.overridable}

    @property
    def points(self) -> Mapping[str, Any]:
        """The points of its graphical functions."""
        return self.model.points

    @cached_property
    def operations(self) -> int:
        """The nodes of all its equations."""
        return sum(len(definition.code) for definition in self.model.program().definitions.values())

    def frozen(self) -> "SystemDynamicsModel":
        """Return a copy that runs as this model does now."""
        return SystemDynamicsModel(self.model.frozen())

    def fingerprint(self) -> str:
        """Return the hash of its equations and of all that they read."""
        return self.model.fingerprint()

    def known(self, place: str, settings: Settings) -> tuple[Settings, list[str]]:
        """Return what it has of a scenario's settings, and in words what is wrong but may be lived with."""
        model = self.model
        constants, points = (
            by_own_names(settings[kind], kind, model.spelled) for kind in ("constants", "points")
        )
        problems = [
            *unknown_names(place, "constant", constants, model.elements, model.overridable),
            *unknown_names(place, "points", points, model.table_names, model.table_names),
        ]
        constants = {name: value for name, value in constants.items() if name in model.elements}
        # An empty table fills nothing; in place of one that the model has it is wrong.
        there = filled(points).keys() | filled(model.points).keys()
        points = {
            name: table for name, table in points.items() if name in model.table_names and name in there
        }
        return {"constants": constants, "points": points}, [*problems, *self._lacks(place, constants, points)]

    def check(self, config: Mapping[str, Any]) -> None:
        """Raise what an engine would raise that is initialised with a scenario's config."""
        self.make_engine().initialize(config)

    def adapted(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config of a former version, without what this one hasn't."""
        model = self.model
        return {
            **config,
            "outputs": [name for name in config["outputs"] if name in self.outputs],
            "constants": {
                name: value
                for name, value in config["constants"].items()
                if model.spelled(name) in model.overridable
            },
            "points": {
                name: table
                for name, table in config["points"].items()
                if model.spelled(name) in model.table_names
            },
        }

    def upgraded(self, state: Any, former: str) -> Any:
        """Return a state that a former version made in the present form, by the model's upgrade function."""
        return state if self.model.upgrade is None else self.model.upgrade(state, former)

    def make_engine(self) -> SystemDynamicsEngine:
        """Return a fresh engine, not initialised yet."""
        return SystemDynamicsEngine(self.model)

    def simulate(self, config: Mapping[str, Any]) -> tuple[list[float], dict[str, list[float]]]:
        """Run it from start to stop; return the times, and each output's values at them."""
        return simulate(self.model, config)

    def _lacks(self, place: str, constants: Collection[str], points: Collection[str]) -> Iterator[str]:
        """Say what neither the model nor the scenario gives."""
        program = self.model.program()
        elements = [repr(name) for name in program.kinds if name in program.missing and name not in constants]
        tables = [repr(name) for name in program.missing_tables if name not in points]
        for what, names in (("an equation or a value of", elements), ("points of", tables)):
            if names:
                yield f"{place} lacks {what} {', '.join(names)}; what needs that can't be run."

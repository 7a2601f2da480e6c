"""The model port: what the catalogue, sessions and routes know of a model, whatever computes it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from perdure.engines.base import Engine
from perdure.engines.system_dynamics.spellings import AnySpelling, by_own_names
from perdure.errors import suggest

__all__ = ["ServedModel", "Settings", "overridden", "own_name", "unknown_names", "without_unknown"]

Settings = dict[str, dict[str, Any]]
"""What is set in a scenario: kind (``constants``, ``points``, ``inputs``) → name → value."""


class ServedModel(Protocol):
    """A model in the catalogue. Values of scenarios and of steps are set by kind and name."""

    @property
    def name(self) -> str:
        """What the model is called."""
        ...

    @property
    def engine_name(self) -> str:
        """Which engine computes it."""
        ...

    @property
    def reseeds(self) -> bool:
        """Whether a fork may go on with another seed: the engine's state has no random generators in it."""
        ...

    @property
    def upgradable(self) -> bool:
        """Whether the model's author has given it an upgrade function."""
        ...

    @property
    def starttime(self) -> float:
        """Where a run begins, in the model's unit of time."""
        ...

    @property
    def stoptime(self) -> float:
        """Where a run ends."""
        ...

    @property
    def dt(self) -> float:
        """The length of a step."""
        ...

    def stepping(self, dt: Any) -> Mapping[str, Any]:
        """Return the model's own ``timestep`` and ``method`` in runs with this dt, where it has them."""
        ...

    @property
    def outputs(self) -> Collection[str]:
        """The names of what it can answer."""
        ...

    @property
    def elements(self) -> Mapping[str, Sequence[str]]:
        """What it consists of: kind → names."""
        ...

    @property
    def settable(self) -> Mapping[str, Collection[str]]:
        """What can be set: kind → names."""
        ...

    @property
    def constants(self) -> Mapping[str, float | None]:
        """The numbers that can be set, each with its value unless it has none."""
        ...

    @property
    def points(self) -> Mapping[str, Any]:
        """The points of its graphical functions."""
        ...

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs of its engine, each with what it is at the start; None is nothing."""
        ...

    @property
    def operations(self) -> int:
        """How much work a step of dt is: the nodes of its equations, or 1 for a step of another engine."""
        ...

    def frozen(self) -> "ServedModel":
        """Return the model as it is now, whatever becomes of what was registered."""
        ...

    def fingerprint(self) -> str:
        """Return the identity of what computes its numbers; raise `ModelError` if it can't be identified."""
        ...

    def known(self, place: str, settings: Settings) -> tuple[Settings, list[str]]:
        """Return what it has of a scenario's settings, and in words what is wrong but may be lived with."""
        ...

    def check(self, config: Mapping[str, Any]) -> None:
        """Raise what an engine would raise that is initialised with a scenario's config."""
        ...

    def adapted(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config of a former version, without what this one hasn't."""
        ...

    def upgraded(self, state: Any, former: str) -> Any:
        """Return a state that the version of a former fingerprint made in the present form."""
        ...

    def make_engine(self) -> Engine:
        """Return a fresh engine, not initialised yet."""
        ...

    def simulate(self, config: Mapping[str, Any]) -> tuple[list[float], dict[str, list[Any]]]:
        """Run it from start to stop; return the times, and each output's values at them."""
        ...


def own_name(model: ServedModel, kind: str, name: str) -> str:
    """Return the name that a model has for what a client may set; other names as they are."""
    names = model.settable.get(kind)
    return names.own(name) if isinstance(names, AnySpelling) else name


def overridden(
    model: ServedModel, kind: str, base: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return settings of a kind with others over them, which replace those of the same names.

    Parameters
    ----------
    model
        The model, which may know several spellings of a name.
    kind
        ``constants``, ``points`` or ``inputs``.
    base
        Settings by the names that the model has.
    given
        The others, by any spellings.

    Raises
    ------
    InvalidOverride
        If `given` has one name in two spellings.
    """
    names = model.settable.get(kind)
    return {**base, **by_own_names(given, kind, names.own if isinstance(names, AnySpelling) else str)}


def without_unknown(model: ServedModel, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scenario's config without the settings and outputs that a model doesn't have."""
    known = {
        kind: {name: value for name, value in config[kind].items() if name in names}
        for kind, names in model.settable.items()
        if kind in config
    }
    return {**config, "outputs": [name for name in config["outputs"] if name in model.outputs], **known}


def unknown_names(
    place: str, what: str, given: Mapping[str, Any], known: Collection[str], near: Collection[str]
) -> Iterator[str]:
    """Say in a line which names the model doesn't have: users' files have such rests, and BPTK runs them."""
    unknown = [name for name in given if name not in known]
    if unknown:
        names = f"the {what} {unknown[0]!r}"
        if len(unknown) > 1:
            names = f"{len(unknown)} {what.removesuffix('s')}s, {unknown[0]!r} first"
        yield f"{place} sets {names}, which the model doesn't have.{suggest(unknown[0], near)}"

"""The port to what is simulated: engines and what is between them, advanced step by step."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Protocol

from perdure.drivers.experiments.nrp import Rows
from perdure.engines.warned import Modules
from perdure.state.codec import State

__all__ = ["CoSimulated"]


class CoSimulated(Protocol):
    """What a simulation needs of a co-simulation."""

    @property
    def timestep(self) -> Fraction:
        """Length of a timestep, in seconds."""
        ...

    @property
    def time(self) -> Fraction:
        """Simulation time reached, in seconds."""
        ...

    @property
    def done(self) -> bool:
        """Whether the status function said so."""
        ...

    @property
    def modules(self) -> Modules:
        """The modules that engines and functions of this process have of their own, by entity."""
        ...

    @property
    def kept(self) -> Mapping[str, str | None]:
        """Why a part had to be replayed from the last snapshot, None if it is saved; read by any thread."""
        ...

    @property
    def samples(self) -> State:
        """Numbers of the data packs over time, for whoever watches; read by any thread."""
        ...

    @property
    def unsaved(self) -> int:
        """The bytes of what `readings` would return now."""
        ...

    def initialize(self, entities: Mapping[str, Any] | None = None) -> None:
        """Start the engines; `entities` are those that `restore` will go to."""
        ...

    def step(self) -> None:
        """Advance by one timestep."""
        ...

    def take_trajectory(self) -> Rows:
        """Return what the status function answered since the last time: JSON, without tuples."""
        ...

    def set_datapack(self, name: str, engine: str, data: Any) -> None:
        """Send a data pack to an engine with the next step."""
        ...

    @property
    def hidden(self) -> bool:
        """Whether `scenes` lacks one that it will have after another step."""
        ...

    def scenes(self) -> Mapping[str, State]:
        """Return copies of what pictures of the engines show, by name; changes nothing."""
        ...

    def snapshot(self) -> Mapping[str, State]:
        """Return the states of all parts, by entity id."""
        ...

    def readings(self) -> State:
        """Return what parts were answered in the steps since the last snapshot; None if nothing."""
        ...

    def restore(self, entities: Mapping[str, Any], ahead: Iterable[Any] = ()) -> None:
        """Go to what `snapshot` returned, after `initialize`; `readings` returned `ahead` after it."""
        ...

    def close(self) -> None:
        """Shut the engines down."""
        ...

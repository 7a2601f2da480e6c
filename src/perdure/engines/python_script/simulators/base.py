"""The port of simulators: the `sim_manager` of a `py_sim` script, under nrp-core's names.

Values that it returns never share memory with it, so a script may keep them.
"""

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.errors import Invalid, MissingExtra, suggest
from perdure.state.codec import State

__all__ = ["SIMULATORS", "Simulator", "load_package", "unknown_simulator"]

SIMULATORS: Mapping[str, str] = {"Mujoco": "mujoco", "OpenAI": "gymnasium"}
"""The simulators by nrp-core's names, with the package that each needs; its extra has the same name."""


class Simulator(Protocol):
    """A simulator that can save its whole state, or says why it can't."""

    def run_step(self, action: Any, timestep_ns: int) -> Any:
        """Apply an action and advance by a time step."""
        ...

    def reset(self) -> Any:
        """Return to the start."""
        ...

    def shutdown(self) -> None:
        """Free what it holds."""
        ...

    def get_model_properties(self, kind: str) -> list[str]:
        """Return the names of all things of a kind."""
        ...

    def get_model_property(self, name: str, attribute: str) -> Any:
        """Return one value of the thing of that name."""
        ...

    def get_model_all_properties(self, kind: str) -> Any:
        """Return the values of all things of a kind."""
        ...

    def get_sim_time(self) -> float:
        """Return the simulator's own time, in seconds."""
        ...

    def scene(self) -> State:
        """Return a copy of what a picture shows; raise `NotSnapshotable` if that can't be done."""
        ...

    def snapshot(self, graph: ObjectGraph) -> State:
        """Return its state; raise `NotSnapshotable` if that can't be done."""
        ...

    def restore(self, state: Any) -> None:
        """Go to a state that `snapshot` returned, on a simulator with the same configuration."""
        ...


def load_package(kind: str) -> Any:
    """Import and return the package that a simulator needs; raise `MissingExtra` if it isn't installed."""
    if kind not in SIMULATORS:
        raise unknown_simulator(kind)
    package = SIMULATORS[kind]
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(what=f'The simulator "{kind}"', package=package, extra=package) from error


def unknown_simulator(kind: str) -> Invalid:
    """Return the error of a kind of simulator that isn't one of `SIMULATORS`."""
    return Invalid(
        f"There is no Simulator {kind!r}; known are {', '.join(SIMULATORS)}.{suggest(kind, SIMULATORS)}"
    )

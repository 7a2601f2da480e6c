"""The object `nrp` of a main script: what of nrp-core's client a script may use.

It holds no state of the simulation; it checks what it is given and passes it on. Semantics after the wrapper
of the Neurorobotics Platform's backend (seed 003), without its faults: see ``docs/experiments-resume.md``.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["Loop", "NRPSimulationTimeout", "Nrp", "Rows", "ScriptStopped"]

Rows = list[Any]
"""What the status function answered, one row a step in which it answered anything."""


class NRPSimulationTimeout(Exception):
    """The simulation's time is up: SimulationTimeout was reached, or the status function said done."""


class ScriptStopped(BaseException):
    """Ends a script from inside one of its calls.

    Not an `Exception`, so that a script's ``except Exception`` lets it through.
    """


class Loop(Protocol):
    """What a simulation lets its script do."""

    def run_loop(self, count: int, datapacks: list[Any]) -> tuple[bool, Rows]:
        """Take timesteps; the data packs (name, engine, data) are sent with the first."""
        ...

    def max_timesteps(self) -> int:
        """How many timesteps the time-out allows; 0 without one."""
        ...

    def simulation_time(self) -> float:
        """Simulation time reached, in seconds."""
        ...

    def simulation_time_remaining(self) -> float:
        """Simulation time left, in seconds, as far as it is whole timesteps; infinite without a time-out."""
        ...

    def real_time(self) -> float:
        """Seconds spent in `run_loop`."""
        ...


class Nrp:
    """A script's handle on its simulation.

    >>> def main(nrp: Nrp) -> None:
    ...     try:
    ...         while True:
    ...             done, trajectory = nrp.run_loop(10)
    ...     except NRPSimulationTimeout:
    ...         pass
    """

    def __init__(self, loop: Loop, sim_id: int | str) -> None:
        self._loop = loop
        self._sim_id = sim_id
        self._datapacks: list[Any] = []

    def run_loop(self, num_iterations: int = 1, json_data: Any = None) -> tuple[bool, Rows]:
        """Advance the simulation by a number of timesteps.

        Parameters
        ----------
        num_iterations
            How many, at least 1.
        json_data
            Data packs to send with the first of them: a list of ``{"engine_name": …, "datapack_name": …,
            "data": …}``, or its JSON text.

        Returns
        -------
        (bool, list)
            Whether the status function said that the simulation is done, and what it answered in these steps.

        Raises
        ------
        NRPSimulationTimeout
            If the time is up before that many steps are taken. What is left of it was still run.
        """
        if not isinstance(num_iterations, int) or isinstance(num_iterations, bool) or num_iterations < 1:
            raise ValueError(f"run_loop takes a number of timesteps from 1 on, not {num_iterations!r}.")
        datapacks = self._datapacks + _datapacks(json_data)
        self._datapacks = []
        return self._loop.run_loop(num_iterations, datapacks)

    def set_json_datapack(self, datapack_name: str, engine_name: str, payload: Mapping[str, Any]) -> None:
        """Send a data pack to an engine with the next `run_loop`."""
        self._datapacks.append([str(datapack_name), str(engine_name), json.loads(json.dumps(payload))])

    @property
    def sim_id(self) -> int | str:
        """The simulation's id."""
        return self._sim_id

    @property
    def max_timesteps(self) -> int:
        """How many timesteps the time-out allows; 0 without one."""
        return self._loop.max_timesteps()

    @property
    def simulation_time(self) -> float:
        """Simulation time reached, in seconds."""
        return self._loop.simulation_time()

    @property
    def simulation_time_remaining(self) -> float:
        """Simulation time left, in seconds, as far as it is whole timesteps; infinite without a time-out."""
        return self._loop.simulation_time_remaining()

    @property
    def real_time(self) -> float:
        """Seconds that were spent in `run_loop`."""
        return self._loop.real_time()

    def initialize(self) -> None:
        """Refuse: the simulation is initialised when its script starts."""
        raise NotImplementedError("initialize() is not available: the simulation is initialised already.")

    def reset(self) -> None:
        """Refuse: a simulation starts anew as a fork of its savepoint 0."""
        raise NotImplementedError("reset() is not available: fork the run at its savepoint 0 instead.")

    def stop(self) -> None:
        """Refuse: a script stops its simulation by ending."""
        raise NotImplementedError("stop() is not available: let the script end instead.")

    def shutdown(self) -> None:
        """Refuse: engines are shut down when the script has ended."""
        raise NotImplementedError("shutdown() is not available: the engines are shut down after the script.")


def _datapacks(json_data: Any) -> list[Any]:
    """Return the data packs of `json_data` as lists of name, engine and data."""
    if json_data is None:
        return []
    packs = json.loads(json_data if isinstance(json_data, str) else json.dumps(json_data))
    wanted = {"engine_name", "datapack_name", "data"}
    if not isinstance(packs, list) or any(
        not isinstance(pack, dict) or set(pack) != wanted for pack in packs
    ):
        raise ValueError(
            'json_data is a list of {"engine_name": …, "datapack_name": …, "data": …}, or its JSON text.'
        )
    return [[pack["datapack_name"], pack["engine_name"], pack["data"]] for pack in packs]

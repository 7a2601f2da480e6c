"""The base classes of engines' scripts, under the names of nrp-core.

A script is a class `Script` with `initialize`, `runLoop(timestep_ns)`, `shutdown` and, optionally, `reset`.
"""

from typing import Any, cast

import msgspec

from perdure.engines.python_script.modules import register
from perdure.engines.python_script.raised import Place, caller
from perdure.engines.python_script.simulators import Simulator
from perdure.errors import InvalidDataPack, suggest

__all__ = ["EngineScript", "PySimEngineScript"]


class EngineScript:
    """The base class of `python_json` scripts."""

    def __init__(self) -> None:
        self._datapacks: dict[str, Any] = {}
        self._set_at: dict[str, Place] = {}  # the line that set each data pack last
        self._time_ns = 0
        self._name = ""
        self._config_text = "{}"

    @property
    def _config(self) -> dict[str, Any]:
        """The engine's configuration; each access returns a new copy."""
        return cast(dict[str, Any], msgspec.json.decode(self._config_text))

    def initialize(self) -> None:
        """Called once, before the first step."""

    def runLoop(self, timestep_ns: int) -> None:  # noqa: N802 - nrp-core's name
        """Advance by a time step, in nanoseconds."""
        raise NotImplementedError("An engine's script defines runLoop(self, timestep_ns).")

    def shutdown(self) -> None:
        """Called once, when the simulation ends."""

    def reset(self) -> None:
        """Return to the start; by default calls `shutdown`, then `initialize`."""
        self.shutdown()
        self.initialize()

    def _registerDataPack(self, datapack_name: str) -> None:  # noqa: N802 - nrp-core's name
        if datapack_name in self._datapacks:
            raise InvalidDataPack(name=datapack_name, engine=self._name, reason="it is registered already")
        self._datapacks[datapack_name] = None

    def _getDataPack(self, datapack_name: str) -> Any:  # noqa: N802 - nrp-core's name
        return self._datapacks[self._registered(datapack_name)]

    def _setDataPack(self, datapack_name: str, data: Any) -> None:  # noqa: N802 - nrp-core's name
        self._datapacks[self._registered(datapack_name)] = data
        self._set_at[datapack_name] = caller(1)

    def _registered(self, name: str) -> str:
        if name not in self._datapacks:
            reason = f"the engine hasn't registered it.{suggest(name, self._datapacks)}"
            raise InvalidDataPack(name=name, engine=self._name, reason=reason)
        return name


class PySimEngineScript(EngineScript):
    """The base class of `py_sim` scripts; `sim_manager` is the simulator, available from `initialize` on."""

    sim_manager: Simulator


register("nrp_core.engines.python_json", {"EngineScript": EngineScript}, __name__)
register("nrp_core.engines.py_sim", {"PySimEngineScript": PySimEngineScript}, __name__)

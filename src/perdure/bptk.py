"""BPTK-Py's names: change ``from BPTK_Py import …`` to ``from perdure.bptk import …``.

Each name is imported when it is first used, so that a model's file needs this one import and pulls in no web
framework. As in BPTK-Py, `bptk` is the class, and ``from perdure.bptk.bptk import bptk`` works too.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from perdure import __version__

if TYPE_CHECKING:
    from perdure.api.bptk_server import BptkServer
    from perdure.dialects.bptk import in_process
    from perdure.dialects.bptk.external_state import (
        ExternalStateAdapter,
        FileAdapter,
        InstanceState,
        PostgresAdapter,
        RedisAdapter,
    )
    from perdure.engines.agents import (
        Agent,
        AgentDataCollector,
        CSVDataCollector,
        DataCollector,
        DelayedEvent,
        Event,
        Model,
        NotAnAgentException,
        Scheduler,
        SimultaneousScheduler,
        WrongTypeException,
    )
    from perdure.engines.system_dynamics import Module
    from perdure.engines.system_dynamics import functions as sd_functions

    bptk = in_process.Bptk

__all__ = [
    "Agent",
    "AgentDataCollector",
    "BptkServer",
    "CSVDataCollector",
    "DataCollector",
    "DelayedEvent",
    "Event",
    "ExternalStateAdapter",
    "FileAdapter",
    "InstanceState",
    "Model",
    "Module",
    "NotAnAgentException",
    "PostgresAdapter",
    "RedisAdapter",
    "Scheduler",
    "SimultaneousScheduler",
    "WrongTypeException",
    "__version__",
    "bptk",
    "sd_functions",
]

_AGENTS = "perdure.engines.agents"

_PLACES = {
    "Agent": (_AGENTS, "Agent"),
    "AgentDataCollector": (_AGENTS, "AgentDataCollector"),
    "BptkServer": ("perdure.api.bptk_server", "BptkServer"),
    "CSVDataCollector": (_AGENTS, "CSVDataCollector"),
    "DataCollector": (_AGENTS, "DataCollector"),
    "DelayedEvent": (_AGENTS, "DelayedEvent"),
    "Event": (_AGENTS, "Event"),
    "ExternalStateAdapter": ("perdure.dialects.bptk.external_state", "ExternalStateAdapter"),
    "FileAdapter": ("perdure.dialects.bptk.external_state", "FileAdapter"),
    "InstanceState": ("perdure.dialects.bptk.external_state", "InstanceState"),
    "Model": (_AGENTS, "Model"),
    "Module": ("perdure.engines.system_dynamics", "Module"),
    "NotAnAgentException": (_AGENTS, "NotAnAgentException"),
    "PostgresAdapter": ("perdure.dialects.bptk.external_state", "PostgresAdapter"),
    "RedisAdapter": ("perdure.dialects.bptk.external_state", "RedisAdapter"),
    "Scheduler": (_AGENTS, "Scheduler"),
    "SimultaneousScheduler": (_AGENTS, "SimultaneousScheduler"),
    "WrongTypeException": (_AGENTS, "WrongTypeException"),
    "bptk": ("perdure.dialects.bptk.in_process", "Bptk"),
    "sd_functions": ("perdure.engines.system_dynamics", "functions"),
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = place
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Part(ModuleType):
    """A module of BPTK-Py, such as ``BPTK_Py.bptk``: it has the same names as the whole."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(sys.modules[__name__], name)


# Made here, since the import of a file of its own would put the module `bptk` in the place of the class.
for _part in ("abm", "bptk", "exceptions", "externalstateadapter", "modeling", "sddsl", "server"):
    sys.modules[f"{__name__}.{_part}"] = _Part(f"{__name__}.{_part}")

"""BPTK-Py's names: change ``from BPTK_Py import …`` to ``from perdure.bptk import …``.

Each name is imported when it is first used, so that a model's file needs this one import and pulls in no web
framework.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.api.bptk_server import BptkServer
    from perdure.dialects.bptk import in_process
    from perdure.dialects.bptk.external_state import ExternalStateAdapter, FileAdapter, InstanceState
    from perdure.engines.system_dynamics import Model, Module
    from perdure.engines.system_dynamics import functions as sd_functions

    bptk = in_process.Bptk

__all__ = [
    "BptkServer",
    "ExternalStateAdapter",
    "FileAdapter",
    "InstanceState",
    "Model",
    "Module",
    "bptk",
    "sd_functions",
]

_PLACES = {
    "BptkServer": ("perdure.api.bptk_server", "BptkServer"),
    "ExternalStateAdapter": ("perdure.dialects.bptk.external_state", "ExternalStateAdapter"),
    "FileAdapter": ("perdure.dialects.bptk.external_state", "FileAdapter"),
    "InstanceState": ("perdure.dialects.bptk.external_state", "InstanceState"),
    "Model": ("perdure.engines.system_dynamics", "Model"),
    "Module": ("perdure.engines.system_dynamics", "Module"),
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

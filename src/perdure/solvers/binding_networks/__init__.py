"""Thermodynamic binding networks: their values, their stable configurations, and the proof of these.

`solve` is loaded when it is first used: reading a network needs no solver.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from perdure.solvers.binding_networks.configuration import Bond, Configuration, Polymer
from perdure.solvers.binding_networks.network import Constraint, Keyword, Monomer, Network, Site, SiteRef
from perdure.solvers.binding_networks.solution import Solution, Status

if TYPE_CHECKING:
    from perdure.solvers.binding_networks.progress import Progress
    from perdure.solvers.binding_networks.solving import solve

__all__ = [
    "Bond",
    "Configuration",
    "Constraint",
    "Keyword",
    "Monomer",
    "Network",
    "Polymer",
    "Progress",
    "Site",
    "SiteRef",
    "Solution",
    "Status",
    "solve",
]

_LAZY = {"Progress": "progress", "solve": "solving"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)

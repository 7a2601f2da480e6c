"""The kinds of engines by name: Perdure's, and those of the entry-point group ``perdure.engines``.

The modules of a kind are imported when an engine of it is made, so that a simulation server starts quickly.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from inspect import getattr_static
from typing import Any

from perdure.engines.base import Engine
from perdure.errors import Refused

__all__ = ["ENGINES", "LIBRARIES", "OWN_KINDS", "engine_kinds", "new_engine", "packages_of_kind"]

ENGINES = "perdure.engines"
_PORT = ("time", "finished", "initialize", "validate", "step", "snapshot", "restore", "close")

_OURS: Mapping[str, tuple[str, str]] = {
    "mesa": ("perdure.engines.mesa", "MesaEngine"),
    "python_json": ("perdure.engines.python_script", "PythonJsonEngine"),
    "py_sim": ("perdure.engines.python_script", "PySimEngine"),
    "simpy": ("perdure.engines.simpy", "SimPyEngine"),
    "system_dynamics": ("perdure.engines.system_dynamics", "SystemDynamicsEngine"),
}
LIBRARIES: Mapping[str, str] = {"mesa": "mesa", "simpy": "simpy"}
"""Perdure's kinds that run models of a library, with that library's package."""
OWN_KINDS = frozenset(_OURS)
"""The kinds of engines that every installation of Perdure has."""


class _Kinds(Mapping[str, Callable[..., Any]]):
    """Perdure's kinds, and those of other packages, which are looked up for any other name."""

    @cached_property
    def _others(self) -> Mapping[str, Any]:
        from importlib.metadata import entry_points

        entries = entry_points(group=ENGINES)
        return {entry.name: entry for entry in entries if entry.name not in _OURS}

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name in _OURS:
            module, attribute = _OURS[name]
            found: Callable[..., Any] = getattr(import_module(module), attribute)
        else:
            found = self._others[name].load()
        return found

    def __contains__(self, name: object) -> bool:
        return name in _OURS or name in self._others

    def __iter__(self) -> Iterator[str]:
        yield from (*_OURS, *self._others)

    def __len__(self) -> int:
        return len(_OURS) + len(self._others)


def engine_kinds() -> Mapping[str, Callable[..., Any]]:
    """Return the class or function that makes each kind of engine, by the kind's name.

    Those of other packages are called without arguments.
    """
    return _Kinds()


def new_engine(name: str, make: Callable[[], Any]) -> Engine:
    """Return a new engine; raise `Refused` if it lacks a method or attribute of the port.

    Parameters
    ----------
    name
        The engine's description in errors.
    make
        Creates it.
    """
    made: Engine = make()
    # Without asking for them, since an engine that isn't initialised may have no time yet.
    lacking = [part for part in _PORT if getattr_static(made, part, _PORT) is _PORT]
    if lacking:
        raise Refused(f"The engine {name!r} lacks {', '.join(lacking)} of the engine port.")
    return made


def packages_of_kind(name: str) -> dict[str, str]:
    """Return the package of a kind of engine, with its version; empty for Perdure's kinds."""
    if name in OWN_KINDS:
        return {}
    from importlib.metadata import entry_points

    points = entry_points(group=ENGINES, name=name)
    return {point.dist.name: point.dist.version for point in points if point.dist is not None}

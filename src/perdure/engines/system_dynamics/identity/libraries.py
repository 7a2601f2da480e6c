"""Libraries: which modules aren't the modeller's own, and their versions.

The modeller's own code is identified by its text, that of a library by its name and version. A package that
defines a model is the modeller's own, even if it is installed in site-packages.
"""

import os
import sys
import sysconfig
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType

__all__ = ["MOVED", "library_version", "top_level"]

MOVED = {"perdure.engines.run_specs": "perdure.engines.system_dynamics.run_specs"}
"""Modules of Perdure that have moved, with the former names, which fingerprints keep."""

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_STANDARD = tuple(Path(place) for place in {str(Path(os.__file__).parent), sysconfig.get_path("platstdlib")})


def library_version(module: str, home: str) -> str | None:
    """Return the version of the library that a module belongs to, or None if it is the modeller's own.

    Python's standard library, Perdure and packages without metadata have the version ``""``: the meaning of
    their names is assumed to stay the same.

    Parameters
    ----------
    module
        The module's full name.
    home
        The top-level package of the function that is identified.
    """
    top = top_level(module)
    if _standard(top):
        return ""
    if top == home:
        return None
    if top == "perdure":
        return ""
    loaded = sys.modules.get(module) or sys.modules.get(top)
    if loaded is None or not any(_INSTALLED.intersection(place.parts) for place in _places(loaded)):
        return None
    names = _distributions(tuple(sys.path)).get(top, ())
    return ", ".join(sorted({f"{name} {version(name)}" for name in names}))


def top_level(module: str) -> str:
    """Return the top-level package of a module."""
    return module.partition(".")[0]


def _standard(top: str) -> bool:
    """Whether the module is part of Python, rather than a file of the modeller's with the same name."""
    if top not in sys.stdlib_module_names or top == "__main__":
        return False
    loaded = sys.modules.get(top)
    return loaded is None or all(
        any(place.is_relative_to(standard) for standard in _STANDARD)
        and not _INSTALLED.intersection(place.parts)
        for place in _places(loaded)
    )


def _places(module: ModuleType) -> list[Path]:
    """Return the file of a module, or the folders of a package without one."""
    file = getattr(module, "__file__", None)
    return [Path(file)] if file else [Path(folder) for folder in getattr(module, "__path__", ())]


@lru_cache(maxsize=1)
def _distributions(path: tuple[str, ...]) -> Mapping[str, list[str]]:
    """Return the installed distributions by top-level package; read again when the search path changes."""
    return packages_distributions()

"""Surroundings: what a part shares with the rest of its process, besides the libraries that it holds.

These are the environment variables, the context of the decimal module, and modules that the folder's code
puts into `sys.modules` by hand. They don't belong to a part's state, so a part whose surroundings have
changed since its first step can't be saved. Libraries put modules into `sys.modules` by hand, too, for
example those compiled by Cython; these are code.

If a library is a single module in C, such as pybullet, a script only has handles, as numbers, of what the
library keeps. A part that holds such a library can't be saved from its first step on.
"""

import decimal
import importlib.machinery
import os
import re
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from perdure.errors import NotSnapshotable

__all__ = ["Surroundings"]

_SIMULATORS = ("nest", "neuron")  # packages in Python around a kernel in C, with the same problem
_NAMES_MODULES = re.compile(rb"^[^\S\n]*+(?!#).*\bmodules\b", re.MULTILINE)  # not in a comment line


class Surroundings:
    """The surroundings of one part; created before its code is loaded.

    Parameters
    ----------
    what
        The part's description in errors.
    folder
        The experiment's folder, with the code of all parts.
    """

    def __init__(self, what: str, folder: Path) -> None:
        self._what = what
        self._folder = folder
        self._modules = dict(sys.modules)
        self._noted: Mapping[str, Any] = {}
        self._keeping: str | None = None

    def note(self, libraries: Iterable[Any]) -> None:
        """Record them at the part's first step; `libraries` are the libraries that its code holds."""
        self._noted = _shared()
        self._keeping = next(filter(None, map(_keeping_its_own, libraries)), None)

    def check(self) -> None:
        """Raise `NotSnapshotable` with the name of what has changed."""
        for name, module in sys.modules.copy().items():
            if self._modules.get(name) is not module:
                if _is_made_by_hand(name, module) and _names_modules(self._folder):
                    raise self._refusal(f"the module {name!r} was put into sys.modules by hand")
                self._modules[name] = module
        if self._keeping is not None:
            raise self._refusal(f"the library {self._keeping!r} keeps what can't be read from Python")
        shared = _shared() if self._noted else {}
        for what, noted in self._noted.items():
            if shared[what] != noted:
                raise self._refusal(f"{what} changed")

    def _refusal(self, reason: str) -> NotSnapshotable:
        return NotSnapshotable(what=self._what, reason=reason)


def _shared() -> Mapping[str, Any]:
    """Return the state that the whole process shares."""
    context = decimal.getcontext()
    kept = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
    return {
        "the environment's variables (os.environ)": dict(os.environ),
        "the context of the decimal module": [*(getattr(context, n) for n in kept), dict(context.traps)],
    }


def _is_made_by_hand(name: str, module: Any) -> bool:
    """Return whether a module was made by hand: by no importer, and not by a library in its own package."""
    if type(module) is not types.ModuleType or module.__name__ == "__main__" or "." in name:
        return False
    if name.startswith("_cython_") or name == "cython_runtime":  # shared by libraries that Cython compiled
        return False
    return module.__spec__ is None


def _names_modules(folder: Path) -> bool:
    """Return whether code of a folder may add to `sys.modules`: whether a line has the word `modules`."""
    try:
        return any(_NAMES_MODULES.search(path.read_bytes()) for path in folder.rglob("*.py"))
    except OSError:
        return True  # unreadable, so assume that it may


def _keeping_its_own(library: Any) -> str | None:
    """Return the name of a library whose state can't be read; None for other libraries."""
    is_module = isinstance(library, types.ModuleType)
    name = str(library.__name__ if is_module else library.__module__)
    first = name.partition(".")[0]
    if first in _SIMULATORS:
        return first
    loader = getattr(library.__spec__, "loader", None) if is_module else None
    if first != name or name in sys.stdlib_module_names:
        return None
    return name if isinstance(loader, importlib.machinery.ExtensionFileLoader) else None

"""Surroundings: what a party's code shares with everybody in its process, as far as a change can be seen.

The environment's variables, the decimal module's context, modules that the folder's code puts into
`sys.modules` by hand, and the attributes of the libraries' modules, classes and functions that the code
holds. None of it is a party's state, so that a party whose surroundings have changed since its first step
can't be saved. What is kept inside of such an attribute, or in a library's private ones, isn't seen.

Libraries put modules into `sys.modules` by hand too, as all that Cython compiled do; these are code.

Of a library that is itself a module in C, such as pybullet, a script holds nothing but numbers: handles of
what the library keeps. A party whose code holds one can't be saved from its first step on.
"""

import decimal
import importlib.machinery
import operator
import os
import sys
import tokenize
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perdure.engines.python_script.constants import of_library
from perdure.errors import NotSnapshotable

__all__ = ["Surroundings"]


_SIMULATORS = frozenset(
    ("nest", "neuron")
)  # packages in Python around a kernel in C, of which the same is true


class Surroundings:
    """What is around one party, made before its code is loaded.

    Parameters
    ----------
    what
        What the party is called in errors.
    folder
        The experiment's, which holds the code of all parties.
    """

    def __init__(self, what: str, folder: Path) -> None:
        self._what = what
        self._folder = folder
        self._modules = dict(sys.modules)
        self._environment: dict[str, str] | None = None
        self._decimal: list[Any] = []
        self._libraries: list[tuple[Any, dict[str, Any]]] = []
        self._keeping: str | None = None

    def note(self, libraries: Iterable[Any]) -> None:
        """Note how they are, at the party's first step; `libraries` are what its code holds of them."""
        self._environment = dict(os.environ)
        self._decimal = _context()
        self._libraries = [(library, dict(vars(library))) for library in libraries]
        self._keeping = next(
            (name for library, _ in self._libraries if (name := _keeping_its_own(library)) is not None), None
        )

    def check(self) -> None:
        """Raise `NotSnapshotable` with the name of what was changed."""
        for name, module in sys.modules.copy().items():
            if self._modules.get(name) is not module:
                if _made_by_hand(name, module) and _names_modules(self._folder):
                    raise NotSnapshotable(
                        what=self._what, reason=f"the module {name!r} was put into sys.modules by hand"
                    )
                self._modules[name] = module
        if self._environment is None:
            return
        if self._keeping is not None:
            raise NotSnapshotable(
                what=self._what, reason=f"the library {self._keeping!r} keeps what can't be read from Python"
            )
        if self._environment != dict(os.environ):
            raise NotSnapshotable(what=self._what, reason="the environment's variables (os.environ) changed")
        if self._decimal != _context():
            raise NotSnapshotable(what=self._what, reason="the context of the decimal module changed")
        for library, noted in self._libraries:
            present = vars(library)
            if len(present) == len(noted) and all(map(operator.is_, present.values(), noted.values())):
                continue
            for name, value in present.items():
                if noted.get(name, noted) is not value and not _of_its_own(name, value):
                    raise NotSnapshotable(
                        what=self._what, reason=f"the attribute {name!r} of {library.__name__} was set"
                    )


def _context() -> list[Any]:
    context = decimal.getcontext()
    kept = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
    return [*(getattr(context, name) for name in kept), dict(context.traps)]


def _made_by_hand(name: str, module: Any) -> bool:
    """Return whether no importer made a module, nor a library below a package of its own."""
    if type(module) is not types.ModuleType or module.__name__ == "__main__" or "." in name:
        return False
    if name.startswith("_cython_") or name == "cython_runtime":  # what libraries built with Cython share
        return False
    return module.__spec__ is None


def _names_modules(folder: Path) -> bool:
    """Return whether code of a folder may put something into `sys.modules`: it says `modules` somewhere."""
    return any(map(_says_modules, folder.rglob("*.py")))


def _says_modules(path: Path) -> bool:
    try:
        if b"modules" not in path.read_bytes():
            return False
        with path.open("rb") as file:
            tokens = [token.string for token in tokenize.tokenize(file.readline) if token.string[:1] != "#"]
    except (OSError, SyntaxError, tokenize.TokenError):
        return True  # nobody knows what it does
    return any("sys.modules" in token or token.strip("\"'") == "modules" for token in tokens)


def _keeping_its_own(library: Any) -> str | None:
    """Return the name of a library that keeps a state which can't be read; None of any other."""
    is_module = isinstance(library, types.ModuleType)
    name = str(library.__name__ if is_module else library.__module__)
    first = name.partition(".")[0]
    if first in _SIMULATORS:
        return first
    loader = getattr(library.__spec__, "loader", None) if is_module else None
    if first != name or name in sys.stdlib_module_names:
        return None
    return name if isinstance(loader, importlib.machinery.ExtensionFileLoader) else None


def _of_its_own(name: str, value: Any) -> bool:
    """Return whether a library sets such an attribute itself: a private one, or what it imports late."""
    return name.startswith("_") or isinstance(value, types.ModuleType) or of_library(value)

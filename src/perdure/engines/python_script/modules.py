"""The modules that a script imports: those with nrp-core's names, and those of its experiment's folder.

In nrp-core, every engine and the main script have processes of their own. Here they share one process, so
each part has its own copies of the folder's modules, which are in `sys.modules` only while its code runs.
Nothing is written to the folder, not even bytecode. The modules with nrp-core's names (`nrp_core` and below)
are available for the same time only.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perdure.engines.clock_methods import compiled
from perdure.spawned import SpawnedImports

__all__ = ["FolderModules", "provided", "register", "registered"]

_registered: dict[str, types.ModuleType] = {}
_registering: dict[str, None] = {}


def register(name: str, contents: Mapping[str, Any], by: str) -> None:
    """Add contents to a module with one of nrp-core's names, and create the packages above it.

    `by` is the module that calls this when it is imported.
    """
    _registering[by] = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        path = ".".join(parts[:depth])
        if path not in _registered:
            module = types.ModuleType(
                path, "Answers to a name of nrp-core's while an experiment's code runs."
            )
            module.__path__ = []
            _registered[path] = module
            if depth > 1:
                setattr(_registered[".".join(parts[: depth - 1])], parts[depth - 1], module)
    module = _registered[name]
    module.__dict__.update(contents)
    # `from nrp_core import *` imports only these names, not the packages below.
    module.__dict__["__all__"] = sorted({*module.__dict__.get("__all__", ()), *contents})


def registered() -> Mapping[str, types.ModuleType]:
    """Return the modules with nrp-core's names."""
    return _registered


def provided(*registering: str) -> Mapping[str, types.ModuleType]:
    """Import the modules that register modules with nrp-core's names, and return the latter."""
    for name in registering:
        importlib.import_module(name)
    return _registered


class FolderModules:
    """One part's copies of the modules of a folder, available within a ``with`` block.

    The folder comes first in the search, like the folder of a script in Python.

    Parameters
    ----------
    folder
        The folder with the modules.
    given
        Further modules that are available.
    builtins
        The builtins of their code; None for Python's own.

    Attributes
    ----------
    loaded
        The imported modules of the folder, by name, as of the end of the last block.
    """

    def __init__(
        self,
        folder: Path,
        given: Mapping[str, types.ModuleType],
        builtins: Mapping[str, Any] | None = None,
    ) -> None:
        self.loaded: dict[str, types.ModuleType] = {}
        self._folder = str(folder)
        self._given = given
        self._builtins = builtins
        self._found: dict[str, None] = {}  # names found here, in the order of the search
        self._hidden: dict[str, types.ModuleType] = {}
        self._scripts: dict[str, str] = {}  # the paths of the loaded ones, by name
        self._spawned = SpawnedImports(self._scripts, {"nrp_core": (f"{__name__}:provided", [*_registering])})

    @property
    def files(self) -> list[str]:
        """The paths of the imported modules, within the folder."""
        within = f"{self._folder}/"
        files = (getattr(module, "__file__", None) or "" for module in self.loaded.values())
        return [file.removeprefix(within) for file in files if file.startswith(within)]

    def __enter__(self) -> "FolderModules":
        own = {**self._given, **self.loaded}
        self._hidden = {name: sys.modules[name] for name in own if name in sys.modules}
        sys.modules.update(own)
        sys.meta_path.insert(0, self)
        # `multiprocessing` passes it to processes that it spawns, which import the folder's modules by it.
        sys.path.insert(0, self._folder)
        self._spawned.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._spawned.__exit__()
        sys.meta_path.remove(self)
        if self._folder in sys.path:
            sys.path.remove(self._folder)
        self.loaded = {name: sys.modules.pop(name) for name in self._found if name in sys.modules}
        for name in self._given:
            sys.modules.pop(name, None)
        sys.modules.update(self._hidden)

    def load(self, path: Path) -> types.ModuleType:
        """Execute a file as a new module, within the block."""
        # A unique name: the file may have the name of a module of the standard library.
        name = f"experiment_script_{path.stem}"
        loader = _Loader(name, str(path), self._builtins)
        spec = importlib.util.spec_from_loader(name, loader, origin=str(path))
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        module.__file__ = str(path)
        self._found[name] = None
        self._scripts[name] = str(path)
        sys.modules[name] = module
        try:
            loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module in the folder (the import system's protocol for finders)."""
        if path is not None and not all(map(self._is_own, map(str, path))):
            return None
        find = importlib.machinery.PathFinder.find_spec
        spec = find(name, [self._folder] if path is None else path, target)
        # A folder without __init__.py is a package only if no other package has its name.
        elsewhere = [place for place in sys.path if place != self._folder]
        if spec is None or (spec.loader is None and path is None and find(name, elsewhere) is not None):
            return None
        self._found[name] = None
        if isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path, self._builtins)
        return spec

    def _is_own(self, place: str) -> bool:
        """Return whether a place is in the folder; an environment in the folder, such as `.venv`, isn't."""
        return place.startswith(self._folder) and "site-packages" not in place[len(self._folder) :]


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module for one part, without reading or writing bytecode in the folder."""

    def __init__(self, name: str, path: str, builtins: Mapping[str, Any] | None) -> None:
        super().__init__(name, path)
        self._builtins = builtins

    def exec_module(self, module: types.ModuleType) -> None:
        if self._builtins is not None:
            module.__dict__["__builtins__"] = self._builtins
        super().exec_module(module)

    def get_code(self, fullname: str) -> types.CodeType | None:
        source = self.get_data(self.path)
        if self._builtins is None:
            return self.source_to_code(source, self.path)
        return compiled(source, self.path)

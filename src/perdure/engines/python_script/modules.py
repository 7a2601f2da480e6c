"""The modules a script imports: those of nrp-core's names, and those of its experiment's folder.

In nrp-core every engine is a process of its own. Here several may share one, so each keeps its own copies of
the folder's modules, in place only while its code runs; nothing is left in the folder, bytecode neither. The
modules of nrp-core's names (`nrp_core` and below) are in place just as long, and nowhere else.
"""

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["FolderModules", "register", "registered"]

_registered: dict[str, types.ModuleType] = {}


def register(name: str, contents: Mapping[str, Any]) -> None:
    """Add contents to a module of nrp-core's; the packages above it are made with it."""
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
    # Only what is listed comes with `from nrp_core import *`, not the packages below.
    module.__dict__["__all__"] = sorted({*module.__dict__.get("__all__", ()), *contents})


def registered() -> Mapping[str, types.ModuleType]:
    """Return the modules of nrp-core's names."""
    return _registered


class FolderModules:
    """One party's own copies of the modules of a folder.

    Parameters
    ----------
    folder
        Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._hidden: dict[str, types.ModuleType] = {}
        self.loaded: dict[str, types.ModuleType] = {}

    def __enter__(self) -> "FolderModules":
        own = {**registered(), **self.loaded}
        self._hidden = {name: sys.modules[name] for name in own if name in sys.modules}
        sys.modules.update(own)
        sys.meta_path.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)
        for name in (*registered(), *self.loaded):
            sys.modules.pop(name, None)
        sys.modules.update(self._hidden)

    def load(self, path: Path) -> types.ModuleType:
        """Execute a file as a module of its own, within the block."""
        # A name that nothing else has: a file may be called as a module of the standard library is.
        name = f"experiment_script_{path.stem}"
        loader = _Loader(name, str(path), self)
        spec = importlib.util.spec_from_loader(name, loader, origin=str(path))
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        module.__file__ = str(path)
        sys.modules[name] = module
        loader.exec_module(module)
        return module

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module in the folder (the import system's protocol for finders)."""
        if path is None:
            path = [self._folder]
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path, self)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module for one party, and leaves no bytecode in the folder nor reads what is there."""

    def __init__(self, name: str, path: str, modules: FolderModules) -> None:
        super().__init__(name, path)
        self._modules = modules

    def exec_module(self, module: types.ModuleType) -> None:
        self._modules.loaded[module.__name__] = module
        try:
            super().exec_module(module)
        except BaseException:
            del self._modules.loaded[module.__name__]
            raise

    def get_code(self, fullname: str) -> types.CodeType | None:
        return self.source_to_code(self.get_data(self.path), self.path)

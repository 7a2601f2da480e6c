"""The modules of a script: a view of its own on what can be imported, in place only while its code runs.

Modules from the experiment's folder are loaded once for the script and not shared with engines, which are
processes of their own in nrp-core and do not run when a script is replayed. The script and its modules see
facades of some modules (`clocks`); what they import from elsewhere sees the real ones.
"""

import builtins
import importlib.machinery
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["ScriptModules"]


class ScriptModules:
    """What a script imports.

    Parameters
    ----------
    folder
        Where its own modules are.
    main
        The module that the script itself is executed in.
    facades
        Modules that it sees in place of the real ones, by name.
    """

    def __init__(self, folder: Path, main: types.ModuleType, facades: Mapping[str, types.ModuleType]) -> None:
        self._folder = str(folder)
        self._facades = facades
        self._names = {"__main__"}
        self._own: dict[str, types.ModuleType] = {"__main__": main}
        self._hidden: dict[str, types.ModuleType] = {}
        self.builtins: dict[str, Any] = {**vars(builtins), "__import__": self._import}
        main.__dict__["__builtins__"] = self.builtins

    def enter(self) -> None:
        """Put the script's modules in place."""
        self._hidden = {name: sys.modules[name] for name in self._own if name in sys.modules}
        sys.modules.update(self._own)
        sys.meta_path.insert(0, self)

    def leave(self) -> None:
        """Take them away, and put back what they hid."""
        sys.meta_path.remove(self)
        self._own = {name: sys.modules.pop(name) for name in self._names if name in sys.modules}
        sys.modules.update(self._hidden)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module in the folder (the import system's protocol for finders)."""
        if path is not None and not all(str(place).startswith(self._folder) for place in path):
            return None
        find = importlib.machinery.PathFinder.find_spec
        spec = find(name, [self._folder] if path is None else path, target)
        # A mere folder is a package only if there is none of that name elsewhere.
        if spec is None or (spec.loader is None and path is None and find(name) is not None):
            return None
        self._names.add(name)
        if isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path, self.builtins)
        return spec

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        if level == 0 and name in self._facades:
            return self._facades[name]
        return builtins.__import__(name, globals, locals, fromlist or (), level)


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module of the folder with the script's view, and leaves no bytecode there nor reads any."""

    def __init__(self, name: str, path: str, builtins: Mapping[str, Any]) -> None:
        super().__init__(name, path)
        self._builtins = builtins

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__["__builtins__"] = self._builtins
        super().exec_module(module)

    def get_code(self, fullname: str) -> types.CodeType | None:
        return self.source_to_code(self.get_data(self.path), self.path)

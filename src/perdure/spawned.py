"""Spawned processes: what those that `multiprocessing` begins anew import by names that only we know.

By `spawn` and `forkserver` a process begins without its parent's modules, and imports those that are named in
what it has to do. Some it would find nowhere: a file that was loaded under a name of our own, and modules
that are no files. So it is given a finder of these with the first that it is sent.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import sys
import types
from collections.abc import Mapping, Sequence
from multiprocessing import spawn
from typing import Any

__all__ = ["SpawnedImports"]

_KEY = "perdure"
_PREPARATION = "get_preparation_data"


class SpawnedImports(importlib.abc.MetaPathFinder):
    """Has the processes find modules that are spawned within a ``with`` block, or after `begin`.

    It is pickled for them; where it is unpickled it takes effect.

    Parameters
    ----------
    files
        The files of modules, by the modules' names; looked at whenever a process is spawned.
    sources
        What is in files, by their paths: it counts, whatever is in the file now. If any is given, what isn't
        among them is the folder of a package without ``__init__.py``.
    given
        For a package that is no file, the function that returns it and what is in it by name, as
        ``module:function``, and its arguments.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        given: Mapping[str, tuple[str, Sequence[str]]] | None = None,
        sources: Mapping[str, bytes] | None = None,
    ) -> None:
        self._files = files
        self._given = given or {}
        self._sources = sources or {}
        self._former: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (dict(self._files), dict(self._given), dict(self._sources))

    def __enter__(self) -> "SpawnedImports":
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        vars(spawn)[_PREPARATION] = self._former

    def begin(self) -> None:
        """Take effect for all processes that are spawned from now on."""
        former = self._former = spawn.get_preparation_data

        def preparation(name: str) -> dict[str, Any]:
            # `multiprocessing` looks for what it knows by its names; the rest is unpickled before all else.
            return {_KEY: self, **former(name)}

        vars(spawn)[_PREPARATION] = preparation

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module (the import system's protocol for finders)."""
        if name in self._files:
            file = self._files[name]
            if self._sources and file not in self._sources:
                spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
                spec.submodule_search_locations = [file]
                return spec
            loader = _Text(file, self._sources[file]) if self._sources else None
            return importlib.util.spec_from_file_location(name, file, loader=loader)
        if (package := name.partition(".")[0]) in self._given:
            function, arguments = self._given[package]
            within, _, function = function.partition(":")
            modules = getattr(importlib.import_module(within), function)(*arguments)
            if name in modules:
                return importlib.machinery.ModuleSpec(name, _Ready(modules[name]), is_package=True)
        return None


class _Text(importlib.abc.SourceLoader):
    """Loads a module from a text that is said to be in a file."""

    def __init__(self, file: str, source: bytes) -> None:
        self._file = file
        self._source = source

    def get_filename(self, fullname: str) -> str:
        return self._file

    def get_data(self, path: str) -> bytes:
        """Return the text; there is no bytecode of it."""
        if path != self._file:
            raise FileNotFoundError(path)
        return self._source

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute it, with tracebacks that show the lines of the text."""
        lines = (self.get_source(module.__name__) or "").splitlines(keepends=True)
        linecache.cache[self._file] = len(self._source), None, lines, self._file
        super().exec_module(module)


class _Ready(importlib.abc.Loader):
    """Loads a module that is there already."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return self._module

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: it has been executed."""


def _unpickled(
    files: Mapping[str, str],
    given: Mapping[str, tuple[str, Sequence[str]]],
    sources: Mapping[str, bytes],
) -> SpawnedImports:
    made = SpawnedImports(files, given, sources)
    made.begin()  # what it spawns itself imports them too
    sys.meta_path.insert(0, made)
    return made

"""Spawned processes: makes modules importable in them that only Perdure can find.

With `spawn` and `forkserver`, `multiprocessing` starts a process without its parent's modules, and imports
those that its work names. Some of them can't be found there: files that were loaded under a name of ours, and
modules without a file. So the process receives a finder for these with the first data that it is sent.

`multiprocessing` is imported when a finder takes effect: most processes of runs spawn no others.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["SpawnedImports"]

_PREPARATION = "get_preparation_data"


class SpawnedImports(importlib.abc.MetaPathFinder):
    """Makes modules importable in processes that are spawned within a ``with`` block, or after `begin`.

    It is pickled for these processes, and takes effect where it is unpickled.

    Parameters
    ----------
    files
        The files of modules, by module name; read whenever a process is spawned.
    sources
        The content of files, by path; it is used instead of the current content. If any is given, a path that
        isn't among them is the folder of a package without ``__init__.py``.
    given
        For a package without a file, the function that returns it and its modules by name, as
        ``module:function``, and the function's arguments.
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
        from multiprocessing import spawn

        vars(spawn)[_PREPARATION] = self._former

    def begin(self) -> None:
        """Take effect for all processes that are spawned from now on."""
        from multiprocessing import spawn

        former = self._former = spawn.get_preparation_data

        def preparation(name: str) -> dict[str, Any]:
            # `multiprocessing` reads the keys that it knows; others are unpickled before everything else.
            # Each finder has its own key, and the last one that is unpickled is asked first.
            return {**former(name), f"perdure-{id(self)}": self}

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
    """Loads a module from a text, which appears to be in a file."""

    def __init__(self, file: str, source: bytes) -> None:
        self._file = file
        self._source = source

    def get_filename(self, fullname: str) -> str:
        return self._file

    def get_data(self, path: str) -> bytes:
        """Return the text; there is no bytecode."""
        if path != self._file:
            raise FileNotFoundError(path)
        return self._source

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute the module; tracebacks show the lines of the text."""
        lines = (self.get_source(module.__name__) or "").splitlines(keepends=True)
        linecache.cache[self._file] = len(self._source), None, lines, self._file
        super().exec_module(module)


class _Ready(importlib.abc.Loader):
    """Loads a module that exists already."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return self._module

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: the module has been executed."""


def _unpickled(
    files: Mapping[str, str],
    given: Mapping[str, tuple[str, Sequence[str]]],
    sources: Mapping[str, bytes],
) -> SpawnedImports:
    made = SpawnedImports(files, given, sources)
    made.begin()  # for processes that this one spawns
    sys.meta_path.insert(0, made)
    return made

"""Warnings: those that a process has shown, and its filters, as data.

Python records in each module which warnings were shown there, and in the module `warnings` those that are
shown only once. A new process has no such records and would show them again. The filters belong to the
process, too: filters that a script sets apply to the engines and functions in its process.
"""

import contextlib
import importlib
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from perdure.state.codec import State

__all__ = ["Modules", "of_another_script", "restore_warnings", "snapshot_warnings"]

Modules = Mapping[str, Mapping[str, ModuleType]]
"""Modules that aren't in `sys.modules`, by owner and name."""

MOST = 10_000  # newest warnings kept of a module; texts that contain numbers would fill a store

_EVERYBODYS = ""  # the owner of modules in `sys.modules`
_REGISTRY = "__warningregistry__"
_VERSION = "version"  # of the filters, in a registry; a registry of another version is ignored
_state: Any = warnings  # its stubs lack the attributes that the C code uses


class _Probe(Warning):
    """A warning that is never shown: it makes Python update a registry."""


def snapshot_warnings(own: Modules) -> dict[str, Any]:
    """Return the filters, and the warnings that have been shown."""
    version = _version()
    homes = {**own, _EVERYBODYS: sys.modules.copy()}
    shown: dict[str, State] = {}
    for owner, modules in homes.items():
        found: dict[str, State] = {}
        for name, registry in _registries(modules):
            if registry.get(_VERSION) == version and (keys := _kept(registry, homes)):
                found[name] = keys
        shown[owner] = found
    return {
        "filters": [kept for entry in _state.filters if (kept := _kept_filter(entry, homes)) is not None],
        "default": str(_state.defaultaction),
        "once": _kept(_state.onceregistry, homes),
        "shown": shown,
    }


def restore_warnings(state: Any, own: Modules) -> None:
    """Restore what `snapshot_warnings` returned; import the libraries' modules that aren't loaded yet."""
    for name in state["shown"].get(_EVERYBODYS, ()):
        if name not in sys.modules:
            with contextlib.suppress(Exception):  # then it can't have shown anything again
                importlib.import_module(name)
    homes = {**own, _EVERYBODYS: sys.modules.copy()}
    if "filters" in state:
        warnings.resetwarnings()  # this also invalidates all registries
        _state.filters.extend(
            entry for kept in state["filters"] if (entry := _filter(kept, homes)) is not None
        )
        if _state.defaultaction != state["default"]:
            _state.defaultaction = state["default"]
        _state.onceregistry.clear()
        _state.onceregistry.update(_keys(state["once"], homes))
    version = _version()
    for owner, modules in homes.items():
        for _, registry in _registries(modules):
            registry.clear()
        for name, kept in state["shown"].get(owner, {}).items():
            if name in modules:
                registry = {**_keys(kept, homes), _VERSION: version}
                vars(modules[name])[_REGISTRY] = registry


def of_another_script(state: Any, script: str) -> Any:
    """Return a snapshot for another script: without warnings of the former script, and without filters."""
    shown = {owner: found for owner, found in state["shown"].items() if owner != script}
    return {"shown": shown}


def _version() -> int:
    """Return the version of the filters, which Python stores in registries only."""
    registry: dict[Any, Any] = {}
    _state.filters.insert(0, ("ignore", None, _Probe, None, 0))
    try:
        warnings.warn_explicit("", _Probe, "", 0, registry=registry)
    finally:
        del _state.filters[0]
    version: int = registry[_VERSION]
    return version


def _registries(modules: Mapping[str, ModuleType]) -> Iterator[tuple[str, dict[Any, Any]]]:
    for name, module in modules.items():
        registry = getattr(module, "__dict__", {}).get(_REGISTRY)
        if registry:
            yield name, registry


def _kept(registry: Mapping[Any, Any], homes: Modules) -> list[State]:
    """Return the keys of a registry as data: text, category and, unless shown only once, line."""
    keys: list[State] = []
    for key, is_shown in list(registry.items())[-MOST:]:
        if is_shown and type(key) is tuple and len(key) in (2, 3) and _is_text(key[0]):
            category = _kept_class(key[1], homes)
            if category is not None:
                keys.append([str(key[0]), category, *key[2:]])
    return keys


def _keys(kept: Any, homes: Modules) -> dict[Any, bool]:
    keys = ((text, _class(category, homes), *line) for text, category, *line in kept)
    return {key: True for key in keys if key[1] is not None}


def _kept_filter(entry: Any, homes: Modules) -> State:
    action, message, category, module, line = entry
    kept = _kept_class(category, homes)
    return None if kept is None else [action, _kept_pattern(message), kept, _kept_pattern(module), line]


def _filter(kept: Any, homes: Modules) -> Any:
    action, message, category, module, line = kept
    found = _class(category, homes)
    return None if found is None else (action, _pattern(message), found, _pattern(module), line)


def _kept_pattern(pattern: Any) -> State:
    return pattern if pattern is None or isinstance(pattern, str) else [pattern.pattern, pattern.flags]


def _pattern(kept: Any) -> Any:
    return re.compile(*kept) if isinstance(kept, list) else kept


def _kept_class(category: Any, homes: Modules) -> list[State] | None:
    """Return the module and name of a class; None if it can't be found by them."""
    for owner, modules in homes.items():
        path: list[State] = [owner, str(category.__module__), str(category.__qualname__)]
        if str(category.__module__) in modules and _class(path, homes) is category:
            return path
    return None


def _class(path: Any, homes: Modules) -> Any:
    owner, module, name = path
    found: Any = homes.get(owner, {}).get(module)
    for part in name.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found


def _is_text(text: Any) -> bool:
    """Return whether a text can be stored; one with a lone surrogate can't."""
    with contextlib.suppress(UnicodeEncodeError, AttributeError):
        text.encode()
        return True
    return False

"""Namespaces: where a party keeps things by name, and which of them are state.

Such are the attributes of its script and the variables of its modules and classes. What is code there once
the party has been initialised is a constant: a fresh party has it again. In modules and classes so are tuples
and frozensets of code and of plain values. Everything else is state.
"""

import types
from collections.abc import Mapping
from typing import Any

from perdure.engines.python_script.census import Census
from perdure.engines.python_script.code import Code
from perdure.errors import NotSnapshotable
from perdure.state.codec import State

__all__ = ["Namespace"]

_PYTHONS_OWN = frozenset(
    f"__{name}__"
    for name in (
        # of modules
        *("name", "doc", "package", "loader", "spec", "file", "cached", "path", "builtins"),
        *("annotations", "warningregistry"),
        # of classes
        *("module", "qualname", "dict", "weakref", "slots", "orig_bases", "parameters", "abstractmethods"),
        *("dataclass_fields", "dataclass_params", "match_args", "firstlineno", "static_attributes"),
    )
) | {"_abc_impl"}


class Namespace:
    """One place where things are kept by name.

    Parameters
    ----------
    whose
        Whose it is, such as ``the engine 'a'``.
    owner
        The script, module or class.
    code
        The party's; it takes what is code there.
    apart
        What is saved by other means, by name.
    """

    def __init__(self, whose: str, owner: Any, code: Code, apart: Mapping[str, Any] | None = None) -> None:
        self._of_code = isinstance(owner, type | types.ModuleType)
        self._whose = f"{whose}, {'variable' if self._of_code else 'attribute'}"
        self._owner = owner
        self._kind = _kind_of(owner)
        self._constants = dict(apart or {})
        for name, value in self._variables().items():
            if code.holds(f"{self._whose} {name!r}", value, tuples=self._of_code):
                self._constants[name] = value

    def snapshot(self, census: Census) -> State:
        """Return a copy of its state; raise `NotSnapshotable` with the name of what can't be saved."""
        if _kind_of(self._owner) != self._kind:
            raise NotSnapshotable(what=self._whose, reason="its class was changed after `initialize`")
        for name in self._constants.keys() - vars(self._owner).keys():
            raise NotSnapshotable(what=f"{self._whose} {name!r}", reason="it was deleted after `initialize`")
        return {
            name: census.take(f"{self._whose} {name!r}", value) for name, value in self._variables().items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put a state back; the names that it doesn't have are deleted, constants stay."""
        for name in self._variables().keys() - state.keys():
            delattr(self._owner, name)
        for name, value in state.items():
            setattr(self._owner, name, value)

    def _variables(self) -> dict[str, Any]:
        """Return what is there, but for constants."""
        return {
            name: value
            for name, value in vars(self._owner).items()
            if self._constants.get(name, self) is not value and not (self._of_code and name in _PYTHONS_OWN)
        }


def _kind_of(owner: Any) -> tuple[type, ...]:
    return type(owner), *(owner.__bases__ if isinstance(owner, type) else ())

"""Namespaces: the named values of a part, and which of them are state.

Namespaces are the attributes of the part's script, and the variables of its modules and classes. Code that
is there after the part's initialisation is constant: a fresh part has it again. In modules and classes,
tuples and frozensets of code and of plain values are constant, too. Everything else is state.
"""

import types
from collections.abc import Mapping
from typing import Any

from perdure.engines.python_script.code import Code
from perdure.engines.python_script.object_graph import ObjectGraph
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
    """One namespace.

    Parameters
    ----------
    whose
        The part's description, such as ``the engine 'a'``.
    owner
        The script, module or class.
    code
        The part's code, to which code in the namespace is added.
    apart
        The names of values that are saved by other means.
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

    def snapshot(self, graph: ObjectGraph) -> State:
        """Return a copy of its state; raise `NotSnapshotable` naming a value that can't be saved."""
        if _kind_of(self._owner) != self._kind:
            raise NotSnapshotable(what=self._whose, reason="its class was changed after `initialize`")
        for name in self._constants.keys() - vars(self._owner).keys():
            raise NotSnapshotable(what=f"{self._whose} {name!r}", reason="it was deleted after `initialize`")
        return {
            name: graph.take(f"{self._whose} {name!r}", value) for name, value in self._variables().items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state; other names are deleted, except constants."""
        for name in self._variables().keys() - state.keys():
            delattr(self._owner, name)
        for name, value in state.items():
            setattr(self._owner, name, value)

    def _variables(self) -> dict[str, Any]:
        """Return the values, except constants."""
        return {
            name: value
            for name, value in vars(self._owner).items()
            if self._constants.get(name, self) is not value and not (self._of_code and name in _PYTHONS_OWN)
        }


def _kind_of(owner: Any) -> tuple[type, ...]:
    return type(owner), *(owner.__bases__ if isinstance(owner, type) else ())

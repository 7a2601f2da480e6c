"""Namespaces: where a script keeps things by name, and which of them are state.

Attributes of the script, variables of its modules and of its classes. What was there when the script had been
initialised and is proved to keep nothing is a constant: modules, classes, functions, loggers; in modules and
classes also tuples and frozensets of such and of plain values. A fresh script has the constants again.
Everything else is state.
"""

import logging
import types
from collections.abc import Mapping
from typing import Any

from perdure.engines.python_script.census import Census
from perdure.engines.python_script.constants import DESCRIPTORS, Found, Proof, of_library
from perdure.errors import NotSnapshotable
from perdure.state.codec import State

__all__ = ["Namespace"]

_CODE = (
    types.ModuleType,
    type,
    types.BuiltinFunctionType,
    types.MethodType,
    types.FunctionType,
    logging.Logger,
)
_OF_CLASSES = (property, staticmethod, classmethod, *DESCRIPTORS)

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
    what
        What its things are called in errors, such as ``attribute``.
    owner
        The object, module or class.
    whose
        Whose they are, such as ``the engine 'a'``.
    found
        Takes what is met while constants are proved to be such.
    apart
        What is saved by other means, by name.
    """

    def __init__(
        self, what: str, owner: Any, whose: str, found: Found, apart: Mapping[str, Any] | None = None
    ) -> None:
        self._what = what
        self._owner = owner
        self._whose = whose
        self._apart = dict(apart or {})
        self._kind = _kind_of(owner)
        self._of_code = isinstance(owner, type | types.ModuleType)
        self._constants: dict[str, Proof] = {}
        for name, value in self._items().items():
            is_code = self._is_code(value) or of_library(value)
            if is_code or (self._of_code and isinstance(value, tuple | frozenset)):
                proof = Proof(value, found)
                if proof.reason is None or is_code:
                    self._constants[name] = proof

    def snapshot(self, census: Census) -> State:
        """Return a copy of its state; raise `NotSnapshotable` with the name of what can't be saved."""
        if _kind_of(self._owner) != self._kind:
            raise NotSnapshotable(what=self._whose, reason="its class or bases changed after `initialize`")
        state: dict[str, State] = {}
        items = self._items()
        for name, value in items.items():
            proof = self._constants.get(name)
            if proof is not None and proof.value is value:
                reason = proof.check()
                if reason is not None:
                    raise NotSnapshotable(what=self._place(name), reason=reason)
            elif self._is_code(value):
                raise NotSnapshotable(
                    what=self._place(name),
                    reason=f"a {type(value).__name__} set after `initialize` isn't known later",
                )
            else:
                state[name] = census.take(self._place(name), value)
        for name in (*self._constants, *self._apart):
            if name not in vars(self._owner):
                raise NotSnapshotable(what=self._place(name), reason="it was deleted after `initialize`")
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put a state back; the names that it doesn't have are deleted, constants stay."""
        for name, value in self._items().items():
            proof = self._constants.get(name)
            if name not in state and (proof is None or proof.value is not value):
                delattr(self._owner, name)
        for name, value in state.items():
            setattr(self._owner, name, value)

    def _place(self, name: str) -> str:
        return f"{self._whose}, {self._what} {name!r}"

    def _items(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in vars(self._owner).items()
            if not (self._of_code and name in _PYTHONS_OWN)
            and not (name in self._apart and self._apart[name] is value)
        }

    def _is_code(self, value: Any) -> bool:
        return isinstance(value, _CODE) or (isinstance(self._owner, type) and isinstance(value, _OF_CLASSES))


def _kind_of(owner: Any) -> tuple[type, ...]:
    return type(owner), *(owner.__bases__ if isinstance(owner, type) else ())

"""Scopes of a user function: the values of the names in its code, and whether all that it reads is pure."""

import builtins
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FunctionType, MappingProxyType
from typing import Any

from perdure.engines.system_dynamics.identity.calls import MISSING, Scope, change_of
from perdure.engines.system_dynamics.identity.imports import resolved
from perdure.engines.system_dynamics.identity.libraries import library_version
from perdure.engines.system_dynamics.identity.purity import impure_read
from perdure.engines.system_dynamics.identity.syntax import Source, function_source
from perdure.errors import ImpureFunction

__all__ = ["Scopes", "inner_values"]


class Scopes:
    """The scopes of a user function and of those that it calls.

    Parameters
    ----------
    function
        Its name in the model.
    home
        The top-level package that defines it.
    """

    def __init__(self, function: str, home: str) -> None:
        self._function = function
        self._home = home
        self._known: dict[FunctionType, Scope] = {}

    def check_pure(
        self, source: Source, namespace: Mapping[str, Any], inner: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Raise `ImpureFunction` if code reads something impure, or changes what outlives a call.

        Parameters
        ----------
        namespace
            Its globals.
        inner
            What its closure and its defaults hold.
        """
        scope = self._scope(source, namespace, inner)
        for read in sorted(source.effects.reads):
            if (name := impure_read(read, scope.lookup, self.own)) is not None:
                raise self._refused(name)
        if (name := change_of(scope)) is not None:
            raise self._refused(f"{name!r}, which it changes")

    def own(self, module: str) -> bool:
        """Return whether a module is the modeller's own."""
        return library_version(module, self._home) is None

    def _scope(self, source: Source, namespace: Mapping[str, Any], inner: Mapping[str, Any]) -> Scope:
        lookup = self._lookup(source, namespace, inner)
        return Scope(source.effects, lookup, self._scope_of, source.effects.signature)

    def _scope_of(self, value: Any) -> Scope | None:
        """Return the scope of a function, to follow calls into it; None if it isn't the modeller's."""
        function = value.__func__ if isinstance(value, staticmethod) else value
        if not isinstance(function, FunctionType) or not self.own(
            str(function.__globals__.get("__name__", ""))
        ):
            return None
        if function not in self._known:
            source = function_source(function, "itself", self._function)
            self._known[function] = self._scope(source, function.__globals__, inner_values(function))
        return self._known[function]

    def _lookup(
        self, source: Source, namespace: Mapping[str, Any], inner: Mapping[str, Any]
    ) -> Callable[[str], Any]:
        """Return a function that returns the value of a name in code."""
        imports = {imported.name: imported for imported in source.imports}

        def lookup(name: str) -> Any:
            if name in inner:
                return inner[name]
            if name in imports:
                return resolved(imports[name], namespace, self._function)[1]
            if name in source.effects.parameters:
                return MISSING
            return namespace.get(name, getattr(builtins, name, MISSING))

        return lookup

    def _refused(self, what: str) -> ImpureFunction:
        return ImpureFunction(function=self._function, what=what)


def inner_values(function: FunctionType) -> dict[str, Any]:
    """Return the values in the closure and the defaults of a function, by name."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # it is bound later
            found[name] = cell.cell_contents
    code, defaults = function.__code__, function.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount]
    found.update(zip(reversed(positional), reversed(defaults), strict=False))
    found.update(function.__kwdefaults__ or {})
    return found

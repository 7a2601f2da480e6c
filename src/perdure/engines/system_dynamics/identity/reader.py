"""Adds a user function, and everything that it reads, to a digest.

`syntax` finds and walks the syntax trees. `libraries` separates the modeller's own code from that of
libraries, which is identified by its name and version. `scopes` refuses impure code.
"""

import builtins
import sys
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from functools import partial, reduce
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from perdure.engines.system_dynamics.attributes import names_in
from perdure.engines.system_dynamics.elements import Element
from perdure.engines.system_dynamics.identity.digest import Digest
from perdure.engines.system_dynamics.identity.imports import resolved, unidentified
from perdure.engines.system_dynamics.identity.libraries import MOVED, library_version, top_level
from perdure.engines.system_dynamics.identity.purity import impure_value
from perdure.engines.system_dynamics.identity.scopes import Scopes, inner_values
from perdure.engines.system_dynamics.identity.syntax import Import, Source, class_source, function_source
from perdure.engines.system_dynamics.model_elements import ModelElements
from perdure.errors import ImpureFunction, ModelError

__all__ = ["Reader"]

_ARRAY_KINDS = "biufcSU?"
_BY_ITSELF: Collection[tuple[str, ...]] = {()}
# Builtins and modules that read names computed at run time.
_LATE = frozenset({"eval", "exec", "globals", "__import__", "importlib"})


class Reader:
    """Adds a user function, and everything that it reads, to a digest."""

    def __init__(
        self,
        digest: Digest,
        function: str,
        home: str,
        *,
        impure: bool = False,
    ) -> None:
        self._impure = impure
        self._digest = digest
        self._function = function
        self._home = home
        # Objects already added, by number: a repeated one is hashed as its number, so circles end.
        self._met: dict[int, int] = {}
        self._alive: list[object] = []
        self._names: set[str] = set()
        self._scopes = Scopes(function, home)

    def read(self, value: Any, where: str) -> None:
        """Add `value`, which the function reads as `where`."""
        add = self._digest.add
        if value is None or type(value) in (bool, int, float, str, bytes):
            add(value)
            return
        if type(value) is complex:
            add("complex", value.real, value.imag)
            return
        if not self._impure and (impure := impure_value(value)) is not None:
            raise ImpureFunction(function=self._function, what=impure)
        if isinstance(value, np.generic | np.ndarray):
            self._array(value, where)
            return
        if id(value) in self._met:
            add("again", self._met[id(value)])
            return
        self._met[id(value)] = len(self._met)
        self._alive.append(value)
        tag = _opaque(value)
        if tag is not None:
            add("opaque", tag)
        elif isinstance(value, ModuleType):
            self._module(value, where)
        elif (name := self._library_name(value)) is not None:
            add("installed", *name)
        elif isinstance(value, BuiltinFunctionType):
            self._builtin(value, where)
        elif isinstance(value, FunctionType):
            self._python_function(value, where)
        elif self._impure and not isinstance(value, partial | MethodType):
            # Its results are logged, so the objects that it keeps and changes need no identity.
            made: type = value if isinstance(value, type) else type(value)
            add("kept", made.__module__, made.__qualname__)
        elif isinstance(value, type):
            self._class(value, where)
        elif isinstance(value, Enum):
            add("enum", value.name)
            self.read(type(value), where)
        elif isinstance(value, MethodType):
            add("method")
            self.read(value.__func__, where)
            self.read(value.__self__, f"{where}.__self__")
        elif isinstance(value, partial):
            add("partial", len(value.args))
            self.read(value.func, where)
            self._items(value.args, where)
            self._mapping(value.keywords, where)
        elif type(value) in (list, tuple):
            add(type(value).__name__, len(value))
            self._items(value, where)
        elif type(value) in (set, frozenset):
            self._set(value, where)
        elif type(value) is dict:
            add("dict", len(value))
            self._mapping(value, where)
        else:
            kind = f"a {type(value).__module__}.{type(value).__qualname__}"
            raise self._refused(where, kind, wraps=hasattr(value, "__wrapped__"))

    def read_named(self, attributes: Mapping[str, Any]) -> None:
        """Add the attributes of the model that the code names, and those that their code names in turn."""
        read: set[str] = set()
        while named := sorted((self._names & attributes.keys()) - read):
            for name in named:
                value = attributes[name]
                self._digest.add("attribute of the model", name)
                self.read(value.__func__ if isinstance(value, staticmethod) else value, f"model.{name}")
            read.update(named)

    def _refused(self, where: str, what: str, *, wraps: bool = False) -> ModelError:
        advice = (
            "Use the function without its wrapper (`__wrapped__`); a function that is pure needs no memory."
            if wraps
            else "Let it read numbers, strings, lists, dicts, arrays, functions and classes; if its answers "
            "depend on more than that, declare it with impure=True."
        )
        return unidentified(self._function, f"reads {where}, {what}, which has no canonical form. {advice}")

    def _items(self, values: Iterable[Any], where: str) -> None:
        for i, value in enumerate(values):
            self.read(value, f"{where}[{i}]")

    def _mapping(self, values: Mapping[Any, Any], where: str) -> None:
        # In a canonical order of the keys, because equal dicts may differ in their own order.
        for key in sorted(values, key=lambda key: self._alone(key, where)):
            self.read(key, where)
            self.read(values[key], f"{where}[{key!r:.40}]")

    def _set(self, values: Iterable[Any], where: str) -> None:
        self._digest.add("set")
        for member in sorted(self._alone(value, where) for value in values):
            self._digest.add(member)

    def _alone(self, value: Any, where: str) -> str:
        """Return the digest of `value` by itself."""
        digest = Digest()
        Reader(digest, self._function, self._home).read(value, where)
        return digest.hexdigest()

    def _array(self, value: Any, where: str) -> None:
        if value.dtype.kind not in _ARRAY_KINDS:
            raise self._refused(where, f"an array of dtype {value.dtype}")
        little = value.astype(value.dtype.newbyteorder("<"))
        self._digest.add("array", little.dtype.str, *map(int, value.shape), little.tobytes())

    def _version(self, module: str) -> tuple[str, ...] | None:
        """Return the version of a library as a tuple, empty if it has none; None for the modeller's own."""
        version = library_version(module, self._home)
        if version is not None:
            self._check_early(top_level(module))
        return None if version is None else (version,) if version else ()

    def _check_early(self, name: str) -> None:
        if name in _LATE and not self._impure:
            raise unidentified(
                self._function,
                f"uses {name!r}, so what it reads is unknown until it runs. Write out the names.",
            )

    def _library_name(self, value: Any) -> tuple[str, ...] | None:
        """Return module, name and version of a library's object, if it is found there under that name."""
        module = getattr(value, "__module__", None)
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if not isinstance(module, str) or not isinstance(name, str):
            return None
        found = reduce(lambda o, part: getattr(o, part, None), name.split("."), sys.modules.get(module))
        version = self._version(module) if found is value else None
        return None if version is None else (MOVED.get(module, module), name, *version)

    def _module(self, module: ModuleType, where: str) -> None:
        version = self._version(module.__name__)
        if version is None:
            raise unidentified(
                self._function,
                f"reads {where}, the module {module.__name__!r}, as a whole, so it is unknown which of "
                "its names count. Let it read the module's names, such as `module.name`.",
            )
        self._digest.add("module", module.__name__, *version)

    def _builtin(self, value: Any, where: str) -> None:
        owner = value.__self__
        if owner is not None and not isinstance(owner, ModuleType):
            self._digest.add("bound", value.__name__)
            self.read(owner, where)
            return
        version = self._version(str(value.__module__))
        if version is None:
            raise self._refused(where, f"compiled code of {value.__module__}")
        self._digest.add("builtin", value.__module__, value.__qualname__, *version)

    def _python_function(self, function: FunctionType, where: str) -> None:
        """Add a function of the modeller's, or a closure that a library created."""
        source = None
        version = self._version(str(function.__globals__.get("__name__", "")))
        if version is None:
            source = function_source(function, where, self._function)
            if not self._impure:
                self._scopes.check_pure(source, function.__globals__, inner_values(function))
            self._source(source, function.__globals__, where)
        else:
            self._digest.add(
                "made", function.__globals__["__name__"], function.__code__.co_qualname, *version
            )
        self.read(list(function.__defaults__ or ()), f"a default of {where}")
        self.read(dict(function.__kwdefaults__ or {}), f"a default of {where}")
        cells = function.__closure__ or ()
        for name, cell in sorted(
            zip(function.__code__.co_freevars, cells, strict=True), key=lambda item: item[0]
        ):
            self._digest.add("closure", name)
            if self._impure and source and source.effects.rebinds(name):
                continue
            try:
                content = cell.cell_contents
            except ValueError:
                self._digest.add("empty")
                continue
            chains = source.chains.get(name, _BY_ITSELF) if source else _BY_ITSELF
            self._chains(content, name, chains)

    def _class(self, value: type, where: str) -> None:
        if value.__module__ == "builtins":
            self._digest.add("builtin", value.__qualname__)
            return
        module = sys.modules.get(value.__module__)
        source = class_source(value, where, self._function)
        if not self._impure:
            self._scopes.check_pure(source, vars(module) if module else {})
        self._source(source, vars(module) if module else {}, where)
        self._items(value.__bases__, f"a base of {where}")

    def _source(self, source: Source, namespace: Mapping[str, Any], where: str) -> None:
        """Add a syntax tree and what it reads of the globals and of its own imports."""
        self._names |= names_in(source.tokens)
        for token in source.tokens:
            self._digest.add(token)
        for name in sorted(source.globals):
            self._digest.add("global", name)
            if self._impure and source.effects.rebinds(name):
                self._digest.add("changed")
            elif name in namespace:
                self._chains(namespace[name], name, source.chains.get(name, _BY_ITSELF))
            elif hasattr(builtins, name):
                self._check_early(name)
                self._digest.add("builtin")
            else:
                self._digest.add("unbound")
        for imported in source.imports:
            self._digest.add("import", imported.name)
            self._import(imported, source.chains.get(imported.name, ()), namespace)

    def _chains(self, value: Any, name: str, chains: Iterable[tuple[str, ...]]) -> None:
        """Add a value that the code names, and of which it reads these chains of attributes.

        For a module of the modeller's own, only the values that the chains lead to count; any other value
        counts as a whole.
        """
        if not isinstance(value, ModuleType) or self._version(value.__name__) is not None:
            self.read(value, repr(name))
            return
        for chain in sorted(chains):
            self._digest.add("attribute", *chain)
            reached: Any = value
            place = name
            for attribute in chain:
                if not isinstance(reached, ModuleType) or self._version(reached.__name__) is not None:
                    break
                place = f"{place}.{attribute}"
                reached = self._attribute(reached, attribute, place)
            self.read(reached, repr(place))

    def _attribute(self, module: ModuleType, attribute: str, place: str) -> Any:
        try:
            return getattr(module, attribute)
        except AttributeError:
            raise unidentified(
                self._function,
                f"reads {place!r}, but the module {module.__name__!r} has no {attribute!r}. Import what it "
                "reads before the model is identified, and define it at the top of its module.",
            ) from None

    def _import(
        self, imported: Import, chains: Iterable[tuple[str, ...]], namespace: Mapping[str, Any]
    ) -> None:
        """Add what a body reads of something that it imports itself."""
        module, value = resolved(imported, namespace, self._function)
        version = self._version(module.__name__)
        if imported.attribute and version is not None and not isinstance(value, ModuleType):
            self._digest.add("installed", module.__name__, imported.attribute, *version)
        else:
            self._chains(value, imported.name, chains)


def _opaque(value: object) -> str | None:
    """Return the identity of a model or element, whose data a function can't read; None for other values."""
    if isinstance(value, ModelElements):
        return "model"
    return value.name if isinstance(value, Element) else None

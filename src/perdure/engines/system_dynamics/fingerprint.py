"""The fingerprint: what identifies a model, whoever wrote it down and whichever Python runs it.

It hashes the intermediate form in a canonical serialisation, and each user function with all it reads: its
syntax tree, defaults, closure and globals. `syntax` finds and walks the trees.
"""

import builtins
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from hashlib import blake2b
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from perdure.engines.system_dynamics.points import Points
from perdure.engines.system_dynamics.program import Code, Program
from perdure.engines.system_dynamics.syntax import Source, class_source, function_source
from perdure.errors import ModelError

__all__ = ["fingerprint"]

SEMANTICS = 1
"""The version of the language's meaning; raised whenever the same model would give other numbers."""

_ARRAY_KINDS = "biufcSU?"
_INSTALLED = ("site-packages", "dist-packages")


def fingerprint(
    program: Program, points: Mapping[str, Points], opaque: Callable[[object], str | None]
) -> str:
    """Return the fingerprint of a program with its points, 32 hexadecimal digits.

    Parameters
    ----------
    program
        The intermediate form.
    points
        All points of the model.
    opaque
        Names an object that has no data to hash because a function can't read it, such as an element.

    Raises
    ------
    ModelError
        If a user function's source can't be found, or it reads data that can't be hashed.
    """
    digest = _Digest()
    digest.add("semantics", SEMANTICS)
    for name, value in sorted(program.constants.items()):
        digest.add("constant", name, value)
    for definitions in (program.definitions, program.initials):
        for name, definition in sorted(definitions.items()):
            digest.add(definition.kind, name)
            digest.code(definition.code)
    for name, delay in sorted(program.delays.items()):
        digest.add("delay", name, delay.input, delay.initial or "", delay.duration is None)
        digest.code(delay.duration or ())
    for name, pairs in sorted(points.items()):
        digest.add("points", name)
        digest.points(pairs)
    for name, function in sorted(program.functions.items()):
        digest.add("function", name)
        _Reader(digest, name, opaque).read(function, "itself")
    return digest.hexdigest()


class _Digest:
    """A hash over typed values; each carries its kind and length, so that no two sequences run together."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16, person=b"perdure-model")

    def add(self, *values: str | float | bytes | None) -> None:
        for value in values:
            match value:
                case None:
                    kind, data = b"n", b""
                case bool():
                    kind, data = b"b", b"1" if value else b"0"
                case int():
                    kind, data = b"i", str(value).encode() if abs(value) < 1 << 64 else hex(value).encode()
                case float():
                    kind, data = b"f", struct.pack("<d", value)
                case str():
                    kind, data = b"s", value.encode("utf-8", "surrogatepass")
                case _:
                    kind, data = b"y", bytes(value)
            self._hash.update(kind + struct.pack("<Q", len(data)) + data)

    def code(self, code: Code) -> None:
        self.add(len(code))
        for operator, arity, data in code:
            self.add(operator, arity)
            if isinstance(data, tuple):
                self.points(data)
            else:
                self.add(data)

    def points(self, points: Points) -> None:
        self.add(len(points))
        for x, y in points:
            self.add(x, y)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class _Reader:
    """Adds a user function, and all that it reads, to a digest."""

    def __init__(self, digest: _Digest, function: str, opaque: Callable[[object], str | None]) -> None:
        self._digest = digest
        self._function = function
        self._opaque = opaque
        # Objects already met, in order: a repeated one is a reference to its place, so circles end.
        self._met: dict[int, int] = {}
        self._alive: list[object] = []

    def read(self, value: Any, where: str) -> None:
        """Add `value`, which the function reads as `where`."""
        add = self._digest.add
        if value is None or type(value) in (bool, int, float, str, bytes):
            add(value)
            return
        if type(value) is complex:
            add("complex", value.real, value.imag)
            return
        if isinstance(value, np.generic | np.ndarray):
            self._array(value, where)
            return
        if id(value) in self._met:
            add("again", self._met[id(value)])
            return
        self._met[id(value)] = len(self._met)
        self._alive.append(value)
        tag = self._opaque(value)
        if tag is not None:
            add("opaque", tag)
        elif isinstance(value, ModuleType):
            add("module", value.__name__)
        elif isinstance(value, FunctionType | type) and _installed(value):
            add("installed", value.__module__, value.__qualname__)
        elif isinstance(value, BuiltinFunctionType):
            self._builtin(value, where)
        elif isinstance(value, np.ufunc):
            add("ufunc", value.__name__)
        elif isinstance(value, FunctionType):
            self._user_function(value, where)
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
            raise self._refused(where, f"a {type(value).__module__}.{type(value).__qualname__}")

    def _refused(self, where: str, what: str) -> ModelError:
        return ModelError(
            f"The model can't be identified: its function {self._function!r} reads {where}, {what}, which "
            "has no canonical form. Let it read numbers, strings, lists, dicts, arrays, modules, functions "
            "and classes."
        )

    def _items(self, values: Iterable[Any], where: str) -> None:
        for i, value in enumerate(values):
            self.read(value, f"{where}[{i}]")

    def _mapping(self, values: Mapping[Any, Any], where: str) -> None:
        # In the order of a canonical form of the keys, since dicts that are equal may differ in theirs.
        for key in sorted(values, key=lambda key: self._alone(key, where)):
            self.read(key, where)
            self.read(values[key], f"{where}[{key!r:.40}]")

    def _set(self, values: Iterable[Any], where: str) -> None:
        self._digest.add("set")
        for member in sorted(self._alone(value, where) for value in values):
            self._digest.add(member)

    def _alone(self, value: Any, where: str) -> str:
        """Return the digest of `value` by itself."""
        digest = _Digest()
        _Reader(digest, self._function, self._opaque).read(value, where)
        return digest.hexdigest()

    def _array(self, value: Any, where: str) -> None:
        if value.dtype.kind not in _ARRAY_KINDS:
            raise self._refused(where, f"an array of dtype {value.dtype}")
        little = value.astype(value.dtype.newbyteorder("<"))
        self._digest.add("array", little.dtype.str, *map(int, value.shape), little.tobytes())

    def _builtin(self, value: Any, where: str) -> None:
        owner = value.__self__
        if owner is None or isinstance(owner, ModuleType):
            self._digest.add("builtin", value.__module__, value.__qualname__)
        else:
            self._digest.add("bound", value.__name__)
            self.read(owner, where)

    def _user_function(self, function: FunctionType, where: str) -> None:
        source = function_source(function, where, self._function)
        self._source(source, function.__globals__, where)
        self.read(list(function.__defaults__ or ()), f"a default of {where}")
        self.read(dict(function.__kwdefaults__ or {}), f"a default of {where}")
        cells = function.__closure__ or ()
        for name, cell in sorted(
            zip(function.__code__.co_freevars, cells, strict=True), key=lambda item: item[0]
        ):
            self._digest.add("closure", name)
            try:
                content = cell.cell_contents
            except ValueError:
                self._digest.add("empty")
                continue
            self.read(content, repr(name))

    def _class(self, value: type, where: str) -> None:
        if value.__module__ == "builtins":
            self._digest.add("builtin", value.__qualname__)
            return
        module = sys.modules.get(value.__module__)
        self._source(class_source(value, where, self._function), vars(module) if module else {}, where)
        self._items(value.__bases__, f"a base of {where}")

    def _source(self, source: Source, namespace: Mapping[str, Any], where: str) -> None:
        """Add a syntax tree and the globals that it reads."""
        for token in source.tokens:
            self._digest.add(token)
        for name in sorted(source.globals):
            self._digest.add("global", name)
            if name in namespace:
                value = namespace[name]
                self.read(value, repr(name))
                if isinstance(value, ModuleType) and not _installed(value):
                    self._attributes(value, name, source.attributes.get(name, ()))
            elif hasattr(builtins, name):
                self._digest.add("builtin")
            else:
                self._digest.add("unbound")

    def _attributes(self, module: ModuleType, name: str, attributes: Iterable[str]) -> None:
        """Add what is read of a module that belongs to the user and may change with the model."""
        for attribute in sorted(attributes):
            self._digest.add("attribute", attribute)
            if hasattr(module, attribute):
                self.read(getattr(module, attribute), f"{name}.{attribute}")


def _installed(value: Any) -> bool:
    """Whether `value` belongs to Python or an installed package, which names it well enough."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    if not isinstance(name, str):
        return False
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return True
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is None or name == "__main__":
        return False
    if file is None or top == "perdure":
        return True
    return any(part in _INSTALLED for part in Path(file).parts)

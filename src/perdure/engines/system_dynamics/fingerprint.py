"""The fingerprint: what identifies a model, whoever wrote it down and whichever Python runs it.

It hashes the intermediate form in a canonical serialisation, and each user function with all it reads: its
syntax tree, defaults, closure, globals and imports. `syntax` finds and walks the trees; `libraries` says what
of it isn't the modeller's own and counts by its name.
"""

import builtins
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from enum import Enum
from functools import partial, reduce
from hashlib import blake2b
from importlib import import_module
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

import numpy as np

from perdure.engines.system_dynamics.attributes import names_in
from perdure.engines.system_dynamics.calls import MISSING, Scope, change_of
from perdure.engines.system_dynamics.libraries import library_version, top_level
from perdure.engines.system_dynamics.points import Points
from perdure.engines.system_dynamics.program import Code, Definition, Instruction, Program
from perdure.engines.system_dynamics.purity import impure_read, impure_value
from perdure.engines.system_dynamics.syntax import Import, Source, class_source, function_source
from perdure.errors import ImpureFunction, ModelError

__all__ = ["fingerprint"]

SEMANTICS = 1
"""The version of the language's meaning; raised whenever the same model would give other numbers."""

_ARRAY_KINDS = "biufcSU?"
_BY_ITSELF: Collection[tuple[str, ...]] = {()}
# What reads by names that are made as the function runs.
_LATE = frozenset({"eval", "exec", "globals", "__import__", "importlib"})


def fingerprint(
    program: Program,
    points: Mapping[str, Points],
    attributes: Mapping[str, Any],
    opaque: Callable[[object], str | None],
) -> str:
    """Return the fingerprint of a program with its points, 32 hexadecimal digits.

    Parameters
    ----------
    program
        The intermediate form.
    points
        All points of the model.
    attributes
        What user functions can read of the model besides; what they name of it counts.
    opaque
        Names an object that has no data to hash because a function can't read it, such as an element.

    Raises
    ------
    ModelError
        If a user function's source can't be found, or what it reads can't be resolved or hashed.
    """
    digest = _Digest()
    digest.add("semantics", SEMANTICS)
    definitions = dict(program.definitions)
    for name, value in sorted(program.constants.items()):
        if program.kinds[name] == "constant":
            digest.add("constant", name, value)
        else:
            definitions[name] = Definition(
                name, program.kinds[name], name, (Instruction("number", 0, value),)
            )
    for part in (definitions, program.initials):
        for name, definition in sorted(part.items()):
            digest.add(definition.kind, name)
            digest.code(definition.code)
    for name in sorted(program.missing):
        digest.add("missing", program.kinds[name], name)
    for name, delay in sorted(program.delays.items()):
        digest.add("delay", name, delay.input, delay.initial or "", delay.duration is None)
        digest.code(delay.duration or ())
    for name, pairs in sorted(points.items()):
        digest.add("points", name)
        digest.points(pairs)
    for name, function in sorted(program.functions.items()):
        impure = name in program.impure
        digest.add("impure function" if impure else "function", name)
        try:
            reader = _Reader(digest, name, opaque, _home(function), impure=impure)
            reader.read(function, "itself")
            reader.read_named(attributes)
        except RecursionError:
            raise ModelError(
                f"The model can't be identified: what its function {name!r} reads is nested too deeply, or "
                "holds itself in a key or a set. Let it read flat data."
            ) from None
    return digest.hexdigest()


def _home(function: Any) -> str:
    """Return the top-level package that defines a function; all of that is the modeller's own."""
    while isinstance(function, partial | MethodType):
        function = function.func if isinstance(function, partial) else function.__func__
    if isinstance(function, FunctionType):
        return top_level(str(function.__globals__.get("__name__", "")))
    return top_level(str(getattr(function, "__module__", "")))


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

    def __init__(
        self,
        digest: _Digest,
        function: str,
        opaque: Callable[[object], str | None],
        home: str,
        *,
        impure: bool = False,
    ) -> None:
        self._impure = impure
        self._digest = digest
        self._function = function
        self._opaque = opaque
        self._home = home
        # Objects already met, in order: a repeated one is a reference to its place, so circles end.
        self._met: dict[int, int] = {}
        self._alive: list[object] = []
        self._names: set[str] = set()
        self._scopes: dict[FunctionType, Scope] = {}

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
            raise self._refused_impure(impure)
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
            self._module(value, where)
        elif (name := self._library_name(value)) is not None:
            add("installed", *name)
        elif isinstance(value, BuiltinFunctionType):
            self._builtin(value, where)
        elif isinstance(value, FunctionType):
            self._python_function(value, where)
        elif self._impure and not isinstance(value, partial | MethodType):
            # Its answers are logged, so that what it keeps and changes needs no identity.
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
        """Add those attributes of the model that the code read so far names, and what these name in turn."""
        read: set[str] = set()
        while named := sorted((self._names & attributes.keys()) - read):
            for name in named:
                value = attributes[name]
                self._digest.add("attribute of the model", name)
                self.read(value.__func__ if isinstance(value, staticmethod) else value, f"model.{name}")
            read.update(named)

    def _refused_impure(self, what: str) -> ImpureFunction:
        return ImpureFunction(function=self._function, what=what)

    def _check_pure(
        self, source: Source, namespace: Mapping[str, Any], inner: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Raise `ImpureFunction` if code reads what isn't the same each time, or changes what outlives it.

        Parameters
        ----------
        namespace
            Its globals.
        inner
            What its closure and its defaults hold.
        """
        if self._impure:
            return
        scope = self._scope(source, namespace, inner)
        for read in sorted(source.effects.reads):
            if (name := impure_read(read, scope.lookup, self._own)) is not None:
                raise self._refused_impure(name)
        if (name := change_of(scope)) is not None:
            raise self._refused_impure(f"{name!r}, which it changes")

    def _own(self, module: str) -> bool:
        return library_version(module, self._home) is None

    def _scope(self, source: Source, namespace: Mapping[str, Any], inner: Mapping[str, Any]) -> Scope:
        lookup = self._lookup(source, namespace, inner)
        return Scope(source.effects, lookup, self._scope_of, source.effects.signature)

    def _scope_of(self, value: Any) -> Scope | None:
        """Return a function as calls are followed into it, if it is one of the modeller's."""
        function = value.__func__ if isinstance(value, staticmethod) else value
        if not isinstance(function, FunctionType) or not self._own(
            str(function.__globals__.get("__name__", ""))
        ):
            return None
        if function not in self._scopes:
            source = function_source(function, "itself", self._function)
            self._scopes[function] = self._scope(source, function.__globals__, _inner(function))
        return self._scopes[function]

    def _lookup(
        self, source: Source, namespace: Mapping[str, Any], inner: Mapping[str, Any]
    ) -> Callable[[str], Any]:
        """Return a function that tells what a name in code stands for."""
        imports = {imported.name: imported for imported in source.imports}

        def lookup(name: str) -> Any:
            if name in inner:
                return inner[name]
            if name in imports:
                return self._imported(imports[name], namespace)[1]
            if name in source.effects.parameters:
                return MISSING
            return namespace.get(name, getattr(builtins, name, MISSING))

        return lookup

    def _refused(self, where: str, what: str, *, wraps: bool = False) -> ModelError:
        advice = (
            "Use the function without its wrapper (`__wrapped__`); a function that is pure needs no memory."
            if wraps
            else "Let it read numbers, strings, lists, dicts, arrays, functions and classes; if its answers "
            "depend on more than that, declare it with impure=True."
        )
        return self._unidentified(f"reads {where}, {what}, which has no canonical form. {advice}")

    def _unidentified(self, reason: str) -> ModelError:
        return ModelError(f"The model can't be identified: its function {self._function!r} {reason}")

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
        _Reader(digest, self._function, self._opaque, self._home).read(value, where)
        return digest.hexdigest()

    def _array(self, value: Any, where: str) -> None:
        if value.dtype.kind not in _ARRAY_KINDS:
            raise self._refused(where, f"an array of dtype {value.dtype}")
        little = value.astype(value.dtype.newbyteorder("<"))
        self._digest.add("array", little.dtype.str, *map(int, value.shape), little.tobytes())

    def _version(self, module: str) -> tuple[str, ...] | None:
        """Return the version of a library as parts of a name, or None if the module is the modeller's own."""
        version = library_version(module, self._home)
        if version is not None:
            self._check_early(top_level(module))
        return None if version is None else (version,) if version else ()

    def _check_early(self, name: str) -> None:
        if name in _LATE and not self._impure:
            raise self._unidentified(
                f"uses {name!r}, so that what it reads can't be told before it runs. Write out the names."
            )

    def _library_name(self, value: Any) -> tuple[str, ...] | None:
        """Return module, name and version of what a library defines, if it is found there by that name."""
        module = getattr(value, "__module__", None)
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if not isinstance(module, str) or not isinstance(name, str):
            return None
        found = reduce(lambda o, part: getattr(o, part, None), name.split("."), sys.modules.get(module))
        version = self._version(module) if found is value else None
        return None if version is None else (module, name, *version)

    def _module(self, module: ModuleType, where: str) -> None:
        version = self._version(module.__name__)
        if version is None:
            raise self._unidentified(
                f"reads {where}, the module {module.__name__!r}, as a whole, so that what counts of it can't "
                "be told. Let it read the module's names, such as `module.name`."
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
        """Add a function of the modeller's, or one that a library made around data such as a function."""
        source = None
        version = self._version(str(function.__globals__.get("__name__", "")))
        if version is None:
            source = function_source(function, where, self._function)
            self._check_pure(source, function.__globals__, _inner(function))
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
        self._check_pure(source, vars(module) if module else {})
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
        """Add a value that has a name in the code, which reads these chains of attributes of it.

        Of a module of the modeller's own that is what the chains lead to; all else counts as a whole.
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
            raise self._unidentified(
                f"reads {place!r}, but the module {module.__name__!r} has no {attribute!r}. Import what it "
                "reads before the model is identified, and define it at the top of its module."
            ) from None

    def _import(
        self, imported: Import, chains: Iterable[tuple[str, ...]], namespace: Mapping[str, Any]
    ) -> None:
        """Add what a body reads of something it imports itself."""
        module, value = self._imported(imported, namespace)
        version = self._version(module.__name__)
        if imported.attribute and version is not None and not isinstance(value, ModuleType):
            self._digest.add("installed", module.__name__, imported.attribute, *version)
        else:
            self._chains(value, imported.name, chains)

    def _imported(self, imported: Import, namespace: Mapping[str, Any]) -> tuple[ModuleType, Any]:
        """Return the module that a body imports, and what its name stands for."""
        written = f"{'.' * imported.level}{imported.module}"
        try:
            package = namespace.get("__package__") or str(namespace.get("__name__")).rpartition(".")[0]
            module = import_module(written, package)
            if imported.whole:
                module = import_module(top_level(written))
            value: Any = module
            if imported.attribute:
                if not hasattr(module, imported.attribute):
                    import_module(f"{module.__name__}.{imported.attribute}")
                value = getattr(module, imported.attribute)
        except Exception as error:
            raise self._unidentified(
                f"imports {imported.attribute or written!r}, which can't be resolved "
                f"({type(error).__name__}: {error}). Make it importable where the model is identified, or "
                "import it at the top of the file."
            ) from None
        return module, value


def _inner(function: FunctionType) -> dict[str, Any]:
    """Return what the closure and the defaults of a function hold, by name."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # it is bound later
            found[name] = cell.cell_contents
    code, defaults = function.__code__, function.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount]
    found.update(zip(reversed(positional), reversed(defaults), strict=False))
    found.update(function.__kwdefaults__ or {})
    return found

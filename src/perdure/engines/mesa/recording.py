"""Recording: the object graph of a model as plain data.

Each object that can change is a **node**, with a number in the order of a walk from the roots. A node's
record is its kind and its parts. Values within records are plain data (None, bool, int, float, str, bytes),
``[n]`` for the node n, or ``[kind, part, …]`` for other values that can't change, such as tuples.

The walk depends on the values only, not on addresses, so the same state always has the same record.
"""

import collections
import enum
import functools
import itertools
import random
import types
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from perdure.engines.array_memory import straight, view_of
from perdure.engines.derived_types import DERIVED, base_of, is_made_of, plain_of, slots_of
from perdure.engines.mesa.function_caches import entries_of
from perdure.engines.mesa.known_code import GENERATORS, KnownCode, function_parts, variables
from perdure.engines.mesa.plain_values import PLAIN_VALUES, is_numpy_scalar
from perdure.engines.mesa.set_tables import has_fixed_hash, table_of
from perdure.engines.mesa.unsavable import Unsavable
from perdure.errors import NotSnapshotable
from perdure.state import frames

__all__ = ["ATOMS", "recorded"]

ATOMS = frozenset((type(None), bool, int, float, str, bytes))
_FRAMED = frozenset((type(None), bool, float, str, bytes))
_INTEGERS = frozenset((int,))
_TEXTS = frozenset((str,))
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1  # what MessagePack carries

_ITERATORS = (itertools.chain, types.GeneratorType)
_POINTER = 8
_OF_EACH_CLASS = ("__dict__", "__weakref__", "__abstractmethods__", "_abc_impl")

_Record = Callable[[Any], list[Any]]


def recorded(roots: Mapping[str, Any], code: KnownCode, own: Iterable[types.ModuleType]) -> dict[str, Any]:
    """Return the records of all that the roots and the own modules hold.

    Parameters
    ----------
    roots
        Values by name.
    code
        Finds code again.
    own
        The model's own modules.

    Raises
    ------
    NotSnapshotable
        If a value can't be saved; the message says where it is.
    """
    walk = _Walk(code)
    try:
        found = {name: walk.value(value) for name, value in roots.items()}
        for module in own:
            walk.visit(module)
        walk.run()
        caches = walk.caches()
    except Unsavable as error:
        raise NotSnapshotable(what=walk.place(error.value, roots), reason=error.reason) from None
    finally:
        walk.forget()
    return {"roots": found, "nodes": walk.records, "caches": caches}


class _Walk:
    """One walk through a graph."""

    def __init__(self, code: KnownCode) -> None:
        self._code = code
        self._numbers: dict[int, int] = {}
        self._objects: list[Any] = []
        self._parents: list[int] = []
        self._current = -1
        self.records: list[list[Any]] = []
        self._classes: dict[type, Any] = {}
        self._plans: dict[type, _Record] = {}
        self._node_records: dict[type, _Record] = {}

    def run(self) -> None:
        """Record all nodes, also those that are found on the way."""
        objects, records = self._objects, self.records
        while len(records) < len(objects):
            self._current = len(records)
            thing = objects[self._current]
            records.append(self._node_records[type(thing)](thing))

    def forget(self) -> None:
        """Release all objects: the model's weak references must not see that there was a walk."""
        self._objects.clear()
        self._plans.clear()
        self._node_records.clear()

    def caches(self) -> list[list[Any]]:
        """Return what cached functions remember of the objects in the graph, after `run`."""
        found: list[list[Any]] = []
        for function in self._code.caches:
            try:
                entries = entries_of(function)
            except ValueError as error:
                if function.cache_info().currsize:
                    raise Unsavable(function, str(error)) from None
                continue
            keys = [key for key in entries if self._knows(key)]
            found.append([self._known(function), self.values(keys), self.values(map(entries.get, keys))])
            self.run()
        return found

    def _knows(self, key: Any) -> bool:
        """Return whether all objects in the key of a cache are in the graph, or can't change."""
        if isinstance(key, tuple):
            return all(map(self._knows, key))
        return type(key) in ATOMS or id(key) in self._numbers or self._code.holds(key)

    def value(self, value: Any) -> Any:
        """Return a value as it stands in records."""
        kind = type(value)
        if kind in _FRAMED:
            return value
        if kind is int:
            return value if _SMALLEST <= value <= _LARGEST else ["int", str(value)]
        number = self._numbers.get(id(value))
        if number is not None:
            return [number]
        plan = self._plans.get(kind)
        if plan is None:
            plan = self._plans[kind] = self._plan(kind, value)
        return plan(value)

    def values(self, values: Iterable[Any]) -> list[Any]:
        """Return several values as they stand in records."""
        listed = [*values]
        kinds = {*map(type, listed)}
        if kinds <= _FRAMED:
            return listed
        if kinds == _INTEGERS and min(listed) >= _SMALLEST and max(listed) <= _LARGEST:
            return listed
        if kinds.isdisjoint(ATOMS):  # mostly objects that were met before
            known, get = self.value, self._numbers.get
            return [known(it) if (number := get(id(it))) is None else [number] for it in listed]
        return [self.value(value) for value in listed]

    def visit(self, thing: Any) -> None:
        """Make code that keeps data a node, once."""
        if id(thing) not in self._numbers and self._code.keeps_data(thing):
            self._node_records[type(thing)] = self._owner
            self._enter(thing)

    def place(self, value: Any, roots: Mapping[str, Any]) -> str:
        """Return where the node that was recorded last holds a value."""
        names = {id(root): name for name, root in roots.items()}
        path, number, wanted = "", self._current, value
        while number >= 0:
            holder = self._objects[number]
            path = _step(holder, wanted) + path
            number, wanted = self._parents[number], holder
        return f"{names.get(id(wanted), _described(wanted))}{path}"

    def _enter(self, thing: Any) -> list[int]:
        number = self._numbers[id(thing)] = len(self._objects)
        self._objects.append(thing)
        self._parents.append(self._current)
        return [number]

    def _plan(self, kind: type, value: Any) -> _Record:
        """Return how values of a type are recorded."""
        if kind in GENERATORS:  # some of which are the process's own
            self._node_records[kind] = self._node(kind, value) or self._refuse
            return lambda thing: self._known(thing) if self._code.holds(thing) else self._enter(thing)
        inline = self._inline(kind, value)
        if inline is not None:
            return inline
        node = self._node(kind, value)
        if node is None:
            return self._refuse
        self._node_records[kind] = node
        return self._enter

    def _inline(self, kind: type, value: Any) -> _Record | None:
        """Return how values that can't change are recorded."""
        if kind is tuple:
            return lambda thing: ["tuple", self.values(thing)]
        if kind is types.GenericAlias or (kind.__module__ == "typing" and hasattr(value, "__args__")):
            return lambda thing: ["alias", self._known(thing.__origin__), self.values(thing.__args__)]
        if kind is frozenset:
            return self._frozenset
        if issubclass(kind, enum.Enum):
            return self._member
        if kind in PLAIN_VALUES:
            name, take, _ = PLAIN_VALUES[kind]
            return lambda thing: [name, *self.values(take(thing))]
        if is_numpy_scalar(value):
            if value.dtype.kind in "biuf" and value.dtype.itemsize <= _POINTER:
                name = value.dtype.name
                return lambda thing: ["number", name, thing.item()]
            return lambda thing: ["scalar", thing]
        if isinstance(value, np.dtype):
            return lambda thing: ["dtype", np.lib.format.dtype_to_descr(thing)]
        if kind is types.MethodType:
            return lambda thing: ["method", self.value(thing.__self__), self._known(thing.__func__)]
        if kind in (types.BuiltinFunctionType, types.MethodWrapperType):
            return self._builtin
        if kind is functools.partial:
            return lambda thing: [
                "partial",
                self.value(thing.func),
                self.values(thing.args),
                self._named(thing.keywords),
            ]
        if kind in (weakref.ref, weakref.WeakMethod):
            return self._weak
        if kind is types.MappingProxyType:
            return lambda thing: ["proxy", self.value(dict(thing))]
        if self._code.holds(value):
            return self._known
        return self._spent if kind in _ITERATORS else None

    def _node(self, kind: type, value: Any) -> _Record | None:
        """Return how objects of a type that can change are recorded; None if they can't be."""
        exact: Mapping[type, _Record] = {
            list: lambda thing: ["list", self.values(thing)],
            dict: lambda thing: ["dict", self.values(thing), self.values(thing.values())],
            set: self._set,
            bytearray: lambda thing: ["bytearray", bytes(thing)],
            collections.deque: lambda thing: ["deque", self.values(thing), thing.maxlen],
            collections.OrderedDict: lambda thing: [
                "OrderedDict",
                self.values(thing),
                self.values(thing.values()),
            ],
            collections.defaultdict: lambda thing: [
                "defaultdict",
                self.values(thing),
                self.values(thing.values()),
                self.value(thing.default_factory),
            ],
            types.CellType: self._cell,
            types.SimpleNamespace: lambda thing: ["namespace", self._named(vars(thing))],
            itertools.count: lambda thing: ["count", repr(thing)],
            weakref.WeakKeyDictionary: lambda thing: [
                "weak keys",
                self.values(thing),
                self.values(thing.values()),
            ],
            weakref.WeakValueDictionary: lambda thing: [
                "weak values",
                self.values(thing),
                self.values(thing.values()),
            ],
            np.ndarray: self._array,
            np.random.Generator: lambda thing: ["generator", self.value(thing.bit_generator)],
            np.random.SeedSequence: _seeds,
            np.random.RandomState: lambda thing: ["random state", _plain(thing.get_state(legacy=False))],
        }
        if kind in exact:
            return exact[kind]
        if issubclass(kind, random.Random):
            return lambda thing: self._object(thing, ["random", _state_of_random(thing)])
        if isinstance(value, np.random.BitGenerator):
            return lambda thing: [
                "bits",
                kind.__name__,
                _plain(thing.state),
                self.value(thing.seed_seq),
            ]
        if frames.parts_of(value, "a frame") is not None:
            return lambda thing: ["frame", _copied_frame(thing)]
        if is_made_of(kind, object) and not issubclass(kind, type):
            return lambda thing: self._object(thing, ["object"])
        name = base_of(kind)
        return None if name is None else self._derived(name)

    def _derived(self, name: str) -> _Record:
        def record(thing: Any) -> list[Any]:
            base = DERIVED[name]
            if base is collections.deque:
                content = [self.values(thing), thing.maxlen]
            elif base is collections.defaultdict:
                content = [
                    self.values(thing),
                    self.values(thing.values()),
                    self.value(thing.default_factory),
                ]
            elif issubclass(base, dict):
                content = [self.values(dict.keys(thing)), self.values(dict.values(thing))]
            elif issubclass(base, set | frozenset):
                content = self._set(thing)[1:]
            elif issubclass(base, list | tuple):
                content = [self.values(base.__iter__(thing))]
            else:
                content = [plain_of(name, thing)]
            return self._object(thing, ["derived", name, content])

        return record

    def _object(self, thing: Any, first: list[Any]) -> list[Any]:
        """Return the record of an instance of a class: what is before, the class, its attributes, slots."""
        kind = type(thing)
        known = self._classes.get(kind)
        if known is None:
            known = self._classes[kind] = self._known(kind)
        attributes: dict[str, Any] = getattr(thing, "__dict__", {})
        record = [*first, known, self._named(attributes)]
        if slots := slots_of(kind):
            there = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
            record.append(self._named(there))
        return record

    def _named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if not _TEXTS.issuperset(map(type, values)):
            raise Unsavable(values, "an attribute's name is no text")
        numbers, plans = self._numbers, self._plans
        recorded = {}
        for name, value in values.items():  # written out, since most of the time is spent here
            kind = type(value)
            if kind in _FRAMED:
                recorded[name] = value
            elif (number := numbers.get(id(value))) is not None:
                recorded[name] = [number]
            elif (plan := plans.get(kind)) is not None:
                recorded[name] = plan(value)
            else:
                recorded[name] = self.value(value)
        return recorded

    def _known(self, thing: Any) -> list[Any]:
        if not self._code.holds(thing):  # a callable object in the place of a function
            return self.value(thing)  # type: ignore[no-any-return]
        if isinstance(thing, type) and not self._code.knows(thing):
            self._node_records[type(thing)] = self._owner
            return self._enter(thing) if id(thing) not in self._numbers else [self._numbers[id(thing)]]
        self.visit(thing)
        return self._code.record(thing)

    def _builtin(self, thing: Any) -> list[Any]:
        if self._code.holds(thing):
            return self._code.record(thing)
        return ["bound", self.value(thing.__self__), thing.__name__]

    def _member(self, member: Any) -> list[Any]:
        kind = self._known(type(member))
        if type(member).__members__.get(member.name) is member:
            return ["member", kind, member.name]
        return ["flag", kind, self.value(member.value)]

    def _spent(self, iterator: Any) -> list[Any]:
        """Return the record of an iterator that has nothing left."""
        if not _is_spent(iterator):
            raise Unsavable(iterator, "it is an iterator that isn't used up; keep a list")
        return ["spent", type(iterator).__name__]

    def _weak(self, reference: Any) -> list[Any]:
        if type(reference) is weakref.WeakMethod:
            return ["weak method", self.value(reference())]
        if reference.__callback__ is not None:
            raise Unsavable(reference, "it is a weak reference with a callback")
        return ["weak", self.value(reference())]

    def _frozenset(self, values: frozenset[Any]) -> list[Any]:
        again = frozenset([*values])
        if not (_are_alike(again, values) and all(map(has_fixed_hash, values))):
            raise Unsavable(values, "the order of the frozenset can't be restored; keep a tuple")
        return ["frozenset", self.values(values)]

    def _set(self, values: set[Any]) -> list[Any]:
        """Return the record of a set, with its table if elements alone wouldn't lead to it."""
        elements = [*set.__iter__(values)]
        if not all(map(has_fixed_hash, elements)):
            raise Unsavable(
                values, "the order of a set of objects differs from process to process; keep a list or a dict"
            )
        table = table_of(values)
        if table is None:
            raise Unsavable(values, "the order of a set can't be restored with this Python; keep a dict")
        record = ["set", self.values(elements)]
        if not _are_alike(set(elements), values):
            record.append([np.array(table.slots, dtype=np.int32), table.finger])
        return record

    def _cell(self, cell: types.CellType) -> list[Any]:
        try:
            return ["cell", self.value(cell.cell_contents)]
        except ValueError:
            return ["cell"]

    def _array(self, array: Any) -> list[Any]:
        try:
            root, view = view_of(array)
            if view is not None:
                return ["view", self.value(root), *view, array.flags.writeable]
            content, turned = straight(array)
        except ValueError as error:
            raise Unsavable(array, str(error)) from None
        if array.dtype == object:
            values = [[*content.shape], self.values(content.ravel())]
            return ["objects", *values, turned, array.flags.writeable]
        if array.dtype.hasobject:
            raise Unsavable(array, "it is an array of records with objects")
        return ["array", content.copy(), turned, array.flags.writeable]

    def _owner(self, thing: Any) -> list[Any]:
        """Return the record of code that keeps data, or of a class that was made in a step."""
        if isinstance(thing, type) and not self._code.knows(thing):
            content = {name: it for name, it in vars(thing).items() if name not in _OF_EACH_CLASS}
            bases = self.values(thing.__bases__)
            return ["class", self._known(type(thing)), thing.__name__, bases, self._named(content)]
        found = self._code.record(thing)
        if isinstance(thing, types.FunctionType):
            parts = function_parts(thing)
            closure = [self.value(cell) for cell in parts["closure"]]
            rest = [self.values(parts["defaults"]), self._named(parts["keywords"])]
            return ["function", found, closure, *rest, self._named(parts["attributes"])]
        data = {}
        for name, value in variables(thing).items():
            if not self._code.holds(value):
                data[name] = value
                continue
            for code in (value, *self._code.within(value)):
                self.visit(code)
        return ["owner", found, self._named(data)]

    def _refuse(self, value: Any) -> list[Any]:
        kind = type(value)
        raise Unsavable(value, f"{kind.__module__}.{kind.__qualname__} can't be taken apart and made again")


def _are_alike(one: set[Any] | frozenset[Any], other: set[Any] | frozenset[Any]) -> bool:
    """Return whether two sets have the same elements in the same order, and go on like each other."""
    return [*one] == [*other] and table_of(one) == table_of(other)


def _is_spent(iterator: Any) -> bool:
    if isinstance(iterator, types.GeneratorType):
        return iterator.gi_frame is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.14 has no such method any more
        reduce = getattr(iterator, "__reduce__", None)
        return reduce is not None and len(reduce()) == 2


def _state_of_random(generator: random.Random) -> Any:
    version, words, kept = random.Random.getstate(generator)
    return [version, np.array(words, dtype=np.uint32), kept]


def _seeds(seeds: np.random.SeedSequence) -> list[Any]:
    entropy: Any = seeds.entropy
    plain = entropy if entropy is None or isinstance(entropy, int) else [str(int(word)) for word in entropy]
    rest = [[*map(int, seeds.spawn_key)], seeds.pool_size, seeds.n_children_spawned]
    return ["seeds", _plain(plain), *rest]


def _plain(state: Any) -> Any:
    """Return a generator's state with its integers, of up to 128 bits, as texts."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return str(state) if isinstance(state, int | np.integer) else state


def _copied_frame(frame: Any) -> Any:
    return frames.made(frames.parts_of(frame, "a frame"))


def _step(holder: Any, wanted: Any) -> str:
    """Return how a value is reached from what holds it, as in Python."""

    def holds(value: Any) -> bool:
        if isinstance(value, tuple | frozenset):
            return any(map(holds, value))
        parts = (value, *(getattr(value, name, None) for name in ("__self__", "__func__", "func")))
        return any(part is wanted for part in parts)

    for name, value in getattr(holder, "__dict__", {}).items():
        if holds(value):
            return f".{name}"
    for name in slots_of(type(holder)):
        if holds(getattr(holder, name, None)):
            return f".{name}"
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(holder, Mapping):
        pairs = holder.items()
    elif isinstance(holder, list | collections.deque):
        pairs = enumerate(holder)
    for key, value in pairs:
        if holds(value):
            return f"[{key!r:.40}]"
    return ""


def _described(thing: Any) -> str:
    if isinstance(thing, types.ModuleType | type | types.FunctionType):
        return f"{getattr(thing, '__qualname__', thing.__name__)}"
    return f"a {type(thing).__qualname__}"

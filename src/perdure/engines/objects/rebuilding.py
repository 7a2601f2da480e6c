"""Rebuilding: makes the objects of a graph again from their records.

No method of a class is called for that: attributes and slots are set directly. Objects are made first, then
filled; dicts and sets come last, since the hash of a key may depend on its attributes.
"""

import collections
import enum
import functools
import itertools
import random
import re
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from perdure.engines.array_memory import View, in_order
from perdure.engines.derived_types import DERIVED, slots_of
from perdure.engines.objects.base import Known
from perdure.engines.objects.plain_values import PLAIN_MAKERS
from perdure.engines.objects.set_tables import Table, arrange

__all__ = ["Fill", "Make", "Rebuilder"]

Make = Callable[["Rebuilder", list[Any]], Any]
"""Makes the object of a record, without what it holds."""

Fill = Callable[["Rebuilder", Any, list[Any]], None]
"""Gives an object what it holds."""

_ATOMS = frozenset((type(None), bool, int, float, str, bytes))
_COUNT = re.compile(r"count\(([^,)]+)(?:, ([^)]+))?\)")
_HASHING = frozenset(("dict", "set", "defaultdict", "OrderedDict", "weak keys", "weak values"))
_ADOPTED = {"list": list, "dict": dict, "set": set}
_METHODS = (types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType)
_MISSING: Any = object()


class Rebuilder:
    """Makes a graph of objects again.

    Parameters
    ----------
    nodes
        The records of a `Recorder`.
    known
        Finds what the records refer to.
    code
        For code that holds data: by the kind of a node, what finds or makes it, and what fills it.
    failed
        Receives the number of each node that can't be made or filled, and the error. By default it is raised.
    """

    def __init__(
        self,
        nodes: list[list[Any]],
        known: Known,
        code: Mapping[str, tuple[Make, Fill | None]] | None = None,
        failed: Callable[[int, Exception], None] | None = None,
    ) -> None:
        self.known = known
        self._nodes = nodes
        self._code = code or {}
        self._failed = failed
        self._objects = [_MISSING] * len(nodes)
        self._adopted: set[int] = set()

    def adopt(self, record: Any, thing: Any) -> None:
        """Use an object that is there for a record: a list, dict or set, or an object of a class.

        To be called before anything is made. The object is emptied.
        """
        if not (isinstance(record, list) and len(record) == 1 and isinstance(record[0], int)):
            return
        number, node = record[0], self._nodes[record[0]]
        if self._objects[number] is not _MISSING or id(thing) in self._adopted:
            return
        if node[0] == "object" and type(thing) is self.value(node[1]) and not slots_of(type(thing)):
            vars(thing).clear()
        elif type(thing) is _ADOPTED.get(node[0]):
            thing.clear()
        else:
            return
        self._adopted.add(id(thing))
        self._objects[number] = thing

    def take(self, number: int, thing: Any) -> None:
        """Use an object that is there for a node."""
        self._objects[number] = thing

    def rebuild(self) -> None:
        """Make and fill all objects."""
        self.make()
        self.fill()
        self.fill_hashed()

    def make(self) -> None:
        """Make all objects, empty."""
        self._each(self.node, range(len(self._nodes)))

    def fill(self) -> None:
        """Fill the objects but those with keys that are hashed."""
        self._fill(hashing=False)

    def fill_hashed(self) -> None:
        """Fill the dicts and sets, whose keys have all that their hashes may depend on."""
        self._fill(hashing=True)

    def _fill(self, *, hashing: bool) -> None:
        kinds = [record[1] if record[0] == "derived" else record[0] for record in self._nodes]
        self._each(self._fill_node, [n for n, kind in enumerate(kinds) if (kind in _HASHING) is hashing])

    def _each(self, work: Callable[[int], object], numbers: Iterable[int]) -> None:
        for number in numbers:
            try:
                work(number)
            except Exception as error:
                if self._failed is None:
                    raise
                self._failed(number, error)

    def _fill_node(self, number: int) -> None:
        record = self._nodes[number]
        fill = _FILLERS.get(record[0]) or self._code.get(record[0], (None, None))[1]
        if fill is not None:
            fill(self, self._objects[number], record)

    def node(self, number: int) -> Any:
        """Return the object of a node, which is made at the first time."""
        made = self._objects[number]
        if made is _MISSING:
            record = self._nodes[number]
            make = _MAKERS.get(record[0]) or self._code[record[0]][0]
            made = self._objects[number] = make(self, record)
        return made

    def value(self, record: Any) -> Any:
        """Return the value that stands in a record."""
        if type(record) in _ATOMS:
            return record
        kind = record[0]
        if type(kind) is int:
            return self.node(kind)
        if (make := _VALUES.get(kind)) is not None:
            return make(self, *record[1:])
        if (plain := PLAIN_MAKERS.get(kind)) is not None:
            return plain(*self.values(record[1:]))
        return self.known.find(record)

    def values(self, records: list[Any]) -> list[Any]:
        """Return the values that stand in records."""
        return [record if type(record) in _ATOMS else self.value(record) for record in records]

    def named(self, records: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of records by name."""
        return {name: self.value(record) for name, record in records.items()}

    def pairs(self, keys: list[Any], values: list[Any]) -> Any:
        """Return the keys and values of a dict."""
        return zip(self.values(keys), self.values(values), strict=True)

    def class_of(self, record: Any) -> Any:
        """Return the class that stands in a record; raise `TypeError` if it is something else."""
        found = self.value(record)
        if not isinstance(found, type):
            raise TypeError(f"{found!r:.80} is no class")
        return found


def _made_object(graph: Rebuilder, record: list[Any]) -> Any:
    return object.__new__(graph.class_of(record[1]))


def _made_derived(graph: Rebuilder, record: list[Any]) -> Any:
    _, name, content, kind = record[:4]
    base: Any = DERIVED[name]
    made = graph.class_of(kind)
    if name in ("int", "float", "str", "bytes"):
        return base.__new__(made, graph.value(content[0]))
    if name in ("tuple", "frozenset"):
        return base.__new__(made, graph.values(content[0]))
    return base.__new__(made)


def _made_random(graph: Rebuilder, record: list[Any]) -> random.Random:
    (version, words, kept), kind = record[1:3]
    new: Any = random.Random.__new__
    made: random.Random = new(graph.class_of(kind), 0)
    random.Random.setstate(made, (version, tuple(words.tolist()), kept))
    return made


def _made_bits(graph: Rebuilder, record: list[Any]) -> Any:
    _, name, state, seeds = record
    made = getattr(np.random, name)(graph.value(seeds))
    made.state = _integers(state)
    return made


def _made_random_state(graph: Rebuilder, record: list[Any]) -> Any:
    state = _integers(record[1])
    made: Any = np.random.RandomState(getattr(np.random, state["bit_generator"])(0))
    made.set_state(state)
    return made


def _integers(state: Any) -> Any:
    """Return a generator's state with integers in place of the texts that stand for them."""
    if isinstance(state, dict):
        return {key: _integers(value) for key, value in state.items()}
    if isinstance(state, list):
        return [*map(_integers, state)]
    return int(state) if isinstance(state, str) and state.isdigit() else state


def _made_seeds(graph: Rebuilder, record: list[Any]) -> Any:
    _, entropy, key, size, spawned = record
    return np.random.SeedSequence(
        _integers(entropy), spawn_key=tuple(key), pool_size=size, n_children_spawned=spawned
    )


def _made_count(graph: Rebuilder, record: list[Any]) -> Any:
    found = _COUNT.fullmatch(record[1])
    if found is None:
        raise ValueError(f"{record[1]!r:.80} is no count")
    numbers = [float(text) if set(text) & set(".einf") else int(text) for text in found.groups("1")]
    return itertools.count(*numbers)


def _made_array(graph: Rebuilder, record: list[Any]) -> Any:
    _, straight, turned, writeable = record
    return _as_it_was(straight.copy(), turned, writeable)


def _made_objects(graph: Rebuilder, record: list[Any]) -> Any:
    _, shape, _, turned, _ = record
    return _as_it_was(np.empty(shape, dtype=object), turned, True)  # filled before it is read-only


def _as_it_was(array: Any, turned: bool, writeable: bool) -> Any:
    array = in_order(array, turned)
    array.flags.writeable = writeable
    return array


def _made_view(graph: Rebuilder, record: list[Any]) -> Any:
    _, root, *view, writeable = record
    made = View(*view).made(graph.value(root))
    made.flags.writeable = writeable
    return made


def _fill_attributes(thing: Any, graph: Rebuilder, attributes: Any, slots: Any = None) -> None:
    if attributes:
        # Not by assignment, which a class may have replaced.
        thing.__dict__.update(graph.named(attributes))
    for name, value in graph.named(slots or {}).items():
        object.__setattr__(thing, name, value)


def _fill_object(graph: Rebuilder, thing: Any, record: list[Any]) -> None:
    _fill_attributes(thing, graph, *record[2:])


def _fill_random(graph: Rebuilder, thing: Any, record: list[Any]) -> None:
    _fill_attributes(thing, graph, *record[3:])


def _fill_derived(graph: Rebuilder, thing: Any, record: list[Any]) -> None:
    _, name, content, _, *rest = record
    _fill_attributes(thing, graph, *rest)
    if name == "list":
        list.extend(thing, graph.values(content[0]))
    elif name == "deque":
        collections.deque.__init__(thing, graph.values(content[0]), content[1])
    elif name == "set":
        _fill_set(graph, thing, ["set", *content])
    elif name == "defaultdict":
        thing.default_factory = graph.value(content[2])
    if name in ("dict", "defaultdict", "OrderedDict"):
        for key, value in graph.pairs(*content[:2]):
            DERIVED[name].__setitem__(thing, key, value)


def _fill_set(graph: Rebuilder, thing: Any, record: list[Any]) -> None:
    _, elements, *table = record
    values = graph.values(elements)
    if table:
        slots, finger = table[0]
        arrange(thing, values, Table(slots.tolist(), finger))
    else:
        set.update(thing, values)


def _fill_dict(graph: Rebuilder, thing: Any, record: list[Any]) -> None:
    thing.update(graph.pairs(*record[1:3]))


def _fill_defaultdict(graph: Rebuilder, thing: Any, record: list[Any]) -> None:
    thing.default_factory = graph.value(record[3])
    thing.update(graph.pairs(*record[1:3]))


def _fill_cell(graph: Rebuilder, cell: Any, record: list[Any]) -> None:
    if len(record) > 1:
        cell.cell_contents = graph.value(record[1])


def _fill_partial(graph: Rebuilder, thing: Any, record: list[Any]) -> None:
    _, called, parts, named, attributes = record
    thing.__setstate__((graph.value(called), tuple(graph.values(parts)), graph.named(named), None))
    vars(thing).update(graph.named(attributes))


def _fill_objects(graph: Rebuilder, array: Any, record: list[Any]) -> None:
    _, _, values, turned, writeable = record
    straight = array.T if turned else array
    for place, value in zip(np.ndindex(straight.shape), graph.values(values), strict=True):
        straight[place] = value
    array.flags.writeable = writeable


def _spent(kind: str) -> Any:
    iterator: Any = itertools.chain() if kind == "chain" else (None for _ in ())
    next(iterator, None)
    return iterator


def _enumeration(graph: Rebuilder, record: Any) -> Any:
    kind = graph.class_of(record)
    if not issubclass(kind, enum.Enum):
        raise TypeError(f"{kind!r:.80} is no enumeration")
    return kind


def _bound(graph: Rebuilder, owner: Any, name: str) -> Any:
    found = getattr(graph.value(owner), name)
    if not isinstance(found, _METHODS):
        raise TypeError(f"{found!r:.80} is no method")
    return found


def _dead() -> Any:
    return weakref.ref(type("Gone", (), {})())


_MAKERS: Mapping[str, Make] = {
    "object": _made_object,
    "derived": _made_derived,
    "list": lambda graph, record: [],
    "dict": lambda graph, record: {},
    "set": lambda graph, record: set(),
    "bytearray": lambda graph, record: bytearray(record[1]),
    "deque": lambda graph, record: collections.deque(maxlen=record[2]),
    "OrderedDict": lambda graph, record: collections.OrderedDict(),
    "defaultdict": lambda graph, record: collections.defaultdict(),
    "namespace": lambda graph, record: types.SimpleNamespace(),
    "count": _made_count,
    "partial": lambda graph, record: functools.partial(int),
    "cell": lambda graph, record: types.CellType(),
    "weak keys": lambda graph, record: weakref.WeakKeyDictionary(),
    "weak values": lambda graph, record: weakref.WeakValueDictionary(),
    "array": _made_array,
    "objects": _made_objects,
    "view": _made_view,
    "random": _made_random,
    "generator": lambda graph, record: np.random.Generator(graph.value(record[1])),
    "bits": _made_bits,
    "seeds": _made_seeds,
    "random state": _made_random_state,
    "frame": lambda graph, record: record[1],
}

_FILLERS: Mapping[str, Fill] = {
    "object": _fill_object,
    "derived": _fill_derived,
    "random": _fill_random,
    "list": lambda graph, thing, record: thing.extend(graph.values(record[1])),
    "dict": _fill_dict,
    "set": _fill_set,
    "deque": lambda graph, thing, record: thing.extend(graph.values(record[1])),
    "OrderedDict": _fill_dict,
    "defaultdict": _fill_defaultdict,
    "cell": _fill_cell,
    "partial": _fill_partial,
    "namespace": lambda graph, thing, record: thing.__dict__.update(graph.named(record[1])),
    "weak keys": _fill_dict,
    "weak values": _fill_dict,
    "objects": _fill_objects,
}

_VALUES: Mapping[str, Callable[..., Any]] = {
    "tuple": lambda graph, parts: tuple(graph.values(parts)),
    "frozenset": lambda graph, parts: frozenset(graph.values(parts)),
    "member": lambda graph, kind, name: _enumeration(graph, kind)[name],
    "flag": lambda graph, kind, value: _enumeration(graph, kind)(graph.value(value)),
    "int": lambda graph, digits: int(digits),
    "number": lambda graph, kind, number: np.dtype(kind).type(number),
    "scalar": lambda graph, scalar: scalar,
    "dtype": lambda graph, kind: np.lib.format.descr_to_dtype(kind),
    "method": lambda graph, owner, function: types.MethodType(graph.value(function), graph.value(owner)),
    "bound": _bound,
    "partial": lambda graph, function, parts, named: functools.partial(  # of Perdure 0.1; now they are nodes
        graph.value(function), *graph.values(parts), **graph.named(named)
    ),
    "alias": lambda graph, origin, parts: graph.value(origin)[tuple(graph.values(parts))],
    "spent": lambda graph, kind: _spent(kind),
    "weak": lambda graph, thing: _dead() if thing is None else weakref.ref(graph.value(thing)),
    "weak method": lambda graph, method: (
        _dead() if method is None else weakref.WeakMethod(graph.value(method))
    ),
    "proxy": lambda graph, mapping: types.MappingProxyType(graph.value(mapping)),
}

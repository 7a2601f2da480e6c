"""Rebuilding: makes the objects of a graph again from their records.

Every object is new, except code, which the records name. No method of a class is called for that: attributes
and slots are set directly. Objects are made first, then filled; dicts and sets come last, since the hash of a
key may depend on its attributes.
"""

import collections
import functools
import itertools
import random
import re
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from perdure.engines.array_memory import View, in_order
from perdure.engines.derived_types import DERIVED
from perdure.engines.mesa.function_caches import entries_of
from perdure.engines.mesa.known_code import KnownCode, variables
from perdure.engines.mesa.plain_values import made_plain
from perdure.engines.mesa.recording import ATOMS
from perdure.engines.mesa.set_tables import Table, arrange
from perdure.errors import InvalidState

__all__ = ["rebuilt"]

_COUNT = re.compile(r"count\(([^,)]+)(?:, ([^)]+))?\)")
_HASHING = ("dict", "set", "defaultdict", "OrderedDict", "weak keys", "weak values")
_CODE = ("module", "logger", "named", "kept", "mark")
_MISSING = object()


def rebuilt(state: Any, code: KnownCode) -> dict[str, Any]:
    """Return the roots of a graph that `recording.recorded` returned, and put back what code keeps.

    Raises
    ------
    InvalidState
        If the records don't fit the code.
    """
    graph = _Graph(state["nodes"], code)
    try:
        graph.make()
        graph.fill()
        for function, keys, values in state["caches"]:
            entries_of(graph.value(function)).update(graph.pairs(keys, values))
        return {name: graph.value(value) for name, value in state["roots"].items()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = f"it doesn't fit the model that was built anew: {type(error).__name__}: {error}"
        raise InvalidState(name="Mesa", reason=reason) from error


class _Graph:
    def __init__(self, records: list[list[Any]], code: KnownCode) -> None:
        self._records = records
        self._code = code
        self._objects: list[Any] = [_MISSING] * len(records)

    def make(self) -> None:
        """Make all objects, empty."""
        for number, record in enumerate(self._records):
            if record[0] == "function":
                self._take_cells(self._object(number), record[2])
        for number in range(len(self._records)):
            self._object(number)

    def fill(self) -> None:
        """Fill the objects: those with keys that are hashed last."""
        numbered = [*enumerate(self._records)]
        for hashing in (False, True):
            for number, record in numbered:
                kind = record[1] if record[0] == "derived" else record[0]
                if (kind in _HASHING) is hashing and (fill := _FILLERS.get(record[0])) is not None:
                    fill(self, self._objects[number], record)

    def value(self, recorded: Any) -> Any:
        """Return the value that stands in a record."""
        if type(recorded) in ATOMS:
            return recorded
        if len(recorded) == 1 and type(recorded[0]) is int:
            return self._object(recorded[0])
        kind, *parts = recorded
        if kind in _CODE:
            return self._code.find(recorded)
        made = _VALUES.get(kind)
        if made is not None:
            return made(self, *parts)
        return made_plain(kind, self.values(parts))

    def values(self, recorded: list[Any]) -> list[Any]:
        """Return the values that stand in a record."""
        return [self.value(part) for part in recorded]

    def named(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a record by name."""
        return {name: self.value(part) for name, part in recorded.items()}

    def pairs(self, keys: list[Any], values: list[Any]) -> Any:
        """Return the keys and values of a dict."""
        return zip(self.values(keys), self.values(values), strict=True)

    def _take_cells(self, function: Any, closure: list[list[int]]) -> None:
        """Take the cells of a function, which can't be replaced, and may be those of another one, too."""
        cells = function.__closure__ or ()
        for cell, (number,) in zip(cells, closure, strict=True):
            self._objects[number] = cell

    def _object(self, number: int) -> Any:
        made = self._objects[number]
        if made is _MISSING:
            record = self._records[number]
            made = self._objects[number] = _MAKERS[record[0]](self, record)
        return made


def _class_of(graph: _Graph, recorded: list[Any]) -> Any:
    found = graph.value(recorded)
    if not isinstance(found, type):
        raise TypeError(f"{found!r:.80} is no class")
    return found


def _made_object(graph: _Graph, record: list[Any]) -> Any:
    return object.__new__(_class_of(graph, record[1]))


def _made_derived(graph: _Graph, record: list[Any]) -> Any:
    _, name, content, kind = record[:4]
    base: Any = DERIVED[name]
    made = _class_of(graph, kind)
    if name in ("int", "float", "str", "bytes"):
        return base.__new__(made, content[0])
    if name in ("tuple", "frozenset"):
        return base.__new__(made, graph.values(content[0]))
    return base.__new__(made)


def _made_random(graph: _Graph, record: list[Any]) -> random.Random:
    (version, words, kept), kind = record[1:3]
    new: Any = random.Random.__new__
    made: random.Random = new(_class_of(graph, kind), 0)
    random.Random.setstate(made, (version, tuple(words.tolist()), kept))
    return made


def _made_bits(graph: _Graph, record: list[Any]) -> Any:
    _, name, state, seeds = record
    made = getattr(np.random, name)(graph.value(seeds))
    made.state = _integers(state)
    return made


def _made_random_state(graph: _Graph, record: list[Any]) -> Any:
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


def _made_seeds(graph: _Graph, record: list[Any]) -> Any:
    _, entropy, key, size, spawned = record
    return np.random.SeedSequence(
        _integers(entropy), spawn_key=tuple(key), pool_size=size, n_children_spawned=spawned
    )


def _made_count(graph: _Graph, record: list[Any]) -> Any:
    found = _COUNT.fullmatch(record[1])
    if found is None:
        raise ValueError(f"{record[1]!r:.80} is no count")
    numbers = [float(text) if set(text) & set(".einf") else int(text) for text in found.groups("1")]
    return itertools.count(*numbers)


def _made_array(graph: _Graph, record: list[Any]) -> Any:
    _, straight, turned, writeable = record
    made = straight.copy()
    return _as_it_was(made, turned, writeable)


def _made_objects(graph: _Graph, record: list[Any]) -> Any:
    _, shape, _, turned, _ = record
    return _as_it_was(np.empty(shape, dtype=object), turned, True)  # filled before it is read-only


def _as_it_was(array: Any, turned: bool, writeable: bool) -> Any:
    array = in_order(array, turned)
    array.flags.writeable = writeable
    return array


def _made_view(graph: _Graph, record: list[Any]) -> Any:
    _, root, *view, writeable = record
    made = View(*view).made(graph.value(root))
    made.flags.writeable = writeable
    return made


def _fill_attributes(thing: Any, graph: _Graph, attributes: Any, slots: Any = None) -> None:
    if attributes:
        # Not by assignment, which a class may have replaced.
        thing.__dict__.update(graph.named(attributes))
    for name, value in graph.named(slots or {}).items():
        object.__setattr__(thing, name, value)


def _fill_object(graph: _Graph, thing: Any, record: list[Any]) -> None:
    _fill_attributes(thing, graph, *record[2:])


def _fill_random(graph: _Graph, thing: Any, record: list[Any]) -> None:
    _fill_attributes(thing, graph, *record[3:])


def _fill_derived(graph: _Graph, thing: Any, record: list[Any]) -> None:
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


def _fill_set(graph: _Graph, thing: Any, record: list[Any]) -> None:
    _, elements, *table = record
    values = graph.values(elements)
    if table:
        slots, finger = table[0]
        arrange(thing, values, Table(slots.tolist(), finger))
    else:
        set.update(thing, values)


def _fill_dict(graph: _Graph, thing: Any, record: list[Any]) -> None:
    thing.update(graph.pairs(*record[1:3]))


def _fill_defaultdict(graph: _Graph, thing: Any, record: list[Any]) -> None:
    thing.default_factory = graph.value(record[3])
    thing.update(graph.pairs(*record[1:3]))


def _fill_cell(graph: _Graph, cell: Any, record: list[Any]) -> None:
    if len(record) > 1:
        cell.cell_contents = graph.value(record[1])


def _fill_objects(graph: _Graph, array: Any, record: list[Any]) -> None:
    _, _, values, turned, writeable = record
    straight = array.T if turned else array
    for place, value in zip(np.ndindex(straight.shape), graph.values(values), strict=True):
        straight[place] = value
    array.flags.writeable = writeable


def _fill_function(graph: _Graph, function: Any, record: list[Any]) -> None:
    _, _, _, defaults, keywords, attributes = record
    if defaults:
        function.__defaults__ = tuple(graph.values(defaults))
    if keywords:
        function.__kwdefaults__ = graph.named(keywords)
    vars(function).clear()
    vars(function).update(graph.named(attributes))


def _fill_owner(graph: _Graph, owner: Any, record: list[Any]) -> None:
    data = graph.named(record[2])
    for name, value in variables(owner).items():
        if name not in data and not graph._code.holds(value):
            delattr(owner, name)
    for name, value in data.items():
        setattr(owner, name, value)


def _spent(kind: str) -> Any:
    iterator: Any = itertools.chain() if kind == "chain" else (None for _ in ())
    next(iterator, None)
    return iterator


def _dead() -> Any:
    return weakref.ref(type("Gone", (), {})())


def _made_class(graph: _Graph, record: list[Any]) -> Any:
    _, kind, name, bases, content = record
    return _class_of(graph, kind)(name, tuple(graph.values(bases)), graph.named(content))


_MAKERS: Mapping[str, Callable[[_Graph, list[Any]], Any]] = {
    "object": _made_object,
    "class": _made_class,
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
    "function": lambda graph, record: graph.value(record[1]),
    "owner": lambda graph, record: graph.value(record[1]),
}

_FILLERS: Mapping[str, Callable[[_Graph, Any, list[Any]], None]] = {
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
    "namespace": lambda graph, thing, record: thing.__dict__.update(graph.named(record[1])),
    "weak keys": _fill_dict,
    "weak values": _fill_dict,
    "objects": _fill_objects,
    "function": _fill_function,
    "owner": _fill_owner,
}

_VALUES: Mapping[str, Callable[..., Any]] = {
    "tuple": lambda graph, parts: tuple(graph.values(parts)),
    "frozenset": lambda graph, parts: frozenset(graph.values(parts)),
    "member": lambda graph, kind, name: _class_of(graph, kind)[name],
    "flag": lambda graph, kind, value: _class_of(graph, kind)(value),
    "int": lambda graph, digits: int(digits),
    "number": lambda graph, kind, number: np.dtype(kind).type(number),
    "scalar": lambda graph, scalar: scalar,
    "dtype": lambda graph, kind: np.lib.format.descr_to_dtype(kind),
    "method": lambda graph, owner, function: types.MethodType(graph.value(function), graph.value(owner)),
    "bound": lambda graph, owner, name: getattr(graph.value(owner), name),
    "partial": lambda graph, function, parts, named: functools.partial(
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

"""Parts: what objects of each type consist of, as records; `rebuilding` makes objects of the same records."""

import collections
import enum
import functools
import itertools
import random
import types
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from perdure.engines.array_memory import straight, view_of
from perdure.engines.derived_types import DERIVED, base_of, is_made_of, plain_of, slots_of
from perdure.engines.objects.base import Parts, Recording
from perdure.engines.objects.plain_values import PLAIN_VALUES, is_numpy_scalar
from perdure.engines.objects.problems import Unsavable
from perdure.engines.objects.set_tables import has_fixed_hash, table_of
from perdure.errors import NotSnapshotable
from perdure.state import frames
from perdure.state.arrays import array_parts, is_plain, scalar_parts

__all__ = ["parts_of_node", "parts_of_value"]

_POINTER = 8


def parts_of_value(kind: type, value: Any) -> Parts | None:
    """Return what records values of a type, if they can't change; `value` is one of them."""
    if kind in _VALUES:
        return _VALUES[kind]
    if kind in PLAIN_VALUES:
        name, take, _ = PLAIN_VALUES[kind]
        return lambda recording, thing: [name, *recording.values(take(thing))]
    if kind.__module__ == "typing" and hasattr(value, "__args__"):
        return _alias
    if issubclass(kind, enum.Enum):
        return _member
    if is_numpy_scalar(value):
        return _scalar
    return _dtype if isinstance(value, np.dtype) else None


def parts_of_node(kind: type, value: Any) -> Parts | None:
    """Return what records objects of a type that can change; None if they can't be recorded."""
    if kind in _NODES:
        return _NODES[kind]
    if issubclass(kind, random.Random):
        return _random
    if isinstance(value, np.random.BitGenerator):
        return _bits
    if frames.is_frame(value):
        return _frame
    if is_made_of(kind, object) and not issubclass(kind, type):
        return lambda recording, thing: _object(recording, thing, ["object"])
    name = base_of(kind)
    return None if name is None else functools.partial(_derived, name)


# Values that can't change ----------------------------------------------------------------------------------


def _alias(recording: Recording, thing: Any) -> list[Any]:
    return ["alias", recording.value(thing.__origin__), recording.values(thing.__args__)]


def _member(recording: Recording, member: Any) -> list[Any]:
    kind = recording.class_of(member)
    if type(member).__members__.get(member.name) is member:
        return ["member", kind, member.name]
    return ["flag", kind, recording.value(member.value)]


def _scalar(recording: Recording, scalar: Any) -> list[Any]:
    if scalar.dtype.kind in "biuf" and scalar.dtype.itemsize <= _POINTER:
        return ["number", scalar.dtype.name, scalar.item()]
    _check_bytes(scalar, lambda: scalar_parts(scalar, "it"))
    return ["scalar", scalar]


def _dtype(recording: Recording, kind: Any) -> list[Any]:
    return ["dtype", np.lib.format.dtype_to_descr(kind)]


def _builtin(recording: Recording, function: Any) -> list[Any]:
    if recording.known.holds(function):
        return recording.known.record(function, recording)
    return ["bound", recording.value(function.__self__), function.__name__]


def _method(recording: Recording, method: Any) -> list[Any]:
    return ["method", recording.value(method.__self__), recording.value(method.__func__)]


def _weak(recording: Recording, reference: Any) -> list[Any]:
    if type(reference) is weakref.WeakMethod:
        return ["weak method", recording.value(reference())]
    if reference.__callback__ is not None:
        raise Unsavable(reference, "it is a weak reference with a callback")
    return ["weak", recording.value(reference())]


def _frozenset(recording: Recording, values: frozenset[Any]) -> list[Any]:
    elements = _elements(recording, frozenset.__iter__(values), values)
    if not _is_alike(frozenset(elements), elements, values):
        raise Unsavable(values, "the order of the frozenset can't be restored; keep a tuple")
    return ["frozenset", recording.values(elements)]


def _elements(recording: Recording, iterator: Iterator[Any], values: Any) -> list[Any]:
    """Return the elements of a set in its order, if their hashes are the same wherever it is restored."""
    elements = [*iterator]
    if all(has_fixed_hash(element, texts=False) for element in elements):
        return elements
    texts = recording.known.texts_keep_their_hash
    if not texts or not all(has_fixed_hash(element, texts=True) for element in elements):
        what = "objects" if texts else "texts or objects"
        raise Unsavable(
            values, f"the order of a set of {what} differs from process to process; keep a list or a dict"
        )
    return elements


def _is_alike(again: Any, elements: list[Any], values: Any) -> bool:
    """Return whether a set made of its elements is walked in the same order, and goes on like the set."""
    return [*again] == elements and table_of(again) == table_of(values)


def _spent(recording: Recording, iterator: Any) -> list[Any]:
    """Return the record of an iterator that has nothing left."""
    if not _is_spent(iterator):
        raise Unsavable(iterator, "it is an iterator that isn't used up; keep a list")
    return ["spent", type(iterator).__name__]


def _is_spent(iterator: Any) -> bool:
    if isinstance(iterator, types.GeneratorType):
        return iterator.gi_frame is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.14 has no such method any more
        reduce = getattr(iterator, "__reduce__", None)
        return reduce is not None and len(reduce()) == 2


# Objects that can change -----------------------------------------------------------------------------------


def _object(recording: Recording, thing: Any, first: list[Any]) -> list[Any]:
    """Return the record of an instance of a class: what is before, the class, its attributes, slots."""
    record = [*first, recording.class_of(thing), recording.named(getattr(thing, "__dict__", {}))]
    if slots := slots_of(type(thing)):
        record.append(recording.named({name: getattr(thing, name) for name in slots if hasattr(thing, name)}))
    return record


def _derived(name: str, recording: Recording, thing: Any) -> list[Any]:
    """Return the record of an instance of a class that is derived from a built-in type."""
    base = DERIVED[name]
    if name in ("int", "float", "str", "bytes"):
        content = [recording.value(plain_of(name, thing))]
    elif base in (list, tuple):
        content = [recording.values(base.__iter__(thing))]
    elif base is frozenset:
        content = _frozenset(recording, thing)[1:]
    else:
        content = _NODES[base](recording, thing)[1:]
    return _object(recording, thing, ["derived", name, content])


def _dict(recording: Recording, thing: Any) -> list[Any]:
    return ["dict", recording.values(dict.keys(thing)), recording.values(dict.values(thing))]


def _ordered_dict(recording: Recording, thing: Any) -> list[Any]:
    ordered = collections.OrderedDict
    return ["OrderedDict", recording.values(ordered.keys(thing)), recording.values(ordered.values(thing))]


def _defaultdict(recording: Recording, thing: Any) -> list[Any]:
    return ["defaultdict", *_dict(recording, thing)[1:], recording.value(thing.default_factory)]


def _deque(recording: Recording, thing: Any) -> list[Any]:
    return ["deque", recording.values(collections.deque.__iter__(thing)), thing.maxlen]


def _set(recording: Recording, values: set[Any]) -> list[Any]:
    """Return the record of a set, with its table if elements alone wouldn't lead to it."""
    elements = _elements(recording, set.__iter__(values), values)
    table = table_of(values)
    if table is None:
        raise Unsavable(values, "the order of a set can't be restored with this Python; keep a dict")
    record = ["set", recording.values(elements)]
    if not _is_alike(set(elements), elements, values):
        record.append([np.array(table.slots, dtype=np.int32), table.finger])
    return record


def _partial(recording: Recording, thing: Any) -> list[Any]:
    called = recording.value(thing.func)
    named, attributes = recording.named(thing.keywords), recording.named(vars(thing))
    return ["partial", called, recording.values(thing.args), named, attributes]


def _weak_dict(name: str) -> Parts:
    return lambda recording, thing: [name, recording.values(thing), recording.values(thing.values())]


def _cell(recording: Recording, cell: types.CellType) -> list[Any]:
    try:
        return ["cell", recording.value(cell.cell_contents)]
    except ValueError:
        return ["cell"]


def _array(recording: Recording, array: Any) -> list[Any]:
    try:
        root, view = view_of(array)
        if view is not None:
            return ["view", recording.value(root), *view, array.flags.writeable]
        content, turned = straight(array)
    except ValueError as error:
        raise Unsavable(array, str(error)) from None
    if array.dtype == object:
        values = [[*content.shape], recording.values(content.ravel().tolist())]
        return ["objects", *values, turned, array.flags.writeable]
    if not is_plain(array):
        _check_bytes(array, lambda: array_parts(np.empty(0, array.dtype), "it"))
    return ["array", content.copy(), turned, array.flags.writeable]


def _frame(recording: Recording, frame: Any) -> list[Any]:
    return ["frame", frames.made(_check_bytes(frame, lambda: frames.parts_of(frame, "it")))]


def _check_bytes(value: Any, parts: Callable[[], Any]) -> Any:
    """Return the parts of a value that `state` takes apart; refuse those that it refuses."""
    try:
        return parts()
    except NotSnapshotable as error:
        raise Unsavable(value, error.values["reason"]) from None


# Generators ------------------------------------------------------------------------------------------------


def _random(recording: Recording, generator: random.Random) -> list[Any]:
    version, words, kept = random.Random.getstate(generator)
    return _object(recording, generator, ["random", [version, np.array(words, dtype=np.uint32), kept]])


def _bits(recording: Recording, bits: Any) -> list[Any]:
    return ["bits", type(bits).__name__, _state(bits.state), recording.value(bits.seed_seq)]


def _seeds(recording: Recording, seeds: np.random.SeedSequence) -> list[Any]:
    entropy: Any = seeds.entropy
    plain = entropy if entropy is None or isinstance(entropy, int) else [str(int(word)) for word in entropy]
    return ["seeds", _state(plain), [*map(int, seeds.spawn_key)], seeds.pool_size, seeds.n_children_spawned]


def _state(state: Any) -> Any:
    """Return a generator's state with its integers, of up to 128 bits, as texts."""
    if isinstance(state, dict):
        return {key: _state(value) for key, value in state.items()}
    return str(state) if isinstance(state, int | np.integer) else state


_VALUES: Mapping[type, Parts] = {
    tuple: lambda recording, thing: ["tuple", recording.values(thing)],
    frozenset: _frozenset,
    types.GenericAlias: _alias,
    types.MethodType: _method,
    types.BuiltinFunctionType: _builtin,
    types.MethodWrapperType: _builtin,
    types.MappingProxyType: lambda recording, thing: ["proxy", recording.value(dict(thing))],
    weakref.ref: _weak,
    weakref.WeakMethod: _weak,
    itertools.chain: _spent,
    types.GeneratorType: _spent,
}

_NODES: Mapping[type, Parts] = {
    list: lambda recording, thing: ["list", recording.values(thing)],
    dict: _dict,
    set: _set,
    bytearray: lambda recording, thing: ["bytearray", bytes(thing)],
    collections.deque: _deque,
    collections.OrderedDict: _ordered_dict,
    collections.defaultdict: _defaultdict,
    functools.partial: _partial,
    types.CellType: _cell,
    types.SimpleNamespace: lambda recording, thing: ["namespace", recording.named(vars(thing))],
    itertools.count: lambda recording, thing: ["count", repr(thing)],
    weakref.WeakKeyDictionary: _weak_dict("weak keys"),
    weakref.WeakValueDictionary: _weak_dict("weak values"),
    np.ndarray: _array,
    np.random.Generator: lambda recording, thing: ["generator", recording.value(thing.bit_generator)],
    np.random.SeedSequence: _seeds,
    np.random.RandomState: lambda recording, thing: ["random state", _state(thing.get_state(legacy=False))],
}

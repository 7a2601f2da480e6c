"""Encoding: turns what agents and models hold into data; see `graph`."""

import enum
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from perdure.engines.agents.agent import Agent
from perdure.engines.agents.graph import ATOMS, DICTS, FACTORIES, ClassName, class_name, imported
from perdure.engines.array_memory import straight, view_of
from perdure.engines.derived_types import DERIVED, base_of, is_made_of, plain_of, slots_of
from perdure.engines.generators import OF_THE_PROCESS
from perdure.engines.system_dynamics.elements import Element
from perdure.errors import NotSnapshotable
from perdure.state.arrays import array_parts
from perdure.state.codec import State

__all__ = ["Encoder", "Unsaveable", "check_text"]

_DEEPEST = 100  # objects within each other: Python limits the depth of calls


class Unsaveable(Exception):
    """Why a value can't be saved, in words."""


class Encoder:
    """Turns values into data.

    Parameters
    ----------
    model
        The model itself.
    reference
        Returns the reference to an agent.
    constructed
        Objects that the construction of the model makes again, by `id`: the names of the attributes that hold
        them.
    classes
        Classes that the construction of the model makes known, by name.
    """

    def __init__(
        self,
        model: Any,
        reference: Callable[[Agent], int],
        constructed: Mapping[int, str],
        classes: Mapping[ClassName, type],
    ) -> None:
        self._model = model
        self._reference = reference
        self._constructed = constructed
        self._classes = classes
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no id is used twice
        self._depth = 0

    def value(self, value: Any) -> State:
        """Return a value as data; raise `Unsaveable` if it can't be saved."""
        kind = type(value)
        if kind in ATOMS:
            if kind is str:
                check_text((value,))
            return value  # type: ignore[no-any-return]
        if kind is tuple:
            return ["tuple", self.values(value)]
        if isinstance(value, Agent):
            return ["agent", self._reference(value)]
        if value is self._model:
            return ["model_itself"]
        if isinstance(value, Element) and value.model is self._model:
            return ["element", value.name]
        if id(value) in self._constructed:
            return ["constructed", self._constructed[id(value)]]
        if isinstance(value, enum.Enum):
            return ["enum", *self._class(kind), value.name]
        if isinstance(value, MethodType) or _is_bound(value):
            return ["method", self.value(value.__self__), value.__name__]
        if isinstance(value, type | FunctionType | BuiltinFunctionType):
            return ["named", *self._class(value)]
        if isinstance(value, np.generic):
            _check_elements(value.dtype)
            return value
        if id(value) in OF_THE_PROCESS:
            return ["of_the_process", *OF_THE_PROCESS[id(value)]]
        number = self._numbers.get(id(value))
        if number is not None:
            return ["same", number]
        number = self._numbers[id(value)] = len(self._kept)
        self._kept.append(value)
        return self._container(kind, value, number)

    def numbered(self, objects: Sequence[Any]) -> int | None:
        """Number objects that the caller saves; return the first number.

        None if one of them occurs twice, or has a number already.
        """
        first = len(self._kept)
        numbers = dict(zip(map(id, objects), range(first, first + len(objects)), strict=True))
        if len(numbers) < len(objects) or not self._numbers.keys().isdisjoint(numbers):
            return None
        self._numbers |= numbers
        self._kept.extend(objects)
        return first

    def _container(self, kind: type, value: Any, number: int) -> State:
        if kind is list:
            return ["list", number, self.values(value)]
        if kind is dict:
            return ["dict", number, self.values(value), self.values(value.values())]
        if kind is deque:
            return ["deque", number, self.values(value), value.maxlen]
        if kind is defaultdict:
            factory = self._factory(value.default_factory)
            return ["defaultdict", number, factory, self.values(value), self.values(value.values())]
        if kind is partial:
            parts = [
                self.values(value.args),
                self.values(value.keywords),
                self.values(value.keywords.values()),
            ]
            return ["partial", number, self._factory(value.func), *parts]
        if kind.__name__ in DICTS and kind is DICTS[kind.__name__]:
            return [kind.__name__, number, self.values(value), self.values(value.values())]
        if kind in (set, frozenset):
            raise Unsaveable("the order of a set isn't the same in another process; use a dict or a list")
        if kind is np.ndarray:
            return self._array(value, number)
        if kind.__module__.partition(".")[0] == "pandas" and hasattr(value, "index"):
            return ["table", number, value.copy()]
        if kind is random.Random:
            version, words, kept = value.getstate()
            return ["random", number, [version, np.array(words, dtype=np.uint32), kept]]
        if kind is np.random.Generator:
            return ["generator", number, self.value(value.bit_generator)]
        if isinstance(value, np.random.BitGenerator):
            return ["bits", number, kind.__name__, _plain(value.state), self.value(value.seed_seq)]
        if kind is np.random.SeedSequence:
            entropy = value.entropy
            listed = entropy if entropy is None or isinstance(entropy, int) else [*map(int, entropy)]
            rest = [[*map(int, value.spawn_key)], value.pool_size, value.n_children_spawned]
            return ["seeds", number, listed, *rest]
        if is_made_of(kind, object) and not issubclass(kind, type):
            return ["object", number, *self._class(kind), *self._attributes(value)]
        base = base_of(kind)
        if base is None or issubclass(kind, set | frozenset):
            raise Unsaveable(f"{value!r:.80} is an object of {kind.__module__}.{kind.__qualname__}")
        name = self._class(kind)
        return ["derived", number, base, self._content(base, value), *name, *self._attributes(value)]

    def _content(self, base: str, value: Any) -> list[State]:
        """Return what an object holds as one of a built-in type."""
        if base in ("int", "float", "str", "bytes"):
            return [self.value(plain_of(base, value))]
        if base in ("list", "tuple"):
            return [self.values(DERIVED[base].__iter__(value))]
        if base == "deque":
            return [self.values(deque.__iter__(value)), value.maxlen]
        content: list[State] = [self.values(dict.keys(value)), self.values(dict.values(value))]
        return [*content, self._factory(value.default_factory)] if base == "defaultdict" else content

    def _attributes(self, value: Any) -> list[State]:
        """Return names and values of an object's attributes, and, if it has slots, of these."""
        attributes: dict[str, Any] = getattr(value, "__dict__", {})
        found: list[State] = [self.values(attributes), self.values(attributes.values())]
        if slots := slots_of(type(value)):
            there = {name: getattr(value, name) for name in slots if hasattr(value, name)}
            found += [self.values(there), self.values(there.values())]
        return found

    def _array(self, array: Any, number: int) -> State:
        try:
            root, view = view_of(array)
            if view is not None:
                return ["view", number, self.value(root), [*view], array.flags.writeable]
            content, turned = straight(array)
        except ValueError as error:
            raise Unsaveable(str(error)) from None
        if array.dtype == object:
            values = self.values(content.ravel().tolist())
            return ["objects", number, [*content.shape], values, turned, array.flags.writeable]
        _check_elements(array.dtype)
        return ["array", number, content.copy(), turned, array.flags.writeable]

    def _factory(self, function: Any) -> State:
        """Return a function as data: built-in types by their names alone."""
        name = getattr(function, "__name__", "")
        return name if name and FACTORIES.get(name) is function else self.value(function)

    def values(self, values: Iterable[Any]) -> list[State]:
        """Return several values as data; raise `Unsaveable` if one can't be saved."""
        values = list(values)
        kinds = set(map(type, values))
        if ATOMS.issuperset(kinds):
            if str in kinds:
                check_text(values)
            return values
        self._depth += 1
        try:
            if self._depth > _DEEPEST:
                raise Unsaveable(
                    f"objects in it hold each other over {_DEEPEST} deep, as in a linked list; use a list"
                )
            return [self.value(each) for each in values]
        finally:
            self._depth -= 1

    def _class(self, kind: Any) -> ClassName:
        name = class_name(kind)
        if self._classes.get(name) is not kind and imported(name) is not kind:
            if isinstance(kind, type):
                what = f"an object of {kind.__module__}.{kind.__qualname__}, which isn't a class of the model"
            else:
                what = f"the function {kind.__qualname__!r}, which can't be imported by its name"
            raise Unsaveable(f"it is {what}")
        return name


def check_text(values: Iterable[Any]) -> None:
    """Raise `Unsaveable` if one of some values is text that isn't Unicode."""
    text = "".join([value for value in values if type(value) is str])
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            reason = "it holds text with a lone surrogate, which isn't Unicode; decode it without errors"
            raise Unsaveable(reason) from None


def _check_elements(dtype: Any) -> None:
    """Raise `Unsaveable` for elements of arrays that have no exact bytes."""
    try:
        array_parts(np.empty(0, dtype), "it")
    except NotSnapshotable as error:
        raise Unsaveable(str(error)) from None


def _is_bound(value: Any) -> bool:
    """Return whether a function in C is the method of an object."""
    return isinstance(value, BuiltinFunctionType) and not isinstance(value.__self__, ModuleType | type | None)


def _plain(state: Any) -> Any:
    """Return the state of a bit generator with Python's own integers."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return int(state) if isinstance(state, np.integer) else state

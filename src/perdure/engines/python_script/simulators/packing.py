"""Packing: an environment's attributes as State, including values that State has no types for.

Every list in a packed value begins with a tag for its type: list, tuple, dict, deque, generator, space or
constant; in earlier states also NumPy scalar.
"""

import types
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from perdure.engines.generators import plain_state
from perdure.engines.python_script.code import Code
from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.errors import InvalidState, NotSnapshotable

__all__ = ["Packer", "unpacked"]

_PLAIN = (type(None), bool, int, float, str, bytes)
_CONSTANT = (types.ModuleType, type, np.dtype)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


class Packer:
    """Packs the attributes of some objects.

    Parameters
    ----------
    gymnasium
        The package.
    owners
        The objects. Values that they hold now count as constants if their type allows it: a fresh environment
        has them again.
    """

    def __init__(self, gymnasium: Any, owners: Iterable[Any]) -> None:
        self._space: Any = gymnasium.Space
        self._composite: Any = (gymnasium.spaces.Tuple, gymnasium.spaces.Dict)
        self._simple: Any = tuple(
            getattr(gymnasium.spaces, name) for name in ("Box", "Discrete", "MultiDiscrete", "MultiBinary")
        )
        constant = (*_CONSTANT, *_FUNCTIONS, gymnasium.envs.registration.EnvSpec, self._space)
        self._constants: list[Any] = []
        self._code = Code({})
        for owner in owners:
            for name, value in vars(owner).items():
                if isinstance(value, constant):
                    self._constants.append(value)
                if isinstance(value, _FUNCTIONS):
                    self._code.holds(f"{type(owner).__name__}.{name}", value)
        self._code.note()

    def packed(self, place: str, value: Any, graph: ObjectGraph, seen: dict[int, int]) -> Any:
        """Return a value as State; raise `NotSnapshotable` with the place of what can't be restored.

        A value that is held twice is packed once: `seen` numbers the packed values, for a whole state.
        """
        kind = type(value)
        if kind in _PLAIN:
            return value
        if id(value) in seen:
            return ["again", seen[id(value)]]
        if kind in (list, dict, deque, np.ndarray, np.random.Generator):
            seen[id(value)] = len(seen)
        if kind is np.ndarray:
            return ["array", graph.take(place, value)]
        if kind is list:
            return ["list", self._items(place, value, graph, seen)]
        if kind is deque:
            return ["deque", self._items(place, value, graph, seen), value.maxlen]
        if kind is tuple:
            return ["tuple", self._items(place, value, graph, seen)]
        if kind is dict:
            keys = [self.packed(f"a key of {place}", key, graph, seen) for key in value]
            values = [self.packed(f"{place}[{key!r}]", item, graph, seen) for key, item in value.items()]
            return ["dict", keys, values]
        if isinstance(value, np.generic):
            return graph.take(place, value)
        if kind is np.random.Generator and type(value.bit_generator).__name__ in _BIT_GENERATORS:
            return ["generator", plain_state(value.bit_generator.state)]
        if any(value is constant for constant in self._constants):
            if isinstance(value, self._space):
                return ["space", self._draws(place, value, graph, seen)]
            if isinstance(value, _FUNCTIONS):
                self._code.check()
            return ["constant"]
        raise NotSnapshotable(
            what=place, reason=f"a {kind.__module__}.{kind.__qualname__} has no state that could be read"
        )

    def _items(self, place: str, items: Iterable[Any], graph: ObjectGraph, seen: dict[int, int]) -> list[Any]:
        return [self.packed(f"{place}[{i}]", item, graph, seen) for i, item in enumerate(items)]

    def _draws(self, place: str, space: Any, graph: ObjectGraph, seen: dict[int, int]) -> Any:
        """Return the generators of a space, which exist once it was sampled from."""
        if isinstance(space, self._composite):
            parts = [self._draws(place, child, graph, seen) for child in _children(space)]
        elif isinstance(space, self._simple):
            parts = []
        else:
            raise NotSnapshotable(
                what=place, reason=f"a space of the type {type(space).__name__} isn't known"
            )
        return [self.packed(place, space._np_random, graph, seen), parts]


def unpacked(packed: Any, present: Any, seen: list[Any]) -> Any:
    """Return the original of a packed value; constants and spaces are the present ones.

    `seen` collects the values in the order in which they were packed.
    """
    if type(packed) is not list:
        return packed.copy() if isinstance(packed, np.void) else packed
    match packed:
        case ["again", index]:
            return seen[index]
        case ["array", array]:
            seen.append(array.copy())
            return seen[-1]
        case ["list", items]:
            made: list[Any] = []
            seen.append(made)
            made.extend(unpacked(item, None, seen) for item in items)
            return made
        case ["deque", items, most]:
            queue: deque[Any] = deque(maxlen=most)
            seen.append(queue)
            queue.extend(unpacked(item, None, seen) for item in items)
            return queue
        case ["tuple", items]:
            return tuple([unpacked(item, None, seen) for item in items])
        case ["dict", keys, values]:
            filled: dict[Any, Any] = {}
            seen.append(filled)
            names = [unpacked(key, None, seen) for key in keys]
            filled.update(zip(names, [unpacked(value, None, seen) for value in values], strict=True))
            return filled
        case ["scalar", array]:
            return array[()]
        case ["generator", state]:
            seen.append(_generator(state))
            return seen[-1]
        case ["space", draws]:
            _restore_draws(present, draws, seen)
            return present
        case ["constant"]:
            return present
    raise InvalidState("The state doesn't fit the environment: it holds something of an unknown kind.")


def _restore_draws(space: Any, draws: Any, seen: list[Any]) -> None:
    # Parts first, in the order of packing.
    own, parts = draws
    if parts:
        for child, part in zip(_children(space), parts, strict=True):
            _restore_draws(child, part, seen)
    space._np_random = unpacked(own, None, seen)


def _children(space: Any) -> list[Any]:
    return list(space.spaces.values() if isinstance(space.spaces, dict) else space.spaces)


def _generator(state: Any) -> np.random.Generator:
    name = state["bit_generator"]
    if name not in _BIT_GENERATORS:
        raise InvalidState(f"The state doesn't fit the environment: {name!r} is no bit generator of NumPy's.")
    bits = getattr(np.random, name)()
    bits.state = state
    return np.random.Generator(bits)

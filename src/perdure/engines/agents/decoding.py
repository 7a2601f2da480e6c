"""Decoding: turns the data of `encoding` back into what agents and models held; see `graph`."""

import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from perdure.engines.agents.agent import Agent
from perdure.engines.agents.graph import FACTORIES, ClassName, class_name, imported
from perdure.engines.array_memory import View, in_order
from perdure.engines.derived_types import DERIVED
from perdure.engines.generators import OF_THE_PROCESS

__all__ = ["Decoder"]

_TAGS = frozenset(
    {
        "Counter", "OrderedDict", "agent", "array", "bits", "constructed", "defaultdict", "deque", "derived",
        "dict", "element", "enum", "generator", "list", "method", "model_itself", "named", "object",
        "objects", "of_the_process", "partial", "random", "same", "seeds", "table", "tuple", "view",
    }
)  # fmt: skip
"""What a list of data begins with; each is a method of the decoder."""


class Decoder:
    """Turns data of an `Encoder` back into values.

    Parameters
    ----------
    model
        The model, constructed again.
    agents
        The agents by their references.
    classes
        As for the encoder.

    Raises
    ------
    ValueError
        By its methods, if the data aren't those of an encoder.
    """

    def __init__(self, model: Any, agents: list[Agent], classes: Mapping[ClassName, type]) -> None:
        self._model = model
        self._agents = agents
        self._classes = classes
        self._made: dict[int, Any] = {}

    def value(self, data: Any) -> Any:
        """Return the value that the data stand for."""
        if type(data) is not list:
            return data
        tag, *rest = data
        if tag not in _TAGS:
            raise ValueError(f"there is no kind of value {tag!r:.40}")
        return getattr(self, f"_{tag}")(*rest)

    def into(self, former: Any, data: Any) -> Any:
        """Return the value, in the object that was there, if that is a list, dict or object of its class.

        Functions that construction made may hold that object.
        """
        if type(data) is list:
            match data:
                case ["list", number, items] if type(former) is list:
                    former.clear()
                    self._made[number] = former
                    former.extend(self.items(items))
                    return former
                case ["dict", number, keys, values] if type(former) is dict:
                    former.clear()
                    return self._fill(former, number, keys, values)
                case ["object", number, module, name, names, values] if class_name(type(former)) == (
                    module,
                    name,
                ):
                    self._made[number] = former
                    vars(former).clear()
                    return self._set(former, names, values)
        return self.value(data)

    def numbered(self, first: int, objects: Sequence[Any]) -> None:
        """Note objects that the caller has made, from a number on."""
        self._made.update(zip(range(first, first + len(objects)), objects, strict=True))

    def items(self, data: list[Any]) -> list[Any]:
        """Return the values of a list of data."""
        return [self.value(each) if type(each) is list else each for each in data]

    def _tuple(self, items: list[Any]) -> Any:
        return tuple(self.items(items))

    def _agent(self, reference: int) -> Any:
        return self._agents[reference]

    def _element(self, name: str) -> Any:
        return self._model.elements[name]

    def _constructed(self, name: str) -> Any:
        return vars(self._model)[name]

    def _enum(self, module: str, name: str, member: str) -> Any:
        return self._class(module, name)[member]

    def _named(self, module: str, name: str) -> Any:
        return self._class(module, name)

    def _method(self, owner: Any, name: str) -> Any:
        return getattr(self.value(owner), name)

    def _same(self, number: int) -> Any:
        return self._made[number]

    def _list(self, number: int, items: list[Any]) -> Any:
        made = self._made[number] = []
        made.extend(self.items(items))
        return made

    def _dict(self, number: int, keys: list[Any], values: list[Any]) -> Any:
        return self._fill({}, number, keys, values)

    def _defaultdict(self, number: int, factory: Any, keys: list[Any], values: list[Any]) -> Any:
        return self._fill(defaultdict(self._factory(factory)), number, keys, values)

    def _Counter(self, number: int, keys: list[Any], values: list[Any]) -> Any:  # noqa: N802 - a tag
        return self._fill(Counter(), number, keys, values)

    def _OrderedDict(self, number: int, keys: list[Any], values: list[Any]) -> Any:  # noqa: N802 - a tag
        return self._fill(OrderedDict(), number, keys, values)

    def _fill(self, made: Any, number: int, keys: list[Any], values: list[Any]) -> Any:
        self._made[number] = made
        for key, value in zip(self.items(keys), values, strict=True):
            made[key] = self.value(value)
        return made

    def _deque(self, number: int, items: list[Any], limit: int | None) -> Any:
        made = self._made[number] = deque(maxlen=limit)
        made.extend(self.items(items))
        return made

    def _partial(
        self, number: int, function: Any, items: list[Any], keys: list[str], values: list[Any]
    ) -> Any:
        called = self._factory(function)
        made: Any = partial(called)
        self._made[number] = made
        named = dict(zip(keys, self.items(values), strict=True))
        made.__setstate__((called, tuple(self.items(items)), named, {}))  # its arguments may hold it
        return made

    def _array(self, number: int, content: Any, turned: bool, writeable: bool) -> Any:
        made = self._made[number] = in_order(content.copy(), turned)
        made.flags.writeable = writeable
        return made

    def _objects(self, number: int, shape: list[int], items: list[Any], turned: bool, writeable: bool) -> Any:
        made = self._made[number] = in_order(np.empty(shape, dtype=object), turned)
        content = made.T if turned else made
        for place, item in zip(np.ndindex(content.shape), self.items(items), strict=True):
            content[place] = item
        made.flags.writeable = writeable
        return made

    def _view(self, number: int, root: Any, view: list[Any], writeable: bool) -> Any:
        made = self._made[number] = View(*view).made(self.value(root))
        made.flags.writeable = writeable
        return made

    def _table(self, number: int, value: Any) -> Any:
        self._made[number] = value
        return value

    def _of_the_process(self, module: str, name: str) -> Any:
        if (module, name) not in OF_THE_PROCESS.values():
            raise ValueError(f"{module}.{name} is no generator of the process")
        return getattr(sys.modules[module], name)

    def _random(self, number: int, state: list[Any]) -> Any:
        version, words, kept = state
        made = self._made[number] = random.Random()  # noqa: S311 - simulation
        made.setstate((version, tuple(words.tolist()), kept))
        return made

    def _generator(self, number: int, bits: Any) -> Any:
        made = self._made[number] = np.random.Generator(self.value(bits))
        return made

    def _bits(self, number: int, kind: str, state: Any, seeds: Any) -> Any:
        made = self._made[number] = getattr(np.random, kind)(self.value(seeds))
        made.state = state
        return made

    def _seeds(self, number: int, entropy: Any, key: list[int], size: int, spawned: int) -> Any:
        made = self._made[number] = np.random.SeedSequence(
            entropy, spawn_key=tuple(key), pool_size=size, n_children_spawned=spawned
        )
        return made

    def _object(self, number: int, module: str, name: str, *attributes: list[Any]) -> Any:
        made = self._made[number] = object.__new__(self._class(module, name))
        return self._set(made, *attributes)

    def _derived(
        self, number: int, base: str, content: list[Any], module: str, name: str, *attributes: list[Any]
    ) -> Any:
        kind, plain = self._class(module, name), DERIVED[base]
        if base in ("int", "float", "str", "bytes"):
            made = self._made[number] = plain.__new__(kind, content[0])
        elif base == "tuple":
            made = self._made[number] = tuple.__new__(kind, self.items(content[0]))
        else:
            made = self._made[number] = plain.__new__(kind)
            if base == "list":
                list.extend(made, self.items(content[0]))
            elif base == "deque":
                deque.__init__(made, self.items(content[0]), content[1])
            else:
                for key, value in zip(self.items(content[0]), content[1], strict=True):
                    plain.__setitem__(made, key, self.value(value))
                if base == "defaultdict":
                    made.default_factory = self._factory(content[2])
        return self._set(made, *attributes)

    def _set(
        self,
        made: Any,
        names: list[str],
        values: list[Any],
        slots: Sequence[str] = (),
        held: Sequence[Any] = (),
    ) -> Any:
        """Give an object its attributes, and what is in its slots, and return it."""
        for name, value in zip(names, values, strict=True):
            vars(made)[name] = self.value(value)
        for name, value in zip(slots, held, strict=True):
            object.__setattr__(made, name, self.value(value))
        return made

    def _factory(self, data: Any) -> Any:
        return FACTORIES[data] if type(data) is str else self.value(data)

    def _class(self, module: str, name: str) -> Any:
        found = self._classes.get((module, name)) or imported((module, name))
        if found is None:
            raise ValueError(f"{module}.{name} is no class of the model")
        return found

    def _model_itself(self) -> Any:
        return self._model

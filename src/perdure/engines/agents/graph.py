"""The object graph of a model as data: what agents and models hold, with shared objects and circles.

Plain values stay as they are. Everything else is a list that begins with a tag. A container or object is
numbered where it first occurs, so that what was one object is one object again. Agents, elements and the
model are referred to. An object of another class consists of its attributes; reading data calls no
constructor, and makes only objects whose classes the program has imported. Nothing else can be saved: the
caller says where it is.
"""

import enum
import os
import random
import sys
import sysconfig
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from perdure.engines.agents.agent import Agent
from perdure.engines.system_dynamics.elements import Element
from perdure.state.codec import State

__all__ = ["ATOMS", "Decoder", "Encoder", "Unsaveable", "class_name"]

ATOMS = frozenset((type(None), bool, int, float, str, bytes))

_OWN = "perdure.engines.agents"
_PACKAGES = tuple(f"{sysconfig.get_path(kind)}{os.sep}" for kind in ("purelib", "platlib"))
_FACTORIES = {kind.__name__: kind for kind in (int, float, str, list, dict, bool)}
_DICTS: dict[str, type] = {"Counter": Counter, "OrderedDict": OrderedDict}

_TAGS = frozenset(
    {
        "Counter", "OrderedDict", "agent", "array", "constructed", "defaultdict", "deque", "dict", "element",
        "enum", "generator", "list", "method", "model_itself", "named", "object", "random", "same", "tuple",
    }
)  # fmt: skip
"""What a list of data begins with; each is a method of the decoder."""

ClassName = tuple[str, str]
"""Module and qualified name of a class or function."""


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

    def value(self, value: Any) -> State:
        """Return a value as data; raise `Unsaveable` if it can't be saved."""
        kind = type(value)
        if kind in ATOMS:
            return value  # type: ignore[no-any-return]
        if kind is tuple:
            return ["tuple", self._items(value)]
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
        if isinstance(value, type | FunctionType | BuiltinFunctionType):
            return ["named", *self._class(value)]
        if isinstance(value, MethodType):
            return ["method", self.value(value.__self__), value.__name__]
        if isinstance(value, np.generic):
            return value
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
            return ["list", number, self._items(value)]
        if kind is dict:
            return ["dict", number, self._items(value), self._items(value.values())]
        if kind is deque:
            return ["deque", number, self._items(value), value.maxlen]
        if kind is defaultdict:
            factory = value.default_factory
            if factory is not None and _FACTORIES.get(factory.__name__) is not factory:
                raise Unsaveable(f"its default factory is {factory!r}, not a built-in type such as list")
            name = None if factory is None else factory.__name__
            return ["defaultdict", number, name, self._items(value), self._items(value.values())]
        if kind.__name__ in _DICTS and kind is _DICTS[kind.__name__]:
            return [kind.__name__, number, self._items(value), self._items(value.values())]
        if kind in (set, frozenset):
            raise Unsaveable("the order of a set isn't the same in another process; use a dict or a list")
        if isinstance(value, np.ndarray):
            return ["array", number, value.copy()]
        if kind.__module__.partition(".")[0] == "pandas" and hasattr(value, "index"):
            return ["array", number, value.copy()]
        if kind is random.Random:
            version, words, kept = value.getstate()
            return ["random", number, [version, np.array(words, dtype=np.uint32), kept]]
        if kind is np.random.Generator:
            bits = value.bit_generator
            return ["generator", number, type(bits).__name__, _plain(bits.state)]
        return self._object(kind, value, number)

    def _object(self, kind: type, value: Any, number: int) -> State:
        if not hasattr(value, "__dict__") or any(vars(each).get("__slots__") for each in kind.__mro__):
            raise Unsaveable(f"{value!r:.80} is an object of {kind.__module__}.{kind.__qualname__}")
        name = self._class(kind)
        attributes = vars(value)
        return ["object", number, *name, self._items(attributes), self._items(attributes.values())]

    def _items(self, values: Any) -> list[State]:
        if ATOMS.issuperset(map(type, values)):
            return list(values)
        return [self.value(each) for each in values]

    def _class(self, kind: Any) -> ClassName:
        name = class_name(kind)
        if self._classes.get(name) is not kind and _imported(name) is not kind:
            if isinstance(kind, type):
                what = f"an object of {kind.__module__}.{kind.__qualname__}, which isn't a class of the model"
            else:
                what = f"the function {kind.__qualname__!r}, which can't be imported by its name"
            raise Unsaveable(f"it is {what}")
        return name


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
                    self._set(former, names, values)
                    return former
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

    def _defaultdict(self, number: int, factory: str | None, keys: list[Any], values: list[Any]) -> Any:
        return self._fill(defaultdict(_FACTORIES[factory] if factory else None), number, keys, values)

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

    def _array(self, number: int, value: Any) -> Any:
        self._made[number] = value
        return value

    def _random(self, number: int, state: list[Any]) -> Any:
        version, words, kept = state
        made = self._made[number] = random.Random()  # noqa: S311 - simulation
        made.setstate((version, tuple(words.tolist()), kept))
        return made

    def _generator(self, number: int, kind: str, state: Any) -> Any:
        bits = getattr(np.random, kind)(0)
        bits.state = state
        made = self._made[number] = np.random.Generator(bits)
        return made

    def _object(self, number: int, module: str, name: str, names: list[str], values: list[Any]) -> Any:
        kind = self._class(module, name)
        made = self._made[number] = object.__new__(kind)
        self._set(made, names, values)
        return made

    def _set(self, made: Any, names: list[str], values: list[Any]) -> None:
        for key, value in zip(names, values, strict=True):
            vars(made)[key] = self.value(value)

    def _class(self, module: str, name: str) -> Any:
        found = self._classes.get((module, name)) or _imported((module, name))
        if found is None:
            raise ValueError(f"{module}.{name} is no class of the model")
        return found

    def _model_itself(self) -> Any:
        return self._model


def class_name(kind: Any) -> ClassName:
    """Return the module and the qualified name of a class or function."""
    return kind.__module__ or "", kind.__qualname__


def _imported(name: ClassName) -> Any:
    """Return the class or function of that name in an imported module; None if it may not be used.

    Functions of installed packages may not, as a saved state could name any of them as a handler.
    """
    module, path = name
    top = module.partition(".")[0]
    library = top in ("perdure", *sys.stdlib_module_names) and top != "__main__"
    own = module == _OWN or module.startswith(f"{_OWN}.")
    if module not in sys.modules or (library and not own):
        return None
    installed = str(getattr(sys.modules[module], "__file__", None) or "").startswith(_PACKAGES)
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) or not installed else None


def _plain(state: Any) -> Any:
    """Return the state of a bit generator with Python's own integers."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return int(state) if isinstance(state, np.integer) else state

"""Known code: the modules, classes and functions of a model, which are found again instead of being saved.

Code with a name is found by it, in modules that are loaded. Other code that exists once the model is built,
such as the lambdas of a data collector, is **kept**: the model is built again with the same arguments, which
makes it again, and it is found by its number in a walk through the new model.

Own code is the code of the model's folder. What its modules and classes keep in variables, and what functions
keep in closures, defaults and attributes, is data, and so are the variables of classes without a name.
"""

import enum
import logging
import sys
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from perdure.engines.mesa.code_data import (
    code_within,
    function_parts,
    parts_of_class,
    parts_of_function,
    parts_of_owner,
)
from perdure.engines.mesa.function_caches import cached_functions, keyword_mark
from perdure.engines.objects.base import Recording
from perdure.engines.objects.code import is_code, name_of
from perdure.engines.objects.problems import Unsavable

__all__ = ["KnownCode", "mesa_modules"]

_Modules = Callable[[], Mapping[str, types.ModuleType]]


class KnownCode:
    """The code that a model refers to; implements `perdure.engines.objects.base.Known`.

    Parameters
    ----------
    own
        Returns the model's own modules, by name.
    """

    texts_keep_their_hash = True  # the engine runs in a process of its own, with a fixed ``PYTHONHASHSEED``

    def __init__(self, own: _Modules) -> None:
        self._own = own
        self._learns = True
        self._kept: list[Callable[[], Any]] = []
        self._numbers: dict[int, int] = {}
        self._cached: tuple[int, list[Any]] = (-1, [])  # for how many own modules
        # Keeps what it names alive, so that ids stay unique.
        self._named: dict[int, tuple[Any, list[Any]]] = {}

    def settle(self) -> None:
        """End the walk through a new model: code that is met for the first time later isn't known."""
        self._learns = False

    def holds(self, value: Any) -> bool:
        """Return whether a value is code."""
        return is_code(value)

    def record(self, thing: Any, recording: Recording) -> list[Any]:
        """Return how code is found again; what it keeps becomes a node."""
        if isinstance(thing, type) and not self.knows(thing):
            return recording.enter_code(thing, self._parts)
        self.visit(thing, recording)
        return self.name(thing)

    def visit(self, thing: Any, recording: Recording) -> None:
        """Make code that keeps data a node, once."""
        if not recording.has(thing) and self._keeps_data(thing):
            recording.enter_code(thing, self._parts)

    def knows(self, thing: Any) -> bool:
        """Return whether code can be found again."""
        try:
            self.name(thing)
        except Unsavable:
            return False
        return True

    def name(self, thing: Any) -> list[Any]:
        """Return how code is found again; raise `Unsavable` if it can't be."""
        named = self._named.get(id(thing))
        if named is not None:
            return named[1]
        if isinstance(thing, types.ModuleType):
            found = ["module", thing.__name__]
        elif isinstance(thing, logging.Logger):
            found = ["logger", thing.name]
        else:
            module, name = name_of(thing)
            if not module or self._find(module, name) is not thing:
                return self._record_kept(thing)
            found = ["named", module, name]
        self._named[id(thing)] = thing, found
        return found

    def find(self, record: list[Any]) -> Any:
        """Return the code of a record; raise `LookupError` if there is none."""
        found: Any
        match record:
            case ["module", str(name)]:
                found = self._module(name)
            case ["logger", str(name)]:
                found = logging.getLogger(name)
            case ["mark"]:
                found = keyword_mark()
            case ["named", str(module), str(name)]:
                found = self._find(module, name)
            case ["kept", int(number)]:
                found = self._kept[number]()
            case _:
                found = None
        if found is None:
            raise LookupError(f"there is no code {record!r:.200}")
        return found

    @property
    def caches(self) -> list[Any]:
        """The cached functions of the model's own modules and of Mesa."""
        own = self._own()
        if self._cached[0] != len(own):
            self._cached = len(own), [*cached_functions([*own.values(), *mesa_modules()])]
        return self._cached[1]

    def _keeps_data(self, thing: Any) -> bool:
        """Return whether code may keep data that belong to the model."""
        if isinstance(thing, types.ModuleType):
            return self._own().get(thing.__name__) is thing
        if isinstance(thing, types.FunctionType):
            return self._is_own(thing) and any(part for part in function_parts(thing).values())
        return isinstance(thing, type) and not issubclass(thing, enum.Enum) and self._is_own(thing)

    def _parts(self, recording: Recording, thing: Any) -> list[Any]:
        """Return the record of what code keeps."""
        if isinstance(thing, types.FunctionType):
            return parts_of_function(recording, thing, self.name(thing))
        if isinstance(thing, type) and not self.knows(thing):
            return parts_of_class(recording, thing)
        for code in code_within(thing):
            self.visit(code, recording)
        return parts_of_owner(recording, thing, self.name(thing))

    def _is_own(self, thing: Any) -> bool:
        return thing.__module__ in self._own() or self.name(thing)[0] == "kept"

    def _record_kept(self, thing: Any) -> list[Any]:
        number = self._numbers.get(id(thing))
        if number is None or self._kept[number]() is not thing:
            if not self._learns:
                name = getattr(thing, "__qualname__", type(thing).__qualname__)
                raise Unsavable(thing, f"the code {name:.80} was made after the model was built")
            number = self._numbers[id(thing)] = len(self._kept)
            try:  # weakly, because a function may hold agents
                self._kept.append(weakref.ref(thing))
            except TypeError:
                self._kept.append(lambda: thing)
        return ["kept", number]

    def _module(self, name: str) -> types.ModuleType | None:
        return self._own().get(name) or sys.modules.get(name)

    def _find(self, module: str, name: str) -> Any:
        found: Any = self._module(module)
        for part in name.split("."):
            # Not by `getattr`, which would call descriptors.
            found = getattr(found, "__dict__", {}).get(part)
        return found


def mesa_modules() -> list[types.ModuleType]:
    """Return Mesa's own modules that are loaded."""
    return [module for name, module in [*sys.modules.items()] if name.partition(".")[0] == "mesa"]

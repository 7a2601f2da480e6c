"""Known objects: what the state of a model of agents refers to, because it is there or saved elsewhere.

The model itself and what its construction makes are there, agents are saved in tables, and classes and
functions are the program's.
"""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from perdure.engines.agents.agent import Agent
from perdure.engines.agents.events import Event
from perdure.engines.agents.program_code import ClassName, imported
from perdure.engines.generators import OF_THE_PROCESS
from perdure.engines.objects.base import Recording
from perdure.engines.objects.code import is_code, name_of
from perdure.engines.objects.problems import Unsavable
from perdure.engines.system_dynamics import Model, Module
from perdure.engines.system_dynamics.elements import Element
from perdure.engines.system_dynamics.expression import Expression

__all__ = ["HASH_SEED", "KnownObjects"]

_KINDS = (Agent, Model, Module, Expression)

HASH_SEED = os.environ.get("PYTHONHASHSEED", "random") or "random"
"""What decides the order of sets of texts in this process; `random` if it isn't fixed."""


class KnownObjects:
    """What is known of a model of agents; implements `perdure.engines.objects.base.Known`.

    Parameters
    ----------
    model
        The model.
    classes
        Classes that the construction of the model makes known, by name.
    agents
        The agents, in the order in which tables hold them. Agents that were deleted, but are still referred
        to, are added when they are met.
    events
        Events that are saved by themselves.
    fixtures
        What can't be saved and is there after each import, by its records.

    Attributes
    ----------
    has_sets_of_texts
        Whether any were recorded.
    """

    def __init__(
        self,
        model: Any,
        classes: Mapping[ClassName, type],
        agents: list[Agent],
        events: Sequence[Event] = (),
        fixtures: Mapping[tuple[Any, ...], Any] = MappingProxyType({}),
    ) -> None:
        self._model = model
        self._fixtures = fixtures
        self.has_sets_of_texts = False
        self._agents = agents
        self._events = events
        self._numbers = dict(zip(map(id, agents), range(len(agents)), strict=True))
        self._code: dict[ClassName, Any] = {**classes}

    def given(self, constructed: Mapping[int, str]) -> dict[int, list[Any]]:
        """Return the records of what is there, by `id`.

        Parameters
        ----------
        constructed
            Objects that the construction of the model makes again, by `id`: the names of the attributes that
            hold them.
        """
        found: dict[int, list[Any]] = {id(event): ["event", n] for n, event in enumerate(self._events)}
        found |= {number: ["constructed", name] for number, name in constructed.items()}
        return found | {id(self._model): ["model"]}

    @property
    def texts_keep_their_hash(self) -> bool:
        """Whether sets of texts can be recorded: with a fixed seed, as in the processes that step agents.

        That is asked when one is met, which is noted.
        """
        self.has_sets_of_texts = True
        return HASH_SEED != "random"

    def holds(self, value: Any) -> bool:
        """Return whether a value is code, an agent, or something of a model."""
        return is_code(value) or isinstance(value, _KINDS)

    def record(self, thing: Any, recording: Recording) -> list[Any]:
        """Return how a thing is found again."""
        if isinstance(thing, Agent):
            number = self._numbers.get(id(thing), len(self._agents))
            if number == len(self._agents):
                self._agents.append(thing)
            return recording.refer(thing, ["agent", number])
        if isinstance(thing, Element) and thing.model is self._model:
            return ["element", thing.name]
        if isinstance(thing, logging.Logger):
            return ["logger", thing.name]
        name = name_of(thing)
        if name[1] and self._named(name) is thing:
            return ["named", *name]
        if isinstance(thing, type):
            reason = f"it is an object of {'.'.join(name)}, which isn't a class of the model"
        elif callable(thing):
            reason = f"it is the function {name[1]!r}, which can't be imported by its name"
        else:
            reason = f"it is an object of {type(thing).__module__}.{type(thing).__qualname__}"
        raise Unsavable(thing, reason)

    def find(self, record: list[Any]) -> Any:
        """Return the thing of a record."""
        found: Any = None
        match record:
            case ["agent", int(number)]:
                found = self._agents[number]
            case ["event", int(number)]:
                found = self._events[number]
            case ["model"]:
                found = self._model
            case ["element", str(name)]:
                found = self._model.elements[name]
            case ["constructed", str(name)]:
                found = vars(self._model)[name]
            case ["fixture", *place]:
                found = self._fixtures.get(("fixture", *place))
            case ["logger", str(name)]:
                found = logging.getLogger(name)
            case ["named", str(module), str(name)]:
                found = self._named((module, name))
        if found is None:
            raise LookupError(f"the model has no {record!r:.200}")
        return found

    def _named(self, name: ClassName) -> Any:
        """Return a class or function that a state may name, a class's own, or a generator of the process."""
        if name not in self._code:
            module, path = name
            owner, _, last = path.rpartition(".")
            if name in OF_THE_PROCESS.values():
                found = getattr(sys.modules[module], path)
            elif owner and isinstance(kind := self._named((module, owner)), type):
                found = getattr(kind, last, None)
            else:
                found = imported(name)
            self._code[name] = found
        return self._code[name]

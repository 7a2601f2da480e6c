"""A model of agents as data: its agents and events, its attributes, and the values of its elements.

What the construction of the model makes is made again, and stays: elements and their equations, functions,
factories. All else is put back.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from perdure.engines.agents.agent import Agent
from perdure.engines.agents.decoding import Decoder
from perdure.engines.agents.encoding import Encoder, Unsaveable
from perdure.engines.agents.graph import ClassName, class_name
from perdure.engines.agents.problems import Problems
from perdure.engines.agents.saved_agents import column_values, put_back, saved, table_rows
from perdure.engines.agents.saved_events import events_of, saved_events
from perdure.engines.agents.shared_data import SharedData
from perdure.engines.derived_types import slots_of
from perdure.engines.numbers import finite
from perdure.engines.system_dynamics import Model as SystemDynamics
from perdure.engines.system_dynamics import Module
from perdure.engines.system_dynamics.expression import Expression
from perdure.errors import InvalidState, PerdureError
from perdure.state.codec import State

if TYPE_CHECKING:
    from perdure.engines.agents.model import Model

__all__ = ["Constructed"]

_PARTS = (
    "properties",
    "points",
    "agent_type_map",
    "next_agent_id",
    "scenario_manager",
)
"""Attributes of every model that a run changes."""

_WHOLES = {
    "attributes": "the model's attribute",
    "parts": "the model's attribute",
    "scheduler": "the scheduler's attribute",
    "collector": "the data collector's attribute",
}
"""Parts of a state that are attributes by name, in the order in which they are read, and what they are."""

_KEPT = (SystemDynamics, Module, Expression, FunctionType, BuiltinFunctionType, MethodType)
"""What construction makes and a run doesn't replace."""


class Constructed:
    """A model as it was constructed, whose state can be taken and put back.

    Parameters
    ----------
    model
        The model, at its start.
    """

    def __init__(self, model: "Model") -> None:
        self._model = model
        self._names = model.own_names()
        attributes = self._attributes()
        self._objects = {id(value): name for name, value in attributes.items() if isinstance(value, _KEPT)}
        self._kept = {name: attributes[name] for name in self._objects.values()}
        models = {"": model} | {n: each for n, each in self._kept.items() if isinstance(each, SystemDynamics)}
        self._equations = {
            owner: {name: _equations(element) for name, element in each.elements.items()}
            for owner, each in models.items()
        }
        self._models: dict[str, SystemDynamics] = models
        self._replaced = dict(model.equations_replaced)
        self._agents = {agent.id: agent for agent in model.agents}
        self._shared = SharedData(self._classes().values())
        self._problems = Problems()
        self._was_read = False

    def snapshot(self) -> State:
        """Return the state as data.

        Raises
        ------
        NotSnapshotable
            If something can't be saved; names all of it, with the agents and the attributes.
        """
        model = self._model
        agents = list(model.agents)
        references = {id(agent): number for number, agent in enumerate(agents)}

        def reference(agent: Agent) -> int:
            number = references.get(id(agent))
            if number is None:  # it was deleted, but something still refers to it
                number = references[id(agent)] = len(agents)
                agents.append(agent)
            return number

        encoder = Encoder(model, reference, self._objects, self._classes())
        problems = self._problems = Problems()
        self._shared.check(problems)
        if slots := slots_of(type(model)):
            problems.note(f"the model's attribute {slots[0]!r}", "a model can't have slots")
        listed = len(agents)
        tables: list[State] = [*saved(agents, 0, encoder, problems)]
        attributes = self._encoded(_WHOLES["attributes"], self._attributes(kept=False), encoder)
        parts = {name: getattr(model, name) for name in _PARTS}
        models: dict[str, State] = {}
        for name, each in self._models.items():
            if name:
                points: dict[str, State] = {
                    key: [[*pair] for pair in pairs] for key, pairs in each.points.items()
                }
                models[name] = points
        state: dict[str, State] = {
            "listed": listed,
            "attributes": attributes,
            "parts": self._encoded(_WHOLES["parts"], parts, encoder),
            "scheduler": self._encoded(_WHOLES["scheduler"], vars(model.scheduler), encoder),
            "collector": None
            if model.data_collector is None
            else self._encoded(_WHOLES["collector"], vars(model.data_collector), encoder),
            "events": self._events(encoder),
            "equations": self._changed_equations(),
            "models": models,
            "elements": model.element_values(),
        }
        done = listed
        while done < len(agents):
            more = agents[done:]
            tables += saved(more, done, encoder, problems)
            done += len(more)
        state["agents"] = tables
        problems.check()
        if not self._was_read:
            self._read(state, agents)
            self._was_read = True
        return state

    def _read(self, state: Any, agents: list[Agent]) -> None:
        """Decode the first state and discard it: what can't be read is reported before there is a run."""
        decoder = Decoder(self._model, agents, self._classes())
        for table in state["agents"]:
            first = agents[table["rows"][0]]
            for name, column in chain(table["columns"].items(), table["values"].items()):
                what = f"the attribute {name!r} of the agent {first.id} ({first.agent_type}) or another one"
                self._try(what, partial(column_values, column, len(table["rows"]), decoder))
            for data in chain.from_iterable(table["others"]):
                if data != ["as constructed"]:
                    self._try(f"a handler of the agents {first.agent_type!r}", partial(decoder.value, data))
        for part, what in _WHOLES.items():
            for name, data in (state[part] or {}).items():
                self._try(f"{what} {name!r}", partial(decoder.value, data))
        self._try("an event that hasn't arrived", partial(events_of, state["events"], decoder))
        self._problems.check()

    def _try(self, what: str, read: Callable[[], object]) -> None:
        try:
            read()
        except Exception as error:
            self._problems.note(what, f"it can't be read back: {type(error).__name__}: {error}")

    def restore(self, state: Any) -> None:
        """Put a state back.

        Raises
        ------
        InvalidState
            If it isn't one of this model.
        """
        try:
            self._restore(state)
            self._was_read = True
        except PerdureError:
            raise
        except Exception as error:
            reason = f"it doesn't fit the model: {type(error).__name__}: {error}"
            raise InvalidState(name=self._model.name, reason=reason) from error

    def _restore(self, state: Any) -> None:
        model, classes = self._model, self._classes()
        tables = state["agents"]
        rows = table_rows(tables)
        agents: list[Agent] = [self._blank(*rows[number], classes) for number in range(len(rows))]
        decoder = Decoder(model, agents, classes)
        in_order = [table for table in tables if table["rows"][0] < state["listed"]]
        # In the order in which they were encoded, so that what is shared is read where it first occurred.
        later = [table for table in tables if table["rows"][0] >= state["listed"]]
        for table in in_order:
            put_back(table, [agents[n] for n in table["rows"].tolist()], model, decoder)
        former = self._attributes()
        attributes = {
            name: decoder.into(former.get(name), data) for name, data in state["attributes"].items()
        }
        parts = {name: decoder.value(data) for name, data in state["parts"].items()}
        scheduler = {name: decoder.value(data) for name, data in state["scheduler"].items()}
        collector = {name: decoder.value(data) for name, data in (state["collector"] or {}).items()}
        events = events_of(state["events"], decoder)
        for table in later:
            put_back(table, [agents[n] for n in table["rows"].tolist()], model, decoder)
        own = vars(model)
        for name in self._attributes(kept=False):
            del own[name]
        own.update(attributes)
        own.update(parts)
        own["events"] = events
        own["agents"] = agents[: state["listed"]]
        _replace(vars(model.scheduler), scheduler)
        if model.data_collector is not None:
            _replace(vars(model.data_collector), collector)
        for owner, equations in state["equations"].items():
            for name, (equation, initial) in equations.items():
                element = self._models[owner].elements[name]
                if equation is not None:
                    element.equation = equation
                if initial is not None:
                    element.initial_value = initial
        for name, points in state["models"].items():
            self._models[name].points = points
        model.put_element_values(state["elements"])

    def _blank(self, table: Any, place: int, classes: Mapping[ClassName, type]) -> Agent:
        """Return an agent without its attributes, or as its construction makes it where that is needed."""
        module, name = table["class"]
        kind = classes.get((module, name))
        number = Decoder(self._model, [], classes).value(_row(table["columns"]["id"], place))
        known = self._agents.get(number)
        if known is not None and class_name(type(known)) == (module, name):
            return known
        factory: Any = None if table["factories"] is None else table["factories"][place]
        if factory is None and kind is None:
            kind = Decoder(self._model, [], classes).value(["named", module, name])
        if factory is None and kind is not None:
            return object.__new__(kind)
        properties = {
            name: {"type": _row(table["types"][name], place), "value": _row(column, place)}
            for name, column in table["values"].items()
            if column[0] != "data"
        }
        return self._model.construct(factory, number, properties)

    def _attributes(self, *, kept: bool = True) -> dict[str, Any]:
        """Return the attributes that the model's author and its methods set."""
        own = {name: value for name, value in vars(self._model).items() if name not in self._names}
        if kept:
            return own
        return {n: v for n, v in own.items() if not (n in self._kept and self._kept[n] is v)}

    def _classes(self) -> dict[ClassName, type]:
        """Return the classes that construction makes known, by name."""
        kinds = {type(agent) for agent in self._agents.values()} | {type(self._model)}
        kinds |= {type(self._model.scheduler), type(self._model.data_collector)}
        return {class_name(kind): kind for each in kinds for kind in each.__mro__}

    def _encoded(self, what: str, values: Mapping[str, Any], encoder: Encoder) -> State:
        found: dict[str, State] = {}
        for name, value in values.items():
            try:
                found[name] = encoder.value(value)
            except Unsaveable as error:
                self._problems.note(f"{what} {name!r}", str(error))
        return found

    def _events(self, encoder: Encoder) -> State:
        try:
            return saved_events(self._model.events, encoder)
        except Unsaveable as error:
            self._problems.note("an event that hasn't arrived", str(error))
            return None

    def _changed_equations(self) -> State:
        """Return the numbers that a run gave to elements, by model and name."""
        changed: dict[str, State] = {}
        for owner, model in self._models.items():
            former = self._equations[owner]
            found: dict[str, State] = {}
            for name, element in model.elements.items():
                now = _equations(element)
                if name not in former:
                    self._note(name, "it was made during the run; make it in `instantiate_model`")
                    continue
                if any(new is not old for new, old in zip(now, former[name], strict=True)):
                    numbers: list[State] = []
                    for new, old in zip(now, former[name], strict=True):
                        number = None if new is old else finite(new)
                        if new is not old and number is None:
                            self._note(name, "its equation was replaced during the run, not by a number")
                        numbers.append(number)
                    found[name] = numbers
            if found:
                changed[owner] = found
        replaced = self._model.equations_replaced
        for name, function in replaced.items():
            if self._replaced.get(name) is not function:
                self._note(name, "a function was put in its place during the run")
        return changed

    def _note(self, name: str, reason: str) -> None:
        self._problems.note(f"the element {name!r}", reason)


def _equations(element: Any) -> tuple[Any, Any]:
    return element.equation, element.initial_value


def _row(column: Any, place: int) -> Any:
    kind, *data = column
    if kind == "same":
        return data[0]
    return data[0][place].item() if kind in ("floats", "integers") else data[0][place]


def _replace(attributes: dict[str, Any], new: Mapping[str, Any]) -> None:
    attributes.clear()
    attributes.update(new)

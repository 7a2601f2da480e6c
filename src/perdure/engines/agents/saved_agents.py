"""Agents as data: a table for all agents of one class with the same attributes, a column for each attribute.

A column of plain values is one list or array, so that thousands of agents are saved in milliseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from types import MethodType
from typing import Any

import numpy as np

from perdure.engines.agents.agent import Agent
from perdure.engines.agents.columns import column_of, values_of
from perdure.engines.agents.program_code import class_name
from perdure.engines.derived_types import is_made_of, slots_of
from perdure.engines.objects.paths import holds, located
from perdure.engines.objects.rebuilding import Rebuilder
from perdure.engines.objects.recording import Recorder
from perdure.state.codec import State

__all__ = ["MADE", "note_construction", "put_back", "saved", "table_rows"]

MADE = "_made"
"""The attribute with the factory's name and the functions that construction made an agent's handlers."""

_OWN = ("model", "properties", "eventHandlers", MADE)


def note_construction(agent: Agent, factory: str) -> None:
    """Note those handlers of a new agent that only its construction can make, such as lambdas."""
    made = {
        (state, name): handler
        for state, handlers in agent.eventHandlers.items()
        for name, handler in handlers.items()
        if not (type(handler) is MethodType and handler.__self__ is agent)
    }
    if made:
        vars(agent)[MADE] = factory, made


def saved(agents: Sequence[Agent], first: int, recorder: Recorder) -> list[State]:
    """Return tables of agents.

    Parameters
    ----------
    agents
        The agents.
    first
        The reference to the first of them; the others follow.
    recorder
        Records what their attributes hold.
    """
    groups: dict[Any, list[int]] = {}
    for row, agent in enumerate(agents):
        own = agent.__dict__
        table = own["eventHandlers"]
        key = agent.__class__, (*own,), (*own["properties"],), _handlers(agent, table) if table else ()
        rows = groups.get(key)
        if rows is None:
            groups[key] = [row]
        else:
            rows.append(row)
    return [
        _Table(kind, [agents[row] for row in rows], recorder).data(
            names, properties, handlers, np.array(rows, dtype=np.int64) + first
        )
        for (kind, names, properties, handlers), rows in groups.items()
    ]


def _handlers(agent: Agent, table: Mapping[str, Mapping[str, Any]]) -> tuple[Any, ...]:
    """Return the agent's handlers: state, event, and the function of a method of its own, else None."""
    found: list[tuple[str, str, Any]] = []
    for state, handlers in table.items():
        for name, handler in handlers.items():
            own = type(handler) is MethodType and handler.__self__ is agent
            found.append((state, name, handler.__func__ if own else None))
    return tuple(found)


class _Table:
    """Agents of one class with attributes and handlers of the same names."""

    def __init__(self, kind: type, agents: Sequence[Agent], recorder: Recorder) -> None:
        self._kind = kind
        self._agents = agents
        self._recorder = recorder

    def data(
        self, names: Sequence[str], properties: Sequence[str], handlers: Sequence[Any], rows: Any
    ) -> State:
        """Return the table; `rows` are references to its agents."""
        if not is_made_of(self._kind, object) or slots_of(self._kind):
            self._note("__slots__", "agents can't have slots or be of built-in types besides")
        dicts = [agent.__dict__ for agent in self._agents]
        columns: dict[str, State] = {}
        for name in names:
            if name not in _OWN:
                columns[name] = self._column([*map(itemgetter(name), dicts)], name)
        values: dict[str, State] = {}
        kinds: dict[str, State] = {}
        of_agents = [*map(itemgetter("properties"), dicts)]
        for name in properties:
            specs = [*map(itemgetter(name), of_agents)]
            if set(map(len, specs)) != {2}:
                self._note(name, "a property has a type and a value, and nothing else")
            kinds[name] = self._column([*map(itemgetter("type"), specs)], name)
            values[name] = self._column([*map(itemgetter("value"), specs)], name)
        special = any(function is None for *_, function in handlers)
        factories: list[State] = [own[MADE][0] for own in dicts] if MADE in names else []
        return {
            "class": [*class_name(self._kind)],
            "factories": factories or None,
            "rows": rows,
            "names": [*names],
            "columns": columns,
            "types": kinds,
            "values": values,
            "handlers": [
                [state, name, None if function is None else function.__name__]
                for state, name, function in handlers
            ],
            "others": [self._other_handlers(row, handlers) for row in range(len(dicts))] if special else [],
        }

    def _other_handlers(self, row: int, handlers: Sequence[Any]) -> list[State]:
        """Return the handlers that aren't the agent's own methods."""
        agent = self._agents[row]
        made = vars(agent).get(MADE, ("", {}))[1]
        found: list[State] = []
        for state, name, function in handlers:
            if function is None:
                handler = agent.eventHandlers[state][name]
                if made.get((state, name)) is handler:
                    found.append(["as constructed"])
                    continue
                place = self._place(f"eventHandlers[{state!r}][{name!r}]", [handler], agent)
                found.append(self._recorder.root(place, handler))
        return found

    def _column(self, values: list[Any], name: str) -> State:
        return column_of(values, self._place(name, values), self._recorder)

    def _place(self, name: str, values: Sequence[Any], agent: Agent | None = None) -> "_Attribute":
        return _Attribute(self._kind, name, values, [agent] if agent else self._agents)

    def _note(self, name: str, reason: str) -> None:
        place = self._place(name, ())
        self._recorder.problems.note(place(None, ""), reason, place)


@dataclass(frozen=True)
class _Attribute:
    """An attribute of agents of one class, as a place for problems: one for all these agents."""

    kind: type
    name: str
    values: Sequence[Any] = field(compare=False)
    agents: Sequence[Agent] = field(compare=False)

    def __call__(self, value: Any, path: str) -> str:
        """Say in words which agent's attribute holds a value."""
        found = (agent for agent, held in zip(self.agents, self.values, strict=False) if holds(held, value))
        agent = next(found, self.agents[0])
        return located(
            path, self.name, f"the attribute {self.name!r} of the agent {agent.id} ({agent.agent_type})"
        )


# Putting back -----------------------------------------------------------------------------------------------


def table_rows(tables: Sequence[Any]) -> dict[int, tuple[Any, int]]:
    """Return reference → table and place in it."""
    return {
        reference: (table, place)
        for table in tables
        for place, reference in enumerate(table["rows"].tolist())
    }


def put_back(table: Any, agents: Sequence[Agent], model: Any, graph: Rebuilder) -> None:
    """Give agents the attributes that a table holds.

    Parameters
    ----------
    table
        The table.
    agents
        Its agents, with the attributes that construction made, if that was needed.
    """
    size = len(agents)
    columns = {name: values_of(column, size, graph) for name, column in table["columns"].items()}
    kinds = [(name, values_of(column, size, graph)) for name, column in table["types"].items()]
    values = {name: values_of(column, size, graph) for name, column in table["values"].items()}
    others = iter(table["others"])
    for row, agent in enumerate(agents):
        own = vars(agent)
        former, made = own.get("eventHandlers", {}), own.get(MADE)
        properties = {name: {"type": kind[row], "value": values[name][row]} for name, kind in kinds}
        handlers: dict[str, dict[str, Any]] = {}
        special = iter(next(others) if table["others"] else ())
        for state, name, method in table["handlers"]:
            if method is not None:
                handler = MethodType(getattr(type(agent), method), agent)
            else:
                data = next(special)
                handler = former[state][name] if data == ["as constructed"] else graph.value(data)
            handlers.setdefault(state, {})[name] = handler
        parts = {"model": model, "properties": properties, "eventHandlers": handlers, MADE: made}
        restored = {name: parts[name] if name in parts else columns[name][row] for name in table["names"]}
        own.clear()
        own.update(restored)

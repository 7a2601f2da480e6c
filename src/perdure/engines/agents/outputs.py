"""Outputs: what a run of agents answers, by name.

``agents/<type>`` is state → number of agents; ``agents/<type>/<state>`` the number in one state;
``agents/<type>/<state>/<property>/<statistic>`` the total, max, min or mean of a numeric property, None where
nobody is in the state; ``individuals/<type>/<property>`` is id → type and value of a property of each agent.
In each part, ``%`` and ``/`` are percent-encoded. Any other name is that of an element.

States are named by `state_name`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote

import numpy as np

from perdure.engines.agents.agent import Agent
from perdure.engines.agents.collectors import STATISTICS, Statistics
from perdure.errors import Invalid

__all__ = ["AGENTS", "INDIVIDUALS", "AgentOutput", "OutputNames", "asked", "parsed", "plain", "state_name"]

AGENTS, INDIVIDUALS = "agents", "individuals"


@dataclass(frozen=True, slots=True)
class AgentOutput:
    """An output that concerns agents.

    Attributes
    ----------
    kind
        The type of the agents.
    state
        Their state; None for all states.
    name
        A property; None for the number of agents.
    statistic
        A statistic of the property; None for the property of each agent.
    """

    kind: str
    state: str | None = None
    name: str | None = None
    statistic: str | None = None

    @property
    def text(self) -> str:
        """The output's name."""
        if self.state is None and self.name is not None:
            return "/".join((INDIVIDUALS, _quoted(self.kind), _quoted(self.name)))
        parts = (self.kind, self.state, self.name, self.statistic)
        return "/".join((AGENTS, *(_quoted(part) for part in parts if part is not None)))

    def value(self, statistics: Statistics, agents: Sequence[Agent]) -> Any:
        """Return the output's value as plain data."""
        states = {state_name(state): found for state, found in statistics.get(self.kind, {}).items()}
        if self.state is None and self.name is not None:
            return {
                str(agent.id): plain(agent.properties[self.name])
                for agent in agents
                if agent.agent_type == self.kind and self.name in agent.properties
            }
        if self.state is None:
            return {state: found["count"] for state, found in states.items()}
        found = states.get(self.state, {})
        if self.name is None:
            return found.get("count", 0)
        return plain(found.get(self.name, {}).get(self.statistic))


class OutputNames(Collection[str]):
    """The names of a model's outputs: its elements, and what concerns its types of agents.

    Iteration yields the elements, and ``agents/<type>`` for each type. States and properties aren't known
    beforehand, so that all of them are contained.

    Parameters
    ----------
    elements
        The names of the elements.
    kinds
        The types of agents.
    """

    def __init__(self, elements: Collection[str], kinds: Iterable[str]) -> None:
        self._elements = elements
        self._kinds = dict.fromkeys(kinds)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        output = parsed(name)
        return name in self._elements or (output is not None and output.kind in self._kinds)

    def __iter__(self) -> Iterator[str]:
        yield from self._elements
        for kind in self._kinds:
            yield AgentOutput(kind).text

    def __len__(self) -> int:
        return len(self._elements) + len(self._kinds)


def parsed(name: str) -> AgentOutput | None:
    """Return the output of agents that a name stands for; None if it stands for none."""
    head, *rest = name.split("/")
    parts = [unquote(part) for part in rest]
    if head == AGENTS and (len(parts) in (1, 2) or (len(parts) == 4 and parts[3] in STATISTICS)):
        return AgentOutput(*parts)
    if head == INDIVIDUALS and len(parts) == 2:
        return AgentOutput(parts[0], name=parts[1])
    return None


def asked(
    agents: Iterable[str],
    states: Sequence[str] = (),
    properties: Sequence[str] = (),
    statistics: Sequence[str] = (),
    individual: Callable[[str], Iterable[str]] = lambda _: (),
) -> list[AgentOutput]:
    """Return the outputs that BPTK's arguments ask for.

    Without states these are the numbers of agents in all states; with states and properties, statistics.

    Parameters
    ----------
    agents, states, properties, statistics
        Names; statistics are ``total``, ``max``, ``min`` or ``mean``.
    individual
        Returns the properties of each agent of a type that are asked for.
    """
    found: list[AgentOutput] = []
    for kind in agents:
        if not states:
            found.append(AgentOutput(kind))
        for state in states:
            if properties:
                found += [AgentOutput(kind, state, name, each) for name in properties for each in statistics]
            else:
                found.append(AgentOutput(kind, state))
        found += [AgentOutput(kind, name=name) for name in individual(kind)]
    return found


def state_name(state: Any) -> str | int:
    """Return how answers name a state: a text or an integer as it is, others by their text.

    Raises
    ------
    Invalid
        If it is none of None, a text, a number or a member of an enumeration.
    """
    if isinstance(state, str):
        return str.__str__(state)  # also that of a member of an enumeration of texts
    if isinstance(state, int | np.integer) and not isinstance(state, bool):
        return int(state)
    if state is None or isinstance(state, bool | float | Enum | np.generic):
        return str(state)
    raise Invalid(
        f"Answers can't name the state {state!r:.80} of agents. A state is a text, a number or a member of "
        "an enumeration."
    )


def _quoted(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2F")


def plain(value: Any) -> Any:
    """Return a value as JSON has it; text of an object that JSON has nothing for."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Agent):
        return value.id
    return value if isinstance(value, bool | int | float | str | None) else str(value)

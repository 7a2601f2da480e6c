"""The agent query: what a call asks of agents, and what a run answers in the shape of BPTK."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perdure.engines.agents.outputs import AgentOutput, asked
from perdure.errors import Invalid
from perdure.scenarios import Scenario
from perdure.scenarios.agent_model import AgentModel
from perdure.scenarios.catalogue import Names, names_of

__all__ = ["AgentQuery", "has_agents", "series_of"]

Times = dict[float, Any]
"""Time → value."""

States = dict[str, Any]
"""State → time → number of agents, or state → ``properties`` → property → statistic → time → value."""


@dataclass(frozen=True)
class AgentQuery:
    """What a call asks of agents.

    Attributes
    ----------
    agents, states, properties, types
        Types of agents, their states, properties, and statistics of these.
    individual
        Type → properties that are asked of each agent.
    """

    agents: Sequence[str] = ()
    states: Sequence[str] = ()
    properties: Sequence[str] = ()
    types: Sequence[str] = ()
    individual: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        agents: Names,
        states: Names,
        properties: Names,
        types: Names,
        individual: Mapping[str, Names] | None = None,
    ) -> "AgentQuery":
        """Return the query of names as a program gives them: as lists, or as texts with commas."""
        return cls(
            names_of(agents),
            names_of(states),
            names_of(properties),
            names_of(types),
            {kind: names_of(names) for kind, names in (individual or {}).items()},
        )

    @property
    def problem(self) -> str | None:
        """Why nothing can be answered, in words; None if something can."""
        if not self.agents:
            if self.states or self.properties or self.types or self.individual:
                return "agent_states and properties need agents"
            return "expecting either equations or agents to be set"
        if bool(self.properties) != bool(self.types):
            return "agent_properties and agent_property_types need each other"
        if self.properties and not self.states:
            return "agent_properties need agent_states"
        return None

    def outputs(self) -> list[str]:
        """Return the names of the outputs of a session that has these answers.

        Raises
        ------
        Invalid
            If nothing can be answered.
        """
        if not self.agents and not (self.states or self.properties or self.types or self.individual):
            return []
        if self.problem is not None:
            raise Invalid(self.problem)
        found: list[AgentOutput] = asked(
            self.agents, self.states, self.properties, self.types, lambda kind: self.individual.get(kind, ())
        )
        return [output.text for output in found]


def has_agents(scenario: Scenario) -> bool:
    """Return whether agents of a scenario can be asked for."""
    return isinstance(scenario.model, AgentModel)


def series_of(statistics: Mapping[float, Any], query: AgentQuery, *, gaps: bool) -> dict[str, States]:
    """Return type → state → values over time, without types and states that there never were.

    Parameters
    ----------
    statistics
        Time → type → state → numbers, of a `DataCollector`.
    query
        What is asked.
    gaps
        Whether a state is left out at the times when nobody is in it, also if all states are asked for; else
        it has 0 there, at all times at which the type has any state.

    Raises
    ------
    KeyError
        If a property or statistic isn't known.
    """
    found: dict[str, States] = {}
    for kind in query.agents:
        counts: dict[str, Times] = {}
        for time, kinds in statistics.items():
            for state, numbers in kinds.get(kind, {}).items():
                if not query.states or state in query.states:
                    counts.setdefault(state, {})[time] = numbers["count"]
        if query.properties:
            states: States = {
                state: {"properties": _properties(statistics, kind, state, query)}
                for state in query.states
                if state in counts
            }
        elif query.states or gaps:
            states = dict(counts)
        else:
            states = _filled(counts)
        if states:
            found[kind] = states
    return found


def _properties(
    statistics: Mapping[float, Any], kind: str, state: str, query: AgentQuery
) -> dict[str, dict[str, Times]]:
    there = {time: kinds[kind][state] for time, kinds in statistics.items() if state in kinds.get(kind, {})}
    return {
        name: {each: {time: numbers[name][each] for time, numbers in there.items()} for each in query.types}
        for name in query.properties
    }


def _filled(counts: Mapping[str, Times]) -> States:
    """Return the counts with 0 for gaps; a state with gaps has floats, as a column of pandas."""
    times: Iterable[float] = dict.fromkeys(time for series in counts.values() for time in series)
    return {
        state: {
            time: series.get(time, 0) if len(series) == len(list(times)) else float(series.get(time, 0))
            for time in times
        }
        for state, series in counts.items()
    }

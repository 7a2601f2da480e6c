"""Collectors: what is kept of the agents in each step."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perdure.engines.agents.agent import Agent
from perdure.engines.agents.events import Event

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "NUMERIC",
    "STATISTICS",
    "AgentDataCollector",
    "CSVDataCollector",
    "DataCollector",
    "Statistics",
    "statistics_of",
]

NUMERIC = ("Integer", "Double")
STATISTICS = ("total", "max", "min", "mean")

Statistics = dict[str, dict[str, dict[str, Any]]]
"""Type → state → ``count``, and property → statistic → number."""


def statistics_of(agents: Iterable[Agent]) -> Statistics:
    """Return the numbers of agents and the statistics of their numeric properties, by type and state.

    Types and states are in the order of the first agent that has them.
    """
    groups: dict[str, dict[str, list[Agent]]] = {}
    for agent in agents:
        groups.setdefault(agent.agent_type, {}).setdefault(agent.state, []).append(agent)
    return {
        kind: {state: _summary(members) for state, members in states.items()}
        for kind, states in groups.items()
    }


def _summary(agents: Sequence[Agent]) -> dict[str, Any]:
    properties = [agent.properties for agent in agents]
    values: dict[str, list[Any]] = {}
    for name in dict.fromkeys(chain.from_iterable(properties)):
        specs = [each[name] for each in properties if name in each]
        numbers = [spec["value"] for spec in specs if spec["type"] in NUMERIC]
        if numbers:
            values[name] = numbers
    found: dict[str, Any] = {"count": len(agents)}
    for name, numbers in values.items():
        total = sum(numbers)
        found[name] = {
            "total": total,
            "max": max(numbers),
            "min": min(numbers),
            "mean": total / len(agents),
        }
    return found


class DataCollector:
    """Collects numbers of agents and statistics of their numeric properties, by type and state.

    Attributes
    ----------
    agent_statistics
        Time → type → state → ``count``, and property → ``total``, ``max``, ``min`` and ``mean``.
    event_statistics
        Time → name of an event → number of events delivered.
    """

    def __init__(self) -> None:
        self.agent_statistics: dict[float, Statistics] = {}
        self.event_statistics: dict[float, dict[str, int]] = {}

    def reset(self) -> None:
        """Forget everything; called when a run begins."""
        self.agent_statistics = {}
        self.event_statistics = {}

    def record_event(self, time: float, event: Event) -> None:
        """Count an event that is delivered."""
        counts = self.event_statistics.setdefault(time, {})
        counts[event.name] = counts.get(event.name, 0) + 1

    def collect_agent_statistics(self, time: float, agents: Sequence[Agent]) -> None:
        """Collect what the agents are at the end of a step."""
        self.agent_statistics[time] = statistics_of(agents)

    def statistics(self) -> Any:
        """Return what was collected of the agents."""
        return self.agent_statistics


class AgentDataCollector(DataCollector):
    """Collects the state and the numeric properties of each agent."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, dict[int, dict[float, dict[str, Any]]]] = {}

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._rows = {}

    def collect_agent_statistics(self, time: float, agents: Sequence[Agent]) -> None:
        """Collect a row for each agent."""
        for agent in agents:
            row = {
                "id": agent.id,
                "time": time,
                "agent_state": agent.state,
                "agent_type": agent.agent_type,
            }
            row |= {name: p["value"] for name, p in agent.properties.items() if p["type"] in NUMERIC}
            self._rows.setdefault(agent.agent_type, {}).setdefault(agent.id, {})[time] = row

    def statistics(self) -> Any:
        """Return type → id → time → row."""
        return self._rows

    def get_agent_stats(self) -> "dict[str, dict[int, pd.DataFrame]]":
        """Return type → id → DataFrame with a row for each time."""
        import pandas as pd

        return {
            kind: {number: pd.DataFrame(list(rows.values())) for number, rows in agents.items()}
            for kind, agents in self._rows.items()
        }

    def plot_agent_stats(
        self,
        agent_ids: Sequence[int] = (),
        properties: Sequence[str] = (),
        title: str = "Base",
        agent_type: str = "",
    ) -> "Axes":
        """Draw properties of agents over time.

        Parameters
        ----------
        agent_ids, properties
            What to draw; none mean all.
        title
            The title.
        agent_type
            The type of the agents; by default all types.
        """
        import pandas as pd

        columns: dict[str, Any] = {}
        fixed = ("id", "time", "agent_state", "agent_type")
        for kind, agents in self._rows.items():
            for number, rows in agents.items():
                if (agent_type and kind != agent_type) or (agent_ids and number not in agent_ids):
                    continue
                names = dict.fromkeys(name for row in rows.values() for name in row if name not in fixed)
                for name in names:
                    if not properties or name in properties:
                        series = {time: row[name] for time, row in rows.items() if name in row}
                        columns[f"{number}_{kind}_{name}"] = pd.Series(series)
        return pd.DataFrame(columns).plot(title=title)


class CSVDataCollector(DataCollector):
    """Writes a file for each agent, ``<id>_<type>.csv``: a header, and a row for each step.

    Values are separated by semicolons: id, time and all properties.

    Parameters
    ----------
    prefix
        The folder of the files, made if there is none.
    """

    def __init__(self, prefix: str = "csv/") -> None:
        super().__init__()
        self.prefix = prefix
        self._begun: dict[str, bool] = {}

    def reset(self) -> None:
        """Begin the files again."""
        super().reset()
        self._begun = {}

    def collect_agent_statistics(self, time: float, agents: Sequence[Agent]) -> None:
        """Write a row for each agent."""
        folder = Path(self.prefix)
        folder.mkdir(parents=True, exist_ok=True)
        for agent in agents:
            name = f"{agent.id}_{agent.agent_type}.csv"
            row: Mapping[str, Any] = {
                "id": agent.id,
                "time": time,
                **{key: each["value"] for key, each in agent.properties.items()},
            }
            lines = [[*row.values()]] if name in self._begun else [[*row], [*row.values()]]
            with (folder / name).open("a" if name in self._begun else "w", encoding="utf-8") as file:
                file.writelines(";".join(map(str, line)) + "\n" for line in lines)
            self._begun[name] = True

    def statistics(self) -> Any:
        """Return nothing: all is in the files."""
        return {}

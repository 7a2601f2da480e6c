"""BPTK-Py's names for agents, for files that import them; agents are not supported yet.

The file of a hybrid model can be imported, and can define classes of agents. Creating an agent or an event is
an error. Schedulers and collectors only concern agents; a model accepts them as BPTK-Py's does, and its runs
are the same with and without them.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

from perdure.errors import Unsupported

__all__ = [
    "Agent",
    "AgentDataCollector",
    "CSVDataCollector",
    "DataCollector",
    "DelayedEvent",
    "Event",
    "Scheduler",
    "SimultaneousScheduler",
    "refuse_agents",
]


def refuse_agents(*asked: str | Iterable[str]) -> None:
    """Raise `Unsupported` if a call requests agents, their states or properties."""
    for names in asked:
        if named := [names] if isinstance(names, str) and names else list(names):
            raise Unsupported(what=", ".join(map(str, named)), feature="agents")


class _NotMade:
    """A class that can be subclassed but not instantiated."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise Unsupported(what=type(self).__name__, feature="agents")


class Agent(_NotMade):
    """An agent; raises `Unsupported` when one is made."""


class Event(_NotMade):
    """An event that is sent to an agent; raises `Unsupported` when one is made."""


class DelayedEvent(Event):
    """An event that arrives later; raises `Unsupported` when one is made."""


class _OfAgents:
    """An object that a model may hold; all of its methods would concern agents."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise Unsupported(what=f"{type(self).__name__}.{name}", feature="agents")


class Scheduler(_OfAgents):
    """Decides when agents act."""


class SimultaneousScheduler(Scheduler):
    """A scheduler under which all agents act in each step."""


class DataCollector(_OfAgents):
    """Collects statistics of agents."""


class AgentDataCollector(DataCollector):
    """A collector of each agent's properties."""


class CSVDataCollector(DataCollector):
    """A collector that writes a file for each agent.

    Parameters
    ----------
    prefix
        The folder of the files.
    """

    def __init__(self, prefix: str = "csv/") -> None:
        self.prefix = prefix

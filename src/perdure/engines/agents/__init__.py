"""Agents: models of agents and hybrid models, with BPTK-Py's surface.

`agent`, `events` and `properties` define agents; `schedulers` run them and `collectors` keep data of them.
`model` combines these with elements of system dynamics, whose values `evaluation` keeps.
"""

from perdure.engines.agents.agent import Agent
from perdure.engines.agents.collectors import AgentDataCollector, CSVDataCollector, DataCollector
from perdure.engines.agents.events import DelayedEvent, Event
from perdure.engines.agents.exceptions import NotAnAgentException, WrongTypeException
from perdure.engines.agents.model import Model
from perdure.engines.agents.schedulers import Scheduler, SimultaneousScheduler

__all__ = [
    "Agent",
    "AgentDataCollector",
    "CSVDataCollector",
    "DataCollector",
    "DelayedEvent",
    "Event",
    "Model",
    "NotAnAgentException",
    "Scheduler",
    "SimultaneousScheduler",
    "WrongTypeException",
]

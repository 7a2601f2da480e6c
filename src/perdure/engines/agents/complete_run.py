"""Complete runs of agents, from start to stop, as BPTK-Py runs them: each is one step of an engine."""

from collections.abc import Mapping
from typing import Any, ClassVar

from perdure.engines.agents.engine import AgentEngine
from perdure.engines.agents.outputs import plain, state_name
from perdure.errors import NotSnapshotable
from perdure.state.codec import State

__all__ = ["CompleteRun"]


class CompleteRun:
    """A run whose one step is all of it; implements `perdure.engines.base.Engine` and `Observable`.

    Parameters
    ----------
    engine
        The engine of the model, not initialised yet.
    """

    plain: ClassVar[bool] = True
    waits: ClassVar[bool] = AgentEngine.waits

    def __init__(self, engine: AgentEngine) -> None:
        self._engine = engine
        self.finished = False

    @property
    def time(self) -> float:
        """The start time."""
        return self._engine.time

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Construct the model; see `AgentEngine.initialize`."""
        self._engine.initialize(config)

    def outputs(self) -> dict[str, Any]:
        """Return the type of each agent, as ``agents``, with the ``states`` and ``properties`` that occur."""
        found: dict[str, dict[str, dict[Any, None]]] = {}
        for agent in self._engine.model.agents:
            kind = found.setdefault(agent.agent_type, {"states": {}, "properties": {}})
            kind["states"][state_name(agent.state)] = None
            kind["properties"] |= dict.fromkeys(agent.properties)
        return {
            "agents": {kind: {key: [*names] for key, names in each.items()} for kind, each in found.items()}
        }

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Do nothing: a complete run takes no inputs."""

    def step(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the model; return its ``progress``, and times with what was ``collected``.

        Raises
        ------
        EvaluationFailed
            If the model's code raises.
        Invalid
            If an agent was in a state that has no name.
        """
        self._engine.run()
        self.finished = True
        model = self._engine.model
        collected = [[time, _named(found)] for time, found in (model.statistics() or {}).items()]
        return {"progress": model.scheduler.progress, "collected": collected}

    def snapshot(self) -> State:
        """Raise `NotSnapshotable`: nothing is kept of a complete run."""
        raise NotSnapshotable(what="a complete run", reason="it has no steps")

    def restore(self, state: Any) -> None:
        """Raise `NotSnapshotable`, as `snapshot` does."""
        self.snapshot()

    def close(self) -> None:
        """Free the model."""
        self._engine.close()

    @property
    def reusable(self) -> bool:
        """Whether nothing is left in its process; asked once it is closed."""
        return self._engine.reusable


def _named(collected: Any) -> Any:
    """Return what was collected as plain data, with the names of states."""
    if isinstance(collected, dict):
        return {state_name(key): _named(value) for key, value in collected.items()}
    return plain(collected)

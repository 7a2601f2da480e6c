"""The lifecycle of runs: one frozen table a kind, and what a run ends with.

The owner of a run's state is the store; this module only says which change is allowed.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from perdure.errors import TriggerRefused

__all__ = ["FINAL", "TABLES", "Outcome", "RunState", "Wanted", "check"]


class RunState(StrEnum):
    """Where a run stands."""

    CREATED = "created"
    PAUSED = "paused"
    STARTED = "started"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


class Wanted(StrEnum):
    """The state that a run's owner wants it in; whoever works on the run brings it there."""

    STARTED = "started"
    PAUSED = "paused"
    STOPPED = "stopped"


class Outcome(StrEnum):
    """What a run that has ended came to."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    TERMINATED = "terminated"
    EXPIRED = "expired"


FINAL: frozenset[RunState] = frozenset({RunState.COMPLETED, RunState.STOPPED, RunState.FAILED})

_SESSION: Mapping[RunState, frozenset[RunState]] = MappingProxyType(
    {
        RunState.CREATED: frozenset({RunState.STARTED, RunState.COMPLETED, RunState.STOPPED}),
        RunState.STARTED: frozenset({RunState.STARTED, RunState.COMPLETED, RunState.STOPPED}),
        RunState.COMPLETED: frozenset(),
        RunState.STOPPED: frozenset(),
    }
)

_BEGUN = frozenset(RunState) - {RunState.CREATED}

_TASK: Mapping[RunState, frozenset[RunState]] = MappingProxyType(
    {
        RunState.CREATED: _BEGUN,
        RunState.PAUSED: _BEGUN,
        RunState.STARTED: _BEGUN,
        RunState.COMPLETED: frozenset(),
        RunState.STOPPED: frozenset(),
        RunState.FAILED: frozenset(),
    }
)

TABLES: Mapping[str, Mapping[RunState, frozenset[RunState]]] = MappingProxyType(
    {"session": _SESSION, "task": _TASK}
)
"""For each kind of run and each state, the states it may be brought to; final states win."""


def check(kind: str, state: RunState, trigger: RunState) -> None:
    """Raise `TriggerRefused` unless a run of this kind may go from `state` to `trigger`."""
    if trigger not in TABLES[kind][state]:
        raise TriggerRefused(kind=kind, state=state.value, trigger=trigger.value)

"""The lifecycle of runs: states, outcomes, and a table of the allowed transitions for each kind.

Stores hold the state of each run; this module only says which changes are allowed.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from perdure.errors import TriggerRefused

__all__ = [
    "EXPERIMENT_TRIGGERS",
    "FINAL",
    "TABLES",
    "DesiredState",
    "Outcome",
    "RunStatus",
    "Transition",
    "after",
    "check",
    "is_final",
]


class RunStatus(StrEnum):
    """The state of a run."""

    CREATED = "created"
    PAUSED = "paused"
    STARTED = "started"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


class DesiredState(StrEnum):
    """The state that a run's owner wants; the worker brings the run there."""

    STARTED = "started"
    PAUSED = "paused"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def ends(self) -> bool:
        """Whether it ends the run at once, with what it has."""
        return self in (DesiredState.STOPPED, DesiredState.COMPLETED, DesiredState.FAILED)


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    TERMINATED = "terminated"
    EXPIRED = "expired"


FINAL: frozenset[RunStatus] = frozenset({RunStatus.COMPLETED, RunStatus.STOPPED, RunStatus.FAILED})
"""States in which a run takes no more steps and holds no slot. An experiment may still leave `completed`,
see `is_final`."""

_SESSION: Mapping[RunStatus, frozenset[RunStatus]] = MappingProxyType(
    {
        RunStatus.CREATED: frozenset({RunStatus.STARTED, RunStatus.COMPLETED, RunStatus.STOPPED}),
        RunStatus.STARTED: frozenset({RunStatus.STARTED, RunStatus.COMPLETED, RunStatus.STOPPED}),
        RunStatus.COMPLETED: frozenset(),
        RunStatus.STOPPED: frozenset(),
    }
)

_BEGUN = frozenset(RunStatus) - {RunStatus.CREATED}

_TASK: Mapping[RunStatus, frozenset[RunStatus]] = MappingProxyType(
    {
        RunStatus.CREATED: _BEGUN,
        RunStatus.PAUSED: _BEGUN,
        RunStatus.STARTED: _BEGUN,
        RunStatus.COMPLETED: frozenset(),
        RunStatus.STOPPED: frozenset(),
        RunStatus.FAILED: frozenset(),
    }
)


class Transition(NamedTuple):
    """The effect of a trigger: from any of its sources to its target."""

    sources: frozenset[RunStatus]
    target: RunStatus


_LIVE = frozenset({RunStatus.CREATED, RunStatus.PAUSED, RunStatus.STARTED, RunStatus.COMPLETED})

EXPERIMENT_TRIGGERS: Mapping[str, Transition] = MappingProxyType(
    {
        "initialized": Transition(frozenset({RunStatus.CREATED}), RunStatus.PAUSED),
        "started": Transition(frozenset({RunStatus.PAUSED}), RunStatus.STARTED),
        "paused": Transition(frozenset({RunStatus.STARTED}), RunStatus.PAUSED),
        "completed": Transition(frozenset({RunStatus.STARTED}), RunStatus.COMPLETED),
        "stopped": Transition(_LIVE, RunStatus.STOPPED),
        "failed": Transition(_LIVE, RunStatus.FAILED),
    }
)
"""The state machine of experiments, which is that of the Neurorobotics Platform."""


def _experiment_table() -> Mapping[RunStatus, frozenset[RunStatus]]:
    """Return the allowed targets of each state of an experiment; repeating the last trigger is allowed."""
    machine = EXPERIMENT_TRIGGERS.values()
    return MappingProxyType(
        {
            state: frozenset(
                target
                for sources, target in machine
                if state in sources or (state is target and state in _LIVE)
            )
            for state in RunStatus
        }
    )


TABLES: Mapping[str, Mapping[RunStatus, frozenset[RunStatus]]] = MappingProxyType(
    {"session": _SESSION, "task": _TASK, "experiment": _experiment_table()}
)
"""For each kind of run and each state, the states that may follow; final states stay."""


def check(kind: str, state: RunStatus, trigger: RunStatus) -> None:
    """Raise `TriggerRefused` unless a run of this kind may go from `state` to `trigger`."""
    if trigger not in TABLES[kind][state]:
        raise TriggerRefused(kind=kind, state=state.value, trigger=trigger.value)


def after(state: RunStatus, trigger: str) -> RunStatus:
    """Return the state of an experiment after a trigger.

    A trigger whose target is the current state changes nothing, except in a final state.

    Raises
    ------
    TriggerRefused
        If the trigger isn't allowed in that state, or there is no such trigger.
    """
    transition = EXPERIMENT_TRIGGERS.get(trigger)
    if transition is None or is_final("experiment", state):
        raise TriggerRefused(kind="experiment", state=state.value, trigger=trigger)
    if state in transition.sources or state is transition.target:
        return transition.target
    raise TriggerRefused(kind="experiment", state=state.value, trigger=trigger)


def is_final(kind: str, state: RunStatus) -> bool:
    """Return whether the state of a run of this kind can't change any more."""
    return not TABLES[kind][state]

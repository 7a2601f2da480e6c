"""The lifecycle of runs: one frozen table a kind, and what a run ends with.

The owner of a run's state is the store; this module only says which change is allowed.
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
    """Where a run stands."""

    CREATED = "created"
    PAUSED = "paused"
    STARTED = "started"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


class DesiredState(StrEnum):
    """The state that a run's owner wants it in; whoever works on the run brings it there."""

    STARTED = "started"
    PAUSED = "paused"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def ends(self) -> bool:
        """Whether it is an end of the run, now, whatever it has come to."""
        return self in (DesiredState.STOPPED, DesiredState.COMPLETED, DesiredState.FAILED)


class Outcome(StrEnum):
    """What a run that has ended came to."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    TERMINATED = "terminated"
    EXPIRED = "expired"


FINAL: frozenset[RunStatus] = frozenset({RunStatus.COMPLETED, RunStatus.STOPPED, RunStatus.FAILED})
"""States in which a run takes no more steps and holds no slot; an experiment's `completed` has still a way
out, see `is_final`."""

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
    """What a trigger does: from any of its sources to its target."""

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
"""The machine of experiments, as the Neurorobotics Platform has it."""


def _experiment_table() -> Mapping[RunStatus, frozenset[RunStatus]]:
    """Return where each state of an experiment may go; to repeat what led to it is harmless."""
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
"""For each kind of run and each state, the states it may be brought to; final states win."""


def check(kind: str, state: RunStatus, trigger: RunStatus) -> None:
    """Raise `TriggerRefused` unless a run of this kind may go from `state` to `trigger`."""
    if trigger not in TABLES[kind][state]:
        raise TriggerRefused(kind=kind, state=state.value, trigger=trigger.value)


def after(state: RunStatus, trigger: str) -> RunStatus:
    """Return the state that a trigger brings an experiment to.

    A trigger at whose target it is already changes nothing, except in a final state.

    Raises
    ------
    TriggerRefused
        If the trigger isn't for that state, or there is none of that name.
    """
    transition = EXPERIMENT_TRIGGERS.get(trigger)
    if transition is None or is_final("experiment", state):
        raise TriggerRefused(kind="experiment", state=state.value, trigger=trigger)
    if state in transition.sources or state is transition.target:
        return transition.target
    raise TriggerRefused(kind="experiment", state=state.value, trigger=trigger)


def is_final(kind: str, state: RunStatus) -> bool:
    """Return whether nothing can change the state of a run of this kind any more."""
    return not TABLES[kind][state]

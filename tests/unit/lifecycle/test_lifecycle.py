"""The lifecycle of experiments is the Neurorobotics Platform's, every state and trigger of it."""

import pytest

from perdure.errors import TriggerRefused
from perdure.lifecycle import EXPERIMENT_TRIGGERS, FINAL, TABLES, RunStatus, after, check, is_final

# Rows: the state; columns: the trigger; what it leads to, or - where it is refused.
TABLE = """
             initialized  started    paused   completed  stopped  failed
created      paused       -          -        -          stopped  failed
paused       paused       started    paused   -          stopped  failed
started      -            started    paused   completed  stopped  failed
completed    -            -          -        completed  stopped  failed
stopped      -            -          -        -          -        -
failed       -            -          -        -          -        -
"""

HEAD, *ROWS = (line.split() for line in TABLE.strip().splitlines())
CASES = [(row[0], trigger, target) for row in ROWS for trigger, target in zip(HEAD, row[1:], strict=True)]


@pytest.mark.parametrize(("state", "trigger", "target"), CASES)
def test_every_trigger_in_every_state(state: str, trigger: str, target: str) -> None:
    if target == "-":
        with pytest.raises(TriggerRefused) as refused:
            after(RunStatus(state), trigger)
        assert state in str(refused.value)
        assert trigger in str(refused.value)
    else:
        assert after(RunStatus(state), trigger) is RunStatus(target)


def test_the_table_is_about_every_state_and_trigger() -> None:
    assert {row[0] for row in ROWS} == set(RunStatus)
    assert set(HEAD) == set(EXPERIMENT_TRIGGERS)


@pytest.mark.parametrize("state", RunStatus)
@pytest.mark.parametrize("target", RunStatus)
def test_runs_change_as_the_triggers_say(state: RunStatus, target: RunStatus) -> None:
    reachable = {it for row, _, it in CASES if row == state and it != "-"}
    if target in reachable:
        check("experiment", state, target)
    else:
        with pytest.raises(TriggerRefused):
            check("experiment", state, target)


@pytest.mark.parametrize("trigger", ["created", "", "INITIALIZED", "stop"])
def test_there_are_no_other_triggers(trigger: str) -> None:
    for state in RunStatus:
        with pytest.raises(TriggerRefused):
            after(state, trigger)


def test_only_stopped_and_failed_experiments_stay_what_they_are() -> None:
    assert {state for state in RunStatus if is_final("experiment", state)} == {"stopped", "failed"}
    assert {state for state in TABLES["session"] if is_final("session", state)} == {"completed", "stopped"}
    assert RunStatus.COMPLETED in FINAL, "it takes no more steps"


def test_the_tables_cant_be_changed() -> None:
    with pytest.raises(TypeError):
        EXPERIMENT_TRIGGERS["paused"] = EXPERIMENT_TRIGGERS["failed"]  # type: ignore[index]
    with pytest.raises(TypeError):
        TABLES["experiment"][RunStatus.FAILED] = frozenset(RunStatus)  # type: ignore[index]

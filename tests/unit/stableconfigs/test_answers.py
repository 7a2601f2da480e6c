"""What a status is answered with, for the things that are over too quickly to be seen over HTTP."""

import msgspec
import pytest

from perdure.dialects.stableconfigs.answers import ended, under_way
from perdure.drivers.tasks import TaskView
from perdure.lifecycle import DesiredState, Outcome, RunStatus
from perdure.run import Execution, Run
from perdure.state.codec import State, encode

REPORT = {"progress": {"count": 3, "k": 7}}
PARTIAL: State = {"configs": [], "lower": 6, "upper": 9}


def view(
    state: RunStatus,
    outcome: Outcome | None = None,
    reason: str = "",
    desired: DesiredState = DesiredState.STARTED,
    result: State = None,
) -> TaskView:
    run = Run(
        id="t",
        kind="task",
        owner="ann",
        spec=b"",
        state=state,
        outcome=outcome,
        reason=reason,
        created=0.0,
        updated=0.0,
    )
    execution = Execution(
        run_id="t",
        kind="task",
        owner="ann",
        desired=desired,
        progress=msgspec.msgpack.encode(REPORT),
        result=None if result is None else encode(result),
    )
    return TaskView(run=run, execution=execution)


def test_a_task_that_is_being_terminated_is_a_203() -> None:
    told = {"status": "Progress", "count": 3, "k": 7}
    assert under_way(view(RunStatus.STARTED)) == (202, told)
    assert under_way(view(RunStatus.STARTED, desired=DesiredState.STOPPED)) == (203, told)


@pytest.mark.parametrize(
    ("state", "outcome", "reason", "expected"),
    [
        (
            RunStatus.STOPPED,
            Outcome.TERMINATED,
            "",
            (401, {"status": "TBNException", "message": "Early Termination at count [3] min polymers [7]."}),
        ),
        (
            RunStatus.FAILED,
            Outcome.FAILED,
            "network_error: Input contains no monomers.",
            (401, {"status": "TBNException", "message": "Input contains no monomers."}),
        ),
        (
            RunStatus.FAILED,
            Outcome.FAILED,
            "ZeroDivisionError: division by zero",
            (402, {"status": "Exception", "message": "ZeroDivisionError: division by zero"}),
        ),
        (
            RunStatus.FAILED,
            Outcome.TIMED_OUT,
            "It ran for 90 s.",
            (
                400,
                {
                    "status": "TimedOut",
                    "message": "SoftTimeLimitExceeded: It ran for 90 s.",
                    "configs": [],
                    "lower": 6,
                    "upper": 9,
                },
            ),
        ),
    ],
)
def test_what_a_task_comes_to_has_a_status(
    state: RunStatus, outcome: Outcome, reason: str, expected: tuple[int, dict[str, object]]
) -> None:
    assert ended(view(state, outcome, reason, result=PARTIAL)) == expected


def test_a_task_that_had_no_time_to_find_anything_has_bounds_all_the_same() -> None:
    _, body = ended(view(RunStatus.FAILED, Outcome.TIMED_OUT, "It ran for 1 s."))
    assert (body["configs"], body["lower"], body["upper"]) == ([], 0, None)

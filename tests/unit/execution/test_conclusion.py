"""What becomes of a run is decided by how its child ended and what its body said."""

import pytest

from perdure.execution.conclusion import Again, Conclusion, Finish, judge
from perdure.execution.end import End, EndKind
from perdure.execution.link import PIPE_LOST
from perdure.execution.messages import Failure, Result
from perdure.lifecycle import DesiredState, Outcome, RunStatus

RESULT = Result(b"result")
FAILURE = Failure("ValueError: no", "Traceback …", b"a part")


def conclusion(
    end: End, said: Result | Failure | None = None, crashes: int = 0, *, ending: DesiredState | None = None
) -> Conclusion:
    """Return the conclusion."""
    return judge(end, said, crashes, ending=ending)


def finish(given: Conclusion) -> tuple[RunStatus | None, Outcome | None, str | None, bytes | None]:
    """Return what a run ends with."""
    assert isinstance(given, Finish)
    return given.change.state, given.change.outcome, given.change.reason, given.result


@pytest.mark.parametrize(
    "end",
    [
        End(EndKind.EXIT, 0),
        End(EndKind.EXIT, 9),
        End(EndKind.SIGNAL, 11),
        End(EndKind.TIME),
        End(EndKind.UNWATCHED),
    ],
)
def test_a_result_is_the_answer_however_the_process_ended(end: End) -> None:
    assert finish(conclusion(end, RESULT)) == (RunStatus.COMPLETED, Outcome.SUCCEEDED, None, b"result")


def test_an_error_of_the_body_fails_the_run_with_its_reason_and_its_part_of_a_result() -> None:
    assert finish(conclusion(End(EndKind.EXIT, 1), FAILURE)) == (
        RunStatus.FAILED,
        Outcome.FAILED,
        "ValueError: no",
        b"a part",
    )


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (End(EndKind.EXIT, 0), "exit code 0 and without a result"),
        (End(EndKind.EXIT, 3), "exit code 3 and without a result"),
        (End(EndKind.EXIT, PIPE_LOST), "lost the pipe to the server"),
        (End(EndKind.MEMORY), "ran out of memory"),
        (End(EndKind.CPU), "limit of CPU time"),
        (End(EndKind.BROKEN, why="no such file"), "could not be started: no such file"),
    ],
)
def test_these_ends_fail_the_run_at_once_and_are_told_apart(end: End, words: str) -> None:
    state, outcome, reason, result = finish(conclusion(end))
    assert (state, outcome, result) == (RunStatus.FAILED, Outcome.FAILED, None)
    assert words in (reason or "")


def test_a_time_out_is_told_from_a_failure() -> None:
    state, outcome, _, _ = finish(conclusion(End(EndKind.TIME)))
    assert (state, outcome) == (RunStatus.FAILED, Outcome.TIMED_OUT)


@pytest.mark.parametrize("end", [End(EndKind.SIGNAL, 9), End(EndKind.KERNEL)])
def test_a_foreign_signal_lets_the_run_begin_again_twice_and_fails_it_the_third_time(end: End) -> None:
    assert conclusion(end, crashes=0) == Again(1)
    assert conclusion(end, crashes=1) == Again(2)
    state, outcome, reason, _ = finish(conclusion(end, crashes=2))
    assert (state, outcome) == (RunStatus.FAILED, Outcome.FAILED)
    assert "the third time in a row" in (reason or "")


def test_the_reason_of_the_third_crash_names_the_signal_or_the_lack_of_memory() -> None:
    assert "SIGSEGV" in (finish(conclusion(End(EndKind.SIGNAL, 11), crashes=2))[2] or "")
    assert "signal 1000 " in (finish(conclusion(End(EndKind.SIGNAL, 1000), crashes=2))[2] or "").replace(
        ",", " "
    )
    assert "ran out of memory" in (finish(conclusion(End(EndKind.KERNEL), crashes=2))[2] or "")


def test_the_death_of_a_guard_counts_for_nothing() -> None:
    assert conclusion(End(EndKind.UNWATCHED), crashes=2) == Again(2)


@pytest.mark.parametrize("said", [None, RESULT, FAILURE])
def test_who_was_asked_to_stop_is_stopped_whatever_came_then(said: Result | Failure | None) -> None:
    state, outcome, _, result = finish(conclusion(End(EndKind.ORDER), said, ending=DesiredState.STOPPED))
    assert (state, outcome) == (RunStatus.STOPPED, Outcome.TERMINATED)
    assert result == (None if said is None else said.result)


@pytest.mark.parametrize(
    ("ending", "state", "outcome"),
    [
        (DesiredState.COMPLETED, RunStatus.COMPLETED, Outcome.SUCCEEDED),
        (DesiredState.FAILED, RunStatus.FAILED, Outcome.FAILED),
    ],
)
def test_who_was_asked_to_end_otherwise_ends_so(
    ending: DesiredState, state: RunStatus, outcome: Outcome
) -> None:
    found = finish(conclusion(End(EndKind.ORDER), ending=ending))
    assert found == (state, outcome, f"It was {ending} on request.", None)


def test_an_interruption_lets_the_run_begin_again_twice_and_fails_it_the_third_time() -> None:
    said = Failure("engine_crashed: no answer", "Traceback …", None, again=True)
    assert conclusion(End(EndKind.EXIT, 1), said, crashes=0) == Again(1)
    assert conclusion(End(EndKind.EXIT, 1), said, crashes=1) == Again(2)
    state, _, reason, _ = finish(conclusion(End(EndKind.EXIT, 1), said, crashes=2))
    assert state is RunStatus.FAILED
    assert reason == "engine_crashed: no answer; the third time in a row without a new savepoint."

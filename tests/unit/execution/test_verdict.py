"""What becomes of a run is decided by how its child ended and what its body said."""

import pytest

from perdure.execution.end import End, How
from perdure.execution.link import PIPE_LOST
from perdure.execution.messages import Failure, Result
from perdure.execution.verdict import Again, Finish, Verdict, judge
from perdure.lifecycle import Outcome, RunState, Wanted

RESULT = Result(b"result")
FAILURE = Failure("ValueError: no", "Traceback …", b"a part")


def verdict(
    end: End, said: Result | Failure | None = None, deaths: int = 0, *, ending: Wanted | None = None
) -> Verdict:
    """Return the verdict."""
    return judge(end, said, deaths, ending=ending)


def finish(given: Verdict) -> tuple[RunState | None, Outcome | None, str | None, bytes | None]:
    """Return what a run ends with."""
    assert isinstance(given, Finish)
    return given.change.state, given.change.outcome, given.change.reason, given.result


@pytest.mark.parametrize(
    "end", [End(How.EXIT, 0), End(How.EXIT, 9), End(How.SIGNAL, 11), End(How.TIME), End(How.UNWATCHED)]
)
def test_a_result_is_the_answer_however_the_process_ended(end: End) -> None:
    assert finish(verdict(end, RESULT)) == (RunState.COMPLETED, Outcome.SUCCEEDED, None, b"result")


def test_an_error_of_the_body_fails_the_run_with_its_reason_and_its_part_of_a_result() -> None:
    assert finish(verdict(End(How.EXIT, 1), FAILURE)) == (
        RunState.FAILED,
        Outcome.FAILED,
        "ValueError: no",
        b"a part",
    )


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (End(How.EXIT, 0), "exit code 0 and without a result"),
        (End(How.EXIT, 3), "exit code 3 and without a result"),
        (End(How.EXIT, PIPE_LOST), "lost the pipe to the server"),
        (End(How.MEMORY), "ran out of memory"),
        (End(How.CPU), "limit of CPU time"),
        (End(How.BROKEN, why="no such file"), "could not be started: no such file"),
    ],
)
def test_these_ends_fail_the_run_at_once_and_are_told_apart(end: End, words: str) -> None:
    state, outcome, reason, result = finish(verdict(end))
    assert (state, outcome, result) == (RunState.FAILED, Outcome.FAILED, None)
    assert words in (reason or "")


def test_a_time_out_is_told_from_a_failure() -> None:
    state, outcome, _, _ = finish(verdict(End(How.TIME)))
    assert (state, outcome) == (RunState.FAILED, Outcome.TIMED_OUT)


@pytest.mark.parametrize("end", [End(How.SIGNAL, 9), End(How.KERNEL)])
def test_a_foreign_signal_lets_the_run_begin_again_twice_and_fails_it_the_third_time(end: End) -> None:
    assert verdict(end, deaths=0) == Again(1)
    assert verdict(end, deaths=1) == Again(2)
    state, outcome, reason, _ = finish(verdict(end, deaths=2))
    assert (state, outcome) == (RunState.FAILED, Outcome.FAILED)
    assert "the third time in a row" in (reason or "")


def test_the_reason_of_the_third_death_tells_the_signal_from_want_of_memory() -> None:
    assert "SIGSEGV" in (finish(verdict(End(How.SIGNAL, 11), deaths=2))[2] or "")
    assert "signal 1000 " in (finish(verdict(End(How.SIGNAL, 1000), deaths=2))[2] or "").replace(",", " ")
    assert "want of memory" in (finish(verdict(End(How.KERNEL), deaths=2))[2] or "")


def test_the_death_of_a_guard_counts_for_nothing() -> None:
    assert verdict(End(How.UNWATCHED), deaths=2) == Again(2)


@pytest.mark.parametrize("said", [None, RESULT, FAILURE])
def test_who_was_asked_to_stop_is_stopped_whatever_came_then(said: Result | Failure | None) -> None:
    state, outcome, _, result = finish(verdict(End(How.ORDER), said, ending=Wanted.STOPPED))
    assert (state, outcome) == (RunState.STOPPED, Outcome.TERMINATED)
    assert result == (None if said is None else said.result)


@pytest.mark.parametrize(
    ("ending", "state", "outcome"),
    [
        (Wanted.COMPLETED, RunState.COMPLETED, Outcome.SUCCEEDED),
        (Wanted.FAILED, RunState.FAILED, Outcome.FAILED),
    ],
)
def test_who_was_asked_to_end_otherwise_ends_so(ending: Wanted, state: RunState, outcome: Outcome) -> None:
    found = finish(verdict(End(How.ORDER), ending=ending))
    assert found == (state, outcome, f"It was {ending} on request.", None)


def test_an_interruption_lets_the_run_begin_again_twice_and_fails_it_the_third_time() -> None:
    said = Failure("engine_crashed: no answer", "Traceback …", None, again=True)
    assert verdict(End(How.EXIT, 1), said, deaths=0) == Again(1)
    assert verdict(End(How.EXIT, 1), said, deaths=1) == Again(2)
    state, _, reason, _ = finish(verdict(End(How.EXIT, 1), said, deaths=2))
    assert state is RunState.FAILED
    assert reason == "engine_crashed: no answer; the third time in a row without a new savepoint."

"""An attempt decides what to do after each event, without processes, store and time."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import (
    ArtifactsUnavailable,
    ExperimentNotFound,
    Fenced,
    StoreUnavailable,
    UserIdsExhausted,
)
from perdure.execution import attempt as attempts
from perdure.execution.attempt import (
    GRACE,
    HANGING_UP,
    LEAVING,
    SAVING,
    SILENT,
    Action,
    Attempt,
    Event,
    Happened,
)
from perdure.execution.conclusion import Again, Conclusion, Finish, Leave, Unbegun
from perdure.execution.end import End, EndKind
from perdure.execution.messages import Beat, Failure, FromChild, Garbled, Paused, Result
from perdure.lifecycle import DesiredState, Outcome, RunStatus
from perdure.run import Execution

KILLED = End(EndKind.SIGNAL, 9)
ORDERED = End(EndKind.ORDER)
RESULT = Result(b"result")


def an_attempt(desired: DesiredState = DesiredState.STARTED, crashes: int = 0) -> Attempt:
    """Return an attempt that is prepared next."""
    return Attempt(Execution(run_id="run", kind="task", owner="ann", desired=desired, crashes=crashes))


class Played:
    """An attempt, and the time at which its events come.

    Attributes
    ----------
    attempt
        The attempt.
    now
        The time.
    done
        All that it said was to be done.
    """

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.now = 100.0
        self.done: list[Action] = []

    def after(self, *events: Event, seconds: float = 0.0) -> Sequence[Action]:
        """Return what is to be done after some events, the first of which comes so many seconds from now."""
        self.now += seconds
        before = len(self.done)
        for event in events:
            self.done += self.attempt.handle(event, self.now)
        return self.done[before:]

    @property
    def outcome(self) -> Outcome | None:
        """Return what the run came to."""
        assert isinstance(self.attempt.conclusion, Finish)
        return self.attempt.conclusion.change.outcome


def working(desired: DesiredState = DesiredState.STARTED, crashes: int = 0) -> Played:
    """Return an attempt whose child has just been started."""
    played = Played(an_attempt(desired, crashes))
    assert played.after(Happened.STARTED) == [Action.LISTEN]
    return played


# Before the child is there ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "desired", [DesiredState.PAUSED, DesiredState.STOPPED, DesiredState.COMPLETED, DesiredState.FAILED]
)
def test_an_attempt_that_is_not_wanted_any_more_while_it_is_prepared_never_begins(
    desired: DesiredState,
) -> None:
    played = Played(an_attempt())
    assert played.after(DesiredState.STARTED, desired) == []
    assert played.attempt.conclusion == Unbegun()


@pytest.mark.parametrize(
    ("error", "unbegun"),
    [
        (OSError("no room for a process"), True),
        (ArtifactsUnavailable(reason="they are away"), True),
        (MemoryError(), True),
        (RuntimeError("can't start new thread"), True),
        (StoreUnavailable(reason="it is away"), False),  # so nothing can be written
        (Fenced(run="run", fence=1), False),
    ],
)
def test_a_run_that_can_not_be_attempted_now_is_left_for_later(error: Exception, unbegun: bool) -> None:
    played = Played(an_attempt())
    assert played.after(error) == []
    assert played.attempt.conclusion == Leave(unbegun=unbegun)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ExperimentNotFound(experiment="gone"), "experiment_not_found: "),
        (UserIdsExhausted(owner="ann", count=7), "user_ids_exhausted: "),
        (ValueError("a mistake"), "ValueError: a mistake"),
    ],
)
def test_a_run_that_can_never_be_attempted_fails_and_says_why(error: Exception, reason: str) -> None:
    played = Played(an_attempt())
    assert played.after(error) == []
    conclusion = played.attempt.conclusion
    assert isinstance(conclusion, Unbegun)
    assert conclusion.change is not None
    assert conclusion.change.outcome is Outcome.FAILED
    assert (conclusion.change.reason or "").startswith(reason)


# Pauses -----------------------------------------------------------------------------------------------------


def test_a_body_that_stands_still_in_time_is_not_frozen_and_goes_on() -> None:
    played = working()
    assert played.after(DesiredState.PAUSED) == [Action.PAUSE]
    assert played.after(Paused(played.attempt.pause)) == [Action.HALT]
    assert played.after(None, Happened.MOVED, None, seconds=GRACE) == []
    assert played.after(DesiredState.STARTED) == [Action.GO_ON]
    assert played.after(Happened.MOVED, None, seconds=GRACE) == []


def test_a_body_that_does_not_stand_still_in_time_is_frozen() -> None:
    played = working()
    played.after(DesiredState.PAUSED)
    assert played.attempt.deadline == played.now + GRACE
    assert played.after(None, seconds=GRACE) == [Action.FREEZE]
    assert played.after(Paused(played.attempt.pause), Happened.MOVED) == []


def test_a_frozen_body_is_killed_at_once_when_an_end_is_wanted() -> None:
    played = working()
    played.after(DesiredState.PAUSED)
    played.after(None, seconds=GRACE)
    assert played.after(DesiredState.STOPPED) == [Action.STOP, Action.KILL]


def test_a_run_that_is_begun_to_be_paused_takes_its_time() -> None:
    played = working(DesiredState.PAUSED)
    assert played.after(None, seconds=3600.0) == []
    assert played.after(Paused(1)) == [Action.HALT]


def test_a_late_answer_to_a_pause_that_is_over_pauses_nothing() -> None:
    for played in (working(DesiredState.PAUSED), working()):
        played.after(DesiredState.PAUSED)
        number = played.attempt.pause
        assert played.after(DesiredState.STARTED) == [Action.GO_ON]
        assert played.after(Paused(number), Happened.MOVED, Paused(number)) == []
        assert played.after(DesiredState.PAUSED, Paused(number)) == [Action.PAUSE]


def test_what_is_wanted_during_a_move_is_done_after_it() -> None:
    played = working()
    played.after(DesiredState.PAUSED, Paused(1))
    assert played.after(DesiredState.STARTED, DesiredState.PAUSED, DesiredState.STARTED) == []
    assert played.after(Happened.MOVED) == [Action.GO_ON]
    assert played.after(DesiredState.PAUSED) == []
    assert played.after(Happened.MOVED) == [Action.PAUSE]


# Ends -------------------------------------------------------------------------------------------------------


def test_an_end_that_is_wanted_is_asked_for_and_then_enforced() -> None:
    played = working()
    assert played.after(DesiredState.STOPPED) == [Action.STOP]
    assert played.attempt.deadline == played.now + GRACE
    assert played.after(DesiredState.STARTED, DesiredState.COMPLETED) == []  # an end stays wanted
    assert played.after(None, seconds=GRACE) == [Action.KILL]
    played.after(Happened.CLOSED, ORDERED)
    assert played.outcome is Outcome.TERMINATED


def test_what_was_on_its_way_when_the_child_ended_is_heard() -> None:
    played = working()
    assert played.after(KILLED) == [Action.FLUSH]
    assert played.attempt.conclusion is None
    played.after(RESULT, Happened.CLOSED)
    assert played.outcome is Outcome.SUCCEEDED


def test_what_a_child_left_in_the_pipe_is_read_however_long_that_takes() -> None:
    played = working()
    played.after(KILLED)
    for _ in range(10):
        played.now += LEAVING * 0.9
        played.attempt.heard(played.now)  # a line
        played.after(None)
        assert played.attempt.conclusion is None
    played.after(None, seconds=LEAVING)
    assert played.attempt.conclusion == Again(1)


def test_what_never_comes_is_not_waited_for() -> None:
    played = working()
    played.after(KILLED)
    played.after(None, seconds=LEAVING)
    assert played.attempt.conclusion == Again(1)


def test_a_child_that_does_not_end_after_its_last_message_is_killed() -> None:
    played = working()
    assert played.after(RESULT, Happened.CLOSED) == []
    assert played.after(None, seconds=LEAVING) == [Action.KILL]
    played.after(ORDERED)
    assert played.outcome is Outcome.SUCCEEDED


def test_a_child_whose_pipe_closes_is_judged_by_how_it_ends_however_long_that_takes() -> None:
    for end, expected in [(KILLED, Again(1)), (End(EndKind.UNWATCHED), Again(0))]:
        played = working()
        assert played.after(Happened.CLOSED) == []
        assert played.after(None, seconds=HANGING_UP) == [Action.KILL]
        played.after(end, seconds=1000.0)
        assert played.attempt.conclusion == expected
    played = working()
    played.after(Happened.CLOSED)
    played.after(None, seconds=HANGING_UP)
    played.after(ORDERED)  # it lived on
    conclusion = played.attempt.conclusion
    assert isinstance(conclusion, Finish)
    assert conclusion.change.reason == "Its process lost the pipe to the server."


def test_a_savepoint_lets_deaths_count_anew() -> None:
    played = working(crashes=2)
    played.after(Happened.SAVED, KILLED, Happened.CLOSED)
    assert played.attempt.conclusion == Again(1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            Garbled("it sent data that is no message"),
            "Its process was ended, since it sent data that is no message.",
        ),
        (ValueError("no"), "The work on it failed in the server: ValueError: no"),
        (Fenced(run="run", fence=1), None),
    ],
)
def test_an_error_beside_the_child_kills_it_and_decides(error: Exception, reason: str | None) -> None:
    played = working()
    assert played.after(error) == [Action.KILL]
    played.after(RuntimeError("a later one"), RESULT, Happened.CLOSED, ORDERED)
    conclusion = played.attempt.conclusion
    assert (conclusion.change.reason if isinstance(conclusion, Finish) else None) == reason


def test_a_flood_of_messages_is_ended_but_not_one_of_entries_and_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "FLOOD", 10)
    played = working()
    for _ in range(3):
        assert played.after(*[Beat()] * 10) == []
        for _ in range(20):  # entries and lines are no events
            played.attempt.heard(played.now)
        played.now += 1.1
    assert played.after(*[Beat()] * 11) == [Action.KILL]


# The end of the worker --------------------------------------------------------------------------------------


def test_a_preempted_body_is_killed_as_soon_as_its_savepoint_is_durable_and_that_is_no_crash() -> None:
    played = working(crashes=2)
    assert played.after(Happened.PREEMPTED) == [Action.PREEMPT]
    assert played.attempt.deadline == played.now + SAVING
    assert played.after(None, seconds=SAVING * 0.9) == []
    assert played.after(Happened.SAVED) == [Action.KILL]
    played.after(ORDERED, Happened.CLOSED)
    assert played.attempt.conclusion == Again(0)


def test_a_preempted_body_that_can_not_save_is_killed_in_time_and_that_is_no_crash() -> None:
    played = working(crashes=2)
    played.after(Happened.PREEMPTED)
    assert played.after(None, seconds=SAVING) == [Action.KILL]
    played.after(ORDERED, Happened.CLOSED)
    assert played.attempt.conclusion == Again(2)


@pytest.mark.parametrize("end", [KILLED, End(EndKind.EXIT, 1), End(EndKind.UNWATCHED)])
def test_a_preempted_body_may_end_by_itself(end: End) -> None:
    played = working(crashes=2)
    played.after(Happened.PREEMPTED)
    if end.how is EndKind.EXIT:
        played.after(Failure("its worker has ended", "", None, again=True))
    played.after(end, Happened.CLOSED)
    assert played.attempt.conclusion == Again(2)


@pytest.mark.parametrize("said", [RESULT, Failure("no", "", None)])
def test_a_preempted_body_that_comes_to_its_end_has_come_to_its_end(said: Result | Failure) -> None:
    played = working()
    played.after(Happened.PREEMPTED, said, End(EndKind.EXIT, 0), Happened.CLOSED)
    assert played.outcome is (Outcome.SUCCEEDED if said is RESULT else Outcome.FAILED)


def test_an_end_is_obeyed_though_the_body_is_preempted() -> None:
    played = working()
    played.after(Happened.PREEMPTED)
    assert played.after(DesiredState.STOPPED) == [Action.STOP]
    assert played.after(None, seconds=GRACE) == [Action.KILL]
    played.after(Happened.CLOSED, ORDERED)
    assert played.outcome is Outcome.TERMINATED


def test_a_run_that_is_paused_is_given_back_at_once_when_the_worker_ends() -> None:
    standing, frozen, pausing = working(), working(), working()
    standing.after(DesiredState.PAUSED, Paused(1), Happened.MOVED)
    frozen.after(DesiredState.PAUSED)
    frozen.after(None, seconds=GRACE)
    for played in (standing, frozen):
        assert played.after(Happened.PREEMPTED) == [Action.KILL]
    pausing.after(DesiredState.PAUSED)
    assert pausing.after(Happened.PREEMPTED) == [Action.PREEMPT]
    assert pausing.after(Paused(1)) == [Action.KILL]  # it has saved before it stood still
    for played in (standing, frozen, pausing):
        played.after(ORDERED, Happened.CLOSED)
        assert played.attempt.conclusion == Again(0)


def test_an_attempt_that_is_being_prepared_does_not_count_when_the_worker_ends() -> None:
    played = Played(an_attempt())
    assert played.after(Happened.PREEMPTED) == []
    assert played.attempt.conclusion == Unbegun()


def test_silence_is_noticed_while_the_child_is_going() -> None:
    played = working()
    assert not played.attempt.is_silent(played.now + SILENT)
    assert played.attempt.is_silent(played.now + SILENT + 1)
    played.after(Beat(), seconds=SILENT)
    assert not played.attempt.is_silent(played.now + 1)
    played.attempt.heard(played.now + SILENT)  # a step or a line
    assert not played.attempt.is_silent(played.now + SILENT + 1)
    played.after(DesiredState.PAUSED, Paused(1))
    assert not played.attempt.is_silent(played.now + 3600)


# The law ----------------------------------------------------------------------------------------------------

errors: st.SearchStrategy[Exception] = st.sampled_from(
    [OSError("no"), ValueError("no"), Fenced(run="run", fence=1), ExperimentNotFound(experiment="gone")]
)
messages = st.one_of(
    st.builds(Paused, st.integers(0, 4)),
    st.sampled_from([Beat(), RESULT, Failure("no", "", None)]),
)
anything: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from(DesiredState),
    messages,
    st.sampled_from([None, Happened.SAVED, Happened.PREEMPTED]),
    errors,
)
ends = st.sampled_from([KILLED, ORDERED, End(EndKind.EXIT, 0), End(EndKind.TIME), End(EndKind.UNWATCHED)])


@given(
    desired=st.sampled_from([DesiredState.STARTED, DesiredState.PAUSED]),
    events=st.lists(st.tuples(anything, st.sampled_from([0.0, 0.1, 0.2, 3.0]), st.booleans()), max_size=40),
    end=ends,
)
def test_whatever_happens_in_whatever_order(
    desired: DesiredState, events: list[tuple[Event, float, bool]], end: End
) -> None:
    played = Played(an_attempt(desired))
    pending = [Happened.STARTED]  # what answers the actions, when it is done
    asked: float | None = None  # when the child was asked to stand still
    still = False  # whether the child stands still, by itself or frozen
    ending: float | None = None  # when an end was wanted of a child that was there

    def play(event: Event, seconds: float) -> None:
        nonlocal asked, still, ending
        number = played.attempt.pause
        for action in played.after(event, seconds=seconds):
            match action:
                case Action.PAUSE:
                    assert not still
                    asked = played.now
                case Action.HALT:
                    assert event == Paused(number)  # never before the child said so
                    still = True
                case Action.FREEZE:
                    assert asked is not None
                    assert played.now >= asked + GRACE
                    still = True
                case Action.GO_ON:
                    still = False
                case Action.STOP:
                    ending = played.now
            if action in (Action.HALT, Action.FREEZE, Action.GO_ON):
                assert Happened.MOVED not in pending  # one move at a time
                pending.append(Happened.MOVED)

    for event, seconds, finishes in events:
        if played.attempt.conclusion is None and finishes and pending:
            play(pending.pop(0), 0.0)
        if isinstance(event, FromChild) and Action.LISTEN not in played.done:
            continue  # nobody reads its messages yet
        if played.attempt.conclusion is None:
            play(event, seconds)
    if played.attempt.conclusion is None and ending is not None:
        play(None, GRACE)
        assert Action.KILL in played.done  # a wanted end always comes
    if Action.LISTEN in played.done and played.attempt.conclusion is None:
        play(end, 0.0)
        if played.attempt.conclusion is None:
            play(Happened.CLOSED, 0.0)
        assert played.attempt.conclusion is not None  # nothing else is waited for
    for once in (Action.LISTEN, Action.STOP, Action.KILL, Action.FLUSH):
        assert played.done.count(once) <= 1
    assert_plausible(played.attempt.conclusion, ending is not None, played.attempt.said, events)


def assert_plausible(
    conclusion: Conclusion | None,
    stopped: bool,
    said: Result | Failure | None,
    events: list[tuple[Event, float, bool]],
) -> None:
    """Assert that a run of which only an end was wanted, and nothing went wrong, ends so."""
    if stopped and said is None and not any(isinstance(it, Exception) for it, _, _ in events):
        assert isinstance(conclusion, Finish)
        assert conclusion.change.state in (RunStatus.STOPPED, RunStatus.COMPLETED, RunStatus.FAILED)
        assert (conclusion.change.reason or "").endswith("on request.")

"""The attempt: one try at a run under a lease, as a state machine.

It decides what to do next and does nothing itself: it knows no process, no store and no clock. `Work` passes
it events and carries out the actions that it returns.
"""

import math
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import TypeAlias

from perdure.errors import (
    ArtifactsUnavailable,
    Fenced,
    PerdureError,
    RunFinished,
    RunNotFound,
    StoreUnavailable,
    Unavailable,
)
from perdure.execution.conclusion import Conclusion, Leave, Unbegun, failed, judge
from perdure.execution.end import End, EndKind
from perdure.execution.messages import Failure, FromChild, Garbled, Paused, Result
from perdure.lifecycle import DesiredState
from perdure.run import Execution

__all__ = ["Action", "Attempt", "Event", "Happened"]

GRACE = 0.15  # seconds in which a body may stop or pause by itself
LEAVING = 2.0  # seconds that a process has to end after its body, and its pipe after the last message
HANGING_UP = 10.0  # seconds that a process has to end after its pipe has closed
SAVING = 3.0  # seconds in which a preempted body may make a savepoint
SILENT = 10.0  # seconds without a heartbeat after which the child is logged as silent
NO_THREAD = "can't start new thread"  # Python's message when the machine is out of threads
FLOOD = 20_000  # messages within a second, without entries and lines, for which back-pressure exists


class Happened(Enum):
    """Events without further data."""

    STARTED = auto()
    """The attempt is prepared, and the child has started."""
    MOVED = auto()
    """`Action.HALT`, `FREEZE` or `GO_ON` has been carried out."""
    SAVED = auto()
    """A savepoint of the child is durable."""
    PREEMPTED = auto()
    """The worker is about to end."""
    CLOSED = auto()
    """The pipe to the child has closed."""


Event: TypeAlias = DesiredState | FromChild | End | Exception | Happened | None
"""An event: the current desired state, a message of the child, its end, or an error of a job of the attempt.
None means that `Attempt.deadline` has been reached. Steps and lines are no events; see `Attempt.heard`."""


class Action(Enum):
    """What to do next."""

    LISTEN = auto()
    """Send the child its assignment, and read its messages and its output."""
    PAUSE = auto()
    """Ask the child to pause; `Attempt.pause` is the number of the pause."""
    HALT = auto()
    """Mark the run as paused: the child has paused."""
    FREEZE = auto()
    """Freeze the child, then mark the run as paused."""
    GO_ON = auto()
    """Let the child continue, and mark the run as started."""
    PREEMPT = auto()
    """Ask the child to make a savepoint."""
    STOP = auto()
    """Ask the child to end."""
    KILL = auto()
    """Kill the child and everything that it started."""
    FLUSH = auto()
    """Read the rest of the child's messages and output."""


class _Stage(Enum):
    PREPARING = auto()
    GOING = auto()
    ASKED = auto()  # to pause by itself
    STILL = auto()
    FROZEN = auto()
    PREEMPTED = auto()
    STOPPING = auto()
    KILLED = auto()
    ENDED = auto()


class Attempt:
    """The state of an attempt.

    Parameters
    ----------
    execution
        The run's execution, with the lease of the attempt.

    Attributes
    ----------
    conclusion
        What becomes of the run; None until that is decided. After that no event is handled.
    said
        What the child's body returned or raised, if it did either.
    explained
        Whether the reason of the child's end is known without its last output.
    pause
        The number of the last pause that was requested.
    """

    def __init__(self, execution: Execution) -> None:
        self.conclusion: Conclusion | None = None
        self.said: Result | Failure | None = None
        self.explained = False
        self.pause = int(execution.desired is DesiredState.PAUSED)  # a run may begin with a pause
        self._desired = execution.desired
        self._crashes = execution.crashes
        self._stage = _Stage.PREPARING
        self._moving = False  # while `HALT`, `FREEZE` or `GO_ON` is carried out
        self._freeze_at = math.inf  # unless the child has paused by then
        self._until = math.inf  # when the child is killed; after its end, when reading its messages stops
        self._closed = False
        self._end: End | None = None
        self._preempted = False
        self._ending: DesiredState | None = None  # the end that was desired before the body's last message
        self._cut: Conclusion | None = None  # overrides how the child ends
        self._heard = 0.0  # time of the child's last heartbeat
        self._second, self._messages = 0.0, 0

    @property
    def has_child(self) -> bool:
        """Whether the child has been started."""
        return self._stage is not _Stage.PREPARING

    @property
    def deadline(self) -> float:
        """When to check the time even if nothing happens; infinity for never."""
        return min(self._freeze_at, self._until)

    def is_silent(self, now: float) -> bool:
        """Return whether the child's heartbeat is overdue."""
        return self._stage is _Stage.GOING and now - self._heard > SILENT

    def heard(self, now: float) -> None:
        """Note that the child has sent something, be it an event or not.

        Once it has ended, it may have left more in the pipe than is read by then.
        """
        self._heard = now
        if self._end is not None:
            self._until = now + LEAVING

    def handle(self, event: Event, now: float) -> Sequence[Action]:
        """Return the actions after an event, in their order."""
        return [*self._react(event, now), *self._look_at_clock(now)]

    def _react(self, event: Event, now: float) -> Iterator[Action]:
        match event:
            case DesiredState():
                if not self.has_child and event is not self._desired:
                    self.conclusion = Unbegun()
                elif not self._desired.ends:
                    self._desired = event
                    yield from self._obey(now)
            case Happened.STARTED:
                # A run that begins with a pause may take its time to prepare itself.
                self._stage = _Stage.ASKED if self.pause else _Stage.GOING
                self._heard = now
                yield Action.LISTEN
                yield from self._obey(now)
            case Happened.MOVED:
                self._moving = False
                yield from self._obey(now)
            case Happened.SAVED:
                self._crashes = 0
                if self._stage is _Stage.PREEMPTED:
                    self._wait_until(now)
            case Happened.PREEMPTED:
                yield from self._preempt(now)
            case Happened.CLOSED:
                self._closed = True
                self._wait_until(now + HANGING_UP)
            case End():
                if self._end is None:
                    self._end, self._stage = event, _Stage.ENDED
                    self._until, self._freeze_at = now + LEAVING, math.inf
                    yield Action.FLUSH
            case Exception():
                self._fail(event, now)
            case None:
                pass
            case message:
                yield from self._hear(message, now)

    def _look_at_clock(self, now: float) -> Iterator[Action]:
        if self._end is not None:
            if self._closed or self.said is not None or now >= self._until:
                self.conclusion = self._cut or judge(
                    self._end, self.said, self._crashes, ending=self._ending, preempted=self._preempted
                )
                ordered = self._end.how is EndKind.ORDER
                self.explained = ordered or self.said is not None or self._ending is not None
        elif now >= self._until:
            self._stage, self._until, self._freeze_at = _Stage.KILLED, math.inf, math.inf
            yield Action.KILL
        elif now >= self._freeze_at:
            yield self._still(_Stage.FROZEN, Action.FREEZE)

    def _obey(self, now: float) -> Iterator[Action]:
        """Move the child towards the desired state, one action at a time; an end comes at once."""
        match self._desired, self._stage:
            case _, _Stage.PREPARING | _Stage.STOPPING | _Stage.KILLED | _Stage.ENDED:
                pass
            case DesiredState.STOPPED | DesiredState.COMPLETED | DesiredState.FAILED, stage:
                self._ending = self._desired if self.said is None else None
                self._stage, self._freeze_at = _Stage.STOPPING, math.inf
                self._wait_until(now if stage is _Stage.FROZEN else now + GRACE)
                yield Action.STOP
            case _ if self._moving:
                pass
            case DesiredState.PAUSED, _Stage.GOING:
                self.pause += 1
                self._stage, self._freeze_at = _Stage.ASKED, now + GRACE
                yield Action.PAUSE
            case DesiredState.STARTED, _Stage.ASKED | _Stage.STILL | _Stage.FROZEN:
                self._stage, self._freeze_at = _Stage.GOING, math.inf
                self._moving, self._heard = True, now
                yield Action.GO_ON

    def _preempt(self, now: float) -> Iterator[Action]:
        """Give the child time for a savepoint. One that is paused has made it, if it can."""
        self._preempted = True
        match self._stage:
            case _Stage.PREPARING:
                self.conclusion = Unbegun()
            case _Stage.GOING | _Stage.ASKED:
                self._stage, self._freeze_at = _Stage.PREEMPTED, math.inf
                self._wait_until(now + SAVING)
                yield Action.PREEMPT
            case _Stage.STILL | _Stage.FROZEN:
                self._wait_until(now)

    def _still(self, stage: _Stage, action: Action) -> Action:
        self._stage, self._freeze_at, self._moving = stage, math.inf, True
        return action

    def _hear(self, message: FromChild, now: float) -> Iterator[Action]:
        self.heard(now)
        match message:
            case Paused(number):
                if self._stage is _Stage.ASKED and number == self.pause:
                    yield self._still(_Stage.STILL, Action.HALT)
                elif self._stage is _Stage.PREEMPTED:
                    self._wait_until(now)
            case Result() | Failure() if self.said is None:
                self.said = message
                self._wait_until(now + LEAVING)
        if now - self._second > 1.0:
            self._second, self._messages = now, 0
        self._messages += 1
        if self._messages > FLOOD:
            self._fail(Garbled(f"it sent more than {FLOOD} messages in a second"), now)

    def _wait_until(self, end: float) -> None:
        if self._stage is not _Stage.KILLED:
            self._until = min(self._until, end)

    def _fail(self, error: Exception, now: float) -> None:
        """End the attempt, at once if it has no child yet; of several errors the first counts."""
        conclusion: Conclusion
        if isinstance(error, Fenced | RunFinished | RunNotFound | StoreUnavailable):
            conclusion = Leave()
        elif self.has_child and isinstance(error, ArtifactsUnavailable):
            conclusion = Leave()  # the next attempt resumes from the savepoint before
        elif isinstance(error, Garbled):
            conclusion = failed(f"Its process was ended, since {error}.")
        elif self.has_child:
            conclusion = failed(f"The work on it failed in the server: {type(error).__name__}: {error}")
        elif isinstance(error, Unavailable | OSError | MemoryError) or str(error) == NO_THREAD:
            conclusion = Leave(unbegun=True)  # it may succeed later
        else:
            name = error.code if isinstance(error, PerdureError) else type(error).__name__
            conclusion = Unbegun(failed(f"{name}: {error}").change)
        if self.has_child:
            self._cut = self._cut or conclusion
            self._wait_until(now)
        else:
            self.conclusion = conclusion

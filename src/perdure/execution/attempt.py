"""The attempt: one try at a run under a lease, as a state that events change.

It says what to do next and does nothing itself: it knows no process, no store and no clock. `Work` hands it
the events and carries out what it says.
"""

import math
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import TypeAlias

from perdure.errors import Fenced, PerdureError, RunFinished, RunNotFound, StoreUnavailable, Unavailable
from perdure.execution.conclusion import Conclusion, Leave, Unbegun, failed, judge
from perdure.execution.end import End, EndKind
from perdure.execution.messages import Append, Failure, FromChild, Garbled, Line, Paused, Result
from perdure.lifecycle import DesiredState
from perdure.run import Execution

__all__ = ["Action", "Attempt", "Event", "Happened"]

GRACE = 0.15  # seconds in which a body may stop or pause by itself
LEAVING = 2.0  # seconds in which a process has to end after its body, and its pipe after the process
HANGING_UP = 10.0  # seconds in which a process has to end whose pipe has closed
SILENT = 10.0  # seconds without a sign of life after which it is noted
NO_THREAD = "can't start new thread"  # what Python says of a machine that has no more for it
FLOOD = 20_000  # messages within a second; entries and lines aren't counted: who sends them is made to wait


class Happened(Enum):
    """Events that need no more words."""

    STARTED = auto()
    """The attempt is prepared, and the child is there."""
    MOVED = auto()
    """What `Action.HALT`, `FREEZE` or `GO_ON` asked for is done."""
    SAVED = auto()
    """A savepoint of the child is durable."""
    CLOSED = auto()
    """The pipe to the child has closed."""


Event: TypeAlias = DesiredState | FromChild | End | Exception | Happened | None
"""What may happen: the state that is wanted of the run now, a message of the child, its end, an error in what
the attempt needs; None is that the time of `Attempt.deadline` has come."""


class Action(Enum):
    """What to do next."""

    LISTEN = auto()
    """Send the child its assignment, and read its messages and what it prints."""
    PAUSE = auto()
    """Ask the child to stand still, for the pause with the number `Attempt.pause`."""
    HALT = auto()
    """Mark the run as paused: the child stands still."""
    FREEZE = auto()
    """Freeze the child, then mark the run as paused."""
    GO_ON = auto()
    """Let the child go on, and mark the run as started."""
    STOP = auto()
    """Ask the child to end."""
    KILL = auto()
    """End the child and all that it started."""
    FLUSH = auto()
    """Take what is left of what the child said."""


class _Stage(Enum):
    PREPARING = auto()
    GOING = auto()
    ASKED = auto()  # to stand still, which the child may do by itself
    STILL = auto()
    FROZEN = auto()
    STOPPING = auto()
    KILLED = auto()
    ENDED = auto()


class Attempt:
    """Where an attempt stands.

    Parameters
    ----------
    execution
        The run's, with the lease of the attempt.

    Attributes
    ----------
    conclusion
        What becomes of the run; None until that is decided. Then no further event is handled.
    said
        What the child's body returned or raised, if it came to that.
    explained
        Whether it is known why the child ended, without what it printed last.
    pause
        The number of the last pause that the child was asked for.
    """

    def __init__(self, execution: Execution) -> None:
        self.conclusion: Conclusion | None = None
        self.said: Result | Failure | None = None
        self.explained = False
        self.pause = int(execution.desired is DesiredState.PAUSED)  # a run may be begun to be paused
        self._desired = execution.desired
        self._deaths = execution.crashes
        self._stage = _Stage.PREPARING
        self._moving = False  # from `HALT`, `FREEZE` or `GO_ON` on until that is done
        self._freeze_at = math.inf  # unless the child stands still by then
        self._until = math.inf  # when the child is killed; after its end, when its messages are given up
        self._closed = False
        self._end: End | None = None
        self._ending: DesiredState | None = None  # which end was wanted before the body's last message
        self._cut: Conclusion | None = None  # whatever the child's end
        self._heard = 0.0  # when the child gave the last sign of life
        self._second, self._messages = 0.0, 0

    @property
    def has_child(self) -> bool:
        """Whether the child was started."""
        return self._stage is not _Stage.PREPARING

    @property
    def deadline(self) -> float:
        """When to look at the clock though nothing happens; infinity for never."""
        return min(self._freeze_at, self._until)

    def is_silent(self, now: float) -> bool:
        """Return whether the child should have given a sign of life."""
        return self._stage is _Stage.GOING and now - self._heard > SILENT

    def handle(self, event: Event, now: float) -> Sequence[Action]:
        """Return what to do after an event, in this order."""
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
                # One that is begun to be paused takes its time to prepare itself.
                self._stage = _Stage.ASKED if self.pause else _Stage.GOING
                self._heard = now
                yield Action.LISTEN
                yield from self._obey(now)
            case Happened.MOVED:
                self._moving = False
                yield from self._obey(now)
            case Happened.SAVED:
                self._deaths = 0
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
                self.conclusion = self._cut or judge(self._end, self.said, self._deaths, ending=self._ending)
                ordered = self._end.how is EndKind.ORDER
                self.explained = ordered or self.said is not None or self._ending is not None
        elif now >= self._until:
            self._stage, self._until, self._freeze_at = _Stage.KILLED, math.inf, math.inf
            yield Action.KILL
        elif now >= self._freeze_at:
            yield self._still(_Stage.FROZEN, Action.FREEZE)

    def _obey(self, now: float) -> Iterator[Action]:
        """Bring the child where it is wanted, one move after the other; an end comes at once."""
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

    def _still(self, stage: _Stage, action: Action) -> Action:
        self._stage, self._freeze_at, self._moving = stage, math.inf, True
        return action

    def _hear(self, message: FromChild, now: float) -> Iterator[Action]:
        self._heard = now
        match message:
            case Append() | Line():
                return
            case Paused(number):
                if self._stage is _Stage.ASKED and number == self.pause:
                    yield self._still(_Stage.STILL, Action.HALT)
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
        """End the attempt, at once if there is no child yet; of several errors the first counts."""
        conclusion: Conclusion
        if isinstance(error, Fenced | RunFinished | RunNotFound | StoreUnavailable):
            conclusion = Leave()
        elif isinstance(error, Garbled):
            conclusion = failed(f"Its process was ended, since {error}.")
        elif self.has_child:
            conclusion = failed(f"The work on it failed in the server: {type(error).__name__}: {error}")
        elif isinstance(error, Unavailable | OSError | MemoryError) or str(error) == NO_THREAD:
            conclusion = Leave(unbegun=True)  # it may be possible later
        else:
            name = error.code if isinstance(error, PerdureError) else type(error).__name__
            conclusion = Unbegun(failed(f"{name}: {error}").change)
        if self.has_child:
            self._cut = self._cut or conclusion
            self._wait_until(now)
        else:
            self.conclusion = conclusion

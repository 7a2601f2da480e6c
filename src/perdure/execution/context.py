"""The run context: the interface of a run's body to the server."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from perdure.execution.link import Link
from perdure.execution.messages import Line, Start
from perdure.execution.progress_slot import ProgressSlot
from perdure.run import Entry, Step
from perdure.state.codec import pack
from perdure.state.savepoint import Savepoint

__all__ = [
    "LONGEST_WRITTEN",
    "BodyFailed",
    "BodyInterrupted",
    "RunBody",
    "RunContext",
]

LONGEST_WRITTEN = 8192  # characters of a line


class BodyFailed(Exception):
    """Raised by a body to give the reason of its failure, and a partial result if there is one.

    Parameters
    ----------
    code, message
        Joined by a colon they become the run's reason.
    result
        The partial result, MessagePack.
    traceback
        Traceback in the users' code: it follows the message in the reason, and is logged.
    """

    def __init__(self, code: str, message: str, result: bytes | None = None, *, traceback: str = "") -> None:
        super().__init__("\n".join(filter(None, (f"{code}: {message}", traceback))))
        self.code = code
        self.traceback = traceback
        self.result = result


class BodyInterrupted(Exception):
    """Raised by a body that may succeed in another attempt: the run is resumed from its newest savepoint.

    The third time in a row without a new savepoint fails the run, with the message as the reason.
    """


class RunContext:
    """What a body receives: its run as the store holds it, and methods to store results.

    The methods may be called from any thread.

    Attributes
    ----------
    run_id, spec
        The run, and its specification from its creation.
    attempt
        Number of this attempt, from 1.
    seconds
        Running time of the previous attempts.
    savepoint
        The newest intact savepoint; None if there is none.
    log
        The step log at the start of this attempt.
    given
        Data prepared for this attempt.
    """

    def __init__(self, start: Start, log: Sequence[Step], link: Link, slot: ProgressSlot) -> None:
        self.run_id = start.run_id
        self.spec = start.spec
        self.attempt = start.attempt
        self.seconds = start.seconds
        self.savepoint = start.savepoint
        self.log = log
        self.given = start.given
        self._link = link
        self._slot = slot
        self._counting = threading.Lock()  # guards the next one
        self._lines = 0  # sent so far; a report is stored after them

    def append(self, entries: Sequence[Entry], savepoint: Savepoint | None = None) -> None:
        """Append entries to the step log, with a savepoint, all or nothing; return when they are durable."""
        self._link.append(entries, savepoint)

    def save(self, savepoint: Savepoint) -> None:
        """Store a savepoint; return when it is durable."""
        self._link.append((), savepoint)

    def arrived(self) -> None:
        """Report that the replay has reached the savepoint; return when the output so far has been dropped.

        For a body with `Body.replays`; its output counts from here on.
        """
        self._link.arrive()

    def progress(self, report: Mapping[str, Any]) -> None:
        """Report the progress; the latest report replaces earlier ones. Frequent reports are cheap.

        Raises `LimitExceeded` for a report of more than 256 KiB, and `NotSnapshotable` for one that is no
        state.
        """
        self._slot.write(pack(dict(report)), self._lines)

    def write_line(self, text: str, level: str = "info") -> None:
        """Write to the run's output lines; each line of the text is cut after 8,192 characters."""
        for line in text.splitlines():
            self._send_line(line[:LONGEST_WRITTEN], level)

    def print_line(self, text: str, level: str) -> bool:
        """Write one line unchanged. Does nothing and returns False during another send of this thread."""
        if self._link.sending:
            return False
        self._send_line(text, level)
        return True

    def _send_line(self, text: str, level: str) -> None:
        with self._counting:
            self._lines += 1
        self._link.send(Line(level, text))

    @property
    def watched(self) -> threading.Event:
        """Set while somebody wants to see the run, at most four times a second; `show` answers and clears it.

        Only bodies with `Body.shows` are asked.
        """
        return self._link.watched

    def show(self, view: bytes) -> None:
        """Show the run to those who watch it, in a format of the body's own; the latest view counts."""
        self._link.show(view)

    @property
    def stopping(self) -> bool:
        """Whether an end was requested: a body that doesn't return soon is killed."""
        return self._link.stopping

    @property
    def preempted(self) -> bool:
        """Whether the worker is about to end: a body that can make a savepoint makes one now.

        The process is killed when the savepoint is durable, or after three seconds. The run goes on from its
        newest savepoint. A body that has never made a savepoint and never reads this is killed at once.
        """
        return self._link.preempted

    @property
    def pausing(self) -> bool:
        """Whether a pause was requested, so that `hold` would wait."""
        return self._link.pausing

    def hold(self) -> bool:
        """Wait while the run is paused; return at once if it isn't. Returns False if an end was requested.

        A body calls this between two steps in order to pause by itself; a body that doesn't call it is frozen
        from outside. It makes a savepoint first if it can: if its worker ends, its process is killed here.
        """
        return self._link.hold()


RunBody: TypeAlias = Callable[[RunContext], bytes | None]
"""A function that works on a run: it returns the result as MessagePack, or raises an error."""

"""The run context: what a body of a run sees of the world while it works in its child process."""

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
    """Raised by a body that can say why it failed, and that may have a part of the result.

    Parameters
    ----------
    code, message
        Together, with a colon between, they become the run's reason.
    result
        What there is of the result, MessagePack.
    traceback
        Of users' code: it follows the message in the reason, and is logged.
    """

    def __init__(self, code: str, message: str, result: bytes | None = None, *, traceback: str = "") -> None:
        super().__init__("\n".join(filter(None, (f"{code}: {message}", traceback))))
        self.code = code
        self.traceback = traceback
        self.result = result


class BodyInterrupted(Exception):
    """Raised by a body that another attempt may bring further: one at the newest savepoint follows.

    The third in a row without a new savepoint fails the run with this one's message as the reason.
    """


class RunContext:
    """What a body is given: its run as the store holds it, and the ways to put something there.

    Its methods may be called from any thread.

    Attributes
    ----------
    run_id, spec
        The run, and what was asked for when it was made.
    attempt
        Which attempt this is, from 1.
    seconds
        Running time of the attempts before.
    savepoint
        The newest intact one; None if there is none.
    log
        The step log at the start of this attempt.
    given
        What was prepared for this attempt.
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

    def append(self, entries: Sequence[Entry], savepoint: Savepoint | None = None) -> None:
        """Append entries to the step log, with a savepoint, all or nothing; return when they are durable."""
        self._link.append(entries, savepoint)

    def save(self, savepoint: Savepoint) -> None:
        """Keep a savepoint; return when it is durable."""
        self._link.append((), savepoint)

    def arrived(self) -> None:
        """Say that what had led to the savepoint is done again; return when what that printed is dropped.

        For a body that `Body.replays`; its lines count from here on.
        """
        self._link.arrive()

    def progress(self, report: Mapping[str, Any]) -> None:
        """Report how far it got; the latest report wins. It is cheap, whatever the report's frequency.

        Raises `LimitExceeded` for a report of more than 256 KiB, `NotSnapshotable` for one that is no state.
        """
        self._slot.write(pack(dict(report)))

    def write_line(self, text: str, level: str = "info") -> None:
        """Write to the run's log lines; lines of the text beyond 8,192 characters are cut."""
        for line in text.splitlines():
            self._link.send(Line(level, line[:LONGEST_WRITTEN]))

    def print_line(self, text: str, level: str) -> bool:
        """Write one line, as it is; False, and nothing done, from within another sending of this thread."""
        if self._link.sending:
            return False
        self._link.send(Line(level, text))
        return True

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for: a body that doesn't end by itself at once is killed."""
        return self._link.stopping

    @property
    def pausing(self) -> bool:
        """Whether a pause is asked for: `hold` would stand still."""
        return self._link.pausing

    def hold(self) -> bool:
        """Return at once unless a pause was asked for; then stand still until it is over.

        Called between two steps it is where a body pauses by itself; one that doesn't call it is frozen from
        outside. Returns False if the end was asked for.
        """
        return self._link.hold()


RunBody: TypeAlias = Callable[[RunContext], bytes | None]
"""What works on a run: it returns the result as MessagePack, or raises; `BodyFailed` has a part of one."""

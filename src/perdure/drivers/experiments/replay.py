"""Replay: a script that runs again is answered from the journal, as long as it makes the same calls."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perdure.drivers.experiments.journal import RUN_LOOP, Looped, Record, records
from perdure.errors import ReplayMismatch
from perdure.run import Step
from perdure.state.codec import pack

__all__ = ["Replay", "agree", "call_in_words", "script_line"]


class Replay:
    """The calls of a journal, handed out in order.

    Parameters
    ----------
    steps
        The pages that the script's own calls are in.
    folder
        Where the script's files are, to name the line that made a call.
    ended
        Whether the script came to its end when the journal was written.
    """

    def __init__(self, steps: Iterable[Step], folder: Path, *, ended: bool = False) -> None:
        self._records = records(steps)
        self._folder = folder
        self._ended = ended
        self._ahead = next(self._records, None)
        self.calls = 0  # handed out, the unfinished one excepted

    @property
    def over(self) -> bool:
        """Whether the journal holds no further call."""
        return self._ahead is None

    def take(self, name: str, arguments: list[Any]) -> Record | None:
        """Return the next call with its whole answer, or as much of it as there is; None if there is none.

        Raises
        ------
        ReplayMismatch
            If that is another call, or one with other arguments.
        """
        record = self._ahead
        if record is None and not self._ended:
            return None
        if record is None or record.name != name or not _same_arguments(record, arguments):
            calls = f"the script calls {call_in_words(name, arguments)} at {script_line(self._folder)}"
            raise self._mismatch(calls)
        rows = [] if name != RUN_LOOP else list(record.answer.rows)
        following = next(self._records, None)
        while not record.whole and following is not None:
            record, following = following, next(self._records, None)
            rows += record.answer.rows
        self._ahead = following
        if record.whole:
            self.calls += 1
        if name != RUN_LOOP:
            return record
        answer = record.answer
        looped = Looped(rows=rows, steps=answer.steps, done=answer.done, over=answer.over)
        return Record(name=name, arguments=record.arguments, answer=looped, whole=record.whole)

    def end(self) -> None:
        """Take note that the script has ended; `ReplayMismatch` if it hadn't when the journal was written."""
        if self._ahead is not None:
            raise self._mismatch("the script ends")

    def _mismatch(self, now: str) -> ReplayMismatch:
        record, number = self._ahead, self.calls + 1
        then = "it ended" if record is None else f"it called {call_in_words(record.name, record.arguments)}"
        return ReplayMismatch(
            f"Run again, {now}, where {then} when its journal was written (call {number}). The run is left "
            "as it is. Make the script repeatable as docs/experiments-resume.md says, or fork the run with a "
            "changed one.",
            call=number,
        )


def agree(one: Any, other: Any) -> bool:
    """Return whether two values are the same bit for bit."""
    return pack(one) == pack(other)


def _same_arguments(record: Record, arguments: list[Any]) -> bool:
    """Return whether a call has the arguments recorded; readings of clocks, most of all calls, have none."""
    return not (record.arguments or arguments) or agree(record.arguments, arguments)


def call_in_words(name: str, arguments: list[Any]) -> str:
    """Write a call as a script would; long arguments are cut."""
    written = [repr(argument) for argument in arguments if argument != []]
    return f"{name}({', '.join(text if len(text) <= 80 else text[:77] + '…' for text in written)})"


def script_line(folder: Path) -> str:
    """Name the file and line of the script that is making a call now."""
    prefix = f"{folder}/"
    frame = sys._getframe()
    while frame.f_back is not None and not frame.f_code.co_filename.startswith(prefix):
        frame = frame.f_back
    name = frame.f_code.co_filename
    return f"{name.removeprefix(prefix)}:{frame.f_lineno}" if name.startswith(prefix) else "its end"

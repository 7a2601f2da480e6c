"""The tape: the calls of one script in their order, and what each was answered.

A script that resumes runs again from its top. The tape then has three phases, one after the other:

answering
    Calls made before the savepoint are answered from the journal; nothing is performed.
comparing
    After the savepoint, as far as the journal goes on, which it does where an older savepoint had to be used:
    steps are taken again and compared with the journal; everything else is still answered from it.
recording
    Calls are performed, and recorded in the journal.

A savepoint lies between two calls of the tape, never inside one: a `run_loop` is recorded in chunks, and a
chunk is cut where a savepoint is made.
"""

import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from perdure.drivers.experiments.journal import Journal, Looped, Record, numbered
from perdure.drivers.experiments.script_position import ScriptPosition
from perdure.errors import ReplayMismatch
from perdure.run import Step
from perdure.state.codec import pack

__all__ = ["Phase", "Tape", "agree"]


class Phase(Enum):
    """What a tape does with the next call."""

    ANSWERING = "answering"
    COMPARING = "comparing"
    RECORDING = "recording"


class Tape:
    """The calls of one script.

    Parameters
    ----------
    place
        Where in the script the savepoint lies.
    pages
        The journal from the script's beginning.
    answered
        How many of these pages come before the savepoint.
    folder
        The folder with the script's files, to name the line that makes a call.
    on_arrival
        Called once, when the script arrives at the savepoint: when it makes the first call after it, or ends.

    Attributes
    ----------
    phase
        What is done with the next call.
    journal
        What was recorded since the last savepoint.
    number
        The script's call that is next on the tape, counted from 1; not counted on while recording.
    """

    def __init__(
        self,
        place: ScriptPosition,
        pages: Sequence[Step],
        answered: int,
        folder: Path,
        on_arrival: Callable[[], None],
    ) -> None:
        self.phase = Phase.ANSWERING
        self.journal = Journal()
        self.number = 1
        self._place = place
        self._records = numbered(pages)
        self._answered = answered
        self._folder = folder
        self._on_arrival = on_arrival
        self._ahead: tuple[int, Record] | None = None
        self._advance()

    @property
    def arriving(self) -> bool:
        """Whether the script arrives at the savepoint with its next call."""
        if self.phase is not Phase.ANSWERING:
            return False
        return self._ahead is None or self._ahead[0] > self._answered

    def begin(self) -> None:
        """Let the script begin; it arrives at once where the savepoint was made before its beginning."""
        if not self._place.begun:
            self._arrive()

    def call(
        self, name: str, arguments: list[Any], perform: Callable[[Any], Any], *, again: bool = False
    ) -> Any:
        """Answer a call from the tape, or perform and record it.

        Parameters
        ----------
        name, arguments
            The call.
        perform
            Returns the answer; receives the one on the tape, or None while recording.
        again
            Whether the call is also performed while comparing; `perform` then raises if the answers differ.

        Raises
        ------
        ReplayMismatch
            If the tape holds another call, or one with other arguments.
        """
        if self.phase is Phase.ANSWERING and self.arriving:
            if self._place.ended:
                raise self._mismatch(self._in_words(name, arguments))
            self._arrive()
        if self.phase is Phase.RECORDING:
            answer = perform(None)
            self.journal.add(Record(name=name, arguments=arguments, answer=answer))
            return answer
        assert self._ahead is not None
        record = self._ahead[1]
        if record.name != name or not _same_arguments(record, arguments):
            raise self._mismatch(self._in_words(name, arguments))
        if again and self.phase is Phase.COMPARING:
            perform(record.answer)
        if not (isinstance(record.answer, Looped) and record.answer.cut):
            self.number += 1
        self._advance()
        return record.answer

    def end(self) -> None:
        """Record that the script has ended; `ReplayMismatch` if the tape goes on."""
        if self._ahead is not None:
            raise self._mismatch("the script ends")
        if self.phase is Phase.ANSWERING:
            self._arrive()

    def _arrive(self) -> None:
        self._on_arrival()
        self.phase = Phase.RECORDING if self._ahead is None else Phase.COMPARING

    def _advance(self) -> None:
        self._ahead = next(self._records, None)
        if self._ahead is None and self.phase is Phase.COMPARING:
            self.phase = Phase.RECORDING

    def _in_words(self, name: str, arguments: list[Any]) -> str:
        return f"the script calls {_call_in_words(name, arguments)} at {_script_line(self._folder)}"

    def _mismatch(self, now: str) -> ReplayMismatch:
        then = "it ended"
        if self._ahead is not None:
            then = f"it called {_call_in_words(self._ahead[1].name, self._ahead[1].arguments)}"
        return ReplayMismatch(
            f"Run again, {now}, where {then} when its journal was written (call {self.number}). The run is "
            "left as it is. Make the script repeatable as docs/experiments-resume.md says, or fork the run "
            "with a changed one.",
            call=self.number,
        )


def agree(one: Any, other: Any) -> bool:
    """Return whether two values are the same bit for bit."""
    return pack(one) == pack(other)


def _same_arguments(record: Record, arguments: list[Any]) -> bool:
    """Return whether a call has the arguments recorded; readings of clocks, most of all calls, have none."""
    return not (record.arguments or arguments) or agree(record.arguments, arguments)


def _call_in_words(name: str, arguments: list[Any]) -> str:
    """Write a call as a script would; long arguments are cut."""
    written = [repr(argument) for argument in arguments if argument != []]
    return f"{name}({', '.join(text if len(text) <= 80 else text[:77] + '…' for text in written)})"


def _script_line(folder: Path) -> str:
    """Name the file and line of the script that is making a call now."""
    prefix = f"{folder}/"
    frame = sys._getframe()
    while frame.f_back is not None and not frame.f_code.co_filename.startswith(prefix):
        frame = frame.f_back
    name = frame.f_code.co_filename
    return f"{name.removeprefix(prefix)}:{frame.f_lineno}" if name.startswith(prefix) else "its end"

"""The recorder: answers a script's calls from its journal as far as that goes, and records the others.

A script that runs again arrives at its place when it makes the call in which the savepoint was made. Up to
there it must be answered; after it, answers that the journal still has are there to be compared.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from perdure.drivers.experiments.journal import Journal, Record
from perdure.drivers.experiments.replay import Replay
from perdure.drivers.experiments.script_position import ScriptPosition
from perdure.run import Step

__all__ = ["Recorder"]


class Recorder:
    """The calls of one script, in their order.

    Parameters
    ----------
    place
        Where the savepoint lies.
    pages
        The journal's, from the script's beginning.
    folder
        Where the script's files are.
    on_arrival
        Called once, when the script arrives at its place.
    """

    def __init__(
        self, place: ScriptPosition, pages: Sequence[Step], folder: Path, on_arrival: Callable[[], None]
    ) -> None:
        self.calls = 0  # made, the one going on excepted
        self.arrived = False
        self.journal = Journal()
        self._place = place
        self._replay = Replay(pages, folder, ended=place.ended)
        self._on_arrival = on_arrival

    @property
    def live(self) -> bool:
        """Whether there is nothing left in the journal to answer or compare."""
        return self.arrived and self._replay.over

    @property
    def at_place(self) -> bool:
        """Whether the next call is the one in which the savepoint was made."""
        return not self.arrived and self.calls == self._place.calls

    def begin(self) -> None:
        """Let the script begin; it arrives at once where the savepoint was made before its beginning."""
        if not self._place.begun:
            self._arrive()

    def end(self) -> None:
        """Take note that the script has ended; `ReplayMismatch` if it hadn't when the journal was written."""
        self._replay.end()
        if not self.arrived:
            self._arrive()

    def answer(self, name: str, arguments: list[Any]) -> Record | None:
        """Return what the journal holds of the next call; `ReplayMismatch` if it holds another one."""
        if self.at_place:
            self._arrive()
        return self._replay.take(name, arguments)

    def call(self, name: str, arguments: list[Any], perform: Callable[[], Any]) -> Any:
        """Answer a call from the journal, or perform and record it."""
        logged = self.answer(name, arguments)
        if logged is None:
            logged = Record(name=name, arguments=arguments, answer=perform())
            self.journal.add(logged)
        self.calls += 1
        return logged.answer

    def _arrive(self) -> None:
        self._on_arrival()
        self.arrived = True

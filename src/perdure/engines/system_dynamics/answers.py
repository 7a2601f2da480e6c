"""Answers: what impure functions answered during a step, so that a replay needn't call them again."""

from collections.abc import Callable, Mapping

from perdure.errors import ReplayMismatch

__all__ = ["Answers", "Recorded"]

Recorded = Mapping[str, list[float]]
"""Function to what it answered, in the order of its calls."""


class Answers:
    """The answers of one simulation's impure functions, a step at a time."""

    def __init__(self) -> None:
        self._told: dict[str, list[float]] | None = None
        self._recorded: dict[str, list[float]] | None = None
        self._exactly = False

    @property
    def told(self) -> Recorded:
        """What was answered during the last step."""
        return self._told or {}

    def give(self, recorded: Recorded, *, exactly: bool) -> None:
        """Let the next step be answered with what was recorded.

        Parameters
        ----------
        exactly
            Whether a call that wasn't recorded is an error. If not, the function is called.
        """
        self._recorded = {name: list(reversed(answers)) for name, answers in recorded.items()}
        self._exactly = exactly

    def begin(self) -> None:
        """Begin a step, whose answers are kept until the next one."""
        self._told = {}

    def end(self) -> None:
        """End a step; raise `ReplayMismatch` if fewer calls were made than are recorded."""
        left = self._recorded or {}
        exactly, self._recorded = self._exactly, None
        if exactly and any(left.values()):
            name = next(name for name, answers in left.items() if answers)
            raise ReplayMismatch(f"The function {name!r} was called more often when the step was logged.")

    def ask(self, name: str, call: Callable[[], float]) -> float:
        """Return what a function answers, or answered."""
        answer: float | None = None
        if self._recorded is not None:
            left = self._recorded.get(name)
            if left:
                answer = left.pop()
            elif self._exactly:
                raise ReplayMismatch(f"The function {name!r} was called less often when the step was logged.")
        if answer is None:
            answer = call()
        if self._told is not None:  # not in runs as a whole, of which nothing is logged
            self._told.setdefault(name, []).append(answer)
        return answer

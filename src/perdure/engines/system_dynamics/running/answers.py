"""Answers: what impure functions returned during a step, so that a replay needn't call them again."""

from collections.abc import Callable, Mapping

__all__ = ["Answers", "Recorded"]

Recorded = Mapping[str, list[float]]
"""Function name → returned values, in the order of the calls."""


class Answers:
    """The answers of one simulation's impure functions, a step at a time."""

    def __init__(self) -> None:
        self._logged: dict[str, list[float]] | None = None
        self._given: dict[str, list[float]] = {}

    def take(self) -> Recorded:
        """Return, once, the answers of the last step."""
        logged, self._logged = self._logged, None
        return logged or {}

    def give(self, recorded: Recorded) -> None:
        """Let the next step use recorded answers, as many as there are."""
        self._given = {name: list(reversed(answers)) for name, answers in recorded.items()}

    def begin(self) -> None:
        """Begin a step; its answers are kept until they are taken or the next step begins."""
        self._logged = {}

    def end(self) -> None:
        """End a step: recorded answers that it didn't use are discarded."""
        self._given = {}

    def ask(self, name: str, call: Callable[..., float]) -> Callable[..., float]:
        """Return a function that returns the recorded answer of an impure function, or else calls it."""

        def asked(*arguments: float) -> float:
            left = self._given.get(name)
            answer = left.pop() if left else call(*arguments)
            if self._logged is not None:  # whole runs log nothing
                self._logged.setdefault(name, []).append(answer)
            return answer

        return asked

"""Problems: all that a file holds and that can't be served, collected before anything runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from perdure.errors import Invalid, UnservableModel

__all__ = ["Known", "Problem", "Problems", "TooLarge", "Unservable"]

_SHOWN = 20


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What can't be served: the line in the file (0 if unknown), the element and the reason."""

    line: int
    element: str
    reason: str

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.element}: {self.reason}" if self.element else f"{place}{self.reason}"


class Unservable(Exception):
    """The reason why a part of an equation can't be served; the caller adds its line and element."""


class Known(Unservable):
    """What follows from a problem that was noted; it isn't noted again."""


class TooLarge(Unservable):
    """A limit of the whole file is exceeded: nothing further is built.

    Attributes
    ----------
    noted
        Whether it is among the problems.
    """

    noted = False


class Problems:
    """The problems of one file."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}
        self._remarks: dict[Problem, None] = {}
        self._file = ""

    def __iter__(self) -> Iterator[Problem]:
        return iter(sorted(self._found))

    def __len__(self) -> int:
        return len(self._found)

    def add(self, line: int, element: str, reason: str) -> None:
        """Note a problem, once."""
        place = f" (in {self._file})" if self._file else ""
        self._found[Problem(line, element, f"{reason}{place}")] = None

    def remark(self, line: int, element: str, reason: str) -> None:
        """Note what is missing, once: it keeps only those runs from being made that need it."""
        self._remarks[Problem(line, element, reason)] = None

    @property
    def remarks(self) -> list[Problem]:
        """What is missing, in order."""
        return sorted(self._remarks)

    @contextmanager
    def within(self, file: str) -> Iterator[None]:
        """Name the file in the problems that are noted within; the model's own file has an empty name."""
        outer, self._file = self._file, file
        try:
            yield
        finally:
            self._file = outer

    @contextmanager
    def at(self, line: int, element: str) -> Iterator[None]:
        """Note what is refused within as a problem of this place, and go on after it.

        A `TooLarge` is noted where it arises, and ends everything.
        """
        try:
            yield
        except TooLarge as limit:
            if not limit.noted:
                self.add(line, element, str(limit))
                limit.noted = True
            raise
        except Known:
            pass
        except Unservable as refused:
            self.add(line, element, str(refused))
        except Invalid as error:
            self.add(line, element, str(error))

    def check(self, name: str) -> None:
        """Raise `UnservableModel` with all problems, if there are any."""
        if len(self):
            raise self.error(name)

    def error(self, name: str) -> UnservableModel:
        """Return the error that lists all problems of a file of this name."""
        found = list(self)
        lines = [str(problem) for problem in found[:_SHOWN]]
        if len(found) > _SHOWN:
            lines.append(f"and {len(found) - _SHOWN} more; `perdure models check` lists all")
        return UnservableModel(
            name=name,
            problems="; ".join(lines),
            found=[[problem.line, problem.element, problem.reason] for problem in found],
        )

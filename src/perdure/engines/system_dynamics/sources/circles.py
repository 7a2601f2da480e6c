"""Circles: variables of a file that are defined by each other, found before there is a run."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from perdure.engines.system_dynamics.compiling.order import initial_order, step_order
from perdure.engines.system_dynamics.compiling.program import Definition, Program, Remembered
from perdure.engines.system_dynamics.sources.problems import Problems
from perdure.errors import CircularDefinition

__all__ = ["note_circles"]

AnyPart = TypeVar("AnyPart", Definition, Remembered)

_MAX_CIRCLES = 20


def note_circles(program: Program, lines: Mapping[str, int], problems: Problems) -> None:
    """Note the circles among the elements of a model, each at one of its elements.

    If there are very many, the last one that is noted says that there are more.

    Parameters
    ----------
    program
        The program of the model; its elements need not all have an equation.
    lines
        The lines of the elements in the file.
    problems
        Where circles are noted.
    """
    circles = list(islice(_circles(program, lines), _MAX_CIRCLES + 1))
    shown = sorted(circles[:_MAX_CIRCLES], key=lambda circle: (lines.get(circle[0], 0), circle[0]))
    for i, circle in enumerate(shown, 1):
        more = "; there are more circles" if i == _MAX_CIRCLES < len(circles) else ""
        problems.add(
            lines.get(circle[0], 0), circle[0], f"it is defined in a circle: {' → '.join(circle)}{more}"
        )


def _circles(program: Program, lines: Mapping[str, int]) -> Iterator[list[str]]:
    """Yield circles, each from the element that comes first in the file back to it.

    A circle is opened there before the next one is searched for.
    """
    # Whether a delay reads the present depends on the run specs; here none does that begins with a value.
    broken = [name for name, delay in program.delays.items() if delay.initial]
    while True:
        try:
            step_order(program, broken)
            initial_order(program, broken)
        except CircularDefinition as error:
            names = list(error.values["names"])
            first = min(names, key=lambda name: (lines.get(name, 0), name))
            at = names.index(first)
            yield [*names[at:], *names[:at], first]
            program = _without(program, first)
        else:
            return


def _without(program: Program, element: str) -> Program:
    """Return a program in which an element, with its hidden parts, needs nothing to have a value."""

    def kept(parts: Mapping[str, AnyPart]) -> dict[str, AnyPart]:
        return {name: part for name, part in parts.items() if part.owner != element}

    return replace(
        program,
        definitions=kept(program.definitions),
        initials=kept(program.initials),
        memories=kept(program.memories),
    )

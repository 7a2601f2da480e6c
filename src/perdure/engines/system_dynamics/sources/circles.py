"""Circles: variables of a file that are defined by each other, found before there is a run."""

from collections.abc import Callable, Mapping

from perdure.engines.system_dynamics.compiling.order import initial_order, step_order
from perdure.engines.system_dynamics.compiling.program import Program
from perdure.engines.system_dynamics.model_elements import ModelElements
from perdure.engines.system_dynamics.sources.problems import Problems
from perdure.errors import CircularDefinition

__all__ = ["note_circles"]

_MAX_CIRCLES = 20


def note_circles(
    model: ModelElements, program: Callable[[], Program], lines: Mapping[str, int], problems: Problems
) -> None:
    """Note the circles among the elements of a model, each at one of its elements.

    A circle is opened when it is noted, so that the next one is found: a model with circles can't be run
    afterwards.

    Parameters
    ----------
    model
        The model; its elements need not all have an equation.
    program
        Returns the program of the model as it is then.
    lines
        The lines of the elements in the file.
    problems
        Where circles are noted.
    """
    for _ in range(_MAX_CIRCLES):
        current = program()
        # Whether a delay reads the present depends on the run specs; here none does that begins with a value.
        broken = [name for name, delay in current.delays.items() if delay.initial]
        try:
            step_order(current, broken)
            initial_order(current, broken)
        except CircularDefinition as error:
            names = list(error.values["names"])
            first = min(names, key=lambda name: (lines.get(name, 0), name))
            at = names.index(first)
            circle = [*names[at:], *names[:at], first]
            problems.add(lines.get(first, 0), first, f"it is defined in a circle: {' → '.join(circle)}")
            element = model.elements[first]
            element.equation = None
            if element.kind == "stock":
                element.initial_value = 0.0
        else:
            return

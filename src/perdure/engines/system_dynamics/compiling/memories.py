"""Memories: parts of a model whose state is a list of numbers, and that change once a step.

A kind has a function ``begin`` from the length of a step and the initial values to the list, a function
``update`` from the list, the length of a step and the inputs of the grid point to the list of the next grid
point, and reads: functions of the list, the length of a step and operands. A read answers from the list
alone, so memories break circles as stocks do. Under RK4 a list stays as it is over the stages of a step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["MEMORIES", "MemoryKind"]


@dataclass(frozen=True, slots=True)
class MemoryKind:
    """The functions of one kind of memory."""

    begin: Callable[..., tuple[float, ...]]
    update: Callable[..., tuple[float, ...]]
    reads: Mapping[str, Callable[..., float]] = field(default_factory=dict)

    @property
    def calls(self) -> dict[str, Callable[..., object]]:
        """All functions by the name that compiled equations call them by."""
        return {"begin": self.begin, "update": self.update, **self.reads}


def _return_of_stream(stream: tuple[float, ...], dt: float, present: float, missing: float) -> float:
    """The rate at which the payments of `stream` and `present` have no net present value.

    It is searched between -99 % and 1000 % a unit of time; `missing` where there is none.
    """
    payments = (*stream, present)

    def worth(rate: float) -> float:
        total, discount = 0.0, 1.0
        for payment in payments:
            total += payment * discount
            discount /= 1.0 + rate * dt
        return total

    low, high = -0.99 / max(dt, 1.0), 10.0
    below, above = worth(low), worth(high)
    if not below * above < 0.0:
        return missing
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        value = worth(middle)
        if value * below > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


MEMORIES: Mapping[str, MemoryKind] = {
    # All values of an input so far.
    "stream": MemoryKind(
        begin=lambda dt: (),
        update=lambda values, dt, value: (*values, value),
        reads={"internal_return": _return_of_stream},
    ),
}
"""The kinds by name."""

"""Dividing parts into the most polymers, as an integer program of asymmetric representatives.

A part that can't be alone is *limiting*. Each polymer of a best configuration has a limiting part or is a
single part (otherwise one of its parts could be split off). Its first limiting part leads it: there is one
slot per limiting part, open or not, which contains only limiting parts of equal or later type. The idea is
that of Campêlo, Campos and Corrêa, "On the asymmetric representatives formulation for the vertex coloring
problem" (2008). The objective is the number of open slots, plus the number of other parts that no slot uses.

For slot j of type t and type u: y_j = 1 if it is open, x_uj parts of u besides its leader, v_u the column of
u:

    max  sum_j y_j - sum_(u not limiting, j) x_uj
    s.t. y_j v_t + sum_u x_uj v_u <= 0                       each slot is a valid polymer
         x_aj + x_bj <= y_j                                  forbidden pairs are apart
         sum_j x_uj + sum_(j of type u) y_j = c_u            every limiting part is in a slot
         sum_j x_uj <= c_u                                   other parts at most once
         y_j >= y_(j+1)                                      slots of one type open in turn

Without the last row, slots of one type can be summed up: the linear relaxation needs only one slot a type.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from perdure.solvers.binding_networks.reduction import Types
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Program", "Slot", "program"]


class Slot(msgspec.Struct, frozen=True):
    """A slot: its leading type, the column of its y, and the type and column of each x.

    `rows` are the rows that make it a valid polymer: row of the problem → row of the program.
    """

    leader: int
    opened: int
    contents: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, int], ...]


class Program(msgspec.Struct, frozen=True):
    """An integer program, rows sparse, to be maximised over variables from 0 to `upper`.

    Attributes
    ----------
    assignments
        For each type, the row that assigns its parts; None for a type that no slot can use.
    offset
        The constant of the objective: the number of parts that aren't limiting.
    """

    objective: NDArray[np.float64]
    upper: NDArray[np.float64]
    row_lower: NDArray[np.float64]
    row_upper: NDArray[np.float64]
    starts: NDArray[np.int32]
    indices: NDArray[np.int32]
    values: NDArray[np.float64]
    slots: tuple[Slot, ...]
    assignments: tuple[int | None, ...]
    offset: int

    def contents(self, solution: NDArray[np.float64], types: Types) -> list[list[int]]:
        """Return the polymers of an integer solution, as parts; those of each type are taken in turn."""
        waiting = [list(reversed(parts)) for parts in types.members]
        polymers = []
        for slot in self.slots:
            held = [(slot.leader, round(solution[slot.opened]))]
            held += [(which, round(solution[column])) for which, column in slot.contents]
            # A slot that isn't open may contain a polymer anyway, if the solver hasn't opened it yet.
            polymers.append([waiting[which].pop() for which, number in held for _ in range(number)])
        if any(waiting[: types.limiting]):
            raise ArithmeticError("a limiting part is in no slot")
        return [polymer for polymer in polymers if polymer] + [[part] for parts in waiting for part in parts]


def program(types: Types, watch: Watch, *, summed: bool = False, most: int | None = None) -> Program | None:
    """Return the program of types; `summed` has one slot a type, for the linear relaxation.

    Parameters
    ----------
    most
        The largest number of coefficients; with more, None is returned.

    Raises
    ------
    TimeIsUp
        The search must end: see `Watch`.
    """
    made = _Rows()
    counts = types.counts
    upper: list[float] = []
    objective: list[int] = []
    places: list[list[int]] = [[] for _ in counts]
    slots: list[Slot] = []

    def variable(worth: int, most: int) -> int:
        objective.append(worth)
        upper.append(np.inf if summed else most)  # implied by the rows; a bound would have a price of its own
        return len(upper) - 1

    for leader in range(types.limiting):
        reachable = _reachable(types, leader)
        for copy in range(1 if summed else counts[leader]):
            watch.step(len(reachable))
            if most is not None and len(made.indices) > most:
                return None
            opened = variable(1, counts[leader] if summed else 1)
            places[leader].append(opened)
            contents = []
            rows: dict[int, list[tuple[int, int]]] = {row: [(opened, v)] for row, v in types.columns[leader]}
            at_most = (counts[leader] - 1 - copy) if not summed else counts[leader] - 1
            for which in reachable:
                copies = at_most if which == leader else counts[which]
                if not copies:
                    continue
                column = variable(0 if which < types.limiting else -1, copies)
                places[which].append(column)
                contents.append((which, column))
                for row, addend in types.columns[which]:
                    rows.setdefault(row, []).append((column, addend))
            binding = [(row, terms) for row, terms in rows.items() if any(addend > 0 for _, addend in terms)]
            slots.append(
                Slot(leader, opened, tuple(contents), tuple((row, made.add(terms)) for row, terms in binding))
            )
            _add_apart(made, slots[-1], types)
            if copy:
                made.add([(opened, 1), (slots[-2].opened, -1)])
    assignments = [
        made.add(
            [(column, 1) for column in columns],
            counts[which] if which < types.limiting else None,
            counts[which],
        )
        if columns
        else None
        for which, columns in enumerate(places)
    ]
    return Program(
        objective=np.array(objective, np.float64),
        upper=np.array(upper, np.float64),
        row_lower=np.array(made.lower, np.float64),
        row_upper=np.array(made.upper, np.float64),
        starts=np.array(made.starts, np.int32),
        indices=np.array(made.indices, np.int32),
        values=np.array(made.values, np.float64),
        slots=tuple(slots),
        assignments=tuple(assignments),
        offset=sum(counts[types.limiting :]),
    )


class _Rows:
    def __init__(self) -> None:
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.starts = [0]
        self.indices: list[int] = []
        self.values: list[int] = []

    def add(self, terms: Sequence[tuple[int, int]], lower: int | None = None, upper: int = 0) -> int:
        """Add a row of (variable, coefficient); return its number."""
        self.lower.append(-np.inf if lower is None else lower)
        self.upper.append(upper)
        for column, factor in terms:
            self.indices.append(column)
            self.values.append(factor)
        self.starts.append(len(self.indices))
        return len(self.lower) - 1


def _add_apart(made: _Rows, slot: Slot, types: Types) -> None:
    column_of = dict(slot.contents)
    for which, column in slot.contents:
        for other in types.apart[which]:
            if other == slot.leader:
                made.add([(column, 1)])
            elif which < other and other in column_of:
                made.add([(column, 1), (column_of[other], 1), (slot.opened, -1)])


def _reachable(types: Types, leader: int) -> list[int]:
    """Return the types that a slot may contain: a chain of rows with opposite addends leads to them."""
    holders: dict[tuple[int, bool], list[int]] = {}
    for which in range(leader, len(types.columns)):
        for row, addend in types.columns[which]:
            holders.setdefault((row, addend > 0), []).append(which)
    found: set[int] = set()
    waiting = [leader]
    while waiting:
        for row, addend in types.columns[waiting.pop()]:
            new = set(holders.pop((row, addend <= 0), ())) - found
            found |= new
            waiting += new
    return sorted(found)

"""The largest number of polymers that a component can be divided into, and its proof.

Linear programming comes first: exact prices bound the number, often tightly, and any division that reaches
the bound is proved best. Otherwise branch and bound decides. Satisfiability decides for small components,
which it solves before HiGHS is loaded, and where bonds must connect polymers but don't (see
`docs/binding-networks-method.md`).
"""

import math
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec
from numpy import float64
from numpy.typing import NDArray

from perdure.solvers.binding_networks.bonding import Bonding, pieces
from perdure.solvers.binding_networks.demands import Demands
from perdure.solvers.binding_networks.greedy import quick_division
from perdure.solvers.binding_networks.integer_program import program
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.prices import Prices, even_prices, prices_of
from perdure.solvers.binding_networks.reduction import Problem, Types, reduce
from perdure.solvers.binding_networks.satisfiability import holding_together, maximise
from perdure.solvers.binding_networks.watch import TimeIsUp, Watch

__all__ = [
    "Backend",
    "Division",
    "Listener",
    "Optimum",
    "Prepared",
    "Question",
    "Source",
    "better",
    "divide",
    "held_together",
    "prepare",
    "priced",
]

SMALL = 12
"""The largest component that satisfiability solves; measured by `python -m benchmarks networks`."""

LARGEST_RELAXATION = 1_000_000
LARGEST_PROGRAM = 500_000
"""Programs with more coefficients aren't built: that takes seconds, and solving them more time and memory."""

Division = tuple[tuple[int, ...], ...]
"""The monomers of each polymer."""


class Backend(StrEnum):
    """The solvers."""

    INTEGER_PROGRAM = "integer program"
    SATISFIABILITY = "satisfiability"


class Source(StrEnum):
    """What proves an upper bound, in words."""

    TRIVIAL = "no more polymers than monomers"
    COUNTING = "counting argument"
    DUALITY = "duality of a linear program, in exact arithmetic"
    BRANCHING = "branch and bound by HiGHS, in floating point"
    SATISFIABILITY = "unsatisfiability of more polymers, by Glucose"
    CONTRADICTION = "the constraints contradict saturation or each other"

    @classmethod
    def _missing_(cls, value: object) -> "Source | None":
        """Return the source that a saved state names by its former words."""
        return {
            "a monomer that can't be alone is with one that can, or with another of its kind": cls.COUNTING,
            "more polymers are unsatisfiable, says Glucose": cls.SATISFIABILITY,
        }.get(str(value))


class Question(msgspec.Struct, frozen=True):
    """A component and the demands on it."""

    network: Network
    monomers: tuple[int, ...]
    demands: Demands
    connected: bool = False


class Optimum(msgspec.Struct, frozen=True):
    """The best division found (None without one), and the least upper bound with its proof."""

    division: Division | None
    upper: int
    proved: bool
    source: str

    @property
    def lower(self) -> int:
        """The number of polymers of the best division."""
        return len(self.division or ())


class Prepared(msgspec.Struct, frozen=True):
    """A component prepared for dividing, and what is known of it before any search.

    Attributes
    ----------
    problem, types
        None if there was no time for them, or if the demands contradict saturation or each other.
    first
        A division found without search, if any, and a bound.
    """

    question: Question
    problem: Problem | None
    types: Types | None
    first: Optimum


class Listener(msgspec.Struct, frozen=True):
    """The callbacks of a search."""

    testing: Callable[[int], None] = lambda k: None
    improved: Callable[[Division], None] = lambda division: None
    bounded: Callable[[int, str], None] = lambda upper, source: None


def prepare(question: Question, watch: Watch) -> Prepared:
    """Reduce a component, and find a first division and bound without search."""
    count = len(question.monomers)
    try:
        problem = reduce(question.network, question.monomers, question.demands, watch)
        if problem is None or not problem.adds_up:
            return Prepared(question, None, None, Optimum(None, 0, proved=True, source=Source.CONTRADICTION))
        types = problem.types()
        if not question.connected and not types.limiting:
            division = _with_alone(problem, [[part] for part in range(len(problem.parts))])
            return Prepared(question, problem, types, Optimum(division, len(division), True, Source.TRIVIAL))
        upper, source = count, Source.TRIVIAL
        if (counted := _counted(problem, types)) < count:
            upper, source = counted, Source.COUNTING
        found = _first(problem, types, watch)
        if question.connected:
            found = _apart_by_bonds(question, found)
        proved = found is not None and len(found) == upper
        return Prepared(question, problem, types, Optimum(found, upper, proved, source))
    except TimeIsUp:
        one: Division | None = None if question.demands != Demands() else (question.monomers,)
        if question.connected:
            one = _apart_by_bonds(question, one)
        return Prepared(question, None, None, Optimum(one, count, proved=False, source=Source.TRIVIAL))


def divide(
    question: Question | Prepared,
    watch: Watch,
    listener: Listener | None = None,
    backend: Backend | None = None,
    known: Optimum | None = None,
) -> Optimum:
    """Divide a component's monomers into the most polymers.

    Parameters
    ----------
    backend
        The solver; by default the one that is probably faster.
    known
        The result of an earlier attempt.
    """
    listener = listener or Listener()
    prepared = question if isinstance(question, Prepared) else prepare(question, watch)
    known = prepared.first if known is None else better(prepared.first, known)
    question, problem, types = prepared.question, prepared.problem, prepared.types
    if known.proved or problem is None or types is None or watch.over:
        return known
    if backend is None:
        small = len(question.monomers) <= SMALL
        backend = Backend.SATISFIABILITY if small else Backend.INTEGER_PROGRAM
    try:
        if backend is Backend.SATISFIABILITY:
            return _by_satisfiability(question, watch, listener, known)
        if not question.connected:
            return _by_integer_program(problem, types, watch, listener, known)
        # Only the last division is checked for being connected by bonds: without constraints, a best one
        # always is.
        quiet = Listener(bounded=listener.bounded)
        start = msgspec.structs.replace(known, division=None)
        found = _by_integer_program(problem, types, watch, quiet, start)
        if found.division is None and found.proved:
            return found
        bonding = Bonding(question.network, question.monomers, question.demands)
        known = better(known, msgspec.structs.replace(found, division=None, proved=False))
        if found.lower > known.lower and all(
            held_together(bonding, each, watch) for each in found.division or ()
        ):
            listener.improved(found.division or ())
            known = better(known, found)
        # If bonds don't connect the best division, its number is still a bound.
        return known if known.proved or watch.over else _by_satisfiability(question, watch, listener, known)
    except TimeIsUp:
        return known


def better(one: Optimum, other: Optimum) -> Optimum:
    """Combine two results for one question; of equally good divisions, take the first."""
    if any(each.proved and each.division is None for each in (one, other)):
        return one if one.proved and one.division is None else other
    best = other if other.lower > one.lower else one
    bound = other if other.upper < one.upper else one
    return Optimum(best.division, bound.upper, 0 < best.lower == bound.upper, bound.source)


def held_together(bonding: Bonding, monomers: Sequence[int], watch: Watch) -> bool:
    """Return whether bonds can connect the monomers of a valid polymer.

    Raises
    ------
    TimeIsUp
        The search must end: see `Watch`.
    """
    matching = bonding.match(monomers)
    if matching is None:
        return False
    return (
        bonding.exchange(monomers, matching, watch) or holding_together(bonding, monomers, watch) is not None
    )


def priced(types: Types, watch: Watch, *, interior: bool = False) -> Prices:
    """Return prices of parts: those of the linear relaxation, or equal ones for few parts.

    They are also equal if the relaxation is too large.

    Raises
    ------
    TimeIsUp
        The search must end: see `Watch`.
    """
    if not types.limiting or sum(types.counts) <= SMALL:
        return even_prices(types)
    from perdure.solvers.binding_networks.highs import relax

    summed = program(types, watch, summed=True, most=LARGEST_RELAXATION)
    duals = None if summed is None else relax(summed, watch, interior=interior)
    return even_prices(types) if summed is None or duals is None else prices_of(types, summed, duals)


def _counted(problem: Problem, types: Types) -> int:
    """Return a bound: each polymer has a part that can be alone, or at least two that can't."""
    limiting = sum(types.counts[: types.limiting])
    return len(problem.parts) - limiting + limiting // 2 + len(problem.alone)


def _first(problem: Problem, types: Types, watch: Watch) -> Division | None:
    """Return a first division, if there is time for a good one or if all parts can be one polymer."""
    try:
        found = quick_division(types, watch)
    except TimeIsUp:
        found = [list(range(len(problem.parts)))] if not problem.apart else None
    return None if found is None else _with_alone(problem, found)


def _apart_by_bonds(question: Question, division: Division | None) -> Division | None:
    """Split each polymer into what bonds connect; None if a demand may need the whole polymer."""
    if division is None or question.demands.together or question.demands.not_free:
        return None
    bonding = Bonding(question.network, question.monomers, question.demands)
    found: list[tuple[int, ...]] = []
    for polymer in division:
        matching = bonding.match(polymer)
        if matching is None:
            return None
        found += [tuple(sorted(piece)) for piece in pieces(polymer, matching)]
    return tuple(sorted(found))


def _by_integer_program(
    problem: Problem, types: Types, watch: Watch, listener: Listener, known: Optimum
) -> Optimum:
    best, upper, source = known.division, known.upper, known.source
    alone = len(problem.alone)
    if not types.limiting:
        each_alone = _with_alone(problem, [[part] for part in range(len(problem.parts))])
        return Optimum(each_alone, len(each_alone), proved=True, source=Source.TRIVIAL)

    def answer(proved: bool = False) -> Optimum:
        lower = len(best or ())
        return Optimum(best, upper, proved or 0 < lower == upper, source)

    def bound(number: int, why: str) -> None:
        nonlocal upper, source
        if number + alone < upper:
            upper, source = number + alone, why
            listener.bounded(upper, source)

    try:
        bound(priced(types, watch).bound(types), Source.DUALITY)
        made = None if answer().proved else program(types, watch, most=LARGEST_PROGRAM)
    except TimeIsUp:
        return answer()
    if made is None:
        return answer()
    exact = made
    from perdure.solvers.binding_networks.highs import search

    def improve(solution: NDArray[float64]) -> None:
        nonlocal best
        division = _with_alone(problem, exact.contents(solution, types))
        if len(division) > len(best or ()):
            best = division
            listener.improved(division)

    found = search(
        exact,
        watch,
        enough=upper - alone,
        improved=improve,
        bounded=lambda value: bound(math.floor(value + 1e-6), Source.BRANCHING),
    )
    if not found.feasible:
        return Optimum(None, 0, proved=True, source=Source.BRANCHING)
    if math.isfinite(found.bound):
        bound(math.floor(found.bound + 1e-6), Source.BRANCHING)
    if found.done:
        bound(len(best or ()) - alone, Source.BRANCHING)
    return answer()


def _by_satisfiability(question: Question, watch: Watch, listener: Listener, known: Optimum) -> Optimum:
    counted = maximise(
        question.network,
        question.monomers,
        question.demands,
        watch,
        connected=question.connected,
        best=known.division,
        enough=known.upper,
        testing=listener.testing,
        improved=listener.improved,
    )
    found = counted.polymers
    if not counted.proved:
        return msgspec.structs.replace(known, division=found)
    reached = found is not None and len(found) == known.upper
    source = known.source if reached else Source.SATISFIABILITY
    return Optimum(found, len(found or ()), proved=True, source=source)


def _with_alone(problem: Problem, division: Sequence[Sequence[int]]) -> Division:
    polymers = [problem.monomers_of(parts) for parts in division]
    return tuple(sorted(polymers + [(index,) for index in problem.alone]))

"""The most polymers a component can be divided into, with what proves it: which solver is asked, and how far
it got.

Linear programming first: exact prices bound the number, often sharply, and then any division that reaches it
is proved best. Otherwise branch and bound. Satisfiability is asked for small components, which it answers
before HiGHS is loaded, and wherever bonds have to hold polymers together but don't (see
`docs/binding-networks-method.md`).
"""

import math
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec
from numpy import float64
from numpy.typing import NDArray

from perdure.solvers.binding_networks.bonding import Bonding
from perdure.solvers.binding_networks.demands import Demands
from perdure.solvers.binding_networks.integer_program import program
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.prices import Prices, even_prices, prices_of
from perdure.solvers.binding_networks.reduction import Problem, Types, reduce
from perdure.solvers.binding_networks.satisfiability import holding_together, maximise
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Backend", "Division", "Listener", "Optimum", "Question", "divide", "held_together", "priced"]

SMALL = 12
"""A component of so few monomers goes to satisfiability; measured by `python -m benchmarks networks`."""

Division = tuple[tuple[int, ...], ...]
"""The monomers of each polymer."""


class Backend(StrEnum):
    """Who is asked."""

    INTEGER_PROGRAM = "integer program"
    SATISFIABILITY = "satisfiability"


class Source(StrEnum):
    """What proves an upper bound, in words."""

    TRIVIAL = "no more polymers than monomers"
    DUALITY = "duality of a linear program, in exact arithmetic"
    BRANCHING = "branch and bound by HiGHS, in floating point"
    SATISFIABILITY = "more polymers are unsatisfiable, says Glucose"
    CONTRADICTION = "two constraints contradict each other"


class Question(msgspec.Struct, frozen=True):
    """A component and the demands on it."""

    network: Network
    monomers: tuple[int, ...]
    demands: Demands
    connected: bool = False


class Optimum(msgspec.Struct, frozen=True):
    """The best division found, None if there is none, and the least upper bound, with what proves it."""

    division: Division | None
    upper: int
    proved: bool
    source: str

    @property
    def lower(self) -> int:
        """How many polymers the best division has."""
        return len(self.division or ())


class Listener(msgspec.Struct, frozen=True):
    """Who is told on the way."""

    testing: Callable[[int], None] = lambda k: None
    improved: Callable[[Division], None] = lambda division: None
    bounded: Callable[[int], None] = lambda upper: None


def divide(
    question: Question, watch: Watch, listener: Listener | None = None, backend: Backend | None = None
) -> Optimum:
    """Divide a component's monomers into most polymers.

    Parameters
    ----------
    backend
        Who is asked; by default whoever is likely to be sooner done.
    """
    listener = listener or Listener()
    problem = reduce(question.network, question.monomers, question.demands)
    if problem is None:
        return Optimum(None, 0, proved=True, source=Source.CONTRADICTION)
    if all(problem.is_valid([part]) for part in range(len(problem.parts))) and not question.connected:
        division = _with_alone(problem, [[part] for part in range(len(problem.parts))])
        listener.improved(division)
        return Optimum(division, len(division), proved=True, source=Source.TRIVIAL)
    if backend is None:
        small = len(question.monomers) <= SMALL
        backend = Backend.SATISFIABILITY if small else Backend.INTEGER_PROGRAM
    if backend is Backend.SATISFIABILITY:
        return _or_together(_by_satisfiability(question, watch, listener, None), question, problem)
    if not question.connected:
        return _or_together(_by_integer_program(problem, watch, listener), question, problem)
    # Only the last division is looked at for being held together: without constraints a best one always is.
    found = _by_integer_program(problem, watch, Listener(bounded=listener.bounded))
    if found.division is None and found.proved:
        return found
    bonding = Bonding(question.network, question.monomers, question.demands)
    if found.division is not None and all(held_together(bonding, polymer) for polymer in found.division):
        listener.improved(found.division)
    else:
        # Where bonds don't hold the best division together, its number is still a bound.
        found = msgspec.structs.replace(found, division=None, proved=False)
    return found if found.proved or watch.over else _by_satisfiability(question, watch, listener, found)


def held_together(bonding: Bonding, monomers: Sequence[int]) -> bool:
    """Return whether bonds can hold some monomers together that are a valid polymer."""
    matching = bonding.match(monomers)
    if matching is None:
        return False
    return bonding.exchange(monomers, matching) or holding_together(bonding, monomers) is not None


def priced(types: Types, watch: Watch, *, interior: bool = False) -> Prices:
    """Return prices of parts: with few of them even ones, else those of the linear relaxation."""
    if not types.limiting or sum(types.counts) <= SMALL:
        return even_prices(types)
    from perdure.solvers.binding_networks.highs import relax

    summed = program(types, summed=True)
    duals = relax(summed, watch, interior=interior)
    return even_prices(types) if duals is None else prices_of(types, summed, duals)


def _or_together(found: Optimum, question: Question, problem: Problem) -> Optimum:
    """Return what was found; if there was no time for anything, one polymer of all, if that is one."""
    every = range(len(problem.parts))
    if found.division is not None or found.proved or question.connected or not problem.is_valid(every):
        return found
    return msgspec.structs.replace(found, division=_with_alone(problem, [every]))


def _by_integer_program(problem: Problem, watch: Watch, listener: Listener) -> Optimum:
    types = problem.types(lambda part: 0)
    best: list[list[int]] = []
    alone = len(problem.alone)
    upper, source = len(problem.parts), Source.TRIVIAL

    def take(division: list[list[int]]) -> None:
        nonlocal best
        if len(division) > len(best):
            best = division
            listener.improved(_with_alone(problem, division))

    if not types.limiting:
        take([[part] for part in range(len(problem.parts))])
        return Optimum(_with_alone(problem, best), len(best) + alone, proved=True, source=source)
    prices = priced(types, watch)
    if prices.bound(types) < upper:
        upper, source = prices.bound(types), Source.DUALITY
        listener.bounded(upper + alone)
    if problem.is_valid(range(len(problem.parts))):
        take([list(range(len(problem.parts)))])
    if len(best) < upper:
        from perdure.solvers.binding_networks.highs import search

        exact = program(types)

        def bound(value: float) -> None:
            nonlocal upper, source
            if (rounded := math.floor(value + 1e-6)) < upper:
                upper, source = rounded, Source.BRANCHING
                listener.bounded(upper + alone)

        def improve(solution: NDArray[float64]) -> None:
            take(exact.contents(solution, types))

        found = search(exact, watch, enough=upper, improved=improve, bounded=bound)
        if not found.feasible:
            return Optimum(None, 0, proved=True, source=Source.BRANCHING)
        if math.isfinite(found.bound):
            bound(found.bound)
        if found.done and len(best) < upper:
            upper, source = len(best), Source.BRANCHING
    division = _with_alone(problem, best) if best else None
    return Optimum(division, upper + alone, proved=bool(best) and len(best) == upper, source=source)


def _by_satisfiability(
    question: Question, watch: Watch, listener: Listener, known: Optimum | None
) -> Optimum:
    counted = maximise(
        question.network,
        question.monomers,
        question.demands,
        watch,
        connected=question.connected,
        enough=None if known is None else known.upper,
        testing=listener.testing,
        improved=listener.improved,
    )
    found = counted.polymers
    if found is None and known is not None:
        found = known.division
    if counted.proved:
        reached = known is not None and found is not None and len(found) == known.upper
        source = known.source if known is not None and reached else Source.SATISFIABILITY
        return Optimum(found, len(found or ()), proved=True, source=source)
    if known is not None:
        return Optimum(found, known.upper, proved=False, source=known.source)
    return Optimum(found, len(question.monomers), proved=False, source=Source.TRIVIAL)


def _with_alone(problem: Problem, division: Sequence[Sequence[int]]) -> Division:
    polymers = [problem.monomers_of(parts) for parts in division]
    return tuple(sorted(polymers + [(index,) for index in problem.alone]))

"""Divides a component by satisfiability, with variables for sites, bonds and leaders, without rows.

Variables: `leads[m][l]`, monomer l is the first of m's polymer; `pair[s, t]`, two sites are bonded; `bond[m,
n]`, two monomers have a bond. The number of polymers is the number of leaders, counted by a totalizer
(Bailleux and Boufkhad 2003) whose outputs are assumed one after the other, so learnt clauses remain.
StableConfigs counts in the same way, with an equivalence relation in place of leaders, and starts again for
each number.

With `connected`, every monomer is reached from its leader along bonds, in at most as many steps as there are
other monomers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import msgspec
from pysat.card import ITotalizer
from pysat.solvers import Glucose4

from perdure.solvers.binding_networks.bonding import Bonding, Matching
from perdure.solvers.binding_networks.demands import Demands
from perdure.solvers.binding_networks.network import Network, SiteRef
from perdure.solvers.binding_networks.reduction import identity
from perdure.solvers.binding_networks.watch import TimeIsUp, Watch

__all__ = ["Counted", "holding_together", "maximise"]

MOST_CLAUSES = 5_000_000  # more take gigabytes
CONFLICTS = 2000  # between two checks of the watch: some milliseconds


class Counted(msgspec.Struct, frozen=True):
    """The result of counting up: the best division, if any, and whether more polymers are impossible."""

    polymers: tuple[tuple[int, ...], ...] | None
    proved: bool


def maximise(
    network: Network,
    monomers: Sequence[int],
    demands: Demands,
    watch: Watch,
    *,
    connected: bool = False,
    best: tuple[tuple[int, ...], ...] | None = None,
    enough: int,
    testing: Callable[[int], None],
    improved: Callable[[tuple[tuple[int, ...], ...]], None],
) -> Counted:
    """Divide a component's monomers into the most polymers.

    Parameters
    ----------
    best
        A division to start from, if one is known.
    enough
        A number of polymers that can't be exceeded.
    testing
        Called with each number of polymers before it is tried.
    improved
        Called with each division that is better than those before.

    Raises
    ------
    TimeIsUp
        The deadline has passed, or there are too many clauses.
    """
    if best is not None and len(best) >= enough:
        return Counted(best, proved=True)
    clauses = _Clauses(watch)
    bonding = Bonding(network, monomers, demands)
    pair = _add_pairs(clauses, bonding, monomers)
    leads = _add_leaders(clauses, monomers)
    bond = _add_bonds(clauses, pair)
    for (one, other), variable in bond.items():
        for leader in leads[one]:
            clauses.add(-variable, -leads[one][leader], leads[other][leader])
        for leader in leads[other].keys() - leads[one].keys():
            clauses.add(-variable, -leads[other][leader])
    _add_demands(clauses, demands, leads)
    _add_order_of_copies(clauses, network, monomers, leads)
    if connected:
        _add_reach(clauses, monomers, bond, {index: leads[index][index] for index in monomers})
    leaders = [leads[index][index] for index in monomers]
    with (
        ITotalizer([-leader for leader in leaders], ubound=len(leaders), top_id=clauses.top) as totalizer,
        Glucose4(bootstrap_with=clauses.clauses + totalizer.cnf.clauses) as solver,
    ):
        while best is None or len(best) < len(monomers):
            wanted = 1 if best is None else len(best) + 1
            if wanted > enough:
                return Counted(best, proved=True)
            testing(wanted)
            # At least this many leaders means at most so many monomers that aren't leaders.
            satisfiable = _solve(solver, [-totalizer.rhs[len(leaders) - wanted]], watch)
            if satisfiable is None:
                return Counted(best, proved=False)
            if not satisfiable:
                break
            model = frozenset(solver.get_model())
            best = tuple(
                polymer
                for leader in monomers
                if (polymer := tuple(index for index in monomers if leads[index].get(leader) in model))
            )
            improved(best)
    return Counted(best, proved=True)


def holding_together(bonding: Bonding, monomers: Sequence[int], watch: Watch) -> Matching | None:
    """Return bonds that connect monomers and meet the demands on sites, or None.

    Raises
    ------
    TimeIsUp
        The deadline has passed, or there are too many clauses.
    """
    clauses = _Clauses(watch)
    pair = _add_pairs(clauses, bonding, monomers)
    root = {index: clauses.variable() for index in monomers}
    for index, variable in root.items():
        clauses.add(variable if index == monomers[0] else -variable)
    _add_reach(clauses, monomers, _add_bonds(clauses, pair), root)
    with Glucose4(bootstrap_with=clauses.clauses) as solver:
        satisfiable = _solve(solver, (), watch)
        if satisfiable is None:
            raise TimeIsUp
        if not satisfiable:
            return None
        model = frozenset(solver.get_model())
    held = [refs for refs, variable in pair.items() if variable in model]
    return {ref: other for one, two in held for ref, other in ((one, two), (two, one))}


class _Clauses:
    """Builds clauses, within the deadline and the limit on their number."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.top = 0
        self.clauses: list[list[int]] = []

    def variable(self) -> int:
        self._watch.step()
        self.top += 1
        return self.top

    def add(self, *literals: int) -> None:
        """Add a clause; an empty one is a contradiction."""
        self._watch.step()
        if len(self.clauses) >= MOST_CLAUSES:
            raise TimeIsUp
        if literals:
            self.clauses.append(list(literals))
        else:
            never = self.variable()
            self.clauses += [[never], [-never]]

    def at_most_one(self, literals: Sequence[int]) -> None:
        """Allow at most one: pairwise for few literals, else by a sequential counter (Sinz 2005)."""
        if len(literals) <= 5:
            for one, other in combinations(literals, 2):
                self.add(-one, -other)
            return
        before = [self.variable() for _ in literals]
        for literal, seen in zip(literals, before, strict=True):
            self.add(-literal, seen)
        for (seen, following), literal in zip(pairwise(before), literals[1:], strict=True):
            self.add(-seen, following)
            self.add(-seen, -literal)


Leads = Mapping[int, Mapping[int, int]]


def _add_pairs(
    clauses: _Clauses, bonding: Bonding, monomers: Iterable[int]
) -> dict[tuple[SiteRef, SiteRef], int]:
    """Add the possible bonds, at most one for each site, and the sites that must be bound."""
    pairs = bonding.pairs(monomers)
    variables = {
        (one, other): clauses.variable()
        for one, others in pairs.items()
        if one in bonding.scarce_sites
        for other in others
    }
    for ref, others in pairs.items():
        scarce = ref in bonding.scarce_sites
        literals = [variables[(ref, other) if scarce else (other, ref)] for other in others]
        clauses.at_most_one(literals)
        if bonding.must_be_bound(ref):
            clauses.add(*literals)
    return variables


def _add_leaders(clauses: _Clauses, monomers: Sequence[int]) -> Leads:
    """Add that every monomer has one leader, which leads itself."""
    leads: dict[int, dict[int, int]] = {
        index: {leader: clauses.variable() for leader in monomers if leader <= index} for index in monomers
    }
    for index, variables in leads.items():
        clauses.add(*variables.values())
        clauses.at_most_one(list(variables.values()))
        for leader, variable in variables.items():
            if leader != index:
                clauses.add(-variable, leads[leader][leader])
    return leads


def _add_bonds(clauses: _Clauses, pair: Mapping[tuple[SiteRef, SiteRef], int]) -> dict[tuple[int, int], int]:
    """Add that two monomers have a bond exactly if two of their sites do; the lower index comes first."""
    pairs_of: dict[tuple[int, int], list[int]] = {}
    for (one, other), variable in pair.items():
        if one.monomer != other.monomer:
            ends = (min(one.monomer, other.monomer), max(one.monomer, other.monomer))
            pairs_of.setdefault(ends, []).append(variable)
    bond = {ends: clauses.variable() for ends in sorted(pairs_of)}
    for ends, variables in pairs_of.items():
        clauses.add(-bond[ends], *variables)
        for variable in variables:
            clauses.add(-variable, bond[ends])
    return bond


def _add_demands(clauses: _Clauses, demands: Demands, leads: Leads) -> None:
    """Add the demands on monomers; those on sites are part of the possible bonds."""
    for each in demands.together:
        for one, other in pairwise(sorted(each.monomers)):
            for leader, variable in leads[other].items():
                if leader in leads[one]:
                    clauses.add(-variable, leads[one][leader])
                    clauses.add(variable, -leads[one][leader])
                else:
                    clauses.add(-variable)
    for each in demands.apart:
        one, other = sorted(each.monomers)
        for leader, variable in leads[one].items():
            clauses.add(-variable, -leads[other][leader])
    for (free,) in (each.monomers for each in demands.free):
        clauses.add(leads[free][free])
        for index, variables in leads.items():
            if index > free:
                clauses.add(-variables[free])
    for (kept,) in (each.monomers for each in demands.not_free):
        others = [variables[kept] for index, variables in leads.items() if index > kept]
        clauses.add(-leads[kept][kept], *others)


def _add_order_of_copies(clauses: _Clauses, network: Network, monomers: Sequence[int], leads: Leads) -> None:
    """Add that, of two copies of a monomer, the earlier one has the earlier leader, or the same.

    This loses no division: exchanging two copies that violate it makes the leader of the earlier copy
    earlier, and no leader of a monomer before it later, so repeated exchanges end in a division that
    satisfies it.
    """
    earlier: dict[Any, int] = {}
    for index in monomers:
        kind = identity(network.monomers[index])
        if kind in earlier:
            before = leads[earlier[kind]]
            for leader, variable in leads[index].items():
                clauses.add(-variable, *(other for first, other in before.items() if first <= leader))
        earlier[kind] = index


def _add_reach(
    clauses: _Clauses, monomers: Sequence[int], bond: Mapping[tuple[int, int], int], root: Mapping[int, int]
) -> None:
    """Add that bonds lead to every monomer from a root, step by step."""
    reached = dict(root)
    near: dict[int, list[tuple[int, int]]] = {index: [] for index in monomers}
    for (one, other), variable in bond.items():
        near[one].append((other, variable))
        near[other].append((one, variable))
    for _ in range(len(monomers) - 1):
        following = {index: clauses.variable() for index in monomers}
        for index in monomers:
            ways = []
            for other, variable in near[index]:
                way = clauses.variable()
                clauses.add(-way, variable)
                clauses.add(-way, reached[other])
                ways.append(way)
            clauses.add(-following[index], reached[index], *ways)
        reached = following
    for variable in reached.values():
        clauses.add(variable)


def _solve(solver: Any, assumptions: Sequence[int], watch: Watch) -> bool | None:
    """Return whether clauses can be satisfied; None if it isn't decided in time."""
    while not watch.over:
        solver.conf_budget(CONFLICTS)
        answer: bool | None = solver.solve_limited(assumptions=assumptions)
        if answer is not None:
            return answer
    return None

"""Stable configurations by satisfiability as one would first write it: the yardstick for the solver.

Variables say which sites hold each other, which monomers are in one polymer (an equivalence relation) and
which are the first of theirs; these are counted by a totalizer. A new solver for each number of polymers,
from 1 upwards.
"""

import time
from collections import defaultdict
from itertools import combinations

from pysat.card import CardEnc, EncType
from pysat.solvers import Glucose4

from perdure.solvers.binding_networks.network import Network

__all__ = ["most_polymers"]


def most_polymers(network: Network, seconds: float) -> tuple[int, bool]:
    """Return the most polymers found within some seconds of CPU time, and whether that is proved."""
    end = time.process_time() + seconds
    clauses, first, top = _encoded(network, end)
    best = 0
    while best < len(first) and time.process_time() < end:
        wanted = CardEnc.atleast(first, best + 1, top_id=top, encoding=EncType.totalizer)
        with Glucose4(bootstrap_with=clauses + wanted.clauses) as solver:
            answer = None
            while answer is None and time.process_time() < end:
                solver.conf_budget(1000)
                answer = solver.solve_limited()
        if answer is None:
            return best, False
        if not answer:
            return best, True
        best += 1
    return best, best == len(first)


def _encoded(network: Network, end: float) -> tuple[list[list[int]], list[int], int]:
    """Return clauses, the variables of being first, and the last variable; too few clauses if time is up."""
    count = len(network.monomers)
    top = 0
    clauses: list[list[int]] = []
    bind: dict[tuple[int, int], int] = {}
    for pair in combinations(range(count), 2):
        top += 1
        bind[pair] = top
    first = list(range(top + 1, top + count + 1))
    top += count
    sites: dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = defaultdict(lambda: ([], []))
    for index, monomer in enumerate(network.monomers):
        for place, site in enumerate(monomer.sites):
            sites[site.domain][site.starred].append((index, place))
    for plain, starred in sites.values():
        held: dict[tuple[int, int], list[int]] = defaultdict(list)
        for one in plain:
            for other in starred:
                top += 1
                held[one].append(top)
                held[other].append(top)
                if one[0] != other[0]:
                    clauses.append([-top, bind[min(one[0], other[0]), max(one[0], other[0])]])
        for variables in held.values():
            clauses += [[-a, -b] for a, b in combinations(variables, 2)]
        if plain and starred:
            clauses += [held[ref] for ref in min(plain, starred, key=len)]
    for a, b, c in combinations(range(count), 3):
        if time.process_time() > end:
            break
        ab, bc, ac = bind[a, b], bind[b, c], bind[a, c]
        clauses += [[-ab, -bc, ac], [-ab, -ac, bc], [-ac, -bc, ab]]
    clauses += [[-variable, -first[b]] for (_, b), variable in bind.items()]
    return clauses, first, top

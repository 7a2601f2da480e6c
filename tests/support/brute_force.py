"""Binding networks by brute force: every matching, every grouping, from the definitions and nothing else."""

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from functools import cache
from itertools import permutations, product

from perdure.errors import NetworkError
from perdure.solvers.binding_networks.configuration import Configuration
from perdure.solvers.binding_networks.demands import demands_of
from perdure.solvers.binding_networks.network import Constraint, Keyword, Monomer, Network, Site

__all__ = ["distinct", "kind_of", "levels", "random_network"]

Grouping = frozenset[frozenset[int]]
Place = tuple[int, int]
MOST_MATCHINGS = 3000


def levels(network: Network, *, connected: bool = False) -> dict[int, set[Hashable]]:
    """Return the distinct configurations of a network, by their number of polymers."""
    sites = {
        (m, s): site for m, monomer in enumerate(network.monomers) for s, site in enumerate(monomer.sites)
    }
    named = {site.name: place for place, site in sites.items() if site.name}
    called = {monomer.name: m for m, monomer in enumerate(network.monomers) if monomer.name}
    on_sites = [c for c in network.constraints if "PAIRED" in c.keyword]
    on_monomers = [c for c in network.constraints if "PAIRED" not in c.keyword]
    held = set()
    for matching in _matchings(sites):
        if all(_keeps_sites(c.keyword, [named[name] for name in c.names], matching) for c in on_sites):
            held.add(_joined(len(network.monomers), [(one[0], other[0]) for one, other in matching.items()]))
    islands = _joined(len(network.monomers), _possible(sites))
    island = {m: which for which, members in enumerate(islands) for m in members}
    found: dict[int, set[Hashable]] = defaultdict(set)
    groupings = held if connected else {coarse for pieces in held for coarse in _coarser(pieces, island)}
    for grouping in groupings:
        group = {m: members for members in grouping for m in members}
        if all(_keeps(c.keyword, [called[name] for name in c.names], group) for c in on_monomers):
            found[len(grouping)].add(_distinct(network, grouping))
    return dict(found)


def distinct(network: Network, configuration: Configuration) -> Hashable:
    """Return what two configurations have in common that are the same but for their copies."""
    return _distinct(network, frozenset(frozenset(polymer.monomers) for polymer in configuration.polymers))


def kind_of(monomer: Monomer) -> Hashable:
    """Return what copies of a monomer have in common."""
    return monomer.name, frozenset(Counter(monomer.sites).items())


def random_network(draw: random.Random) -> Network:
    """Return a small network with hairpins, ties, names, inert domains, copies and constraints."""
    while True:
        monomers: list[Monomer] = []
        domains = "abc"[: draw.randint(1, 3)]
        for index in range(draw.randint(1, 6)):
            if monomers and draw.random() < 0.3:
                copied = draw.choice(monomers)
                monomers.append(Monomer(tuple(Site(s.domain, s.starred) for s in copied.sites)))
                continue
            sites = []
            for place in range(draw.choice((1, 1, 2, 2, 3))):
                name = f"s{index}{place}" if draw.random() < 0.35 else None
                inert = draw.random() < 0.08
                sites.append(
                    Site("i" if inert else draw.choice(domains), not inert and draw.random() < 0.5, name)
                )
            monomers.append(Monomer(tuple(sites), f"m{index}" if draw.random() < 0.5 else None))
        network = Network(tuple(monomers), tuple(_random_constraints(draw, monomers)))
        sides = Counter((site.domain, site.starred) for monomer in monomers for site in monomer.sites)
        matchings = 1
        for (domain, starred), count in sides.items():
            most, least = max(count, sides[domain, not starred]), min(count, sides[domain, not starred])
            if not starred or not sides[domain, False]:
                for factor in range(most - least + 1, most + 1):
                    matchings *= factor
        if matchings > MOST_MATCHINGS:
            continue
        try:
            demands_of(network)
        except NetworkError:
            continue
        return network


def _random_constraints(draw: random.Random, monomers: list[Monomer]) -> Iterator[Constraint]:
    called = [monomer.name for monomer in monomers if monomer.name]
    named = [site.name for monomer in monomers for site in monomer.sites if site.name]
    for _ in range(draw.choice((0, 0, 1, 1, 2, 3))):
        keyword = draw.choice(list(Keyword))
        names = named if "PAIRED" in keyword else called
        number = {Keyword.TOGETHER: 2, Keyword.NOTTOGETHER: 2, Keyword.PAIRED: 2, Keyword.NOTPAIRED: 2}.get(
            keyword, 1
        )
        if len(names) >= number:
            yield Constraint(keyword, tuple(draw.sample(names, number)))


def _matchings(sites: dict[Place, Site]) -> Iterator[dict[Place, Place]]:
    choices = []
    for domain in sorted({site.domain for site in sites.values()}):
        plain = [place for place, site in sites.items() if site.domain == domain and not site.starred]
        starred = [place for place, site in sites.items() if site.domain == domain and site.starred]
        few, many = sorted((plain, starred), key=len)
        choices.append([list(zip(few, chosen, strict=True)) for chosen in permutations(many, len(few))])
    for chosen in product(*choices):
        pairs = [pair for some in chosen for pair in some]
        yield {one: other for a, b in pairs for one, other in ((a, b), (b, a))}


def _possible(sites: dict[Place, Site]) -> list[tuple[int, int]]:
    return [
        (one[0], other[0])
        for one, a in sites.items()
        for other, b in sites.items()
        if a.domain == b.domain and a.starred != b.starred
    ]


def _joined(count: int, pairs: list[tuple[int, int]]) -> Grouping:
    label = list(range(count))
    for one, other in pairs:
        old, new = label[other], label[one]
        label = [new if each == old else each for each in label]
    return frozenset(frozenset(m for m in range(count) if label[m] == each) for each in set(label))


def _coarser(pieces: Grouping, island: dict[int, int]) -> Iterator[Grouping]:
    ordered = sorted(pieces, key=sorted)
    for labels in _restricted_growth(len(ordered)):
        groups: dict[int, frozenset[int]] = {}
        for piece, label in zip(ordered, labels, strict=True):
            groups[label] = groups.get(label, frozenset()) | piece
        if all(len({island[m] for m in group}) == 1 for group in groups.values()):
            yield frozenset(groups.values())


@cache
def _restricted_growth(count: int) -> list[tuple[int, ...]]:
    """Return every partition of so many things, as labels in order of appearance."""
    if not count:
        return [()]
    return [
        (*labels, label)
        for labels in _restricted_growth(count - 1)
        for label in range(max(labels, default=-1) + 2)
    ]


def _keeps_sites(keyword: Keyword, places: list[Place], matching: dict[Place, Place]) -> bool:
    match keyword:
        case Keyword.PAIRED:
            return matching.get(places[0]) == places[1]
        case Keyword.NOTPAIRED:
            return matching.get(places[0]) != places[1]
        case Keyword.ANYPAIRED:
            return places[0] in matching
        case _:
            return places[0] not in matching


def _keeps(keyword: Keyword, monomers: list[int], group: dict[int, frozenset[int]]) -> bool:
    first = group[monomers[0]]
    match keyword:
        case Keyword.TOGETHER:
            return all(m in first for m in monomers)
        case Keyword.NOTTOGETHER:
            return monomers[1] not in first
        case Keyword.FREE:
            return len(first) == 1
        case _:
            return len(first) > 1


def _distinct(network: Network, grouping: Grouping) -> Hashable:
    polymers = Counter(
        frozenset(Counter(kind_of(network.monomers[m]) for m in group).items()) for group in grouping
    )
    return frozenset(polymers.items())

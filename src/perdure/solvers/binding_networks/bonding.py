"""The bonds of a polymer: a matching of its sites that is saturated and keeps what is demanded of sites.

A matching that binds what has to be bound is grown by augmenting paths (Berge 1957), first from the sites of
the ample side that have to be bound, then from all of the scarce side: a path never unbinds a site it passes.
Sites are taken in the order of the network, so that the same polymer has the same bonds every time.

For a polymer that its bonds have to hold together, bonds are exchanged between its pieces as long as one of
the two isn't needed where it is; if that doesn't do, satisfiability decides.
"""

from collections.abc import Iterable, Sequence

from perdure.solvers.binding_networks.configuration import Bond
from perdure.solvers.binding_networks.demands import Demands
from perdure.solvers.binding_networks.network import Network, SiteRef
from perdure.solvers.binding_networks.reduction import Sides

__all__ = ["Bonding", "pieces"]

Matching = dict[SiteRef, SiteRef]
"""Of each bound site its partner, both ways."""


class Bonding:
    """What the sites of a component can do under the demands on them."""

    def __init__(self, network: Network, monomers: Sequence[int], demands: Demands) -> None:
        self.sides = Sides.of(network, monomers)
        self.starred = {
            ref: network.monomers[ref.monomer].sites[ref.site].starred
            for sides in (self.sides.scarce, self.sides.ample)
            for refs in sides.values()
            for ref in refs
        }
        self.scarce_sites = frozenset(ref for refs in self.sides.scarce.values() for ref in refs)
        self.joined: Matching = {}
        for one, other in (each.sites for each in demands.paired):
            self.joined |= {one: other, other: one}
        self.forbidden = frozenset(frozenset(each.sites) for each in demands.not_paired)
        self.bound = frozenset(ref for each in demands.any_paired for ref in each.sites)
        self.unbound = frozenset(ref for each in demands.not_any_paired for ref in each.sites)

    def pairs(self, monomers: Iterable[int]) -> dict[SiteRef, list[SiteRef]]:
        """Return for each site of some monomers those it may hold, of both sides; joined sites have one."""
        inside = frozenset(monomers)
        found: dict[SiteRef, list[SiteRef]] = {}
        for domain, scarce in self.sides.scarce.items():
            takers = [ref for ref in scarce if ref.monomer in inside]
            givers = [ref for ref in self.sides.ample[domain] if ref.monomer in inside]
            found |= {ref: [] for ref in takers + givers}
            for one in takers:
                for other in givers:
                    if self._may_hold(one, other):
                        found[one].append(other)
                        found[other].append(one)
        return found

    def must_be_bound(self, ref: SiteRef) -> bool:
        """Return whether a site is bound in every saturated configuration that keeps the demands."""
        return ref in self.scarce_sites or ref in self.bound or ref in self.joined

    def match(self, monomers: Iterable[int]) -> Matching | None:
        """Return the bonds within some monomers that are one polymer, or None if there can't be."""
        pairs = self.pairs(monomers)
        matching: Matching = {}
        needed = [ref for ref in pairs if self.must_be_bound(ref)]
        for ref in sorted(needed, key=lambda ref: (ref in self.scarce_sites, ref)):
            if ref not in matching and not _augment(ref, pairs, matching):
                return None
        return matching

    def exchange(self, monomers: Sequence[int], matching: Matching) -> bool:
        """Exchange bonds until they hold the monomers together; return whether they do."""
        pairs = self.pairs(monomers)
        while len(pieces(monomers, matching)) > 1:
            if not self._exchange_once(monomers, matching, pairs):
                return False
        return True

    def bonds(self, matching: Matching) -> tuple[Bond, ...]:
        """Return a matching as bonds, in order."""
        return tuple(sorted(Bond(ref, other) for ref, other in matching.items() if not self.starred[ref]))

    def _may_hold(self, one: SiteRef, other: SiteRef) -> bool:
        if self.joined.get(one, other) != other or self.joined.get(other, one) != one:
            return False
        return frozenset((one, other)) not in self.forbidden and not {one, other} & self.unbound

    def _exchange_once(
        self, monomers: Sequence[int], matching: Matching, pairs: dict[SiteRef, list[SiteRef]]
    ) -> bool:
        before = len(pieces(monomers, matching))
        for one in sorted(ref for ref in matching if ref in self.scarce_sites):
            for other in pairs[one]:
                if other == matching[one]:
                    continue
                left, third = matching[one], matching.get(other)
                if third is not None and left not in pairs[third]:
                    continue
                if third is None and left in self.bound:
                    continue
                changed = {ref: to for ref, to in matching.items() if ref not in (one, other, left, third)}
                changed |= {one: other, other: one}
                if third is not None:
                    changed |= {third: left, left: third}
                if len(pieces(monomers, changed)) < before:
                    matching.clear()
                    matching.update(changed)
                    return True
        return False


def pieces(monomers: Sequence[int], matching: Matching) -> list[set[int]]:
    """Return what bonds hold together."""
    piece = {index: {index} for index in monomers}
    for ref, other in matching.items():
        one, two = piece[ref.monomer], piece[other.monomer]
        if one is not two:
            one |= two
            piece |= dict.fromkeys(two, one)
    return list({id(each): each for each in piece.values()}.values())


def _augment(start: SiteRef, pairs: dict[SiteRef, list[SiteRef]], matching: Matching) -> bool:
    """Bind one more site, by an alternating path found breadth-first; the sites on it stay bound."""
    came_from: dict[SiteRef, SiteRef] = {}
    waiting = [start]
    for ref in waiting:
        for other in pairs[ref]:
            if other in came_from:
                continue
            came_from[other] = ref
            if other in matching:
                waiting.append(matching[other])
                continue
            while True:
                ref = came_from[other]
                following = matching.get(ref)
                matching[ref], matching[other] = other, ref
                if following is None:
                    return True
                other = following
    return False

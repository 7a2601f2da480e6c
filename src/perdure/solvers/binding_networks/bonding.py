"""The bonds of a polymer: a saturated matching of its sites that meets the demands on sites.

Augmenting paths (Berge 1957) grow the matching, first from the sites of the ample side that must be bound,
then from all sites of the scarce side; a path never unbinds a site on it. Sites are taken in the order of the
network, so the same polymer has the same bonds every time.

If the bonds must connect the polymer, bonds of different pieces are exchanged, as long as one of the two
isn't needed within its piece; if that fails, satisfiability decides.
"""

from collections.abc import Iterable, Mapping, Sequence

from perdure.solvers.binding_networks.configuration import Bond
from perdure.solvers.binding_networks.demands import Demands
from perdure.solvers.binding_networks.network import Network, SiteRef
from perdure.solvers.binding_networks.reduction import Sides
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Bonding", "pieces"]

Matching = dict[SiteRef, SiteRef]
"""Site → partner, for each bound site."""


class Bonding:
    """The bonds that the sites of a component may form under the demands on them."""

    def __init__(self, network: Network, monomers: Sequence[int], demands: Demands) -> None:
        sides = Sides.of(network, monomers)
        self.scarce_sites = frozenset(ref for refs in sides.scarce.values() for ref in refs)
        self._network = network
        self._sites: dict[int, list[tuple[SiteRef, str]]] = {}
        for domain in sides.scarce:
            for ref in sides.scarce[domain] + sides.ample[domain]:
                self._sites.setdefault(ref.monomer, []).append((ref, domain))
        self.joined: Matching = {}
        for one, other in (each.sites for each in demands.paired):
            self.joined |= {one: other, other: one}
        self.forbidden = frozenset(frozenset(each.sites) for each in demands.not_paired)
        self.bound = frozenset(ref for each in demands.any_paired for ref in each.sites)
        self.unbound = frozenset(ref for each in demands.not_any_paired for ref in each.sites)

    def pairs(self, monomers: Iterable[int]) -> dict[SiteRef, list[SiteRef]]:
        """Return, for each site of some monomers, the sites it may bind; paired sites have exactly one."""
        return {
            ref: [other for other in others if self.may_hold(ref, other)]
            for ref, others in self._opposite(monomers).items()
        }

    def must_be_bound(self, ref: SiteRef) -> bool:
        """Return whether a site is bound in every saturated configuration that meets the demands."""
        return ref in self.scarce_sites or ref in self.bound or ref in self.joined

    def match(self, monomers: Iterable[int]) -> Matching | None:
        """Return the bonds within the monomers of one polymer, or None if the demands allow none."""
        opposite = self._opposite(monomers)
        matching: Matching = {}
        bound = dict.fromkeys(map(id, opposite.values()), 0)  # how many at the start of a list are bound
        needed = [ref for ref in opposite if self.must_be_bound(ref)]
        for ref in sorted(needed, key=lambda ref: (ref in self.scarce_sites, ref)):
            if ref in matching:
                continue
            others = opposite[ref]
            at = bound[id(others)]
            while at < len(others) and others[at] in matching:
                at += 1
            bound[id(others)] = at
            if at < len(others) and self.may_hold(ref, others[at]):
                matching[ref], matching[others[at]] = others[at], ref
            elif not self._augment(ref, opposite, matching):
                return None
        return matching

    def exchange(self, monomers: Sequence[int], matching: Matching, watch: Watch | None = None) -> bool:
        """Exchange bonds until they connect the monomers; return whether they do.

        Raises
        ------
        TimeIsUp
            The search must end: see `Watch`.
        """
        opposite = self._opposite(monomers)
        while len(pieces(monomers, matching)) > 1:
            if not self._exchange_once(monomers, matching, opposite, watch or Watch()):
                return False
        return True

    def bonds(self, matching: Matching) -> tuple[Bond, ...]:
        """Return a matching as bonds, in order."""
        return tuple(sorted(Bond(ref, other) for ref, other in matching.items() if not self._starred(ref)))

    def _starred(self, ref: SiteRef) -> bool:
        return self._network.monomers[ref.monomer].sites[ref.site].starred

    def may_hold(self, one: SiteRef, other: SiteRef) -> bool:
        """Return whether the demands allow a bond of two complementary sites."""
        if self.joined.get(one, other) != other or self.joined.get(other, one) != one:
            return False
        return not self.forbidden or frozenset((one, other)) not in self.forbidden

    def _opposite(self, monomers: Iterable[int]) -> dict[SiteRef, list[SiteRef]]:
        """Return, for each site of some monomers, those of the other side, except sites that must be unbound.

        Sites of a side share the list. Those of the scarcer side come first in each domain.
        """
        domains: dict[str, tuple[list[SiteRef], list[SiteRef]]] = {}
        for index in sorted(monomers):
            for ref, domain in self._sites.get(index, ()):
                domains.setdefault(domain, ([], []))[ref not in self.scarce_sites].append(ref)
        found: dict[SiteRef, list[SiteRef]] = {}
        for sides in domains.values():
            takers, givers = ([ref for ref in refs if ref not in self.unbound] for refs in sides)
            nothing: list[SiteRef] = []
            for refs, others in zip(sides, (givers, takers), strict=True):
                found |= {ref: nothing if ref in self.unbound else others for ref in refs}
        return found

    def _augment(self, start: SiteRef, opposite: Mapping[SiteRef, list[SiteRef]], matching: Matching) -> bool:
        """Bind one more site by an alternating path, found breadth-first; the sites on it stay bound."""
        came_from: dict[SiteRef, SiteRef] = {}
        waiting = [start]
        unseen = opposite[start]
        for ref in waiting:
            left: list[SiteRef] = []
            for other in unseen:
                if not self.may_hold(ref, other):
                    left.append(other)
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
            unseen = left
        return False

    def _exchange_once(
        self,
        monomers: Sequence[int],
        matching: Matching,
        opposite: Mapping[SiteRef, list[SiteRef]],
        watch: Watch,
    ) -> bool:
        before = len(pieces(monomers, matching))
        for one in sorted(ref for ref in matching if ref in self.scarce_sites):
            for other in opposite[one]:
                if other == matching[one] or not self.may_hold(one, other):
                    continue
                left, third = matching[one], matching.get(other)
                if third is not None and not self.may_hold(third, left):
                    continue
                if third is None and left in self.bound:
                    continue
                watch.step(len(monomers) + len(matching))
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
    """Return the groups of monomers that bonds connect."""
    piece = {index: {index} for index in monomers}
    for ref, other in matching.items():
        one, two = piece[ref.monomer], piece[other.monomer]
        if one is not two:
            large, small = (one, two) if len(one) >= len(two) else (two, one)
            large |= small
            piece |= dict.fromkeys(small, large)
    return list({id(each): each for each in piece.values()}.values())

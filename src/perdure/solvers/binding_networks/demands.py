"""The demands of a network's constraints on a configuration, by the places of monomers and sites.

A polymer can contain two monomers only if a chain of complementary sites leads from one to the other; this
splits a network into `components`. A constraint that every configuration meets demands nothing. A constraint
that the components make impossible is an error, as in StableConfigs. The solver finds out whether the others
can hold together.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence

import msgspec

from perdure.errors import (
    AmbiguousMonomer,
    AnyPairedImpossible,
    ConstraintArgumentCount,
    NetworkError,
    NonexistentBindingSite,
    NonexistentMonomer,
    NotFreeImpossible,
    PairedImpossible,
    TogetherImpossible,
)
from perdure.solvers.binding_networks.network import Constraint, Keyword, Monomer, Network, SiteRef

__all__ = ["Demands", "MonomerDemand", "Names", "Places", "SiteDemand", "components", "demands_of"]

# The number of names of a constraint; TOGETHER takes any number.
ARGUMENTS = {
    Keyword.NOTTOGETHER: 2,
    Keyword.FREE: 1,
    Keyword.NOTFREE: 1,
    Keyword.PAIRED: 2,
    Keyword.NOTPAIRED: 2,
    Keyword.ANYPAIRED: 1,
    Keyword.NOTANYPAIRED: 1,
}
ABOUT_SITES = {Keyword.PAIRED, Keyword.NOTPAIRED, Keyword.ANYPAIRED, Keyword.NOTANYPAIRED}


class Places(msgspec.Struct, frozen=True):
    """The places of a constraint's names in order: of monomers or of sites."""

    monomers: tuple[int, ...] = ()
    sites: tuple[SiteRef, ...] = ()


class MonomerDemand(msgspec.Struct, frozen=True):
    """A demand on monomers: their indices, and the index of the constraint that makes it."""

    constraint: int
    monomers: tuple[int, ...]


class SiteDemand(msgspec.Struct, frozen=True):
    """A demand on sites: their places, and the index of the constraint that makes it."""

    constraint: int
    sites: tuple[SiteRef, ...]


class Demands(msgspec.Struct, frozen=True):
    """All demands of a network's constraints, except those that every configuration meets.

    Attributes
    ----------
    together
        Two or more different monomers that are in one polymer.
    apart
        Two different monomers of one component that are in different polymers.
    free
        A monomer that is a polymer by itself; its own sites may bond with each other.
    not_free
        A monomer whose polymer has another monomer.
    paired, not_paired
        Two complementary sites, the unstarred one first, that are bonded with each other, or aren't.
    any_paired, not_any_paired
        A site that is bound, or isn't. The network has a site that it could bind.
    """

    together: tuple[MonomerDemand, ...] = ()
    apart: tuple[MonomerDemand, ...] = ()
    free: tuple[MonomerDemand, ...] = ()
    not_free: tuple[MonomerDemand, ...] = ()
    paired: tuple[SiteDemand, ...] = ()
    not_paired: tuple[SiteDemand, ...] = ()
    any_paired: tuple[SiteDemand, ...] = ()
    not_any_paired: tuple[SiteDemand, ...] = ()

    @property
    def monomers(self) -> frozenset[int]:
        """The monomers with a demand on them or on one of their sites."""
        found: set[int] = set()
        for name in self.__struct_fields__:
            for each in getattr(self, name):
                found |= (
                    {ref.monomer for ref in each.sites}
                    if isinstance(each, SiteDemand)
                    else set(each.monomers)
                )
        return frozenset(found)


def components(network: Network) -> tuple[int, ...]:
    """Return, for each monomer, the first monomer that a chain of complementary sites leads to.

    No polymer has monomers of different components.
    """
    holders: dict[str, tuple[set[int], set[int]]] = {}
    for index, monomer in enumerate(network.monomers):
        for site in monomer.sites:
            holders.setdefault(site.domain, (set(), set()))[site.starred].add(index)
    first = list(range(len(network.monomers)))

    def least(index: int) -> int:
        while first[index] != index:
            first[index] = first[first[index]]
            index = first[index]
        return index

    for unstarred, starred in holders.values():
        if not unstarred or not starred:
            continue
        linked = {least(index) for index in unstarred | starred}
        lowest = min(linked)
        for index in linked:
            first[index] = lowest
    return tuple(least(index) for index in range(len(first)))


class Names:
    """The places of the named monomers and sites of a network."""

    def __init__(self, monomers: Sequence[Monomer]) -> None:
        self.monomers: dict[str, int] = {}
        self.copies: Counter[str] = Counter()
        self.sites: dict[str, SiteRef] = {}
        for index, monomer in enumerate(monomers):
            if monomer.name is not None:
                self.monomers[monomer.name] = index
                self.copies[monomer.name] += 1
            for place, site in enumerate(monomer.sites):
                if site.name is not None:
                    self.sites[site.name] = SiteRef(index, place)

    def look_up(self, constraint: Constraint) -> Places:
        """Return the places of a constraint's names.

        Raises
        ------
        ConstraintArgumentCount, NonexistentBindingSite, NonexistentMonomer, AmbiguousMonomer
            `values` has the number of the wrong word as `word`; 0 is the keyword.
        """
        keyword, names = constraint.keyword, constraint.names
        line = " ".join((keyword, *names))
        expected = ARGUMENTS.get(keyword, len(names))
        if len(names) != expected:
            raise ConstraintArgumentCount(
                keyword=str(keyword), expected=expected, actual=len(names), line=line, word=0
            )
        for word, name in enumerate(names, 1):
            if keyword in ABOUT_SITES:
                if name not in self.sites:
                    raise NonexistentBindingSite(name=name, line=line, word=word)
            elif name not in self.monomers:
                raise NonexistentMonomer(name=name, line=line, word=word)
            elif self.copies[name] > 1:
                raise AmbiguousMonomer(name=name, count=self.copies[name], line=line, word=word)
        if keyword in ABOUT_SITES:
            return Places(sites=tuple(self.sites[name] for name in names))
        return Places(monomers=tuple(self.monomers[name] for name in names))


def demands_of(network: Network) -> Demands:
    """Return the demands of the constraints.

    Raises
    ------
    TogetherImpossible, NotFreeImpossible, PairedImpossible, AnyPairedImpossible
        The sites alone make a constraint impossible. `values` has its index as `constraint`, and the number
        of the wrong word as `word`, 0 for the keyword; so do the errors of `Names.look_up`.
    """
    names = Names(network.monomers)
    component = components(network)
    sizes = Counter(component)
    sides = {(site.domain, site.starred) for monomer in network.monomers for site in monomer.sites}
    of_monomers: dict[Keyword, list[MonomerDemand]] = defaultdict(list)
    of_sites: dict[Keyword, list[SiteDemand]] = defaultdict(list)
    for index, constraint in enumerate(network.constraints):
        try:
            places = names.look_up(constraint)
            if constraint.keyword in ABOUT_SITES:
                sites = _demanded_sites(constraint, places.sites, network, sides)
                if sites:
                    of_sites[constraint.keyword].append(SiteDemand(index, sites))
            else:
                monomers = _demanded_monomers(constraint, places.monomers, component, sizes)
                if monomers:
                    of_monomers[constraint.keyword].append(MonomerDemand(index, monomers))
        except NetworkError as error:
            raise type(error)(**{**error.values, "constraint": index}) from None
    return Demands(
        together=tuple(of_monomers[Keyword.TOGETHER]),
        apart=tuple(of_monomers[Keyword.NOTTOGETHER]),
        free=tuple(of_monomers[Keyword.FREE]),
        not_free=tuple(of_monomers[Keyword.NOTFREE]),
        paired=tuple(of_sites[Keyword.PAIRED]),
        not_paired=tuple(of_sites[Keyword.NOTPAIRED]),
        any_paired=tuple(of_sites[Keyword.ANYPAIRED]),
        not_any_paired=tuple(of_sites[Keyword.NOTANYPAIRED]),
    )


def _demanded_monomers(
    constraint: Constraint, monomers: tuple[int, ...], component: Sequence[int], sizes: Mapping[int, int]
) -> tuple[int, ...]:
    """Return the monomers that a constraint demands something of; none if every configuration meets it."""
    names = constraint.names
    match constraint.keyword:
        case Keyword.TOGETHER:
            impossible = _impossible_pair(monomers, component)
            if impossible is not None:
                first, second = impossible
                raise TogetherImpossible(first=names[first], second=names[second], word=second + 1)
            return monomers if len(monomers) > 1 else ()
        case Keyword.NOTTOGETHER:
            one, other = monomers
            return monomers if one != other and component[one] == component[other] else ()
        case Keyword.NOTFREE if sizes[component[monomers[0]]] == 1:
            raise NotFreeImpossible(name=names[0], word=1)
        case _:
            return monomers


def _impossible_pair(monomers: Sequence[int], component: Sequence[int]) -> tuple[int, int] | None:
    """Return the positions of the first two monomers that can't be together, or None.

    As in StableConfigs, a monomer can't be together with itself.
    """
    for place, monomer in enumerate(monomers[1:], 1):
        if monomer == monomers[0] or component[monomer] != component[monomers[0]]:
            return 0, place
    # All are in one component; only a repeated monomer is left to find.
    places: dict[int, list[int]] = {}
    for place, monomer in enumerate(monomers):
        places.setdefault(monomer, []).append(place)
    return min(((each[0], each[1]) for each in places.values() if len(each) > 1), default=None)


def _demanded_sites(
    constraint: Constraint, refs: tuple[SiteRef, ...], network: Network, sides: Container[tuple[str, bool]]
) -> tuple[SiteRef, ...]:
    """Return the sites that a constraint demands something of; none if every configuration meets it."""
    names = constraint.names
    sites = [network.monomers[ref.monomer].sites[ref.site] for ref in refs]
    if len(sites) == 2:
        first, second = sites
        if first.domain == second.domain and first.starred != second.starred:
            return refs if second.starred else refs[::-1]
        if constraint.keyword is Keyword.PAIRED:
            raise PairedImpossible(first=names[0], second=names[1], word=2)
        return ()
    (site,) = sites
    if (site.domain, not site.starred) in sides:
        return refs
    if constraint.keyword is Keyword.ANYPAIRED:
        raise AnyPairedImpossible(name=names[0], word=1)
    return ()

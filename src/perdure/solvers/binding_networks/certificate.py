"""The independent check of a solver's result, by the definitions only.

It shares no code with the solver, nor with the parsing of constraints: it inspects the network, the polymers
and their bonds, and counts. It can't confirm that no configuration has more polymers; a solution says what
proves its bound.

A configuration is correct if it is

- a partition: every monomer is in exactly one polymer, and no polymer is empty;
- bonded: each bond joins an unstarred and a starred site of one domain within one polymer, and no site has
  two bonds;
- connectable: a chain of complementary sites leads from every monomer of a polymer to the others. With
  `connected`, the bonds themselves do. (StableConfigs requires the former: monomers may count as one polymer
  even if its bonds don't connect them, which makes a difference under constraints and below the optimum.)
- saturated: each domain has as many bonds as it has sites on its scarcer side;
- true to every constraint of the network.

This is the definition of Doty, Rogers, Soloveichik, Thachuk and Woods, "Thermodynamic binding networks"
(2017), with the constraints of StableConfigs.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from perdure.errors import CertificateFailed
from perdure.solvers.binding_networks.configuration import Bond, Configuration, Polymer
from perdure.solvers.binding_networks.network import Constraint, Keyword, Monomer, Network, Site, SiteRef
from perdure.solvers.binding_networks.solution import Solution, Status

__all__ = ["Verifier", "verify", "verify_distinct", "verify_solution"]

Found = TypeVar("Found")


def verify(network: Network, configuration: Configuration, *, connected: bool = False) -> None:
    """Check a configuration of a network.

    Parameters
    ----------
    connected
        Whether the bonds of every polymer must hold all of it together.

    Raises
    ------
    CertificateFailed
        Its `reason` names the first thing that is wrong.
    """
    Verifier(network, connected=connected).verify(configuration)


class Verifier:
    """Checks any number of configurations of a network; computes what they have in common once.

    Parameters
    ----------
    connected
        Whether the bonds of every polymer must hold all of it together.
    """

    def __init__(self, network: Network, *, connected: bool = False) -> None:
        self._network, self._connected = network, connected
        self._named = _Named(network)
        there = Counter((site.domain, site.starred) for monomer in network.monomers for site in monomer.sites)
        needed = {domain: min(there[domain, False], there[domain, True]) for domain, _ in there}
        self._needed = {domain: count for domain, count in needed.items() if count}
        self._reached = _reached(range(len(network.monomers)), _complementary_links(network))
        self._checked: dict[int, tuple[Polymer, tuple[str, ...]]] = {}

    def verify(self, configuration: Configuration) -> None:
        """Check a configuration.

        Raises
        ------
        CertificateFailed
            Its `reason` names the first thing that is wrong.
        """
        network = self._network
        _check_partition(network, configuration)
        bonds = Counter(domain for each in configuration.polymers for domain in self._bound_domains(each))
        if bonds != self._needed:
            self._refuse_unsaturated(bonds)
        _check_held_together(configuration, self._reached, "by complementary sites")
        if self._connected:
            links = [
                (bond.unstarred.monomer, bond.starred.monomer)
                for polymer in configuration.polymers
                for bond in polymer.bonds
            ]
            reached = _reached(range(len(network.monomers)), links)
            _check_held_together(configuration, reached, "by its bonds")
        if network.constraints:
            self._check_constraints(configuration)

    def _bound_domains(self, polymer: Polymer) -> tuple[str, ...]:
        """Return the domains of a polymer's bonds, checked unless the same object was checked before."""
        known = self._checked.get(id(polymer))
        if known is None or known[0] is not polymer:
            _check_bonds(self._network, polymer)
            domains = tuple(_site(self._network, bond.unstarred).domain for bond in polymer.bonds)
            self._checked[id(polymer)] = known = polymer, domains
        return known[1]

    def _refuse_unsaturated(self, bonds: Counter[str]) -> None:
        for domain in {*self._needed, *bonds}:
            needed = self._needed.get(domain, 0)
            if bonds[domain] != needed:
                raise CertificateFailed(
                    reason=f"domain {domain!r} has {bonds[domain]} bonds; saturated it has {needed}"
                )

    def _check_constraints(self, configuration: Configuration) -> None:
        place = {index: which for which, each in enumerate(configuration.polymers) for index in each.monomers}
        partner = {
            ref: other
            for polymer in configuration.polymers
            for bond in polymer.bonds
            for ref, other in ((bond.unstarred, bond.starred), (bond.starred, bond.unstarred))
        }
        for number, constraint in enumerate(self._network.constraints, 1):
            if not _is_kept(constraint, self._named, configuration, place, partner):
                words = " ".join((constraint.keyword, *constraint.names))
                raise CertificateFailed(reason=f"constraint {number}, {words!r}, isn't kept")


def verify_distinct(network: Network, configurations: Iterable[Configuration]) -> None:
    """Check that exchanging copies of monomers doesn't turn one configuration into another.

    Monomers are copies of each other if they have the same sites, in any order, and the same names.
    """
    kinds = [_kind(monomer) for monomer in network.monomers]
    seen: dict[frozenset[tuple[object, int]], int] = {}
    for number, configuration in enumerate(configurations, 1):
        polymers = Counter(
            frozenset(Counter(kinds[index] for index in polymer.monomers).items())
            for polymer in configuration.polymers
        )
        earlier = seen.setdefault(frozenset(polymers.items()), number)
        if earlier != number:
            raise CertificateFailed(reason=f"configurations {earlier} and {number} are the same")


def verify_solution(solution: Solution, *, connected: bool = False) -> None:
    """Check every configuration of a solution, their order, that they are distinct, and the bounds.

    Raises
    ------
    CertificateFailed
        Its `reason` names the first thing that is wrong.
    """
    verifier = Verifier(solution.network, connected=connected)
    for configuration in solution.configurations:
        verifier.verify(configuration)
    verify_distinct(solution.network, solution.configurations)
    counts = [len(configuration.polymers) for configuration in solution.configurations]
    if counts != sorted(counts, reverse=True):
        raise CertificateFailed(reason="configurations with more polymers don't come first")
    if solution.status is Status.UNSATISFIABLE:
        if counts:
            raise CertificateFailed(reason="an unsatisfiable network has a configuration")
        return
    if solution.lower > solution.upper:
        raise CertificateFailed(reason=f"the bounds are {solution.lower} and {solution.upper}")
    if solution.status is Status.OPTIMAL and solution.lower != solution.upper:
        raise CertificateFailed(reason="an optimum is claimed with bounds that differ")
    if counts and not solution.lower <= counts[0] <= solution.upper:
        raise CertificateFailed(
            reason=f"a configuration has {counts[0]} polymers, beyond {solution.lower} to {solution.upper}"
        )
    if solution.entropy is not None and solution.lower > solution.entropy:
        raise CertificateFailed(reason="constraints allow more polymers than there are without")
    best = counts.count(max(counts, default=0))  # `gen` may reach lower levels than those counted
    if solution.total is not None and solution.total < best:
        raise CertificateFailed(reason=f"there are {best} best configurations, and {solution.total} in all")


def _check_partition(network: Network, configuration: Configuration) -> None:
    count = Counter(index for polymer in configuration.polymers for index in polymer.monomers)
    for index in range(len(network.monomers)):
        if count[index] != 1:
            raise CertificateFailed(reason=f"monomer {index} is in {count[index]} places, not in one")
    if len(count) > len(network.monomers):
        raise CertificateFailed(reason="there are monomers that the network doesn't have")
    for polymer in configuration.polymers:
        if not polymer.monomers:
            raise CertificateFailed(reason="a polymer is empty")
        if list(polymer.monomers) != sorted(polymer.monomers):
            raise CertificateFailed(reason="the monomers of a polymer aren't in ascending order")


def _check_bonds(network: Network, polymer: Polymer) -> None:
    used: set[SiteRef] = set()
    inside = frozenset(polymer.monomers)
    for bond in polymer.bonds:
        for ref in (bond.unstarred, bond.starred):
            if ref.monomer not in inside:
                raise CertificateFailed(reason=f"{_words(bond)} leaves its polymer")
            if not 0 <= ref.site < len(network.monomers[ref.monomer].sites):
                raise CertificateFailed(reason=f"{_words(bond)} is to a site that doesn't exist")
            if ref in used:
                raise CertificateFailed(reason=f"{_words(bond)} takes a site that another bond has")
            used.add(ref)
        one, other = _site(network, bond.unstarred), _site(network, bond.starred)
        if one.domain != other.domain or one.starred or not other.starred:
            raise CertificateFailed(reason=f"{_words(bond)} joins {one.text} and {other.text}")


def _complementary_links(network: Network) -> list[tuple[int, int]]:
    """Return pairs of monomers with complementary sites, enough of them to find connected monomers."""
    holders: dict[tuple[str, bool], list[int]] = {}
    for index, monomer in enumerate(network.monomers):
        for site in monomer.sites:
            holders.setdefault((site.domain, site.starred), []).append(index)
    links = []
    for (domain, starred), unstarred_holders in holders.items():
        starred_holders = holders.get((domain, True))
        if starred or starred_holders is None:
            continue
        links += [(index, starred_holders[0]) for index in unstarred_holders]
        links += [(unstarred_holders[0], index) for index in starred_holders]
    return links


def _reached(monomers: Iterable[int], links: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return, for each monomer, the first one that links lead to."""
    neighbours: dict[int, list[int]] = {}
    for one, other in links:
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    group: dict[int, int] = {}
    for start in monomers:
        waiting = [start]
        while waiting:
            index = waiting.pop()
            if index not in group:
                group[index] = start
                waiting += neighbours.get(index, ())
    return group


def _check_held_together(configuration: Configuration, group: Mapping[int, int], how: str) -> None:
    for polymer in configuration.polymers:
        first = polymer.monomers[0]
        for index in polymer.monomers:
            if group[index] != group[first]:
                raise CertificateFailed(
                    reason=f"monomers {first} and {index} are in one polymer, but not held {how}"
                )


def _is_kept(
    constraint: Constraint,
    named: "_Named",
    configuration: Configuration,
    place: dict[int, int],
    partner: dict[SiteRef, SiteRef],
) -> bool:
    keyword = constraint.keyword
    if keyword in (Keyword.PAIRED, Keyword.NOTPAIRED):
        first, second = (named.site(name) for name in constraint.names)
        return (partner.get(first) == second) is (keyword is Keyword.PAIRED)
    if keyword in (Keyword.ANYPAIRED, Keyword.NOTANYPAIRED):
        (name,) = constraint.names
        return (named.site(name) in partner) is (keyword is Keyword.ANYPAIRED)
    monomers = [named.monomer(name) for name in constraint.names]
    places = {place[index] for index in monomers}
    match keyword:
        case Keyword.TOGETHER:
            return len(places) <= 1
        case Keyword.NOTTOGETHER:
            # With a single monomer it demands nothing, as in StableConfigs.
            return len(places) == len(set(monomers))
        case Keyword.FREE:
            return len(configuration.polymers[place[monomers[0]]].monomers) == 1
        case _:
            return len(configuration.polymers[place[monomers[0]]].monomers) > 1


class _Named:
    """The monomers and sites of each name."""

    def __init__(self, network: Network) -> None:
        self._monomers: dict[str | None, list[int]] = {}
        self._sites: dict[str | None, list[SiteRef]] = {}
        for index, monomer in enumerate(network.monomers):
            self._monomers.setdefault(monomer.name, []).append(index)
            for place, site in enumerate(monomer.sites):
                self._sites.setdefault(site.name, []).append(SiteRef(index, place))

    def monomer(self, name: str) -> int:
        return _only(self._monomers.get(name, ()), f"monomer {name!r}")

    def site(self, name: str) -> SiteRef:
        return _only(self._sites.get(name, ()), f"site {name!r}")


def _only(found: Sequence[Found], what: str) -> Found:
    if len(found) != 1:
        raise CertificateFailed(reason=f"a constraint is about the {what}, of which there are {len(found)}")
    return found[0]


def _site(network: Network, ref: SiteRef) -> Site:
    return network.monomers[ref.monomer].sites[ref.site]


def _kind(monomer: Monomer) -> object:
    return frozenset(Counter(monomer.sites).items()), monomer.name


def _words(bond: Bond) -> str:
    one, other = bond.unstarred, bond.starred
    return f"the bond from site {one.site} of monomer {one.monomer} to site {other.site} of {other.monomer}"

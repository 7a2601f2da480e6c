"""Random binding networks, small enough for anything."""

import random

from hypothesis import strategies as st

from perdure.solvers.binding_networks.configuration import Bond, Configuration, Polymer
from perdure.solvers.binding_networks.demands import components
from perdure.solvers.binding_networks.network import Constraint, Keyword, Monomer, Network, Site, SiteRef

__all__ = ["bond", "networks", "saturated"]

DOMAINS = ("a", "b", "c", "x-1", "é")


@st.composite
def networks(
    draw: st.DrawFn, *, monomers: int = 6, sites: int = 4, constraints: int = 4, copies: bool = False
) -> Network:
    """Draw a network whose names are unlike each other and whose constraints its sites don't rule out.

    With `copies`, unnamed sites and shared names of monomers occur, and no constraints.
    """
    made: list[Monomer] = []
    for index in range(draw(st.integers(1, monomers))):
        drawn = draw(
            st.lists(
                st.tuples(st.sampled_from(DOMAINS), st.booleans(), st.booleans()), min_size=1, max_size=sites
            )
        )
        kinds = tuple(
            Site(domain, starred, f"s{index}.{place}" if named and not copies else None)
            for place, (domain, starred, named) in enumerate(drawn)
        )
        monomer = Monomer(kinds, f"m{index}" if draw(st.booleans()) else None)
        made += [monomer] * (draw(st.integers(1, 3)) if copies else 1)
    network = Network(tuple(made))
    if copies:
        return network
    possible = _possible_constraints(network)
    if not possible:
        return network
    wanted = draw(st.lists(st.sampled_from(possible), max_size=constraints))
    return Network(network.monomers, tuple(wanted))


def _possible_constraints(network: Network) -> list[Constraint]:
    component = components(network)
    monomers = [(each.name, component[index]) for index, each in enumerate(network.monomers) if each.name]
    sites = [site for monomer in network.monomers for site in monomer.sites]
    named = [site for site in sites if site.name]
    found = [Constraint(Keyword.TOGETHER, ())]
    for name, group in monomers:
        found.append(Constraint(Keyword.FREE, (name,)))
        if component.count(group) > 1:
            found.append(Constraint(Keyword.NOTFREE, (name,)))
        for other, its_group in monomers:
            found.append(Constraint(Keyword.NOTTOGETHER, (name, other)))
            if other != name and its_group == group:
                found.append(Constraint(Keyword.TOGETHER, (name, other)))
    for site in named:
        assert site.name is not None
        found.append(Constraint(Keyword.NOTANYPAIRED, (site.name,)))
        if any(site.domain == other.domain and site.starred != other.starred for other in sites):
            found.append(Constraint(Keyword.ANYPAIRED, (site.name,)))
        for other in named:
            assert other.name is not None
            found.append(Constraint(Keyword.NOTPAIRED, (site.name, other.name)))
            if site.domain == other.domain and site.starred != other.starred:
                found.append(Constraint(Keyword.PAIRED, (site.name, other.name)))
    return found


def saturated(network: Network, dice: random.Random) -> Configuration:
    """Return a saturated configuration: sites bonded at random, and polymers what the bonds hold together."""
    free: dict[tuple[str, bool], list[SiteRef]] = {}
    for index, monomer in enumerate(network.monomers):
        for place, site in enumerate(monomer.sites):
            free.setdefault((site.domain, site.starred), []).append(SiteRef(index, place))
    polymer = {index: {index} for index in range(len(network.monomers))}
    bonds = []
    for domain, starred in sorted(free):
        if starred or (domain, True) not in free:
            continue
        one, other = free[domain, False], free[domain, True]
        dice.shuffle(one)
        dice.shuffle(other)
        for pair in zip(one, other, strict=False):
            bonds.append(Bond(*pair))
            joined = polymer[pair[0].monomer] | polymer[pair[1].monomer]
            polymer.update(dict.fromkeys(joined, joined))
    groups = sorted({tuple(sorted(group)) for group in polymer.values()})
    return Configuration(
        tuple(
            Polymer(group, tuple(sorted(bond for bond in bonds if bond.unstarred.monomer in group)))
            for group in groups
        )
    )


def bond(one: int, its: int, other: int, others: int) -> Bond:
    """Return the bond between a site of one monomer, the unstarred one, and a site of another."""
    return Bond(SiteRef(one, its), SiteRef(other, others))

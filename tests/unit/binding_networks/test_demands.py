"""Constraints are resolved to places, and what the sites rule out is an error."""

from collections.abc import Callable

import pytest
from hypothesis import given
from tests.support.networks import networks

from perdure.solvers.binding_networks.demands import (
    Demands,
    MonomerDemand,
    SiteDemand,
    components,
    demands_of,
)
from perdure.solvers.binding_networks.grammar import parse_network
from perdure.solvers.binding_networks.network import Network, SiteRef

LINES = ["a:s b:x >m", "a*:t >n", "c:u c*:w >h", "a:v >o", "d:y >p", "d e >q"]


def demands(*constraints: str) -> Demands:
    return demands_of(parse_network(LINES, constraints))


S, X, T, U, W, Y = (SiteRef(*place) for place in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (4, 0)))


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("TOGETHER o m", Demands(together=(MonomerDemand(0, (3, 0)),))),
        ("TOGETHER m n o", Demands(together=(MonomerDemand(0, (0, 1, 3)),))),
        ("TOGETHER m", Demands()),
        ("TOGETHER", Demands()),
        ("NOTTOGETHER m o", Demands(apart=(MonomerDemand(0, (0, 3)),))),
        ("NOTTOGETHER m h", Demands()),
        ("NOTTOGETHER p q", Demands()),
        ("NOTTOGETHER m m", Demands()),
        ("NOTTOGETHER h h", Demands()),
        ("FREE h", Demands(free=(MonomerDemand(0, (2,)),))),
        ("FREE q", Demands(free=(MonomerDemand(0, (5,)),))),
        ("NOTFREE n", Demands(not_free=(MonomerDemand(0, (1,)),))),
        ("PAIRED s t", Demands(paired=(SiteDemand(0, (S, T)),))),
        ("PAIRED t s", Demands(paired=(SiteDemand(0, (S, T)),))),
        ("PAIRED w u", Demands(paired=(SiteDemand(0, (U, W)),))),
        ("NOTPAIRED t s", Demands(not_paired=(SiteDemand(0, (S, T)),))),
        ("NOTPAIRED s v", Demands()),
        ("NOTPAIRED s x", Demands()),
        ("NOTPAIRED s s", Demands()),
        ("ANYPAIRED t", Demands(any_paired=(SiteDemand(0, (T,)),))),
        ("ANYPAIRED u", Demands(any_paired=(SiteDemand(0, (U,)),))),
        ("NOTANYPAIRED s", Demands(not_any_paired=(SiteDemand(0, (S,)),))),
        ("NOTANYPAIRED y", Demands()),
    ],
)
def test_a_constraint_demands_what_it_says_of_the_places_it_names(constraint: str, expected: Demands) -> None:
    assert demands(constraint) == expected


def test_a_demand_knows_its_constraint() -> None:
    assert demands("FREE m", "TOGETHER m", "FREE n").free == (
        MonomerDemand(0, (0,)),
        MonomerDemand(2, (1,)),
    )


def test_components_are_what_chains_of_complementary_sites_join() -> None:
    assert components(parse_network(LINES)) == (0, 0, 2, 0, 4, 5)
    chain = parse_network(["x", "c", "b c*", "a* b*", "a", "c"])
    assert components(chain) == (0, 1, 1, 1, 1, 1)


@given(networks(constraints=0))
def test_components_are_the_closure_of_complementary_pairs(network: Network) -> None:
    count = len(network.monomers)

    def complementary(one: int, other: int) -> bool:
        return any(
            site.domain == its.domain and site.starred != its.starred
            for site in network.monomers[one].sites
            for its in network.monomers[other].sites
        )

    reach = [{index} for index in range(count)]
    for _ in range(count):
        for one in range(count):
            for other in range(count):
                if any(complementary(each, other) for each in reach[one]):
                    reach[one].add(other)
    assert components(network) == tuple(min(each) for each in reach)


@given(networks())
def test_every_constraint_that_could_be_broken_makes_one_demand(network: Network) -> None:
    made = demands_of(network)
    fields: Callable[[Demands], list[int]] = lambda each: [  # noqa: E731
        demand.constraint for name in each.__struct_fields__ for demand in getattr(each, name)
    ]
    constraints = fields(made)
    assert len(constraints) == len(set(constraints))
    assert set(constraints) <= set(range(len(network.constraints)))

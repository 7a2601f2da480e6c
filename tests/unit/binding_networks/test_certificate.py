"""The certificate confirms every right configuration, and no corruption of it passes."""

import random
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.networks import bond, networks, saturated

from perdure.errors import CertificateFailed
from perdure.solvers.binding_networks.certificate import verify, verify_distinct, verify_solution
from perdure.solvers.binding_networks.configuration import Bond, Configuration, Polymer
from perdure.solvers.binding_networks.demands import components
from perdure.solvers.binding_networks.grammar import parse_network
from perdure.solvers.binding_networks.network import Constraint, Keyword, Network, SiteRef
from perdure.solvers.binding_networks.solution import Solution, Status

seeds = st.integers(0, 2**32)


def polymers(*groups: tuple[tuple[int, ...], tuple[Bond, ...]]) -> Configuration:
    return Configuration(tuple(Polymer(*group) for group in groups))


@given(networks(constraints=0), seeds)
def test_a_saturated_configuration_is_confirmed(network: Network, seed: int) -> None:
    verify(network, saturated(network, random.Random(seed)), connected=True)


# Each returns a corrupted configuration, or None where there is nothing to corrupt.


def lost_monomer(configuration: Configuration, dice: random.Random) -> Configuration | None:
    return with_polymer(configuration, dice, lambda each: Polymer(each.monomers[1:], each.bonds))


def doubled_monomer(configuration: Configuration, dice: random.Random) -> Configuration | None:
    return Configuration((*configuration.polymers, Polymer(configuration.polymers[0].monomers[:1])))


def doubled_monomer_within(configuration: Configuration, dice: random.Random) -> Configuration | None:
    return with_polymer(
        configuration, dice, lambda each: Polymer((each.monomers[0], *each.monomers), each.bonds)
    )


def foreign_monomer(configuration: Configuration, dice: random.Random) -> Configuration | None:
    count = sum(len(each.monomers) for each in configuration.polymers)
    return Configuration((*configuration.polymers, Polymer((dice.choice([count, -1]),))))


def empty_polymer(configuration: Configuration, dice: random.Random) -> Configuration | None:
    return Configuration((*configuration.polymers, Polymer(())))


def lost_bond(configuration: Configuration, dice: random.Random) -> Configuration | None:
    return with_bonds(configuration, dice, lambda bonds: bonds[1:])


def doubled_bond(configuration: Configuration, dice: random.Random) -> Configuration | None:
    return with_bonds(configuration, dice, lambda bonds: (*bonds, bonds[0]))


def turned_bond(configuration: Configuration, dice: random.Random) -> Configuration | None:
    return with_bonds(
        configuration, dice, lambda bonds: (Bond(bonds[0].starred, bonds[0].unstarred), *bonds[1:])
    )


def bond_to_itself(configuration: Configuration, dice: random.Random) -> Configuration | None:
    return with_bonds(
        configuration, dice, lambda bonds: (Bond(bonds[0].unstarred, bonds[0].unstarred), *bonds[1:])
    )


def bond_to_no_site(configuration: Configuration, dice: random.Random) -> Configuration | None:
    def moved(bonds: tuple[Bond, ...]) -> tuple[Bond, ...]:
        place = SiteRef(bonds[0].starred.monomer, dice.choice([-1, 99]))
        return (Bond(bonds[0].unstarred, place), *bonds[1:])

    return with_bonds(configuration, dice, moved)


def split_polymer(configuration: Configuration, dice: random.Random) -> Configuration | None:
    for which, each in enumerate(configuration.polymers):
        if len(each.monomers) > 1:
            parts = Polymer(each.monomers[:1], ()), Polymer(each.monomers[1:], each.bonds)
            rest = configuration.polymers[:which] + configuration.polymers[which + 1 :]
            return Configuration((*rest, *parts))
    return None


def joined_polymers(configuration: Configuration, dice: random.Random) -> Configuration | None:
    if len(configuration.polymers) < 2:
        return None
    one, other, *rest = dice.sample(configuration.polymers, len(configuration.polymers))
    monomers = tuple(sorted(one.monomers + other.monomers))
    return Configuration((*rest, Polymer(monomers, one.bonds + other.bonds)))


def with_polymer(
    configuration: Configuration, dice: random.Random, change: Callable[[Polymer], Polymer]
) -> Configuration:
    changed = list(configuration.polymers)
    which = dice.randrange(len(changed))
    changed[which] = change(changed[which])
    return Configuration(tuple(changed))


def with_bonds(
    configuration: Configuration,
    dice: random.Random,
    change: Callable[[tuple[Bond, ...]], tuple[Bond, ...]],
) -> Configuration | None:
    bonded = [which for which, each in enumerate(configuration.polymers) if each.bonds]
    if not bonded:
        return None
    changed = list(configuration.polymers)
    which = dice.choice(bonded)
    bonds = tuple(dice.sample(changed[which].bonds, len(changed[which].bonds)))
    changed[which] = Polymer(changed[which].monomers, change(bonds))
    return Configuration(tuple(changed))


CORRUPTIONS = [
    lost_monomer,
    doubled_monomer,
    doubled_monomer_within,
    foreign_monomer,
    empty_polymer,
    lost_bond,
    doubled_bond,
    turned_bond,
    bond_to_itself,
    bond_to_no_site,
    split_polymer,
    joined_polymers,
]


@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda each: each.__name__)
@settings(max_examples=40)
@given(network=networks(constraints=0), seed=seeds)
def test_every_corruption_is_caught(
    corrupt: Callable[[Configuration, random.Random], Configuration | None], network: Network, seed: int
) -> None:
    dice = random.Random(seed)
    corrupted = corrupt(saturated(network, dice), dice)
    assume(corrupted is not None)
    assert corrupted is not None
    with pytest.raises(CertificateFailed):
        verify(network, corrupted, connected=True)


@given(networks(constraints=0), seeds)
def test_monomers_may_be_grouped_where_sites_could_hold_them(network: Network, seed: int) -> None:
    dice = random.Random(seed)
    joined = joined_polymers(saturated(network, dice), dice)
    assume(joined is not None)
    assert joined is not None
    component = components(network)
    if all(len({component[index] for index in each.monomers}) == 1 for each in joined.polymers):
        verify(network, joined)
    else:
        with pytest.raises(CertificateFailed, match="not held by complementary sites"):
            verify(network, joined)


def holds(constraint: Constraint, network: Network, configuration: Configuration) -> bool:
    """Say by the constraint's words whether a configuration keeps it."""
    named = {each.name: index for index, each in enumerate(network.monomers)}
    mates = {index: set(each.monomers) for each in configuration.polymers for index in each.monomers}
    pairs = [
        {network.monomers[ref.monomer].sites[ref.site].name for ref in (each.unstarred, each.starred)}
        for polymer in configuration.polymers
        for each in polymer.bonds
    ]
    names = constraint.names
    match constraint.keyword:
        case Keyword.TOGETHER:
            return all(named[name] in mates[named[names[0]]] for name in names)
        case Keyword.NOTTOGETHER:
            return names[0] == names[1] or named[names[0]] not in mates[named[names[1]]]
        case Keyword.FREE:
            return mates[named[names[0]]] == {named[names[0]]}
        case Keyword.NOTFREE:
            return mates[named[names[0]]] > {named[names[0]]}
        case Keyword.PAIRED:
            return set(names) in pairs
        case Keyword.NOTPAIRED:
            return len(set(names)) == 1 or set(names) not in pairs
        case Keyword.ANYPAIRED:
            return any(names[0] in pair for pair in pairs)
        case Keyword.NOTANYPAIRED:
            return not any(names[0] in pair for pair in pairs)


@given(networks(), seeds)
def test_a_configuration_is_confirmed_if_and_only_if_it_keeps_the_constraints(
    network: Network, seed: int
) -> None:
    configuration = saturated(network, random.Random(seed))
    broken = [each for each in network.constraints if not holds(each, network, configuration)]
    if not broken:
        verify(network, configuration)
        return
    with pytest.raises(CertificateFailed, match="isn't kept") as failure:
        verify(network, configuration)
    assert " ".join((broken[0].keyword, *broken[0].names)) in str(failure.value)


HAIRPIN = parse_network(["a a*:s >h", "a", "a*"], ["FREE h", "ANYPAIRED s"])


def test_a_monomer_that_holds_itself_is_free() -> None:
    verify(
        HAIRPIN,
        polymers(((0,), (bond(0, 0, 0, 1),)), ((1, 2), (bond(1, 0, 2, 0),))),
        connected=True,
    )
    not_free = msgspec.structs.replace(HAIRPIN, constraints=(Constraint(Keyword.NOTFREE, ("h",)),))
    with pytest.raises(CertificateFailed, match="NOTFREE h"):
        verify(not_free, polymers(((0,), (bond(0, 0, 0, 1),)), ((1, 2), (bond(1, 0, 2, 0),))))


def test_a_bond_between_domains_is_reported() -> None:
    network = parse_network(["a b", "a* b*"])
    crossed = polymers(((0, 1), (bond(0, 0, 1, 1), bond(0, 1, 1, 0))))
    with pytest.raises(CertificateFailed, match=r"joins a and b\*"):
        verify(network, crossed)


def test_a_bond_between_polymers_is_reported() -> None:
    network = parse_network(["a", "a*"])
    with pytest.raises(CertificateFailed, match="leaves its polymer"):
        verify(network, polymers(((0,), (bond(0, 0, 1, 0),)), ((1,), ())))


def test_a_site_with_two_bonds_is_reported_also_where_their_number_is_right() -> None:
    network = parse_network(["a", "a", "a*", "a*"])
    with pytest.raises(CertificateFailed, match="another bond has"):
        verify(network, polymers(((0, 1, 2, 3), (bond(0, 0, 2, 0), bond(0, 0, 3, 0)))))


def test_monomers_out_of_order_are_reported() -> None:
    network = parse_network(["a", "a*"])
    with pytest.raises(CertificateFailed, match="ascending order"):
        verify(network, polymers(((1, 0), (bond(0, 0, 1, 0),))))


CLASSIC = parse_network(["a b", "a* b*", "a", "b"])
STABLE = polymers(((0, 1), (bond(0, 0, 1, 0), bond(0, 1, 1, 1))), ((2,), ()), ((3,), ()))
WORSE = polymers(((1, 2, 3), (bond(2, 0, 1, 0), bond(3, 0, 1, 1))), ((0,), ()))


def test_copies_in_each_others_place_are_no_other_configuration() -> None:
    network = parse_network(["2[a b]", "b* a*", "a* b*"])
    once = polymers(
        ((0, 2), (bond(0, 0, 2, 1), bond(0, 1, 2, 0))), ((1, 3), (bond(1, 0, 3, 0), bond(1, 1, 3, 1)))
    )
    again = polymers(
        ((1, 2), (bond(1, 0, 2, 1), bond(1, 1, 2, 0))), ((0, 3), (bond(0, 0, 3, 0), bond(0, 1, 3, 1)))
    )
    for each in (once, again):
        verify(network, each)
    with pytest.raises(CertificateFailed, match="configurations 1 and 2 are the same"):
        verify_distinct(network, [once, again])
    named = parse_network(["a b >m", "a b >n", "b* a* >o", "a* b*"])
    verify_distinct(named, [once, again])
    verify_distinct(CLASSIC, [STABLE, WORSE])


def solution(**changes: object) -> Solution:
    right = Solution(
        network=CLASSIC,
        status=Status.OPTIMAL,
        configurations=(STABLE, WORSE),
        lower=3,
        upper=3,
        entropy=3,
        exhausted=True,
        total=2,
    )
    return msgspec.structs.replace(right, **changes)


def test_a_right_solution_is_confirmed() -> None:
    verify_solution(solution(), connected=True)
    verify_solution(solution(status=Status.BOUNDED, lower=2, upper=4, configurations=(WORSE,)))
    verify_solution(solution(status=Status.UNSATISFIABLE, configurations=(), lower=0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"configurations": (WORSE, STABLE)}, "come first"),
        ({"configurations": (STABLE, STABLE)}, "are the same"),
        ({"configurations": (Configuration(STABLE.polymers[1:]),)}, "0 places"),
        ({"status": Status.UNSATISFIABLE}, "unsatisfiable"),
        ({"lower": 4}, "bounds are 4 and 3"),
        ({"lower": 2}, "bounds that differ"),
        ({"configurations": (WORSE,)}, "beyond 3 to 3"),
        ({"status": Status.BOUNDED, "lower": 1, "upper": 2}, "beyond 1 to 2"),
        ({"entropy": 2}, "without"),
        ({"total": 0}, "0 in all"),
    ],
)
def test_a_wrong_solution_is_reported(changes: dict[str, object], words: str) -> None:
    with pytest.raises(CertificateFailed, match=words):
        verify_solution(solution(**changes))


def test_a_constraint_about_nothing_fails() -> None:
    network = msgspec.structs.replace(CLASSIC, constraints=(Constraint(Keyword.FREE, ("x",)),))
    with pytest.raises(CertificateFailed, match="monomer 'x', of which there are 0"):
        verify(network, STABLE)

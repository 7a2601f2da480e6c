"""Counts and lists by kinds of monomers: right numbers, of any size, without a look at each of them."""

from collections.abc import Callable
from math import comb, factorial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.brute_force import distinct, levels
from tests.support.grids import counter, grid
from tests.support.known_networks import network_of
from tests.support.networks import networks

from perdure.solvers.binding_networks import Network, Solution, solve
from perdure.solvers.binding_networks import watch as watches
from perdure.solvers.binding_networks.formats import load_network

ENOUGH = 400
"""How often the time is looked at: some hundred times of a search of a second, a thousand steps between."""


def within(looks: int) -> Callable[[], bool]:
    """Return a question that has had enough after so many looks, however fast the machine is."""
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > looks

    return cancelled


def counted(network: Network, **options: Any) -> int | None:
    return solve(network, gen=0, count=True, cancelled=within(ENOUGH), **options).total


def of_named_grid(size: int, copies: int, gates: int) -> int:
    """Return in how many ways named rows and columns can bind gates that are alike."""

    def some(bound: int) -> int:
        return comb(copies, bound) ** size * factorial(bound) ** (size - 1)

    return sum(some(rows) * some(gates - rows) for rows in range(gates + 1))


@pytest.mark.parametrize(
    ("size", "copies", "gates"),
    [(2, 4, 2), (3, 10, 5), (3, 5, 8), (4, 10, 5), (5, 12, 6), (6, 20, 20), (3, 60, 60)],
)
def test_grids_of_any_size_are_counted(size: int, copies: int, gates: int) -> None:
    expected = sum(rows <= copies and gates - rows <= copies for rows in range(gates + 1))
    assert counted(grid(size, copies, gates)) == expected


@pytest.mark.parametrize(("size", "copies", "gates"), [(2, 3, 2), (3, 4, 2), (3, 10, 5), (4, 9, 7)])
def test_named_copies_are_counted_by_their_number(size: int, copies: int, gates: int) -> None:
    assert counted(grid(size, copies, gates, named=True)) == of_named_grid(size, copies, gates)


def test_a_constraint_takes_a_monomer_out_of_its_kind() -> None:
    # r0.0 is alone: there is a row less of its kind.
    free = sum(
        comb(9, rows) * comb(10, rows) ** 2 * factorial(rows) ** 2
        * comb(10, 5 - rows) ** 3 * factorial(5 - rows) ** 2
        for rows in range(6)
    )  # fmt: skip
    assert counted(grid(3, 10, 5, ["FREE r0.0"], named=True)) == free
    every = of_named_grid(3, 10, 5)
    assert counted(grid(3, 10, 5, ["NOTFREE r0.0"], named=True)) == every - free
    together = counted(grid(3, 10, 5, ["TOGETHER r0.0 r1.0"], named=True))
    apart = counted(grid(3, 10, 5, ["NOTTOGETHER r0.0 r1.0"], named=True))
    assert together is not None and apart is not None
    assert together > 0
    assert together + apart == every


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize(
    "constraint",
    ["FREE r0.0", "NOTFREE c1.2", "TOGETHER r0.1 r1.2", "TOGETHER r0.1 c1.2", "NOTTOGETHER r0.1 r1.2"],
)
def test_a_count_under_constraints_is_the_length_of_the_list(constraint: str, connected: bool) -> None:
    network = grid(2, 3, 2, [constraint], named=True)
    listed = solve(network, all=True, connected=connected)
    assert listed.exhausted
    assert len(listed.configurations) == counted(network, connected=connected)


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("20[a b]\n20[a* b*]\n30[a]\n30[b]", 1),
        ("\n".join(f"a >x{n}\na* >y{n}" for n in range(25)), factorial(25)),
        ("\n".join(f"a >x{n}" for n in range(500)) + "\n200[a*]", comb(500, 200)),
        ("\n".join(f"a >x{n}" for n in range(40)) + "\n5[a* >g]\n7[a* >h]", comb(40, 5) * comb(35, 7)),
        (
            "\n".join(f"2[a >x{n}]" for n in range(20)) + "\n10[a*]",
            sum(comb(20, twice) * comb(20 - twice, 10 - 2 * twice) for twice in range(6)),
        ),
        ("\n".join(f"d{n} >x{n}\nd{n} >y{n}\nd{n}*" for n in range(300)), 2**300),
        ("7[a*]\n" + "\n".join(f"a >x{n}" for n in range(9)) + "\nq r >free\n3[z]", comb(9, 7)),
    ],
)
def test_counts_of_any_size_are_exact(text: str, total: int) -> None:
    assert counted(load_network(text)) == total


def test_counting_lists_nothing() -> None:
    solution = solve(grid(4, 9, 7, named=True), gen=0, count=True)
    assert (solution.configurations, solution.exhausted) == ((), False)


@pytest.mark.parametrize(
    ("network", "total"),
    [(counter(6, 4), 16), (counter(4, 3), 8), (network_of("and_chain_8"), 511)],
    ids=["counter of four grids", "counter of three grids", "chain of gates"],
)
def test_counters_and_chains_are_listed_and_counted(network: Network, total: int) -> None:
    solution = solve(network, all=True)
    assert solution.exhausted
    assert len(solution.configurations) == total
    assert solve(network, gen=0, count=True).total == total


@pytest.mark.parametrize("level", [0, 1, 2])
def test_levels_below_the_optimum_are_counted_as_they_are_listed(level: int) -> None:
    network = grid(2, 2, 1, named=True)
    listed = solve(network, all=True, levels=level)
    assert listed.exhausted
    assert counted(network, levels=level) == len(listed.configurations) == listed.total


@given(network=networks(monomers=4, sites=3, copies=True), connected=st.booleans())
def test_copies_are_listed_and_counted_as_by_brute_force(network: Network, connected: bool) -> None:
    if len(network.monomers) > 7:
        network = msgspec.structs.replace(network, monomers=network.monomers[:7])
    expected = levels(network, connected=connected)
    solution = solve(network, all=True, levels=len(network.monomers), connected=connected)
    assert solution.exhausted
    assert listed_in(solution) == expected
    total = solve(network, gen=0, count=True, levels=len(network.monomers), connected=connected).total
    assert total == sum(len(each) for each in expected.values())


def listed_in(solution: Solution) -> dict[int, set[object]]:
    found: dict[int, set[object]] = {}
    for each in solution.configurations:
        found.setdefault(len(each.polymers), set()).add(distinct(solution.network, each))
    assert sum(map(len, found.values())) == len(solution.configurations)
    return found


@pytest.mark.parametrize("step", [1, 7])
@pytest.mark.parametrize(
    "network",
    [grid(2, 3, 2, named=True), grid(3, 4, 2), grid(2, 2, 2, ["NOTFREE r0.0"], named=True), counter(3, 3)],
    ids=["named grid", "plain grid", "constrained grid", "counter"],
)
def test_a_list_that_is_cut_off_anywhere_goes_on_to_the_same(
    network: Network, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = solve(network, all=True)
    monkeypatch.setattr(watches, "LOOK", 1)
    state: dict[str, Any] | None = None
    found = looks = 0
    for _ in range(400):
        states: list[dict[str, Any]] = []
        looks += step
        part = solve(network, all=True, state=state, on_state=states.append, cancelled=within(37 * looks))
        if part.exhausted:
            break
        listed = part.configurations
        # Where none was listed yet, a best one that was found otherwise is the answer.
        assert len(listed) == 1 or listed == whole.configurations[: len(listed)]
        assert len(listed) >= min(found, 1)
        if states:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(states[-1]))
            found = state["found"]
    assert part.exhausted
    assert part.configurations == whole.configurations

"""Networks with known answers: their optimum, and how many best configurations there are."""

import pytest
from tests.support.known_networks import known, network_of

from perdure.solvers.binding_networks import Status, solve
from perdure.solvers.binding_networks.certificate import verify_solution


@pytest.mark.parametrize("connected", [False, True], ids=["grouping", "connected"])
@pytest.mark.parametrize("name", known())
def test_its_optimum_and_all_its_best_configurations_are_found(name: str, connected: bool) -> None:
    expected = known()[name]["connected" if connected else "grouping"]

    solution = solve(network_of(name), all=True, count=True, connected=connected)

    verify_solution(solution, connected=connected)
    assert solution.entropy == known()[name]["entropy"]
    assert solution.optimum == expected["polymers"]
    if expected["polymers"] is None:
        assert solution.status is Status.UNSATISFIABLE
        return
    assert solution.exhausted
    assert len(solution.configurations) == solution.total
    if expected["distinct"] is not None:
        assert solution.total == expected["distinct"]


@pytest.mark.parametrize("name", known())
def test_counting_without_listing_agrees_with_listing(name: str) -> None:
    listed = solve(network_of(name), all=True)

    assert solve(network_of(name), gen=0, count=True).total == listed.total


def test_numbers_too_large_to_list_are_counted() -> None:
    distinct = "\n".join([f"a l{number}" for number in range(12)] + [f"a* r{number}" for number in range(12)])

    solution = solve(distinct, count=True)

    assert solution.total == 479001600  # 12!
    assert not solution.exhausted

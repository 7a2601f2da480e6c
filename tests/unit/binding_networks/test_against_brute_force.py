"""Small random networks against brute force: the optimum by each solver, lists and counts of all levels."""

import random

import pytest
from tests.support.brute_force import distinct, levels, random_network

from perdure.solvers.binding_networks import Network, Solution, Status, solve
from perdure.solvers.binding_networks.certificate import verify_solution
from perdure.solvers.binding_networks.demands import Demands, components, demands_of
from perdure.solvers.binding_networks.optimum import Backend, Question, divide
from perdure.solvers.binding_networks.reduction import by_component
from perdure.solvers.binding_networks.watch import Watch

BATCHES, SIZE = 20, 55


def drawn(batch: int) -> list[Network]:
    draw = random.Random(batch)
    return [random_network(draw) for _ in range(SIZE)]


@pytest.mark.parametrize("batch", range(BATCHES))
def test_each_solver_finds_the_optimum_and_all_levels_are_listed_and_counted(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if batch % 2:
        # Else networks as small as these never see the prices of a linear program.
        monkeypatch.setattr("perdure.solvers.binding_networks.optimum.SMALL", 0)
    for network in drawn(batch):
        for connected in (False, True):
            check(network, connected)


def check(network: Network, connected: bool) -> None:
    expected = levels(network, connected=connected)
    most = max(expected, default=None)
    for backend in Backend:
        assert optimum(network, connected, backend) == most, (backend, connected, network)
    solution = solve(network, all=True, levels=len(network.monomers), connected=connected)
    verify_solution(solution, connected=connected)
    assert found(solution) == expected, (connected, network)
    if not expected:
        assert solution.status is Status.UNSATISFIABLE
        return
    counted = solve(network, gen=0, count=True, levels=len(network.monomers), connected=connected)
    assert solution.exhausted
    assert counted.total == solution.total == sum(len(each) for each in expected.values())
    assert counted.optimum == solution.optimum == most


def optimum(network: Network, connected: bool, backend: Backend) -> int | None:
    total = 0
    component = components(network)
    demands = by_component(demands_of(network), component)
    for first in sorted(set(component)):
        monomers = tuple(index for index, each in enumerate(component) if each == first)
        question = Question(network, monomers, demands.get(first, Demands()), connected)
        part = divide(question, Watch(), backend=backend)
        assert part.proved
        if part.division is None:
            return None
        assert part.upper == part.lower
        total += part.lower
    return total


def found(solution: Solution) -> dict[int, set[object]]:
    made: dict[int, set[object]] = {}
    for configuration in solution.configurations:
        made.setdefault(len(configuration.polymers), set()).add(distinct(solution.network, configuration))
    return made

"""What a solve answers, tells on the way, and goes on from."""

import random
import threading
from typing import Any

import msgspec
import pytest
from tests.support.brute_force import levels, random_network
from tests.support.known_networks import dense, network_of

from perdure.errors import MinPolymersExceedEntropy
from perdure.solvers.binding_networks import Network, Progress, Solution, Status, solve
from perdure.solvers.binding_networks.certificate import verify, verify_solution
from perdure.solvers.binding_networks.grammar import parse_network

CLASSIC = ["a b >mon1", "a* b*", "a >mon3", "b"]


class Interrupted(Exception):
    """A test has seen enough."""


def test_configurations_are_generated_from_the_optimum_downwards() -> None:
    network = parse_network(CLASSIC)

    solution = solve(network, gen=100)

    expected = levels(network)
    assert [len(each.polymers) for each in solution.configurations] == [
        size for size in sorted(expected, reverse=True) for _ in expected[size]
    ]
    assert solution.exhausted
    assert solution.total == 1  # of the optimum: what `levels` asks for


def test_fewer_than_there_are_can_be_asked_for() -> None:
    solution = solve(parse_network(CLASSIC), gen=2)

    assert [len(each.polymers) for each in solution.configurations] == [3, 2]
    assert not solution.exhausted


def test_min_polymers_ends_the_list() -> None:
    solution = solve(parse_network(CLASSIC), gen=100, min_polymers=3)

    assert [len(each.polymers) for each in solution.configurations] == [3]
    assert solution.exhausted


def test_more_polymers_than_without_constraints_are_an_error() -> None:
    with pytest.raises(MinPolymersExceedEntropy, match=r"Minimum Polymers \[4\] exceeds the max entropy"):
        solve(parse_network(CLASSIC), min_polymers=4)


def test_more_polymers_than_the_constraints_allow_are_a_conflict() -> None:
    solution = solve(parse_network(CLASSIC, ["NOTTOGETHER mon1 mon3", "FREE mon1"]), min_polymers=3)

    assert (solution.status, solution.conflict) == (Status.UNSATISFIABLE, (1,))
    assert (solution.lower, solution.upper, solution.entropy) == (2, 2, 3)


def test_constraints_that_conflict_are_named() -> None:
    constraints = ["TOGETHER m1 m2", "NOTFREE m3", "TOGETHER m2 m3", "NOTTOGETHER m1 m3"]
    network = parse_network(["a >m1", "a* >m2", "a >m3", "a*"], constraints)

    solution = solve(network)

    assert (solution.status, solution.conflict) == (Status.UNSATISFIABLE, (0, 2, 3))
    assert solution.configurations == ()


def test_a_core_of_constraints_has_none_to_spare() -> None:
    draw = random.Random(7)
    checked = 0
    while checked < 40:
        network = random_network(draw)
        solution = solve(network)
        if solution.status is not Status.UNSATISFIABLE:
            continue
        core = [network.constraints[index] for index in solution.conflict]
        assert not levels(Network(network.monomers, tuple(core)))
        for spared in range(len(core)):
            assert levels(Network(network.monomers, tuple(core[:spared] + core[spared + 1 :])))
        checked += 1


def test_every_polymer_is_bonded_as_the_sites_demand() -> None:
    network = parse_network(["a:x a", "a*:y", "a*:z", "a"], ["PAIRED x z", "NOTPAIRED x y"])

    (configuration,) = solve(network).configurations

    verify(network, configuration)
    assert any(
        (bond.unstarred.monomer, bond.unstarred.site, bond.starred.monomer) == (0, 0, 2)
        for polymer in configuration.polymers
        for bond in polymer.bonds
    )


@pytest.mark.parametrize("name", ["wraparound_sorting_network", "and_gate_x5", "c_notfree_t3"])
def test_the_same_question_has_the_same_answer(name: str) -> None:
    assert solve(network_of(name), gen=5) == solve(network_of(name), gen=5)


@pytest.mark.parametrize(
    "name", ["and_chain_8", "explicit_or", "c_and_gate_together_inputs", "two_components"]
)
def test_bounds_close_in_and_configurations_are_right(name: str) -> None:
    network = network_of(name)
    heard: list[Progress] = []

    solution = solve(network, gen=3, on_progress=heard.append)

    assert [each.lower for each in heard] == sorted(each.lower for each in heard)
    assert [each.upper for each in heard] == sorted((each.upper for each in heard), reverse=True)
    assert [each.count for each in heard] == sorted(each.count for each in heard)
    assert all(each.lower <= solution.lower <= each.upper for each in heard)
    for each in heard:
        if each.best is not None:
            verify(network, each.best)
            assert len(each.best.polymers) == each.lower
    assert heard[-1].count >= 3


def test_no_time_gives_bounds_that_are_true() -> None:
    draw = random.Random(3)
    for _ in range(150):
        network = random_network(draw)
        expected = levels(network)
        solution = solve(network, timeout=0)
        verify_solution(solution)
        if expected and solution.status is not Status.UNSATISFIABLE:
            assert solution.lower <= max(expected) <= solution.upper
        else:
            assert not expected or solution.status is not Status.UNSATISFIABLE


def test_time_up_in_branch_and_bound_gives_bounds_and_the_best_so_far() -> None:
    solution = solve(dense(80, 1), timeout=1.0)

    assert solution.status is Status.BOUNDED
    assert 0 < solution.lower == len(solution.configurations[0].polymers) < solution.upper <= 80
    verify_solution(solution)


def test_a_cancelled_solve_answers_what_it_knows() -> None:
    heard: list[Progress] = []

    solution = solve(
        dense(80, 1), on_progress=heard.append, cancelled=lambda: bool(heard and heard[-1].lower > 1)
    )

    assert solution.status is Status.BOUNDED
    assert solution.lower == heard[-1].lower > 1


def test_time_up_in_an_enumeration_leaves_the_optimum_proved() -> None:
    looks = iter(range(10**9))

    solution = solve(network_of("and_gate_x5"), all=True, levels=20, cancelled=lambda: next(looks) > 30)

    assert (solution.optimum, solution.exhausted, solution.total) == (25, False, None)
    verify_solution(solution)


def test_an_error_of_the_listener_ends_the_solve() -> None:
    def listen(progress: Progress) -> None:
        if progress.lower > 1:
            raise Interrupted

    before = threading.active_count()
    with pytest.raises(Interrupted):
        solve(dense(80, 1), on_progress=listen)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("and_gate_x5", {"all": True}),
        ("and_chain_8", {"gen": 60, "count": True}),
        ("two_components", {"all": True, "levels": 3}),
        ("c_notfree_t3", {"gen": 9, "connected": True}),
    ],
)
def test_a_solve_interrupted_at_any_state_goes_on_to_the_same_answer(
    name: str, asked: dict[str, Any]
) -> None:
    network = network_of(name)
    states: list[bytes] = []
    undisturbed = solve(network, on_state=lambda state: states.append(msgspec.msgpack.encode(state)), **asked)
    assert len(states) > 3

    for state in states:
        assert without_source(solve(network, state=msgspec.msgpack.decode(state), **asked)) == without_source(
            undisturbed
        )


def test_what_a_state_holds_is_not_searched_again() -> None:
    network, states, looks = network_of("wraparound_sorting_network"), [], [0, 0]
    solve(network, all=True, on_state=states.append)

    for run, state in enumerate((None, states[-1])):

        def look(run: int = run) -> bool:
            looks[run] += 1
            return False

        solve(network, all=True, state=state, cancelled=look)
    assert looks[1] < looks[0] / 2


def test_a_state_of_another_question_is_refused() -> None:
    states: list[dict[str, Any]] = []
    solve(network_of("and_gate_x5"), all=True, on_state=states.append)

    with pytest.raises(ValueError, match="another network"):
        solve(network_of("and_gate"), all=True, state=states[0])


def without_source(solution: Solution) -> Solution:
    return msgspec.structs.replace(solution, bound_source="")

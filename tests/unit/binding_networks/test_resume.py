"""What a resumed solve reports at once, and what its states hold."""

from typing import Any

import msgspec
import pytest
from tests.support.known_networks import dense, network_of

from perdure.solvers.binding_networks import Progress, Status, solve
from perdure.solvers.binding_networks.grammar import parse_network
from perdure.solvers.binding_networks.optimum import Source

GADGET = ["a b >m{0}", "a* b* >n{0}", "a >p{0}", "b >q{0}"]


@pytest.mark.parametrize(
    "name", ["c_and_gate_together_inputs", "two_components", "and_chain_8", "explicit_or"]
)
def test_a_resumed_solve_never_falls_behind_its_state(name: str) -> None:
    network = network_of(name)
    heard: list[Progress] = []
    states: list[tuple[bytes, Progress]] = []
    undisturbed = solve(
        network,
        gen=3,
        on_progress=heard.append,
        on_state=lambda state: states.append((msgspec.msgpack.encode(state), heard[-1])),
    )
    for state, before in states:
        again: list[Progress] = []
        solution = solve(network, gen=3, on_progress=again.append, state=msgspec.msgpack.decode(state))
        assert all(before.lower <= each.lower and each.upper <= before.upper for each in again)
        assert before.entropy in (None, again[0].entropy)
        assert (again[0].best is None) <= (before.best is None)
        assert solution == undisturbed  # also in what proves the bound


def test_bounds_of_a_search_that_is_cut_off_are_not_lost() -> None:
    states: list[dict[str, Any]] = []
    heard: list[Progress] = []
    cut = solve(
        dense(60, 1),
        on_state=states.append,
        on_progress=heard.append,
        cancelled=lambda: bool(heard) and heard[-1].lower > 20,
    )
    again = solve(dense(60, 1), state=states[-1], timeout=0)

    assert (again.lower, again.upper, again.bound_source) == (cut.lower, cut.upper, cut.bound_source)


def test_a_state_that_names_the_source_of_a_bound_by_former_words_is_read() -> None:
    """Sources had these words in the first released version."""
    network, former = network_of("two_components"), "more polymers are unsatisfiable, says Glucose"
    states: list[dict[str, Any]] = []
    solution = solve(network, on_state=states.append)
    assert solution.bound_source == Source.SATISFIABILITY != former
    before = msgspec.msgpack.decode(msgspec.msgpack.encode(states[-1]))
    for part in ("free", "optima"):
        before[part] = [[*rest, former] for *rest, _ in before[part]]
    assert solve(network, state=before) == solution
    counting = "a monomer that can't be alone is with one that can, or with another of its kind"
    assert Source(counting) is Source.COUNTING


def test_entropy_and_the_source_of_the_bound_are_reported() -> None:
    heard: list[Progress] = []
    solution = solve(network_of("c_and_gate_together_inputs"), on_progress=heard.append)

    assert heard[-1].entropy == solution.entropy
    assert heard[-1].bound_source == solution.bound_source
    assert all(each.bound_source for each in heard)


@pytest.mark.parametrize("gen", [0, 1, 2, 3])
def test_no_output_beyond_those_asked_for_is_announced(gen: int) -> None:
    heard: list[Progress] = []
    solve(network_of("and_gate_x5"), gen=gen, count=True, on_progress=heard.append)

    assert max(each.count for each in heard) == gen


def test_few_of_many_named_configurations_are_there_at_once() -> None:
    network = parse_network([line.format(number) for number in range(20) for line in GADGET])

    solution = solve(network, gen=2)

    assert [len(each.polymers) for each in solution.configurations] == [60, 60]


def test_a_state_of_a_long_listing_is_small() -> None:
    network = parse_network([line.format(number) for number in range(6) for line in GADGET])
    states: list[bytes] = []
    solution = solve(network, all=True, on_state=lambda state: states.append(msgspec.msgpack.encode(state)))

    assert solution.total == 720
    last = msgspec.msgpack.decode(states[-1])
    assert last["found"] > 400
    assert len(states[-1]) < 20 * last["found"]


def test_what_is_counted_is_not_counted_again() -> None:
    network = network_of("and_gate_x5")
    states: list[dict[str, Any]] = []
    first = solve(network, gen=0, count=True, levels=1, on_state=states.append)
    asked = [0, 0]
    for run, state in enumerate((None, states[-1])):

        def look(run: int = run) -> bool:
            asked[run] += 1
            return False

        again = solve(network, gen=0, count=True, levels=1, state=state, cancelled=look)
        assert again.total == first.total
    assert asked[1] <= asked[0]
    assert states[-1]["levels"][0]["counted"]


def test_a_constraint_that_contradicts_saturation_is_reported_as_such() -> None:
    solution = solve(parse_network(["a:s", "a*", "a*"], ["NOTANYPAIRED s"]))

    assert solution.status is Status.UNSATISFIABLE
    assert solution.bound_source == "the constraints contradict saturation or each other"

"""Networks too large to be searched: what is near linear stays so, and there is an answer in time."""

import time
from collections.abc import Callable, Iterator

import pytest
from tests.support.known_networks import dense

from perdure.errors import TogetherImpossible
from perdure.solvers.binding_networks import Progress, Status, solve
from perdure.solvers.binding_networks.certificate import verify, verify_solution
from perdure.solvers.binding_networks.grammar import parse_network


def looks(most: int) -> Callable[[], bool]:
    """Return what says to end after so many looks, and that it was asked seldom after that."""
    asked = iter(range(10**9))
    return lambda: next(asked) >= most


def chain(monomers: int) -> list[str]:
    return [f"x a{number}* a{number + 1} >m{number}" for number in range(monomers)] + ["x*"]


def cpu(work: Callable[[], object]) -> float:
    def times() -> Iterator[float]:
        for _ in range(3):
            begun = time.process_time()
            work()
            yield time.process_time() - begun

    return min(times())


@pytest.mark.parametrize(
    "constraint", ["", "TOGETHER", "NOTFREE"], ids=["none", "one of all", "one for each"]
)
def test_reading_eight_times_as_much_does_not_take_sixty_times_as_long(constraint: str) -> None:
    def read(monomers: int) -> Callable[[], object]:
        names = [f"m{number}" for number in range(monomers)]
        lines = {
            "": [],
            "TOGETHER": [" ".join(["TOGETHER", *names])],
            "NOTFREE": [f"NOTFREE {name}" for name in names],
        }[constraint]
        return lambda: parse_network(chain(monomers), lines)

    assert cpu(read(8000)) < 32 * cpu(read(1000))


def test_a_counted_site_with_much_white_space_is_read_in_linear_time() -> None:
    def read(blanks: int) -> Callable[[], object]:
        return lambda: parse_network([f"3({' ' * blanks}a{' ' * blanks})", "a*"])

    assert cpu(read(64_000)) < 32 * cpu(read(8_000)) + 0.01


def test_the_first_pair_that_cannot_be_together_is_named() -> None:
    with pytest.raises(TogetherImpossible, match=r"\[m\] and Monomer \[o\]"):
        parse_network(["a >l", "a* >m", "a >n", "b >o"], ["TOGETHER m n o l"])
    with pytest.raises(TogetherImpossible, match=r"\[m\] and Monomer \[m\]"):
        parse_network(["a >l", "a* >m", "a >n"], ["TOGETHER l m n n m"])


@pytest.mark.parametrize("connected", [False, True])
def test_a_configuration_is_there_before_anything_is_searched(connected: bool) -> None:
    network = dense(500, 1)
    heard: list[Progress] = []

    solution = solve(
        network,
        connected=connected,
        on_progress=heard.append,
        cancelled=lambda: any(each.best is not None for each in heard),
    )

    assert solution.status is Status.BOUNDED
    assert 1 < solution.lower < solution.upper < 500
    verify_solution(solution, connected=connected)
    best = next(each.best for each in heard if each.best is not None)
    verify(network, best, connected=connected)


@pytest.mark.parametrize("most", [0, 1, 5, 20, 100])
def test_a_large_network_ends_when_it_is_cancelled_and_has_an_answer(most: int) -> None:
    solution = solve(dense(1500, 2), cancelled=looks(most))

    verify_solution(solution)
    assert solution.status is Status.BOUNDED
    assert solution.configurations


def test_many_copies_are_no_more_work_than_their_number() -> None:
    solution = solve("3000[a b]\n3000[a* b*]\n50[a]")

    assert (solution.status, solution.optimum) == (Status.OPTIMAL, 3050)
    assert solve("3000[a b]\n3000[a* b*]", timeout=0).configurations

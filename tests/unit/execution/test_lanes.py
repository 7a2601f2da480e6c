"""Whose turn it is: owners alternate, lanes are kept apart, nothing is lost or taken twice."""

from hypothesis import given
from hypothesis import strategies as st

from perdure.execution.lanes import Lane, Lanes

waiting_runs = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(Lane)), max_size=30)


def filled(runs: list[tuple[str, Lane]]) -> Lanes:
    """Return lanes in which runs wait that are called by their numbers."""
    lanes = Lanes()
    for number, (owner, lane) in enumerate(runs):
        lanes.push(str(number), owner, lane)
    return lanes


def taken(lanes: Lanes, *only: Lane) -> list[int]:
    """Take all that wait."""
    found = []
    while (run := lanes.take(*only)) is not None:
        found.append(int(run))
    return found


@given(waiting_runs)
def test_every_run_gets_its_turn_once(runs: list[tuple[str, Lane]]) -> None:
    assert sorted(taken(filled(runs))) == list(range(len(runs)))


@given(waiting_runs)
def test_the_runs_of_an_owner_go_in_the_order_they_came(runs: list[tuple[str, Lane]]) -> None:
    order = taken(filled(runs))
    for owner in "abc":
        own = [number for number in order if runs[number][0] == owner]
        assert own == sorted(own)


@given(waiting_runs)
def test_no_owner_has_a_turn_too_many_while_another_waits(runs: list[tuple[str, Lane]]) -> None:
    order = [runs[number][0] for number in taken(filled(runs))]
    for at in range(len(order)):
        turns = {owner: order[:at].count(owner) for owner in order[at:]}
        assert max(turns.values(), default=0) - min(turns.values(), default=0) <= 1


@given(waiting_runs)
def test_a_lane_gives_only_its_own(runs: list[tuple[str, Lane]]) -> None:
    lanes = filled(runs)
    assert all(runs[number][1] is Lane.SHORT for number in taken(lanes, Lane.SHORT))
    assert all(runs[number][1] is Lane.LONG for number in taken(lanes))


def test_an_owner_who_had_a_turn_lets_those_go_first_who_come_later() -> None:
    lanes = Lanes()
    lanes.push("a1", "ann", Lane.LONG)
    assert lanes.take() == "a1"
    lanes.push("a2", "ann", Lane.LONG)
    lanes.push("b1", "bob", Lane.LONG)
    assert [lanes.take(), lanes.take()] == ["b1", "a2"]


def test_pushing_twice_and_removing_what_does_not_wait_change_nothing() -> None:
    lanes = Lanes()
    lanes.push("a", "ann", Lane.LONG)
    lanes.push("a", "ann", Lane.LONG)
    lanes.remove("b")
    assert "a" in lanes
    lanes.remove("a")
    assert "a" not in lanes
    assert lanes.take() is None

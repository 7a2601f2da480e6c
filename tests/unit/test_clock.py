"""The steady clock: it goes on as if nothing had happened, however the wall clock is set."""

from hypothesis import given
from hypothesis import strategies as st

from perdure.clock import SteadyClock

START = 1_800_000_000.0


class Hands:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.wall, self.monotonic = START, 5.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.monotonic)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(-(10**6), 10**6)), max_size=10))
def test_only_time_that_passes_moves_the_clock(changes: list[tuple[int, int]]) -> None:
    hands, passed = Hands(), 0
    for seconds, step in changes:
        hands.passes(seconds)
        hands.wall += step
        passed += seconds
        assert hands.clock() == START + passed
        assert hands.clock.to_wall(hands.clock()) == hands.wall
        ago = hands.wall - 100.0
        assert hands.clock.from_wall(ago) == hands.clock() - 100.0
        assert hands.clock.to_wall(hands.clock.from_wall(ago)) == ago


def test_a_time_in_the_future_is_now() -> None:
    assert Hands().clock.from_wall(START + 10.0) == START


def test_what_is_found_lasts_an_hour_more_or_as_long_as_it_lasts_if_that_is_less() -> None:
    hands = Hands()
    hands.passes(50.0)
    hands.wall += 1_000_000.0
    assert hands.clock.earliest(20.0) == START + 70.0
    assert hands.clock.earliest(86_400.0) == START + 3_650.0

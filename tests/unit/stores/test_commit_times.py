"""Commit times are counted by what they are at most."""

from hypothesis import given
from hypothesis import strategies as st

from perdure.stores.commit_times import LIMITS, CommitTimes, CommitTimesCounter


def test_nothing_is_counted_at_first() -> None:
    assert CommitTimesCounter().read() == CommitTimes()
    assert CommitTimes().count == 0


@given(st.lists(st.one_of(st.floats(0, 20), st.sampled_from(LIMITS))))
def test_each_limit_counts_those_that_took_at_most_as_long(times: list[float]) -> None:
    counter = CommitTimesCounter()
    for seconds in times:
        counter.add(seconds)
    found = counter.read()
    assert found.counts == (*(sum(it <= limit for it in times) for limit in LIMITS), len(times))
    assert found.seconds == sum(times)

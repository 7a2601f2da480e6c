"""How often a login may fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.web.attempts import LIMIT, LIMIT_OF_ADDRESS, SECONDS, Attempts


def failed(attempts: Attempts, address: str, times: int, now: float) -> None:
    for _ in range(times):
        assert attempts.wait(address, now) == 0
        attempts.note_failure(address, now)


def test_an_address_that_failed_too_often_waits_and_others_do_not() -> None:
    attempts = Attempts()
    failed(attempts, "10.0.0.1", LIMIT_OF_ADDRESS, 100.0)
    assert attempts.wait("10.0.0.1", 100.0) == SECONDS
    assert attempts.wait("10.0.0.1", 100.0 + SECONDS - 0.5) == 1
    assert attempts.wait("10.0.0.2", 100.0) == 0
    assert attempts.wait("10.0.0.1", 100.0 + SECONDS) == 0


def test_all_addresses_together_wait_when_they_failed_too_often() -> None:
    attempts = Attempts()
    for number in range(LIMIT):
        failed(attempts, f"10.0.0.{number}", 1, float(number) / 10)
    assert attempts.wait("10.9.9.9", 20.0) == SECONDS - 20
    assert attempts.wait("10.9.9.9", SECONDS) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("", "", True),
        ("testclient", "other", False),
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(one: str, other: str, same: bool) -> None:
    attempts = Attempts()
    failed(attempts, one, LIMIT_OF_ADDRESS, 0.0)
    assert (attempts.wait(other, 0.0) > 0) == same


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 40)), max_size=400))
def test_no_minute_has_more_failures_than_the_limits(tries: list[tuple[float, int]]) -> None:
    attempts, noted, now = Attempts(), [], 0.0
    for after, number in tries:
        now += after / 20
        address = f"10.0.0.{number}"
        wait = attempts.wait(address, now)
        if wait == 0:
            attempts.note_failure(address, now)
            noted.append((now, address))
        recent = [it for it in noted if it[0] > now - SECONDS]
        assert len(recent) <= LIMIT
        assert sum(it[1] == address for it in recent) <= LIMIT_OF_ADDRESS
        assert 0 <= wait <= SECONDS
        assert attempts.wait(address, now + wait) == 0 or wait == 0

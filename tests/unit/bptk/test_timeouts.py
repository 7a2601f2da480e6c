"""Timeouts are checked before anything is kept, and times are written as BPTK writes them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.dialects.bptk.instance import Instance
from perdure.dialects.bptk.session_clock import time_text
from perdure.dialects.bptk.timeouts import DEFAULT, KEYS, checked_timeout, lasts
from perdure.engines.run_specs import decimals
from perdure.errors import InvalidTimeout
from perdure.stores.commands import Document

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


numbers = st.integers(0, 1000) | st.floats(0.0, 1000.0)
timeouts = st.dictionaries(st.sampled_from(KEYS), numbers, max_size=7)


@given(
    timeouts | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), anything, max_size=7) | anything
)
def test_a_timeout_is_refused_or_can_be_kept_and_counted(value: Any) -> None:
    try:
        timeout = checked_timeout(value)
    except InvalidTimeout:
        return
    assert list(timeout) == list(KEYS)
    instance = Instance(id="1", owner="ada", timeout=timeout, accessed=1_800_000_000.0)
    assert Instance.of(Document(instance.id, instance.to_blob(), 1)) == instance
    assert lasts(instance) > 0 or sum(timeout.values()) < 1  # less than a microsecond


def test_the_default_is_twelve_hours() -> None:
    instance = Instance(id="1", owner="ada", timeout=checked_timeout(dict(DEFAULT)), accessed=0.0)
    assert lasts(instance) == 12 * 3600.0


@pytest.mark.parametrize(
    ("start", "dt", "step", "text"),
    [
        (0.0, 0.1, 3, "0.3"),
        (1.0, 1.0, 1, "2.0"),
        (0.5, 0.25, 1, "0.75"),
        (2020.0, 0.01, 7, "2020.07"),
        (0.0, 1e-7, 3, "3e-07"),
        (0.0, 1 / 3, 1, "0.3333333333333333"),
    ],
)
def test_times_have_the_decimals_of_the_clock(start: float, dt: float, step: int, text: str) -> None:
    assert time_text(start + step * dt, decimals(start, dt)) == text

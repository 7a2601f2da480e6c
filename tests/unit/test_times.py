"""Simulation times: the fraction that was meant, and nanoseconds where a time is shown."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.times import NANOSECOND, exact, nanoseconds, whole_nanoseconds

fractions = st.builds(Fraction, st.integers(1, 9_000), st.integers(1, 1_000))


@pytest.mark.parametrize("hertz", range(1, 1001))
def test_a_frequency_in_hertz_is_exact(hertz: int) -> None:
    assert exact(1 / hertz) == Fraction(1, hertz)


@given(fractions)
def test_a_fraction_that_was_written_as_a_float_is_found_again(fraction: Fraction) -> None:
    assert exact(float(fraction)) == fraction


@given(st.floats(0, 9e9))
def test_the_fraction_rounds_to_the_float_that_was_given(seconds: float) -> None:
    found = exact(seconds)
    assert float(found) == seconds
    assert found.denominator <= 10**6 or found == Fraction(repr(seconds))


@given(st.floats(1e-6, 1e4))
def test_no_simpler_fraction_rounds_to_the_float(seconds: float) -> None:
    found = exact(seconds)
    if 1 < found.denominator <= 10**6:
        simpler = Fraction(seconds).limit_denominator(found.denominator - 1)
        assert float(simpler) != seconds


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0, Fraction(0)),
        (0.0, Fraction(0)),
        (9_000_000_000, Fraction(9_000_000_000)),
        (0.035, Fraction(7, 200)),
        (0.3333333333333333, Fraction(1, 3)),
        (1e-9, NANOSECOND),
        (0.0166667, Fraction(166667, 10**7)),
        (5e-324, Fraction(5, 10**324)),
        (8_999_999_999.7, Fraction(89_999_999_997, 10)),
        (2.0**53, Fraction(2**53)),
        (1e22, Fraction(10**22)),
        (sys.float_info.max, Fraction(sys.float_info.max)),
    ],
)
def test_a_decimal_number_is_taken_as_it_is_written(written: float, meant: Fraction) -> None:
    assert exact(written) == meant


@given(st.floats(0, allow_infinity=False))
def test_every_finite_float_has_a_time_and_numpys_floats_have_the_same(seconds: float) -> None:
    assert float(exact(seconds)) == seconds
    assert exact(np.float64(seconds)) == exact(seconds)


@given(st.integers(0, 10**18), st.integers(1, 10**9), st.fractions(0, 1))
def test_times_that_are_a_nanosecond_apart_are_shown_apart(whole: int, step: int, offset: Fraction) -> None:
    time = (whole + offset) * NANOSECOND
    assert nanoseconds(time + step * NANOSECOND) == nanoseconds(time) + step
    assert abs(nanoseconds(time) * NANOSECOND - time) <= NANOSECOND / 2


def test_a_time_may_be_given_in_parts_of_a_second() -> None:
    assert [nanoseconds(ticks, 60) for ticks in (0, 1, 2, 60)] == [0, 16_666_667, 33_333_333, 10**9]


def test_former_times_are_whole_nanoseconds() -> None:
    assert whole_nanoseconds(1 / 60) == 16_666_667 * NANOSECOND

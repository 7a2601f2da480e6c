"""The functions of Vensim that compiled equations call: values that its documentation gives or implies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.engines.system_dynamics.compiling import vectors, vensim

INF = math.inf
finite = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("x", "unit", "multiple", "rest"),
    [(7.0, 2.0, 6.0, 1.0), (-7.0, 2.0, -6.0, -1.0), (1.9, 0.5, 1.5, 0.4), (3.3, 0.0, 3.3, 0.0)],
)
def test_quantum_rounds_towards_zero_and_modulo_keeps_the_sign(x, unit, multiple, rest):
    assert vensim.quantum(x, unit) == pytest.approx(multiple)
    assert vensim.remainder(x, unit) == pytest.approx(rest)


@given(finite)
def test_integer_cuts_the_fraction_off(x):
    assert vensim.truncate(x) == int(x)


def test_integer_leaves_what_is_not_finite():
    assert vensim.truncate(INF) == INF
    assert math.isnan(vensim.truncate(math.nan))


def test_xidz_answers_for_denominators_near_zero():
    assert vensim.xidz(6.0, 3.0, 9.0) == 2.0
    assert vensim.xidz(6.0, 0.9e-6, 9.0) == 9.0
    assert vensim.xidz(6.0, -0.9e-6, 9.0) == 9.0


@pytest.mark.parametrize("dt", [1.0, 0.5, 0.1])
def test_a_pulse_lasts_its_width_from_its_start(dt):
    times = [n * dt for n in range(round(10 / dt))]
    held = [t for t in times if vensim.interval(t, dt, 3.0, 2.0)]
    assert held == [t for t in times if 3.0 - dt / 4 < t < 5.0 - dt / 4]


def test_a_pulse_of_no_width_lasts_one_step():
    assert [vensim.interval(n * 0.25, 0.25, 1.0, 0.0) for n in range(8)] == [0, 0, 0, 0, 1, 0, 0, 0]


def test_a_pulse_train_repeats_until_its_end():
    held = [t for t in range(20) if vensim.intervals(float(t), 1.0, 7.0, 3.0, 2.0, 14.0)]
    assert held == [7, 8, 10, 11, 13, 14]


def test_a_pulse_train_that_overlaps_never_falls():
    assert all(vensim.intervals(float(t), 1.0, 0.0, 2.0, 3.0, 9.0) for t in range(9))


@given(st.floats(), st.floats())
def test_a_quotient_is_that_of_ieee_754(x, y):
    with np.errstate(all="ignore"):
        assert np.array(vensim.quotient(x, y)).tobytes() == np.array(np.float64(x) / y).tobytes() or (
            math.isnan(vensim.quotient(x, y)) and np.isnan(np.float64(x) / y)
        )


def test_hyperbolic_functions_overflow_to_infinity():
    assert vensim.sinh(-1e4) == -INF
    assert vensim.cosh(-1e4) == INF
    assert vensim.sinh(1.0) == math.sinh(1.0)


# Vectors ----------------------------------------------------------------------------------------------------


@given(st.lists(finite, min_size=1, max_size=8, unique=True), st.booleans())
def test_the_sort_order_sorts_and_the_rank_inverts_it(values, ascending):
    direction = 1.0 if ascending else -1.0
    order = [vectors.sort_order(i, direction, *values) for i in range(len(values))]
    assert [values[int(i)] for i in order] == sorted(values, reverse=not ascending)
    ranks = [vectors.sort_rank(i, direction, *values) for i in range(len(values))]
    assert [ranks[int(i)] for i in order] == list(range(1, len(values) + 1))


def test_an_element_is_taken_by_its_position_and_refused_outside():
    assert vectors.element_at(1.0, 5.0, 6.0, 7.0) == 6.0
    for position in (-1.0, 3.0, math.nan):
        with pytest.raises(ValueError, match="outside the vector"):
            vectors.element_at(position, 5.0, 6.0, 7.0)


@pytest.mark.parametrize(
    ("action", "value"),
    [(0, 17.0), (1, 60.0), (2, 5.0), (3, 12.0), (4, 8.5), (5, 320.0), (6, 9.0), (7, 20.0), (8, 4.0),
     (9, 5.0), (10, 4.5)],
)  # fmt: skip
def test_the_actions_of_a_selection(action, value):
    weights, values = (0.0, 1.0, 3.0), (7.0, 5.0, 4.0)
    assert vectors.vector_select(-1.0, float(action), 0.0, *weights, *values) == value


def test_a_selection_of_nothing_and_of_too_much():
    assert vectors.vector_select(-1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0) == -1.0
    with pytest.raises(ValueError, match="nothing"):
        vectors.vector_select(-1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 2.0)
    with pytest.raises(ValueError, match="2 elements"):
        vectors.vector_select(-1.0, 0.0, 2.0, 1.0, 1.0, 1.0, 2.0)
    with pytest.raises(ValueError, match="no action"):
        vectors.vector_select(-1.0, 11.0, 0.0, 1.0, 1.0, 1.0, 2.0)


@given(st.lists(st.floats(-9, 9), min_size=9, max_size=9))
def test_an_inverse_times_its_matrix_is_the_identity(cells):
    matrix = np.array(cells).reshape(3, 3) + 30.0 * np.eye(3)
    found = [vectors.inverse(i, *matrix.ravel().tolist()) for i in range(9)]
    assert np.allclose(np.array(found).reshape(3, 3) @ matrix, np.eye(3))


def test_a_singular_matrix_is_refused():
    with pytest.raises(ValueError, match="singular"):
        vectors.inverse(0, 1.0, 2.0, 2.0, 4.0)


# Requests near the smallest floats have no fractions.
requests = st.lists(st.just(0.0) | st.floats(1e-3, 100.0), min_size=1, max_size=5)


@given(requests, st.floats(0.0, 1.0), st.sampled_from([1.0, 2.0, 3.0, 4.0]), st.data())
def test_available_supply_is_given_away_exactly_and_nobody_gets_too_much(asked, part, kind, data):
    supply = part * sum(asked)
    profiles = [
        value
        for _ in asked
        for value in (kind, data.draw(st.floats(0.0, 9.0)), data.draw(st.floats(0.1, 5.0)), 0.0)
    ]
    got = [vectors.allocate_available(i, supply, *asked, *profiles) for i in range(len(asked))]
    assert sum(got) == pytest.approx(supply, rel=1e-6, abs=1e-6)
    assert all(0.0 <= g <= a for g, a in zip(got, asked, strict=True))


@given(requests, st.floats(0.0, 1.0), st.floats(0.1, 5.0), st.data())
def test_supply_by_priority_is_given_away_exactly_and_by_priority(asked, part, width, data):
    supply = part * sum(asked)
    priorities = [data.draw(st.floats(0.0, 9.0)) for _ in asked]
    got = [vectors.allocate_by_priority(i, width, supply, *asked, *priorities) for i in range(len(asked))]
    assert sum(got) == pytest.approx(supply, rel=1e-9, abs=1e-9)
    assert all(0.0 <= g <= a * (1 + 1e-12) for g, a in zip(got, asked, strict=True))
    filled = [g / a if a else None for g, a in zip(got, asked, strict=True)]
    for high, more in zip(filled, priorities, strict=True):
        for low, less in zip(filled, priorities, strict=True):
            if high is not None and low is not None and more > less:
                assert high >= low - 1e-9


def test_a_gap_of_the_width_lets_the_lower_priority_wait():
    assert [vectors.allocate_by_priority(i, 3.0, 9.0, 3.0, 6.0, 2.5, 10.0, 9.0, 2.0) for i in range(3)] == [
        3.0,
        6.0,
        0.0,
    ]


def test_a_fraction_of_the_width_lets_it_begin_earlier():
    # The second begins when the first has a third of its request.
    assert [vectors.allocate_by_priority(i, 3.0, 1.0, 3.0, 6.0, 10.0, 9.0) for i in range(2)] == [1.0, 0.0]
    first, second = (vectors.allocate_by_priority(i, 3.0, 4.0, 3.0, 6.0, 10.0, 9.0) for i in range(2))
    assert (first, second) == (pytest.approx(2.0), pytest.approx(2.0))


@pytest.mark.parametrize(
    ("call", "operands", "message"),
    [
        (vectors.allocate_available, (1.0, 2.0, 1.0, 0.0, 0.0, 0.0), "width"),
        (vectors.allocate_available, (1.0, 2.0, 5.0, 0.0, 1.0, 0.0), "kinds 0 to 4"),
        (vectors.allocate_available, (1.0, 2.0, 0.0, 0.0, 1.0, 0.0), "fixed requests take 2.0"),
        (vectors.allocate_available, (-1.0, 2.0, 1.0, 0.0, 1.0, 0.0), "negative"),
        (vectors.allocate_by_priority, (0.0, 1.0, 2.0, 1.0), "width"),
        (vectors.allocate_by_priority, (1.0, 1.0, -2.0, 1.0), "negative"),
    ],
)
def test_allocation_refuses_what_makes_no_sense(call, operands, message):
    with pytest.raises(ValueError, match=message):
        call(0.0, *operands)

"""Samples of data packs: bounded, the same after a resume, and without any effect on what is sampled."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.drivers.experiments.samples import (
    MAX_POINTS,
    MAX_SERIES,
    MAX_VALUES,
    Samples,
    read_samples,
)
from perdure.state.codec import decode, encode


def packs(step: int) -> dict[str, Any]:
    """Return the data packs of two engines; one of them appears late."""
    own = {"plant": {"pole": {"angle": step / 7, "tip": [step, -step, 0.5], "ok": True, "name": "a"}}}
    return own if step < 100 else {**own, "late": {"n": step}}


def sampled(steps: int, samples: Samples | None = None, begin: int = 0) -> Samples:
    samples = samples or Samples()
    for step in range(begin, steps):
        if step % samples.stride == 0:
            samples.take(step, step / 100, packs(step))
    return samples


def test_numbers_are_noted_with_the_place_they_have_in_their_pack() -> None:
    time, series = read_samples(sampled(3).to_state())
    assert time == [0.0, 0.01, 0.02]
    assert series == {
        "plant/pole/angle": [0.0, 1 / 7, 2 / 7],
        "plant/pole/tip/0": [0.0, 1.0, 2.0],
        "plant/pole/tip/1": [0.0, -1.0, -2.0],
        "plant/pole/tip/2": [0.5, 0.5, 0.5],
    }


def test_a_series_that_begins_late_has_nan_before() -> None:
    time, series = read_samples(sampled(102).to_state())
    assert len(series["late/n"]) == len(time) == 102
    assert all(value != value for value in series["late/n"][:100])
    assert series["late/n"][100:] == [100.0, 101.0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5000))
def test_samples_are_bounded_and_evenly_spaced(steps: int) -> None:
    samples = sampled(steps)
    time, series = read_samples(samples.to_state())
    assert len(time) <= MAX_POINTS
    assert time == [step / 100 for step in range(0, steps, samples.stride)]
    assert len(time) * (len(series) + 1) <= MAX_VALUES
    assert steps < 200 or len(time) >= min(MAX_POINTS, MAX_VALUES // (len(series) + 1)) // 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 2000))
def test_a_resumed_run_has_the_samples_of_one_that_was_not_interrupted(first: int, more: int) -> None:
    state = decode(encode(sampled(first).to_state()))
    resumed = sampled(first + more, Samples(state), begin=first)
    assert resumed.to_state() == sampled(first + more).to_state()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 3000))
def test_a_run_of_an_earlier_version_begins_its_samples_where_it_is_resumed(begin: int, more: int) -> None:
    samples = sampled(begin + more, Samples(), begin=begin)
    time, _ = read_samples(samples.to_state())
    every = [step / 100 for step in range(0, begin + more, samples.stride)]
    assert time == [moment for moment in every if moment >= begin / 100]


def test_many_and_long_packs_leave_room_for_others() -> None:
    samples = Samples()
    crowd = {f"e{number}": {"p": list(range(1000))} for number in range(50)}
    samples.take(0, 0.0, {"long": {"array": list(range(100_000))}, **crowd})
    _, series = read_samples(samples.to_state())
    assert len(series) == MAX_SERIES
    assert sum(name.startswith("long/") for name in series) == 8


def test_what_is_no_number_is_left_out_and_nothing_is_changed() -> None:
    data = {"e": {"p": {"big": 10**400, "none": None, "text": "1", "true": True, "deep": [{"x": 1.5}]}}}
    before = copy.deepcopy(data)
    samples = Samples()
    samples.take(0, 0.0, data)
    assert read_samples(samples.to_state()) == ([0.0], {"e/p/deep/0/x": [1.5]})
    assert data == before


def test_packs_of_any_depth_and_length_are_sampled_without_an_error() -> None:
    deep: Any = 1.0
    for _ in range(100_000):
        deep = [deep]
    texts = {"long": ["text"] * 1_000_000, "wide": {str(number): "text" for number in range(100_000)}}
    samples = Samples()
    samples.take(0, 0.0, {"e": {"deep": deep, "texts": texts, "seen": {"x": 2.0}}})
    _, series = read_samples(samples.to_state())
    assert series == {"e/seen/x": [2.0]}
    while isinstance(deep, list):  # taken apart, since Python does that with recursion of its own
        deep = deep[0]


def test_without_a_state_there_are_none() -> None:
    assert read_samples(None) == ([], {})

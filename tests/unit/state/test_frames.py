"""DataFrames, Series and Indexes come back with their values, types and layout, or are refused."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perdure.engines.python_script.object_graph import ObjectGraph
from perdure.errors import CorruptBlob, MissingExtra, NotSnapshotable
from perdure.state import frames
from perdure.state.codec import decode, encode, pack, unpack

TEXTS = ["a", None, "ä\x00"]
DAYS = pd.date_range("2026-01-01", periods=3)
FRAMES: dict[str, Callable[[], Any]] = {
    "empty": lambda: pd.DataFrame(),
    "without rows": lambda: pd.DataFrame({"a": [], "b": []}),
    "without columns": lambda: pd.DataFrame(index=[1, 2]),
    "floats": lambda: pd.DataFrame({"a": [0.1, np.nan, -0.0], "b": [1e300, np.inf, 5e-324]}),
    "of an array": lambda: pd.DataFrame(np.arange(6.0).reshape(2, 3)),
    "transposed": lambda: pd.DataFrame(np.arange(6.0).reshape(2, 3)).T,
    "every other row": lambda: pd.DataFrame(np.arange(12.0).reshape(6, 2))[::2],
    "backwards": lambda: pd.DataFrame(np.arange(12.0).reshape(6, 2))[::-1],
    "the last rows": lambda: pd.DataFrame({"a": range(9), "b": range(9)}).iloc[-3:],
    "many blocks": lambda: pd.DataFrame({"a": [1.0], "b": [1], "c": [True], "d": [np.float32(0.1)]}),
    "unconsolidated": lambda: pd.DataFrame({"a": [1.0]}).assign(b=2.0, c=1),
    "text": lambda: pd.DataFrame({"a": TEXTS}, index=["x", "y", "z"]),
    "text of another kind": lambda: pd.DataFrame({"a": pd.array(TEXTS, dtype="string[python]")}),
    "objects": lambda: pd.DataFrame({"a": np.array([1, "x", None], object), "b": 1.0}),
    "text as objects": lambda: pd.DataFrame({"a": np.array(["x", "y"], object)}),
    "times": lambda: pd.DataFrame({"t": DAYS, "d": DAYS - DAYS[0], "x": 1.0}, index=DAYS),
    "categories": lambda: pd.DataFrame({"a": pd.Categorical(["x", "y", "x"], ordered=True)}),
    "two levels": lambda: pd.DataFrame({"x": [1.0, 2.0]}, index=pd.MultiIndex.from_product([["a"], [1, 2]])),
    "named axes": lambda: pd.DataFrame({"a": [1]}, index=pd.Index([5], name="i")).rename_axis(columns="c"),
    "equal columns": lambda: pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]),
    "small integers": lambda: pd.DataFrame({"a": np.array([1, 2], np.int8)}, index=np.array([1, 2], np.int8)),
    "a series": lambda: pd.Series([0.1, 0.2], name=("a", 1)),
    "a column": lambda: pd.DataFrame(np.arange(6.0).reshape(3, 2))[1],
    "a row": lambda: pd.DataFrame(np.arange(6.0).reshape(3, 2)).iloc[1],
    "a series of text as objects": lambda: pd.Series(["x", "y"], dtype=object),
    "a series of times": lambda: pd.Series(DAYS, index=[1, 2, 3]),
    "an index": lambda: pd.Index([0.5, 1.5], name="t"),
    "a range": lambda: pd.RangeIndex(1, 9, 2, name="n"),
    "days": lambda: DAYS,
    "spans": lambda: pd.timedelta_range("1s", periods=3),
}


def shape_of(value: Any) -> list[Any]:
    """Return all that is to be the same, down to how it lies in memory."""
    if isinstance(value, pd.Index):
        return [type(value), value.dtype, list(value), value.names, getattr(value, "freq", None)]
    blocks = [
        [block.dtype, list(block.mgr_locs), getattr(block.values, "_ndarray", block.values)]
        for block in value._mgr.blocks
    ]
    for block in blocks:
        array = block[-1]
        held = array.tolist() if array.dtype == object else array.tobytes()
        block[-1:] = [array.shape, array.strides if array.size else None, held]
    axes = [shape_of(axis) for axis in value.axes]
    return [type(value), getattr(value, "name", None), axes, blocks]


@pytest.mark.parametrize("what", FRAMES)
def test_a_frame_comes_back_as_it_was(what: str) -> None:
    value = FRAMES[what]()
    kept = {"held": [value], "before": 1}
    for back in (decode(encode(kept)), ObjectGraph().take("x", kept), unpack(pack(kept))):
        assert repr(shape_of(back["held"][0])) == repr(shape_of(value))
        assert encode(back) == encode(kept)
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(decode(encode(kept))["held"][0], value, check_freq=True)


@given(
    numbers=arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 4))),
    rows=st.slices(40),
    turned=st.booleans(),
)
@settings(max_examples=25)
def test_what_is_computed_from_it_has_the_same_bits(numbers: Any, rows: slice, turned: bool) -> None:
    frame = pd.DataFrame(numbers.T if turned else numbers)[rows]
    back: Any = decode(encode(frame))
    for compute in (
        lambda it: it.sum(),
        lambda it: it.sum(axis=1),
        lambda it: it.to_numpy().sum(),
        lambda it: it.std(),
        lambda it: np.exp(it).mean(),
        lambda it: pd.concat([it, it]).cumsum(),
    ):
        with np.errstate(all="ignore"):
            assert (
                compute(frame).to_numpy().tobytes() == compute(back).to_numpy().tobytes()
                if hasattr(compute(frame), "to_numpy")
                else repr(compute(frame)) == repr(compute(back))
            )


class Derived(pd.DataFrame):
    """A frame with a class of its own."""


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a class of its own": (lambda: Derived({"a": [1]}), "none of None"),
    "objects that aren't plain": (lambda: pd.DataFrame({"a": [[1], {}]}), "object"),
    "zones": (lambda: pd.DataFrame({"a": DAYS.tz_localize("UTC")}), "UTC"),
    "periods": (lambda: pd.DataFrame({"a": [1]}, index=pd.period_range("2026", periods=1)), "PeriodIndex"),
    "numbers that may lack": (lambda: pd.DataFrame({"a": pd.array([1, None])}), "Int64"),
    "attrs": (lambda: pd.DataFrame({"a": [1]}).assign().__finalize__(with_attrs()), "attrs"),
    "a name": (lambda: pd.Series([1.0], name=DAYS[0]), "Timestamp"),
}


def with_attrs() -> Any:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["made"] = [1]
    return frame


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_not_come_back_as_it_was_is_refused_by_name(what: str) -> None:
    make, says = REFUSED[what]
    with pytest.raises(NotSnapshotable, match=says):
        encode({"x": make()})
    with pytest.raises(NotSnapshotable, match=says):
        ObjectGraph().take("the attribute 'x'", [make()])


def test_a_frame_in_two_places_is_refused_and_frames_that_share_memory_are_not() -> None:
    frame = pd.DataFrame(np.arange(6.0).reshape(3, 2))
    with pytest.raises(NotSnapshotable, match="shared"):
        ObjectGraph().take("x", [frame, frame])
    ObjectGraph().take("x", [frame, frame.rename(columns={0: "a"}), frame[0], frame.index, frame.index])


def test_an_array_that_a_frame_shows_is_refused() -> None:
    numbers = np.arange(6.0).reshape(3, 2)
    frame = pd.DataFrame(numbers, copy=False)
    times = np.arange(3.0)
    index = pd.Index(times, copy=False)
    for held in ([numbers, frame], [frame, numbers], [times, index], [pd.Series([1.0] * 3, index), times]):
        with pytest.raises(NotSnapshotable, match="shared"):
            ObjectGraph().take("x", held)


def test_a_later_change_does_not_show_in_what_was_taken() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    taken = ObjectGraph().take("x", frame)
    frame.loc[0, "a"] = 5.0
    assert taken.loc[0, "a"] == 1.0


def test_a_server_without_pandas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    blob = encode(pd.DataFrame({"a": [1.0]}))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"perdure\[pandas\]"):
        decode(blob)


@pytest.mark.parametrize(
    "parts",
    [
        None,
        ["Frame"],
        ["Index", ["values", [None], ["array", np.zeros(8, np.uint8), "<f8", [2], [8], 0]]],
        ["Index", ["values", [None], ["array", np.zeros(8, np.uint8), "O", [1], [8], 0]]],
        ["DataFrame", ["range", [None], 0, 1, 1], ["range", [None], 0, 1, 1], [[1, 2]]],
    ],
)
def test_parts_that_make_nothing_are_damage(parts: Any) -> None:
    with pytest.raises(ValueError, match="parts"):
        frames.made(parts)
    with pytest.raises(CorruptBlob):
        unpack(pack(pd.DataFrame())[:-1])

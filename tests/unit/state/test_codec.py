"""The codec brings every state back bit for bit, and finds every damage."""

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perdure.errors import CorruptBlob, NewerSchema, NotSnapshotable
from perdure.state.codec import decode, encode, pack, same, unpack

arrays = hnp.arrays(
    dtype=st.sampled_from([np.dtype(kind) for kind in ("f8", "<f4", ">i8", "u1", "?", "c16", "S3", "U2")]),
    shape=hnp.array_shapes(min_dims=0, max_side=4),
)
states = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | arrays,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(-(2**63), 2**64 - 1), inner, max_size=4)
    ),
    max_leaves=12,
)


def identical(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, list):
        return len(one) == len(other) and all(map(identical, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)
    return bool(one == other)


@given(states)
def test_every_state_comes_back_bit_for_bit(state: Any) -> None:
    assert identical(decode(encode(state)), state)


@given(states)
def test_what_is_packed_within_a_state_comes_back_bit_for_bit(state: Any) -> None:
    assert identical(unpack(pack(state)), state)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x92\x01", b"\xd4\x07\x00"])
def test_what_was_never_packed_is_found(body: bytes) -> None:
    with pytest.raises(CorruptBlob):
        unpack(body)


@given(states, st.data())
def test_a_flipped_bit_is_found_wherever_it_is(state: Any, data: st.DataObject) -> None:
    blob = bytearray(encode(state))
    bit = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(CorruptBlob):
        decode(bytes(blob))


@given(states, st.data())
def test_a_truncated_blob_is_found(state: Any, data: st.DataObject) -> None:
    blob = encode(state)
    with pytest.raises(CorruptBlob):
        decode(blob[: data.draw(st.integers(0, len(blob) - 1))])


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ((1, 2), "state"),
        ({"a": {1, 2}}, "state['a']"),
        ([object()], r"state\[0\]"),
        ({"a": [{"b": np.float64(1.0)}]}, r"state\['a'\]\[0\]\['b'\]"),
        ({1.5: None}, "key 1.5"),
        (np.array([object()]), "dtype object"),
        (lambda: None, "state"),
        ({"a": {2**64: 1}}, r"state\['a'\] .*key 0x10000000000000000 has more than 64 bits"),
        ({-(2**63) - 1: 1}, "key -0x8000000000000001 has more than 64 bits"),
        ({2**70: 1}, "more than 64 bits"),
        ("\ud800", "state can't be taken: its text isn't Unicode"),
        ({"a": ["é", "x\udfff"]}, r"state\['a'\]\[1\] .*isn't Unicode"),
        ({"a": {"\ud800": 1}}, r"state\['a'\]\['\\ud800'\] .*isn't Unicode"),
    ],
)
def test_what_would_not_come_back_as_it_was_is_refused_by_its_place(state: Any, place: str) -> None:
    with pytest.raises(
        NotSnapshotable, match=place.replace("['a']", r"\['a'\]") if "\\" not in place else place
    ):
        encode(state)


def test_a_state_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(NotSnapshotable, match="nested"):
        encode(loop)


def test_a_newer_schema_is_told_from_damage() -> None:
    assert decode(encode(1, schema=3), schema=3) == 1
    with pytest.raises(NewerSchema, match="schema 4"):
        decode(encode(1, schema=4), schema=3)


def test_an_array_that_comes_back_can_be_written_and_shares_nothing() -> None:
    original = np.arange(4.0)
    blob = encode(original)
    original[0] = 99.0
    back = decode(blob)
    back[1] = 5.0
    assert list(back) == [0.0, 5.0, 2.0, 3.0]


def test_a_large_state_is_compressed() -> None:
    assert len(encode([0.0] * 10_000)) < 10_000


@settings(max_examples=50)
@given(states)
def test_equal_values_are_the_same_whatever_their_compression(state: Any) -> None:
    assert same(encode(state), encode(state, schema=7))
    assert not same(encode(state), encode([state]))


def test_not_a_number_is_the_same_as_itself() -> None:
    assert same(encode([math.nan]), encode([math.nan], schema=2))
    assert not same(encode([0.0]), encode([-0.0]))

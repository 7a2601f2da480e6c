"""The codec brings every state back bit for bit, and finds every damage."""

import math
import struct
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perdure.errors import CorruptBlob, NewerSchema, NotSnapshotable
from perdure.state.codec import Encoded, Packed, decode, encode, pack, same, unpack

RECORD = np.dtype([("a", "<i4"), ("b", ">f8", (2,)), ("c", [("d", "S3"), ("e", "<M8[D]")])])
KINDS = [np.dtype(code) for code in "?bhilqBHILQefdFD"] + [
    np.dtype(f"{kind}8[{unit}]") for kind in "Mm" for unit in ("D", "25s", "ns")
]
SWAPPED = [kind.newbyteorder() for kind in KINDS]
shapes = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)


def records(kind: np.dtype[Any], shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    size = kind.itemsize * math.prod(shape)
    return st.binary(min_size=size, max_size=size).map(lambda data: np.ndarray(shape, kind, data))


kinds = st.sampled_from([*KINDS, *SWAPPED, np.dtype("S3"), np.dtype(">U2")])
arrays = st.one_of(
    hnp.arrays(kinds, shapes),
    shapes.flatmap(lambda shape: records(RECORD, shape) | records(np.dtype("V5"), shape)),
)
scalars = st.one_of(
    st.sampled_from(KINDS).flatmap(lambda kind: hnp.arrays(kind, ()).map(lambda array: array[()])),
    st.text(max_size=5).map(np.str_),
    st.binary(max_size=5).map(np.bytes_),
    st.binary(max_size=5).map(np.void),
    st.floats().map(np.longdouble),
    st.complex_numbers().map(np.clongdouble),
    records(RECORD, ()).map(lambda array: array[()]),
)
states = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | arrays | scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=8) | st.integers(-(2**63), 2**64 - 1), inner, max_size=4)
    ),
    max_leaves=12,
)


class Named(NamedTuple):
    value: int


class Kelvin(np.float64):
    pass


def identical(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, np.str_ | np.bytes_):  # as Python has them: NumPy cuts off zeros at their end
        return bool(one[:] == other[:])
    if isinstance(one, np.ndarray | np.generic):
        return (
            (one.dtype, one.dtype.num, one.shape) == (other.dtype, other.dtype.num, other.shape)
            and np.array(one).tobytes() == np.array(other).tobytes()
            if one.dtype.char not in "gG"  # padded with what was in memory
            else np.array_equal(one, other, equal_nan=True)
        )
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, list | tuple):
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


@given(states, states)
def test_what_is_packed_already_comes_back_as_if_it_were_packed_with_the_rest(part: Any, rest: Any) -> None:
    packed = Packed(pack(part))
    assert identical(unpack(pack({"part": packed, "rest": rest})), {"part": part, "rest": rest})
    assert identical(decode(encode([rest, (packed,)])), [rest, (part,)])


@given(st.lists(states, max_size=3), st.lists(states, max_size=3))
def test_a_tuple_is_never_a_list(one: list[Any], other: list[Any]) -> None:
    nested: Any = {"a": [tuple(one), one], "b": (other, {"c": tuple(other)})}
    back = unpack(pack(nested))
    assert identical(back, nested)
    assert pack(tuple(one)) != pack(one)
    assert not same(encode([tuple(one)]), encode([one]))


@pytest.mark.parametrize("value", [1.5, True, 3, "a", b"a", 1j])
def test_a_scalar_an_array_without_dimensions_and_a_number_of_pythons_are_three_things(value: Any) -> None:
    array = np.array(value)
    scalar = array[()]
    assert type(decode(encode(array))) is np.ndarray
    assert decode(encode(array)).shape == ()
    assert type(decode(encode(scalar))) is type(scalar)
    if value != 1j:
        assert type(decode(encode(value))) is type(value)
        assert len({pack(array), pack(scalar), pack(value)}) == 3


@pytest.mark.parametrize("value", ["a\0", "", "\0", "aé\0\0", b"a\0", b"", b"\0\0"])
def test_zeros_at_the_end_of_a_numpy_text_are_kept(value: str | bytes) -> None:
    made = np.str_(value) if isinstance(value, str) else np.bytes_(value)
    back = decode(encode(made))
    assert type(back) is type(made)
    assert back[:] == value


def test_equal_numbers_of_80_bits_have_equal_bytes() -> None:
    third = np.longdouble(1) / 3
    used = 10 if np.finfo("g").nmant == 63 else np.dtype("g").itemsize
    padding = b"\xaa" * (np.dtype("g").itemsize - used)
    noisy = np.frombuffer(np.array(third).tobytes()[:used] + padding, "g")
    assert encode(noisy) == encode(np.array([third]))
    assert encode(noisy[0]) == encode(third)


@pytest.mark.parametrize(
    ("blob", "value"),
    [
        (
            "010003000935d4988f2d91c28aa16101a162c70901000000000000000040a163c70901ffffffffffffff7fffa16494c0c3cb"
            "3ff8000000000000cb8000000000000000a165a3c3a900a166c40100a167c7120293a33e6932920202c40800010002000300"
            "04a168c70c0293a33c663490c40400004040a169c7190293a33c55329102c410610000006200000000000000000000000781"
            "a16b90",
            {
                "a": 1,
                "b": 2**70,
                "c": -(2**63) - 1,
                "d": [None, True, 1.5, -0.0],
                "e": "é\0",
                "f": b"\0",
                "g": np.array([[1, 2], [3, 4]], ">i2"),
                "h": np.array(3.0, "<f4"),
                "i": np.array(["ab", ""], "<U2"),
                7: {"k": []},
            },
        ),
        (
            "010101002fddee4776fab31028b52ffd609702e5000088dc0065cb3fe000c70d010000000000001003006018bc2c055a6004",
            [0.5] * 100 + [2**100],
        ),
    ],
)
def test_a_blob_of_the_first_format_is_read(blob: str, value: Any) -> None:
    assert identical(decode(bytes.fromhex(blob), schema=3), value)


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (pack(np.zeros(3)).replace(b"<f8", b"<f4"), "no array"),
        (pack(np.zeros(3)).replace(b"<f8", b"|O8"), "no array"),
        (pack(np.zeros(3)).replace(b"<f8", b"<x9"), "x9"),
        (pack(np.float16(1)).replace(b"<f2", b"<f8"), "no array"),
    ],
)
def test_an_array_of_other_bytes_than_its_type_has_is_damage(blob: bytes, reason: str) -> None:
    with pytest.raises(CorruptBlob, match=reason):
        unpack(blob)


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
        ({"a": {1, 2}}, "state['a']"),
        ([object()], r"state\[0\]"),
        ({"a": ({"b": 1j},)}, r"state\['a'\]\[0\]\['b'\]"),
        (Named(1), "state can't be taken: .*Named"),
        (Kelvin(1.0), "state can't be taken: .*Kelvin"),
        (np.rec.array([(1,)], dtype=[("a", "i4")])[0], "numpy.record"),
        ([(np.array([object()]),)], r"state\[0\]\[0\] .*dtype object"),
        (np.ma.masked_array([1.0]), "MaskedArray"),
        ((1, ("\ud800",)), r"state\[1\]\[0\] .*isn't Unicode"),
        (np.str_("\ud800"), "isn't Unicode"),
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


def test_what_is_encoded_already_is_taken_as_it_is_and_only_as_a_whole() -> None:
    blob = encode({"count": [*range(1000)]})
    again = encode(Encoded(blob))
    assert again == blob and type(again) is bytes
    with pytest.raises(NotSnapshotable, match="Encoded is none of"):
        encode([Encoded(blob)])


def test_not_a_number_is_the_same_as_itself() -> None:
    assert same(encode([math.nan]), encode([math.nan], schema=2))
    assert not same(encode([0.0]), encode([-0.0]))

"""JSON bodies: an object that gives a key twice is refused, wherever it is and however the key is written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.web.bodies import decode_object, refuse_repeated_keys
from perdure.web.failures import HttpError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_json_without_repeated_keys_passes(value: object) -> None:
    refuse_repeated_keys(json.dumps(value).encode())
    refuse_repeated_keys(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@given(st.text(), JSON, JSON, JSON, st.booleans(), st.integers(0, 3))
def test_a_repeated_key_is_a_400_at_any_depth(
    key: str, one: object, other: object, between: object, escaped: bool, depth: int
) -> None:
    if escaped:  # the same key, each letter written as its number
        units = key.encode("utf-16-be", "surrogatepass").hex()
        again = '"' + "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)) + '"'
    else:
        again = json.dumps(key)
    inside = {f"{key}-": between}
    text = (
        f"{{{json.dumps(key)}: {json.dumps(one)}, {json.dumps(inside)[1:-1]}, {again}: {json.dumps(other)}}}"
    )
    for _ in range(depth):
        text = f'{{"a": [1, {text}]}}'
    with pytest.raises(HttpError) as refused:
        refuse_repeated_keys(text.encode("utf-8", "surrogatepass"))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "data", [b"{", b'{"a": 1, "a": 2', b"\xff" + b'{"a": 1, "a": 2}', b'{"a":' * 100_000, b"[" * 100_000]
)
def test_what_is_no_json_is_left_to_the_decoder(data: bytes) -> None:
    refuse_repeated_keys(data)
    with pytest.raises(HttpError, match="The body is not JSON"):
        decode_object(data)


def test_a_number_of_any_length_hides_no_key() -> None:
    with pytest.raises(HttpError, match="gives the key 'a' twice"):
        refuse_repeated_keys(b'{"a": 1' + b"0" * 5_000 + b', "a": -1e5}')

"""What agents hold comes back as it was: values, types, order, and which objects are one object."""

from collections import OrderedDict, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.bptk import Model
from perdure.engines.agents.decoding import Decoder
from perdure.engines.agents.encoding import Encoder
from perdure.state.codec import decode, encode

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=5),
)
KEYS = st.one_of(st.text(max_size=3), st.integers(), st.tuples(st.integers(), st.floats(allow_nan=False)))


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict),
    )


def encoder(model: Model) -> Encoder:
    return Encoder(model, lambda agent: 0, {}, {})


def through_bytes(value: Any) -> Any:
    model = Model()
    data = decode(encode(encoder(model).value(value)))
    return Decoder(model, [], {}).value(data)


@given(st.recursive(ATOMS, containers, max_leaves=20))
def test_values_come_back_with_their_types_and_order(value: Any) -> None:
    again = through_bytes(value)
    assert repr(again) == repr(value)
    model = Model()
    assert encode(encoder(model).value(again)) == encode(encoder(model).value(value))


@given(st.recursive(ATOMS, containers, max_leaves=8), st.integers(2, 4))
def test_one_object_stays_one_object(value: Any, count: int) -> None:
    shared = [value]
    again = through_bytes({"all": [shared] * count, "one": shared})
    assert all(each is again["one"] for each in again["all"])


def test_circles_come_back() -> None:
    circle: dict[str, Any] = {"list": []}
    circle["list"].append(circle)
    again = through_bytes(circle)
    assert again["list"][0] is again


@pytest.mark.parametrize(
    "data",
    [
        ["nothing"],
        ["class", "os", "system"],
        ["named", "os", "system"],
        ["object", 0, "subprocess", "Popen", [], []],
    ],
)
def test_data_that_no_encoder_makes_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match=r"no kind of value|no class of the model"):
        Decoder(Model(), [], {}).value(data)

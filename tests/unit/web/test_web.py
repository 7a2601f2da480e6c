"""The parts that every router uses: what is trusted, what identifies a request, what an error may tell."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from perdure.drivers.session_requests import ADMINISTRATOR
from perdure.errors import Invalid
from perdure.settings import Settings
from perdure.web.errors import error_body
from perdure.web.events import event
from perdure.web.failures import HttpError, failure_of
from perdure.web.idempotency import key_text, make_key
from perdure.web.origins import is_loopback
from perdure.web.tokens import Caller, Tokens

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda children: (
        st.lists(children) | st.dictionaries(st.text() | st.integers(), children) | st.sets(st.text())
    ),
    max_leaves=20,
)


def answered(message: str, details: dict[str, Any]) -> bytes:
    """Return the body of the answer for an error."""
    return msgspec.json.encode(error_body(failure_of(HttpError(422, "code", message, details), "request")))


@given(st.text(), st.dictionaries(st.text(), json_values))
def test_an_error_is_json_whatever_it_is_about(message: str, details: dict[str, Any]) -> None:
    body = json.loads(answered(message, details), parse_constant=pytest.fail)
    assert body["error"]["code"] == "code"
    assert body["error"]["details"].keys() <= set(details)


@pytest.mark.parametrize(
    "details",
    [
        {"value": "x" * 10_000_000},
        {"value": 10**100_000},
        {"value": ["x" * 10_000] * 10_000},
        {"value": {str(number): "x" * 900 for number in range(10_000)}},
        {"value": [[[[[[[["deep"] * 1000] * 1000]]]]]]},
        {"half a pair": "\ud800"},
        {"value": object()},
    ],
)
def test_an_error_is_bounded_whatever_it_is_about(details: dict[str, Any]) -> None:
    body = answered("y" * 1_000_000, details)
    assert len(body) < 15_000
    json.loads(body)


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.255.0.3", "::1"])
def test_names_of_this_machine_are_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.example", "127.1"]
)
def test_other_names_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_a_token_belongs_to_its_owner_and_to_nobody_else() -> None:
    given = {"ada": ["one", "uno"], "bob": ["two"], "änne": ["drei ü"]}
    tokens = Tokens({owner: map(SecretStr, secrets) for owner, secrets in given.items()})
    assert tokens
    assert tokens.bearer(b"Bearer one") == tokens.bearer(b"Bearer uno") == Caller("ada")
    assert tokens.bearer(b"bearer  two ") == Caller("bob")
    assert tokens.bearer("Bearer drei ü".encode()) == Caller("änne")
    for wrong in (b"", b"Bearer", b"Bearer o", b"Bearer onee", b"Basic one", b"one", b"Bearer \xff"):
        assert tokens.bearer(wrong) is None
    assert not Tokens({})


def test_an_administrator_sees_everything_and_makes_what_is_her_own() -> None:
    tokens = Tokens({"ada": [SecretStr("one")], "bob": [SecretStr("two")]}, ["bob"])
    found = [tokens.bearer(f"Bearer {it}".encode()) for it in ("one", "two")]
    assert [(it.owner, it.name) for it in found if it] == [("ada", "ada"), (ADMINISTRATOR, "bob")]


def test_an_owner_may_have_several_tokens_and_a_token_one_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_TOKENS", "ada:t1, ada: t2 ,bob:t3")
    tokens = Tokens(Settings().tokens)
    found = [tokens.bearer(f"Bearer t{i}".encode()) for i in (1, 2, 3)]
    assert found == [Caller("ada"), Caller("ada"), Caller("bob")]
    for twice in ("ada:t1,ada:t2,bob:t1", "ada:t1,ada:t1"):
        monkeypatch.setenv("PERDURE_TOKENS", twice)
        with pytest.raises(Invalid, match=r"'ada' and .* have the same token") as refused:
            Settings()
        assert "t1" not in str(refused.value)
    for wrong in ("ada", "ada:", ":t1", "ada: "):
        monkeypatch.setenv("PERDURE_TOKENS", wrong)
        with pytest.raises(Invalid, match="owner:token"):
            Settings()


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255))
def test_every_visible_text_is_a_key(text: str) -> None:
    assert key_text({b"idempotency-key": text.encode()}) == text


@pytest.mark.parametrize("value", [b"", b" ", b"a b", b"\xc3\xa9", b"x" * 256, b"a\x00b", b"a\n"])
def test_no_other_text_is_a_key(value: bytes) -> None:
    with pytest.raises(HttpError):
        key_text({b"idempotency-key": value})


def test_a_key_tells_requests_apart_by_what_they_say_and_where() -> None:
    def hashed(route: str, request: object) -> bytes:
        key = make_key("k", route, request)
        assert key is not None
        return key.body_hash

    assert hashed("a", {"x": 1, "y": 2.0}) == hashed("a", {"y": 2.0, "x": 1})
    assert hashed("a", {"x": 1}) != hashed("b", {"x": 1})
    assert hashed("a", {"x": 1}) != hashed("a", {"x": 2})
    assert make_key(None, "a", {}) is None


def test_an_event_is_written_as_the_standard_says() -> None:
    assert event("run", 5, b'{"step":5}') == b'event: run\nid: 5\ndata: {"step":5}\n\n'

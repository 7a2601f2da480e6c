"""What the cookie of a login says, and that nobody but the server can make one."""

import base64
import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from perdure.web.logins import KEY_BYTES, LONGEST_COOKIE, Logins
from perdure.web.tokens import Caller, Tokens

KEY = bytes(range(KEY_BYTES))
NOW, END = 1_000.0, 2_000
ADA = Caller("ada", by_cookie=True)
GIVEN = {"ada": ["one", "uno"], "bob": ["two"], "änne": ["drei ü"]}


def tokens_of(given: dict[str, list[str]], *administrators: str) -> Tokens:
    return Tokens({owner: map(SecretStr, secrets) for owner, secrets in given.items()}, administrators)


LOGINS = Logins(tokens_of(GIVEN, "bob"), KEY)


def value(token: str, expires: int = END, logins: Logins = LOGINS) -> str:
    made = logins.value(token, expires)
    assert made is not None
    return made[1]


@pytest.mark.parametrize(
    ("token", "caller"),
    [
        ("one", ADA),
        (" uno\n", ADA),
        ("two", Caller("bob", administrator=True, by_cookie=True)),
        ("drei ü", Caller("änne", by_cookie=True)),
    ],
)
def test_a_cookie_is_of_whom_its_token_is(token: str, caller: Caller) -> None:
    made = LOGINS.value(token, END)
    assert made is not None
    assert LOGINS.caller(made[1], NOW) == caller
    assert made[0] == replace(caller, by_cookie=False)


@pytest.mark.parametrize("token", ["", "o", "onee", "ONE", "three", "\ud800", "\x00one"])
def test_a_wrong_token_makes_no_cookie(token: str) -> None:
    assert LOGINS.value(token, END) is None


def test_a_login_ends_at_its_time() -> None:
    made = value("one")
    assert [LOGINS.caller(made, at) is None for at in (END - 1, END - 0.001, END, END + 1)] == [
        *(False, False),
        *(True, True),
    ]


def test_another_server_of_the_store_knows_it_and_one_of_another_store_does_not() -> None:
    made = value("one")
    assert Logins(tokens_of(GIVEN), KEY).caller(made, NOW) == ADA
    for key in (secrets.token_bytes(KEY_BYTES), b"", KEY[:-1]):
        assert Logins(tokens_of(GIVEN), key).caller(made, NOW) is None


def test_a_removed_token_ends_its_logins_and_no_others() -> None:
    of_one, of_uno = value("one"), value("uno")
    later = Logins(tokens_of({**GIVEN, "ada": ["uno"]}), KEY)
    assert later.caller(of_one, NOW) is None
    assert later.caller(of_uno, NOW) == ADA


def test_a_token_that_was_given_to_another_owner_ends_its_logins() -> None:
    made = value("one")
    assert Logins(tokens_of({"eve": ["one"], "ada": ["uno"]}), KEY).caller(made, NOW) is None


def test_rights_are_those_that_the_owner_has_now() -> None:
    of_bob, of_ada = value("two"), value("one")
    later = Logins(tokens_of(GIVEN, "ada"), KEY)
    assert later.caller(of_bob, NOW) == Caller("bob", by_cookie=True)
    assert later.caller(of_ada, NOW) == Caller("ada", administrator=True, by_cookie=True)


@given(st.data())
def test_a_cookie_that_was_tampered_with_is_nobodys(data: st.DataObject) -> None:
    made = value("one")
    at = data.draw(st.integers(0, len(made) - 1))
    put = data.draw(st.text(max_size=3))
    changed = made[:at] + put + made[at + data.draw(st.integers(0, 3)) :]
    assert (LOGINS.caller(changed, NOW) is None) == (changed != made)


@given(st.text() | st.binary().map(lambda it: base64.urlsafe_b64encode(it).decode()))
def test_what_is_no_cookie_is_nobodys(text: str) -> None:
    assert LOGINS.caller(text, NOW) is None


@pytest.mark.parametrize("text", ["", "=", "A", "AA==", "é" * 9, "+" * 100, "A" * (LONGEST_COOKIE + 4)])
def test_malformed_cookies_are_nobodys(text: str) -> None:
    assert LOGINS.caller(text, NOW) is None


def test_one_cookie_is_written_in_one_way_only() -> None:
    made = value("one")
    for other in (f"{made}=", f"{made}==", f" {made}", made.replace("_", "/").replace("-", "+") + "\n"):
        assert LOGINS.caller(other, NOW) is None
    last = [it for it in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" if it != made[-1]]
    assert [LOGINS.caller(made[:-1] + it, NOW) for it in last] == [None] * 63


def test_a_cookie_has_neither_the_token_nor_a_hash_that_could_be_compared_with_tokens() -> None:
    token = "correct horse battery staple"
    first, second = (Logins(tokens_of({"ada": [token]}), bytes([it]) * KEY_BYTES) for it in (1, 2))
    data = [base64.urlsafe_b64decode(value(token, END, it) + "==") for it in (first, second)]
    ((digest, _),) = tokens_of({"ada": [token]})
    for one in data:
        assert token.encode() not in one and digest not in one
        assert b"ada" in one
    assert data[0][-32:] != data[1][-32:]


def test_the_hash_of_a_token_is_no_signature() -> None:
    """Who has the key but never saw a cookie of a token can't make one: the hash takes the token's digest."""
    other = Logins(tokens_of({"ada": ["guessed"]}), KEY)
    assert LOGINS.caller(value("guessed", END, other), NOW) is None

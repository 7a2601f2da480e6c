"""The cookie of a login: its name and attributes, and from where a request with one may come."""

import pytest
from starlette.types import Scope

from perdure.web import cookies
from perdure.web.headers import headers_of

HERE = "sim.example:5000"


def asked(
    *headers: tuple[str, str], method: str = "GET", host: str | None = HERE, scheme: str = "http"
) -> Scope:
    given = [*headers] if host is None else [("host", host), *headers]
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in given]
    return {"type": "http", "method": method, "scheme": scheme, "headers": encoded}


def new_cookie(scope: Scope, value: str, seconds: int) -> tuple[str, str]:
    return cookies.new_cookie(scope, headers_of(scope), value, seconds)


def forgotten_cookie(scope: Scope) -> tuple[str, str]:
    return cookies.forgotten_cookie(scope, headers_of(scope))


def cookie_of(scope: Scope) -> str | None:
    return cookies.cookie_of(scope, headers_of(scope))


def is_from_elsewhere(scope: Scope) -> bool:
    return cookies.is_from_elsewhere(headers_of(scope))


def may_use_cookie(scope: Scope) -> bool:
    return cookies.may_use_cookie(scope["method"], headers_of(scope))


@pytest.mark.parametrize(
    ("host", "scheme", "name"),
    [
        ("sim.example:5000", "http", "perdure-5000"),
        ("127.0.0.1:5001", "http", "perdure-5001"),
        ("[::1]:5002", "http", "perdure-5002"),
        ("sim.example", "http", "perdure-80"),
        ("sim.example", "https", "perdure-443"),
        ("sim.example:", "https", "perdure-443"),
        (None, "http", "perdure-80"),
        ("a b", "http", "perdure-80"),
    ],
)
def test_its_name_holds_the_port_that_the_browser_knows(host: str | None, scheme: str, name: str) -> None:
    assert new_cookie(asked(host=host, scheme=scheme), "x", 5)[1].startswith(f"{name}=x; ")
    assert cookie_of(asked(("cookie", f"{name}=x"), host=host, scheme=scheme)) == "x"


def test_no_script_and_no_other_site_gets_it() -> None:
    assert new_cookie(asked(), "value", 60) == (
        "Set-Cookie",
        "perdure-5000=value; Path=/; Max-Age=60; HttpOnly; SameSite=Strict",
    )
    assert "=; Path=/; Max-Age=0; " in forgotten_cookie(asked())[1]


@pytest.mark.parametrize(
    ("headers", "scheme", "secure"),
    [
        ([], "http", False),
        ([], "https", True),
        ([("origin", "http://sim.example:5000")], "http", False),
        ([("origin", "https://sim.example:5000")], "http", True),
        ([("origin", "HTTPS://sim.example:5000")], "http", True),
        ([("x-forwarded-proto", "https")], "http", True),
        ([("x-forwarded-proto", "https, http")], "http", True),
        ([("x-forwarded-proto", "http")], "http", False),
    ],
)
def test_behind_tls_it_is_sent_by_https_only(
    headers: list[tuple[str, str]], scheme: str, secure: bool
) -> None:
    scope = asked(*headers, scheme=scheme)
    assert [it[1].endswith("; Secure") for it in (new_cookie(scope, "x", 5), forgotten_cookie(scope))] == [
        secure
    ] * 2


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([], None),
        (["perdure-5000=abc"], "abc"),
        (["a=b; perdure-5000=abc; c=d"], "abc"),
        (["a=b;perdure-5000=abc;c=d"], "abc"),
        (["perdure-5000="], ""),
        (["perdure-5000"], ""),
        (["perdure-5000=a=b"], "a=b"),
        (["perdure-5000=é"], "é"),
        (["perdure-5000=abc; perdure-5000=abc"], "abc"),
        (["perdure-5000=abc; perdure-5000=xyz"], None),
        (["a=b", "perdure-5000=abc"], None),
        (["perdure-5001=abc"], None),
        (["PERDURE-5000=abc"], None),
        (["perdure-50000=abc; xperdure-5000=abc; perdure-500=0"], None),
        ([";;;=;==; ;"], None),
    ],
)
def test_it_is_found_among_other_cookies_once(headers: list[str], value: str | None) -> None:
    assert cookie_of(asked(*(("cookie", it) for it in headers))) == value


OWN = ("origin", "http://sim.example:5000")
FOREIGN = [
    *("http://evil.example", "http://sim.example:5001", "http://sim.example", "null", ""),
    *("https://sim.example", "http://sim.example:5000.evil.example", "http://user@sim.example:5000"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reads_may_say_nothing_of_where_they_are_from(method: str) -> None:
    assert may_use_cookie(asked(method=method))
    for headers in ([OWN], [("sec-fetch-site", "same-origin")], [("sec-fetch-site", "none")]):
        assert may_use_cookie(asked(*headers, method=method))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "X"])
def test_writes_have_to_say_that_they_are_from_here(method: str) -> None:
    same = ("sec-fetch-site", "same-origin")
    for headers in ([OWN], [same], [OWN, same], [("origin", "https://sim.example:5000")]):
        assert may_use_cookie(asked(*headers, method=method))
    for site in ("none", "same-site", "cross-site", "", "SAME-ORIGIN"):
        assert not may_use_cookie(asked(("sec-fetch-site", site), method=method))
    for site in ("same-site", "cross-site"):
        assert not may_use_cookie(asked(("sec-fetch-site", site), OWN, method=method))
    assert not may_use_cookie(asked(method=method))
    assert not may_use_cookie(asked(same, ("sec-fetch-site", "cross-site"), method=method))
    assert not may_use_cookie(asked(OWN, OWN, method=method))
    assert not may_use_cookie(asked(OWN, ("host", HERE), method=method))
    assert not may_use_cookie(asked(OWN, method=method, host=None))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_is_from_here_that_says_it_is_from_elsewhere(method: str) -> None:
    for origin in FOREIGN:
        assert not may_use_cookie(asked(("origin", origin), method=method))
        assert not may_use_cookie(asked(("origin", origin), ("sec-fetch-site", "same-origin"), method=method))
    for site in ("cross-site", "same-site"):
        assert not may_use_cookie(asked(("sec-fetch-site", site), method=method))


def test_a_request_without_a_word_is_from_nowhere_else() -> None:
    for headers in ([], [OWN], [("sec-fetch-site", "none")], [("sec-fetch-site", "same-origin")]):
        assert not is_from_elsewhere(asked(*headers, method="POST"))
    for origin in FOREIGN:
        assert is_from_elsewhere(asked(("origin", origin), method="POST"))
    for site in ("cross-site", "same-site", "", "x"):
        assert is_from_elsewhere(asked(("sec-fetch-site", site), method="POST"))

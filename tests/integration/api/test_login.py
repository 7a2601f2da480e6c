"""Logging in: a browser has a cookie in place of a token, and no other page can use it."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from pydantic import SecretStr
from tests.support.in_process import Client, in_process

from perdure.api.dialects import installed_dialects
from perdure.bptk import BptkServer, bptk
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore
from perdure.stores.open import open_store

HERE = "http://localhost:5000"
SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OWN = {"Origin": HERE}
TOKENS = {"ada": (SecretStr("one"), SecretStr("uno")), "grace": (SecretStr("two"),)}


def settings(**others: Any) -> Settings:
    given = {"store": "memory://", "tokens": TOKENS, "administrators": ("grace",), **others}
    return Settings(**given)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with in_process(settings()) as made:
        yield made


def log_in(client: Client, token: str = "one", at: str = HERE, **headers: str) -> httpx.Response:
    return client.post(f"{at}/login", json={"token": token}, headers={"Origin": at, **headers})


def cookie_of(answer: httpx.Response) -> str:
    """Return the cookie that an answer sets, as a browser sends it back."""
    found: str = answer.headers["Set-Cookie"].partition(";")[0]
    return found


def ask(
    client: Client, method: str, path: str, cookie: str, at: str = HERE, **headers: str
) -> tuple[int, str]:
    """Return the status of an answer and the code of its error."""
    body = {"json": SESSION} if (method, path) == ("POST", "/runs") else {}
    answer = client.request(method, f"{at}{path}", headers={"Cookie": cookie, **headers}, **body)
    try:
        return answer.status_code, answer.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return answer.status_code, ""


@pytest.fixture(scope="module")
def ada(client: Client) -> str:
    return cookie_of(log_in(client))


def test_a_token_in_json_is_answered_with_json_and_a_cookie(client: Client) -> None:
    answer = log_in(client, "two")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["owner"], told["administrator"]) == ("grace", True)
    assert 604_790 < told["expires"] - time.time() <= 604_800
    assert re.fullmatch(
        r"perdure-5000=[A-Za-z0-9_-]+; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict",
        answer.headers["Set-Cookie"],
    )
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_form_is_answered_with_the_start_page_wherever_it_wants_to_lead(client: Client) -> None:
    body = urlencode({"token": " one "})
    for query in ("", "?next=//evil.example", "?next=https://evil.example/"):
        answer = client.post(f"{HERE}/login{query}", content=body, headers={**FORM, **OWN})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
        assert answer.headers["Set-Cookie"].startswith("perdure-5000=")


def test_its_cookie_does_what_its_token_does(client: Client, ada: str) -> None:
    created = client.post(f"{HERE}/runs", json=SESSION, headers={"Cookie": ada, **OWN}).json()
    assert created["owner"] == "ada"
    place = f"/runs/{created['id']}"
    assert ask(client, "GET", place, ada) == (200, "")
    assert ask(client, "POST", f"{place}/steps", ada, **{"Sec-Fetch-Site": "same-origin"}) == (200, "")
    assert ask(client, "POST", "/check", ada, **OWN) == (403, "administrator_only")
    grace = cookie_of(log_in(client, "two"))
    assert ask(client, "POST", "/check", grace, **OWN) == (200, "")
    assert ask(client, "GET", place, grace) == (200, "")


def test_who_asks_by_it_learns_when_it_ends(client: Client) -> None:
    answer = log_in(client, "two")
    me = client.get(f"{HERE}/me", headers={"Cookie": cookie_of(answer)}).json()
    assert me == {**answer.json(), "token_needed": True}


def test_event_streams_are_read_by_it(client: Client, ada: str) -> None:
    run = client.post(f"{HERE}/runs", json=SESSION, headers={"Cookie": ada, **OWN}).json()["id"]
    client.put(f"{HERE}/runs/{run}/state", json={"state": "stopped"}, headers={"Cookie": ada, **OWN})
    stream = client.get(f"{HERE}/runs/{run}/events", headers={"Cookie": ada})
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert ask(client, "GET", f"/runs/{run}/events", ada, **{"Sec-Fetch-Site": "same-site"})[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", **OWN},
    ],
)
def test_a_write_that_is_not_of_a_page_of_the_server_is_refused(
    client: Client, ada: str, headers: dict[str, str]
) -> None:
    assert ask(client, "POST", "/runs", ada, **headers) == (403, "same_origin_needed")
    assert ask(client, "DELETE", "/runs/x", ada, **headers) == (403, "same_origin_needed")
    assert ask(client, "PUT", "/runs/x/state", ada, **headers) == (403, "same_origin_needed")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:5001", "http://localhost", "null"]
)
def test_another_origin_is_refused_whatever_it_does(client: Client, ada: str, origin: str) -> None:
    for method, path in (("GET", "/runs"), ("POST", "/runs"), ("POST", "/logout"), ("POST", "/login")):
        assert ask(client, method, path, ada, Origin=origin) == (403, "foreign_origin")


def test_pages_that_may_call_the_server_may_not_do_so_by_its_cookie() -> None:
    page = {"Origin": "https://pages.example"}
    for allowed in ("https://pages.example", "*"):
        with in_process(settings(cors_origins=(allowed,))) as client:
            ada = cookie_of(log_in(client))
            for method, path in (("GET", "/runs"), ("POST", "/runs"), ("POST", "/logout")):
                assert ask(client, method, path, ada, **page) == (403, "same_origin_needed")
            answer = client.get(f"{HERE}/runs", headers={**page, "Authorization": "Bearer one"})
            assert answer.status_code == 200
            assert "Access-Control-Allow-Credentials" not in answer.headers
            refused = client.post(f"{HERE}/login", json={"token": "one"}, headers=page)
            assert (refused.status_code, refused.headers.get("Set-Cookie")) == (403, None)


def test_a_page_of_another_port_reads_nothing_by_it(client: Client, ada: str) -> None:
    """Browsers send the cookie along: for them all ports of a host are one site."""
    for site in ("same-site", "cross-site"):
        assert ask(client, "GET", "/runs", ada, **{"Sec-Fetch-Site": site}) == (403, "same_origin_needed")
        page = client.get(HERE, headers={"Cookie": ada, "Sec-Fetch-Site": site})
        assert page.status_code == 200 and "Logged in" not in page.text


def of_dialects() -> list[tuple[str, str, bool]]:
    """Return method and path of every route of a dialect, and whether it needs no token."""
    routes = (route for api in installed_dialects() for route in api.routes)
    return [(it.method, re.sub(r"\{\w+\}", "x", it.path), it.public) for it in routes]


@pytest.mark.parametrize(("method", "path", "public"), of_dialects())
def test_dialects_do_not_take_it(client: Client, ada: str, method: str, path: str, public: bool) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", **OWN}
    without, given = (
        client.request(method, f"{HERE}{path}", headers={**headers, **more}) for more in ({}, {"Cookie": ada})
    )
    assert (given.status_code, given.content) == (without.status_code, without.content)
    assert public or given.status_code == 401
    assert "private" not in given.headers.get("Cache-Control", "")


def test_no_proxy_keeps_what_is_read_by_it_for_others(client: Client, ada: str) -> None:
    """Caches leave alone what comes with `Authorization`, but not what comes with a cookie."""
    for path in ("/runs", "/models", "/nothing", "/"):
        answer = client.get(f"{HERE}{path}", headers={"Cookie": ada})
        assert "private" in answer.headers["Cache-Control"]
    assert "Cache-Control" not in client.get("/runs", headers={"Authorization": "Bearer one"}).headers


def test_a_token_goes_before_it_also_a_wrong_one(client: Client, ada: str) -> None:
    wrong, right = ({"Authorization": f"Bearer {it}"} for it in ("three", "two"))
    assert ask(client, "GET", "/runs", ada, **wrong) == (401, "unauthorized")
    assert ask(client, "POST", "/check", ada, **right) == (200, "")


def test_a_wrong_token_sets_no_cookie_and_says_so_in_json_and_on_the_page() -> None:
    with in_process(settings()) as client:
        refused = log_in(client, "three")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
        page = client.post(f"{HERE}/login", content="token=three", headers={**FORM, **OWN})
        assert (page.status_code, page.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
        assert "The token is wrong." in page.text and "three" not in page.text
        assert "Set-Cookie" not in refused.headers and "Set-Cookie" not in page.headers


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"token": "one", "token": "one"}', "application/json", 400),
        (b"{}", "application/json", 422),
        (b'{"token": 1}', "application/json", 422),
        (b'{"token": "one", "next": "/"}', "application/json", 422),
        (b"", "application/x-www-form-urlencoded", 422),
        (b"token=one&token=one", "application/x-www-form-urlencoded", 422),
        (b"token=one&next=//evil.example", "application/x-www-form-urlencoded", 422),
        (b"token=one", "text/plain", 415),
        (b'{"token": "one"}', "text/plain", 415),
        (b"", "", 415),
        (b'{"token": "' + b"x" * 1_000_000 + b'"}', "application/json", 413),
        (b'{"token": "' + b"x" * 16_384 + b'"}', "application/json", 413),
        (b"a=1&" * 5_000, "application/x-www-form-urlencoded", 413),
        (b"\xff\xfe", "application/json", 400),
        (b'{"token": "\\ud800"}', "application/json", 400),
    ],
)
def test_what_is_no_token_is_refused(client: Client, content: bytes, media_type: str, status: int) -> None:
    answer = client.post(f"{HERE}/login", content=content, headers={"Content-Type": media_type, **OWN})
    assert answer.status_code == status
    assert "Set-Cookie" not in answer.headers


def test_no_more_is_read_of_a_login_than_a_token_needs(client: Client) -> None:
    """Anybody may send one."""
    for path in ("/login", "/logout"):
        answer = client.post(f"{HERE}{path}", content=b"x" * 16_385, headers={**FORM, **OWN})
        assert answer.status_code == 413
        assert answer.json()["error"]["details"] == {"limit": 16_384}
        assert answer.json()["error"]["message"] == "A body may have at most 16384 bytes."


def test_attempts_are_limited_and_a_right_token_waits_too() -> None:
    with in_process(settings()) as client:
        assert [log_in(client, "three").status_code for _ in range(11)] == [401] * 10 + [429]
        waiting = log_in(client)
        assert waiting.json()["error"]["code"] == "too_many_attempts"
        assert 1 <= int(waiting.headers["Retry-After"]) <= 60
        page = client.post(f"{HERE}/login", content="token=one", headers={**FORM, **OWN})
        assert (page.status_code, page.headers["Content-Type"]) == (429, "text/html; charset=utf-8")
        assert "try again in" in page.text and 1 <= int(page.headers["Retry-After"]) <= 60
        answer = client.get(f"{HERE}/runs", headers={"Authorization": "Bearer one"})
        assert answer.status_code == 200  # tokens themselves aren't limited


def test_logging_out_makes_the_browser_forget_the_cookie(client: Client, ada: str) -> None:
    for headers, status in ((FORM, 303), ({}, 204)):
        answer = client.post(f"{HERE}/logout", headers={"Cookie": ada, **OWN, **headers})
        assert answer.status_code == status
        assert answer.headers.get("Location") == ("/" if status == 303 else None)
        assert answer.headers["Set-Cookie"] == ("perdure-5000=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        assert ask(client, "POST", "/logout", ada, **headers) == (403, "same_origin_needed")


def test_behind_tls_the_cookie_is_secure(client: Client) -> None:
    """A browser behind a proxy that ends TLS says so by the origin of the page."""
    for at in ("https://sim.example", "https://sim.example:8443"):
        headers = {"Origin": at, "Host": at.removeprefix("https://")}
        answer = client.post("/login", json={"token": "one"}, headers=headers)
        assert answer.headers["Set-Cookie"].endswith("; SameSite=Strict; Secure")
        cookie = cookie_of(answer)
        assert client.get("/runs", headers={"Host": headers["Host"], "Cookie": cookie}).status_code == 200
        assert client.post("/runs", json=SESSION, headers={**headers, "Cookie": cookie}).status_code == 201


def test_owners_may_have_any_name() -> None:
    tokens = {"Änne <b>Ж</b> O'Hara": (SecretStr("drei ü"),)}
    with in_process(settings(tokens=tokens, administrators=())) as client:
        form = urlencode({"token": "drei ü"})
        cookie = cookie_of(client.post(f"{HERE}/login", content=form, headers={**FORM, **OWN}))
        page = client.get(HERE, headers={"Cookie": cookie}).text
        assert "<strong>Änne &lt;b&gt;Ж&lt;/b&gt; O&#x27;Hara</strong>" in page
        made = client.post(f"{HERE}/runs", json=SESSION, headers={"Cookie": cookie, **OWN})
        assert made.json()["owner"] == "Änne <b>Ж</b> O'Hara"


def test_reading_takes_no_more_than_the_cookie_whatever_the_method(client: Client, ada: str) -> None:
    assert ask(client, "HEAD", "/runs", ada) == (200, "")
    assert ask(client, "HEAD", "/runs", ada, **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert ask(client, "OPTIONS", "/runs", ada)[0] == 405
    assert ask(client, "BREW", "/runs", ada)[0] == 403


def test_the_cookie_of_another_port_is_another(client: Client, ada: str) -> None:
    other = "http://localhost:5001"
    assert ask(client, "GET", "/runs", ada, at=other) == (401, "unauthorized")
    assert log_in(client, at=other).headers["Set-Cookie"].startswith("perdure-5001=")


def test_another_servers_cookie_is_nobodys(client: Client) -> None:
    with in_process(settings()) as other:
        theirs = cookie_of(log_in(other))
    assert ask(client, "GET", "/runs", theirs) == (401, "unauthorized")


@pytest.mark.parametrize(
    "value", ["", "x", "é" * 20, "A" * 5_000, "A" * 86, '"quoted"', "a=b=c", "\x00", "%00"]
)
def test_what_is_no_cookie_is_nobodys(client: Client, value: str) -> None:
    headers = {"Cookie": f"perdure-5000={value}".encode("latin-1")}
    assert client.get(f"{HERE}/runs", headers=headers).status_code == 401
    assert client.get(HERE, headers=headers).status_code == 200


def test_of_two_cookies_that_differ_none_counts(client: Client, ada: str) -> None:
    grace = cookie_of(log_in(client, "two"))
    assert ask(client, "GET", "/runs", f"{ada}; {grace}") == (401, "unauthorized")
    assert ask(client, "GET", "/runs", f"{ada}; {ada}; other=1") == (200, "")


def test_a_removed_token_ends_its_logins_and_a_restart_ends_none(tmp_path: Path) -> None:
    def opened(tokens: dict[str, tuple[SecretStr, ...]]) -> Any:
        store = open_store(f"sqlite:///{tmp_path}/s.db")
        return in_process(Settings(store="memory://", tokens=tokens), store)

    with opened(TOKENS) as client:
        one, uno = (cookie_of(log_in(client, it)) for it in ("one", "uno"))
    with opened(TOKENS) as client:
        assert [ask(client, "GET", "/runs", it)[0] for it in (one, uno)] == [200, 200]
    with opened({"ada": (SecretStr("uno"),), "eve": (SecretStr("one"),)}) as client:
        assert [ask(client, "GET", "/runs", it)[0] for it in (one, uno)] == [401, 200]


def test_several_servers_of_a_store_know_each_others_logins() -> None:
    store = MemoryStore()
    with in_process(settings(), store) as one, in_process(settings(), store) as other:
        ada = cookie_of(log_in(one))
        assert ask(other, "GET", "/runs", ada) == (200, "")


def test_a_login_ends_by_itself() -> None:
    with in_process(settings(login_expires=1)) as client:
        answer = log_in(client)
        assert "; Max-Age=1; " in answer.headers["Set-Cookie"]
        end = answer.json()["expires"]
        while time.time() < end:
            time.sleep(0.05)
        assert ask(client, "GET", "/runs", cookie_of(answer)) == (401, "unauthorized")


def test_the_page_has_a_form_and_no_script_and_sends_it_here_only(client: Client) -> None:
    page = client.get(f"{HERE}/login")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy and "script" not in policy
    # With no-referrer a browser would send `Origin: null` with the form.
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Cache-Control"] == "no-store"
    assert '<form method="post" action="login" autocomplete="off">' in page.text
    assert "<script" not in page.text and "src=" not in page.text
    assert client.request("HEAD", f"{HERE}/login").status_code == 200


def test_the_start_page_says_who_has_logged_in_and_offers_to_log_out(client: Client, ada: str) -> None:
    page = client.get(HERE, headers={"Cookie": ada, "Sec-Fetch-Site": "none"})
    assert "Logged in as <strong>ada</strong>." in page.text
    assert '<form method="post" action="logout">' in page.text
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    assert "extremes" in page.text  # what is served
    grace = cookie_of(log_in(client, "two"))
    assert "<strong>grace</strong>, an administrator." in client.get(HERE, headers={"Cookie": grace}).text
    unknown = client.get(HERE)
    assert 'href="login"' in unknown.text and "extremes" not in unknown.text
    assert "form-action 'none'" in unknown.headers["Content-Security-Policy"]


def test_without_tokens_there_is_nothing_to_log_in_to() -> None:
    with in_process() as client:
        page = client.get("/login")
        assert page.status_code == 200
        assert "nothing to log in to" in page.text and "<form" not in page.text
        refused = client.post("/login", json={"token": "one"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "nothing_to_log_in_to")
        page = client.post("/login", content="token=one", headers=FORM)
        assert (page.status_code, "nothing to log in to" in page.text) == (409, True)
        assert "Set-Cookie" not in page.headers


def test_a_bptk_server_has_no_login() -> None:
    with BptkServer("x", bptk, bearer_token="one").test_client() as client:
        assert "/login" not in client.get("/").data.decode()
        token = {"Authorization": "Bearer one"}
        assert [client.get("/login", headers=it).status_code for it in ({}, token)] == [401, 404]
        assert client.post("/login", json={"token": "one"}, headers=token).status_code == 404

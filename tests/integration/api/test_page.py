"""The built page: at /ui, with a strict policy, at every path of it, behind any prefix, for browsers only."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.in_process import Client, in_process

from perdure.api.page import installed_page
from perdure.settings import Settings

INDEX = '<!doctype html>\n<script type="module" src="./main-AB12.js"></script>\n'
SCRIPT = "export const Ж = 1;\n" * 100
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "index.html": INDEX,
        "main-AB12.js": SCRIPT,
        "worker.js": "onconnect = null;",
        "digest": "x",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("perdure.api.app.installed_page", lambda: installed_page(folder))
    with in_process(Settings(store="memory://", tokens={"ada": ("one",)})) as made:
        yield made


@pytest.fixture
def unbuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("perdure.api.app.installed_page", lambda: installed_page(tmp_path / "none"))
    with in_process(Settings(store="memory://")) as made:
        yield made


def source(answer: httpx.Response) -> str:
    return answer.text.partition('src="')[2].partition('"')[0]


@pytest.mark.parametrize(
    ("path", "script"),
    [
        ("/ui/", "./main-AB12.js"),
        ("/ui/new", "./main-AB12.js"),
        ("/ui/runs/x_Y-9", "../main-AB12.js"),
        ("/ui/new/session?zoom=1", "../main-AB12.js"),
        ("/ui/a/b/c", "../../main-AB12.js"),
    ],
)
def test_every_path_of_it_answers_the_page_whose_script_is_found_relatively(
    server: Client, path: str, script: str
) -> None:
    answer = server.request("GET", path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert source(answer) == script
    assert str(httpx.URL(f"http://x/p{path}").join(script)) == "http://x/p/ui/main-AB12.js"


def test_nothing_of_another_server_and_nothing_inside_html_may_run(server: Client) -> None:
    for path in ("/ui/", "/ui/runs/x", "/ui/main-AB12.js", "/ui/worker.js"):
        headers = server.request("GET", path).headers
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data: blob:",
            "connect-src": "'self'",
            "worker-src": "'self'",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_files_with_a_hash_in_their_name_are_kept_for_good_and_the_worker_is_asked_for_again(
    server: Client,
) -> None:
    script = server.request("GET", "/ui/main-AB12.js")
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    worker = server.request("GET", "/ui/worker.js")
    assert worker.headers["Cache-Control"] == "no-cache"
    again = server.request("GET", "/ui/worker.js", headers={"If-None-Match": worker.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_they_are_sent_compressed_to_whoever_takes_that(server: Client) -> None:
    plain = server.request("GET", "/ui/main-AB12.js", headers={"Accept-Encoding": "identity"})
    short = server.request("GET", "/ui/main-AB12.js", headers={"Accept-Encoding": "br, gzip"})
    assert plain.text == short.text == SCRIPT
    assert "Content-Encoding" not in plain.headers
    assert short.headers["Content-Encoding"] == "gzip"
    assert plain.headers["Vary"] == short.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path", ["/ui/other.js", "/ui/digest.txt", "/ui/runs/main-AB12.js", "/ui/..%2fapp.py"]
)
def test_other_files_are_not_there(server: Client, path: str) -> None:
    answer = server.request("GET", path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found")


def test_it_needs_no_token_and_what_it_asks_for_does(server: Client) -> None:
    assert server.request("GET", "/ui/runs/x").status_code == 200
    assert server.request("GET", "/runs").status_code == 401


def test_a_browser_is_led_there_relatively_and_others_get_the_start_page(server: Client) -> None:
    led = server.request("GET", "/", headers=BROWSER)
    assert (led.status_code, led.headers["Location"]) == (307, "ui/")
    assert led.headers["Vary"] == "Accept"
    assert "Perdure" in server.request("GET", "/").text
    without_slash = server.request("GET", "/ui")
    assert (without_slash.status_code, without_slash.headers["Location"]) == (308, "ui/")


def test_without_the_built_files_the_start_page_is_for_everybody(unbuilt: Client) -> None:
    assert unbuilt.request("GET", "/ui/").status_code == 404
    assert unbuilt.request("GET", "/", headers=BROWSER).text == unbuilt.request("GET", "/").text


@pytest.mark.parametrize("path", ["/ui/runs/x", "/ui/main-AB12.js"])
def test_nothing_can_be_sent_to_it(server: Client, path: str) -> None:
    assert server.request("POST", path, json={}).status_code == 405

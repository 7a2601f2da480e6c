"""A server behind a prefix of a reverse proxy, which removes the prefix or leaves it."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urljoin

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.support.in_process import TASKS, Client, in_process
from tests.support.served import catalogue

from perdure.api.app import create_app
from perdure.errors import Invalid
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

ROOT = "http://sim.example/sim/"
OWN = {"Origin": "http://sim.example"}
TOKEN = {"Authorization": "Bearer one"}
SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}}


def settings(root_path: str = "/sim") -> Settings:
    return Settings(store="memory://", tokens={"ada": ("one",)}, tasks=(TASKS,), root_path=root_path)


@pytest.fixture(scope="module")
def server() -> Iterator[Client]:
    with in_process(settings()) as made:
        yield made


class Proxy:
    """Passes on the requests for URLs below `ROOT`, as a reverse proxy does."""

    def __init__(self, server: Client, removes: bool) -> None:
        self._server, self._removes = server, removes

    def __call__(self, method: str, url: str, **given: object) -> httpx.Response:
        assert url.startswith(ROOT), f"{url} leads past the proxy"
        passed = url.replace("/sim/", "/", 1) if self._removes else url
        return self._server.request(method, passed, **given)


@pytest.fixture(params=[False, True], ids=["left", "removed"])
def ask(server: Client, request: pytest.FixtureRequest) -> Proxy:
    return Proxy(server, request.param)


def links(page: httpx.Response, at: str) -> list[str]:
    """Return where the links and forms of a page lead, as a browser finds it."""
    return [urljoin(at, link) for link in re.findall(r'(?:href|action)="([^"#]+)"', page.text)]


@pytest.mark.parametrize("path", ["", "docs", "login"])
def test_the_links_of_every_page_lead_somewhere_below_the_prefix(ask: Proxy, path: str) -> None:
    page = ask("GET", ROOT + path, headers=TOKEN)
    found = links(page, ROOT + path)
    assert found
    for link in found:
        assert ask("GET", link, headers=TOKEN).status_code == 200, link


def test_the_prefix_without_a_slash_leads_to_the_start_page(server: Client) -> None:
    answer = server.get(ROOT.removesuffix("/"))
    assert (answer.status_code, answer.headers["Location"]) == (308, "/sim/")


def test_the_start_page_and_its_commands_name_the_address_behind_the_prefix(ask: Proxy) -> None:
    assert ROOT.removesuffix("/") + "/runs" in ask("GET", ROOT, headers=TOKEN).text


def test_clients_find_what_they_have_created_at_its_location(ask: Proxy) -> None:
    made = ask("POST", f"{ROOT}runs", json=SESSION, headers=TOKEN)
    found = urljoin(f"{ROOT}runs", made.headers["Location"])
    assert ask("GET", found, headers=TOKEN).json()["id"] == made.json()["id"]


def test_a_wrong_request_is_answered_as_without_a_prefix(ask: Proxy) -> None:
    for wrong in ({"kind": "session", "scenarios": 5}, {"kind": "nothing"}):
        assert ask("POST", f"{ROOT}runs", json=wrong, headers=TOKEN).status_code == 422
    assert ask("PUT", f"{ROOT}runs", json={}, headers=TOKEN).status_code == 405
    assert ask("GET", f"{ROOT}nothing/here", headers=TOKEN).status_code == 404


def test_the_openapi_document_names_the_prefix(ask: Proxy) -> None:
    assert ask("GET", f"{ROOT}openapi.json").json()["servers"] == [{"url": "/sim"}]


def test_a_browser_logs_in_and_its_cookie_is_for_the_prefix_alone(ask: Proxy) -> None:
    answer = ask("POST", f"{ROOT}login", data={"token": "one"}, headers=OWN)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sim/")
    cookie, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert "Path=/sim/" in attributes
    assert ask("GET", f"{ROOT}runs", headers={"Cookie": cookie}).status_code == 200
    with in_process(settings(root_path="/other")) as other:
        theirs = other.post("http://sim.example/login", json={"token": "one"}, headers=OWN).headers[
            "Set-Cookie"
        ]
        assert theirs.partition("=")[0] != cookie.partition("=")[0]


def test_events_arrive_and_no_proxy_holds_them_back(ask: Proxy) -> None:
    made = ask("POST", f"{ROOT}runs", json=SESSION, headers=TOKEN).json()["id"]
    assert ask("DELETE", f"{ROOT}runs/{made}", headers=TOKEN).status_code == 204
    answer = ask(
        "POST", f"{ROOT}runs", json={"kind": "task", "task": "add", "input": {"numbers": [1]}}, headers=TOKEN
    )
    events = ask("GET", f"{ROOT}runs/{answer.json()['id']}/events", headers=TOKEN)
    assert events.headers["X-Accel-Buffering"] == "no"
    assert "completed" in events.text


@pytest.mark.parametrize("path", ["start-instance", "simulation"])
def test_dialects_answer_behind_the_prefix(ask: Proxy, path: str) -> None:
    method = "POST" if path == "start-instance" else "GET"
    assert ask(method, ROOT + path, headers=TOKEN).is_success


def test_a_path_that_only_begins_like_the_prefix_is_another(server: Client) -> None:
    assert server.get("http://sim.example/simulation", headers=TOKEN).status_code == 200
    assert server.get("http://sim.example/simruns", headers=TOKEN).status_code == 404


@pytest.mark.parametrize("prefix", ["/runs", "/docs/a", "/simulation"])
def test_a_prefix_that_is_the_path_of_a_route_is_refused(prefix: str) -> None:
    with pytest.raises(Invalid, match="PERDURE_ROOT_PATH"), in_process(settings(root_path=prefix)):
        pass


@pytest.mark.parametrize("prefix", ["sim", "/sim/", "/", "//", "/a b", "/a?b", "/a/../b/"])
def test_what_is_no_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="root_path"):
        settings(root_path=prefix)


def test_an_app_that_is_mounted_in_another_answers_below_its_path() -> None:
    async def asked() -> tuple[int, str]:
        app = create_app(store, catalogue(), Settings(store="memory://"))
        transport = httpx.ASGITransport(Starlette(routes=[Mount("/sim", app)]))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            made = await client.post("/sim/runs", json=SESSION)
            found = await client.get(made.headers["Location"])
            return found.status_code, (await client.get("/sim/docs")).text

    with closing(MemoryStore()) as store:
        status, page = asyncio.run(asked())
    assert status == 200
    assert "http://localhost/sim</code>" in page

"""The start page: where the server answers, what it serves to whoever asks, and where to go next."""

import html
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest
from pydantic import SecretStr
from tests.support.small import bath
from tests.support.zips import PENDULUM, zip_of

from perdure import __version__
from perdure.api.app import create_app
from perdure.bptk import BptkServer, bptk
from perdure.dialects.bptk.client import BptkClient, InProcess
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

HOSTILE = "</code><script>alert(1)</script> \"'&\ud800"


class Elements(HTMLParser):
    """The names of a page's elements, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def links(page: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'href="([^"]+)"', page)]


def check_policy(answer: httpx.Response) -> None:
    """Check that a page has no script and loads nothing, and that its policy says so."""
    policy = answer.headers["Content-Security-Policy"]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; form-action 'none'; "
        r"frame-ancestors 'none'",
        policy,
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    page = Elements(answer.text)
    assert not {"script", "img", "iframe", "link", "object", "form", "base"} & set(page.names)
    names = {name for name, _ in page.attributes}
    assert "style" not in names and "src" not in names
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in answer.text and "@import" not in answer.text


def test_it_names_what_is_served_and_leads_to_pages_that_exist(client: httpx.Client) -> None:
    client.post(
        "/experiments?name=swing", content=zip_of(PENDULUM), headers={"Content-Type": "application/zip"}
    )
    answer = client.get("/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    check_policy(answer)
    text = Elements(answer.text).text
    assert __version__ in text
    assert str(client.base_url).rstrip("/") in text
    for served in ("bath", "full", "Ж/ü %2F", "extremes", "stable_configurations", "py_sim", "swing"):
        assert served in text, served
    found = links(answer.text)
    assert {"openapi.json", "metrics", "runs", "models", "experiments/swing"} <= set(found)
    assert {link: client.get(link).status_code for link in found} == dict.fromkeys(found, 200)


def test_its_commands_run_a_session_as_they_stand(client: httpx.Client) -> None:
    (shown,) = re.findall(r"<pre>(.*?)</pre>", client.get("/").text, re.DOTALL)
    script = html.unescape(shown).replace("curl ", "curl -sSf ")
    create, _, rest = script.partition("\ncurl")
    code = "import json, sys; print(json.load(sys.stdin)['id'])"
    script = f'RUN=$({create} | python3 -c "{code}")\ncurl{rest.replace("/RUN/", "/$RUN/")}'
    done = subprocess.run(["bash", "-c", f"set -e\n{script}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"step":10' in done.stdout


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("localhost:1234", "http://localhost:1234"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("[::1]:80", "http://[::1]:80"),
    ],
)
def test_it_shows_the_address_that_it_was_asked_at(client: httpx.Client, host: str, shown: str) -> None:
    page = client.get("/", headers={"Host": host}).text
    assert f"<code>{shown}</code>" in page
    assert f"curl {shown}/runs" in html.unescape(page).replace("'", "")


def hostile() -> Catalogue:
    made = Catalogue()
    model = bath()
    model.name = HOSTILE
    made.register_model(model, scenario_manager=HOSTILE, scenario={HOSTILE: {}})
    made.unusable["broken"] = f"because of {HOSTILE}"
    return made


@pytest.fixture
def tokens() -> Iterator[BptkClient]:
    settings = Settings(tokens={"ada": (SecretStr("a-token"),)})
    store = MemoryStore()
    with BptkClient(InProcess(create_app(store, hostile(), settings, on_closed=store.close))) as made:
        yield made


def test_names_are_escaped_wherever_they_stand(tokens: BptkClient) -> None:
    page = tokens.get("/", headers={"Authorization": "Bearer a-token", "Host": "a<b>'\"&"}).data.decode()
    elements = Elements(page)
    assert "script" not in elements.names and "b" not in elements.names
    assert elements.text.count(HOSTILE.replace("\ud800", "?")) >= 3
    assert f"broken can't be served: because of {HOSTILE[:10]}" in elements.text


@pytest.mark.parametrize("token", [None, "another"])
def test_without_a_right_token_it_says_nothing_of_what_is_served(
    tokens: BptkClient, token: str | None
) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = tokens.get("/", headers=headers)
    page = answer.data.decode()
    assert answer.status_code == 200
    assert "alert(1)" not in page and "stable_configurations" not in page
    assert "Authorization: Bearer TOKEN" in html.unescape(page)
    assert "openapi.json" in links(page)


def test_what_may_not_be_run_is_not_listed() -> None:
    store = MemoryStore()
    settings = Settings(allow_experiments=False, allow_tasks=False)
    with BptkClient(InProcess(create_app(store, Catalogue(), settings, on_closed=store.close))) as client:
        text = Elements(client.get("/").data.decode()).text
    assert "they are not allowed here" in text
    assert "none can be queued here" in text
    assert "stable_configurations" not in text


def test_of_many_managers_and_scenarios_it_shows_the_first_and_how_many_more_there_are() -> None:
    catalogue = Catalogue()
    for number in range(60):
        catalogue.register_model(
            bath(), scenario_manager=f"tub{number}", scenario={f"scenario{each}": {} for each in range(20)}
        )
    store = MemoryStore()
    with BptkClient(InProcess(create_app(store, catalogue, Settings(), on_closed=store.close))) as client:
        text = Elements(client.get("/").data.decode()).text
    assert "tub49" in text and "tub50" not in text and "and 10 more" in text
    assert "scenario11" in text and "scenario12" not in text and "and 8 more" in text


def test_a_bptk_servers_page_has_the_commands_of_its_dialect() -> None:
    def factory() -> bptk:
        made = bptk()
        made.register_model(bath(), scenario_manager="tub")
        return made

    with BptkServer("x", factory).test_client() as client:
        page = client.get("/").data.decode()
        found = links(page)
        assert {link: client.get(link).status_code for link in found} == dict.fromkeys(found, 200)
    assert {"metrics", "openapi.json"} <= set(found)
    assert "runs" not in found
    assert "/start-instance" in page and "tub" in page

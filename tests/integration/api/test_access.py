"""Who may do what: tokens and owners, hosts and origins, and the administrator's socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.served import Served, served

from perdure.api.server import serve
from perdure.errors import TokensMissing
from perdure.scenarios import Catalogue
from perdure.settings import Settings

NEW = {"kind": "session", "scenarios": {"bath": ["base"]}}
OF_DIALECTS = ("/scenarios", "/run", "/start-instance", "/x/run-step", "/task", "/status/x", "/terminate/x")
PUBLIC = ("/", "/docs", "/healthy", "/ready", "/openapi.json")


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two owners, and one origin allowed."""
    folder = tmp_path_factory.mktemp("guarded")
    with served(folder, tokens="ada:one,bob:two,ada:uno", cors_origins="https://pages.example") as running:
        yield running


@pytest.fixture(scope="module")
def ada(guarded: Served) -> Iterator[httpx.Client]:
    with guarded.client("one") as client:
        yield client


@pytest.fixture(scope="module")
def bob(guarded: Served) -> Iterator[httpx.Client]:
    with guarded.client("two") as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer wrong")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer" + " " * 9 + "wrong")],
        [("Authorization", "Basic one")],
        [("Authorization", "one")],
        [("Authorization", "Bearer one"), ("Authorization", "Bearer two")],
        [("Authorization", b"Bearer \xff\xfe")],
    ],
)
def test_without_a_right_token_there_is_nothing(guarded: Served, headers: list[tuple[str, str]]) -> None:
    with guarded.client() as client:
        for path in ("/runs", "/models", "/metrics", "/runs/x", "/nothing"):
            refused = client.get(path, headers=headers)
            assert error(refused) == (401, "unauthorized")
            assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert error(client.post("/runs", json=NEW, headers=headers)) == (401, "unauthorized")


def test_probes_and_the_start_page_need_no_token(guarded: Served) -> None:
    with guarded.client() as client:
        assert [client.get(path).status_code for path in PUBLIC] == [200] * len(PUBLIC)


def test_the_scheme_is_read_in_any_case(guarded: Served) -> None:
    with guarded.client() as client:
        assert client.get("/runs", headers={"Authorization": "bEARER one"}).status_code == 200


def test_an_owner_has_only_his_own_runs(ada: httpx.Client, bob: httpx.Client) -> None:
    run = ada.post("/runs", json=NEW).json()
    assert run["owner"] == "ada"
    place = f"/runs/{run['id']}"
    ada.post(f"{place}/steps").raise_for_status()
    tried = [
        bob.get(place),
        bob.delete(place),
        bob.put(f"{place}/state", json={"state": "stopped"}),
        bob.post(f"{place}/steps"),
        bob.post(f"{place}/steps", headers={"Idempotency-Key": "a"}),
        bob.get(f"{place}/steps"),
        bob.get(f"{place}/results"),
        bob.get(f"{place}/events"),
        bob.post(f"{place}/fork"),
        bob.post(f"{place}/upgrade"),
        bob.post(f"{place}/check"),
        bob.get(f"{place}/savepoints"),
        bob.post(f"{place}/savepoints"),
        bob.patch(f"{place}/savepoints/0", json={"pinned": True}),
    ]
    assert [error(refused) for refused in tried] == [(404, "run_not_found")] * len(tried)
    assert run["id"] not in [one["id"] for one in bob.get("/runs").json()["runs"]]
    assert ada.get(place).json()["step"] == 1


def test_keys_of_two_owners_are_two_keys(ada: httpx.Client, bob: httpx.Client) -> None:
    headers = {"Idempotency-Key": "same"}
    made = [one.post("/runs", json=NEW, headers=headers) for one in (ada, bob)]
    assert [one.status_code for one in made] == [201, 201]


def test_the_administrators_socket_needs_no_token_and_sees_all(
    guarded: Served, ada: httpx.Client, bob: httpx.Client
) -> None:
    theirs = {one.post("/runs", json=NEW).json()["id"] for one in (ada, bob)}
    assert guarded.administrator is not None
    assert guarded.administrator.stat().st_mode & 0o777 == 0o600
    transport = httpx.HTTPTransport(uds=str(guarded.administrator))
    with httpx.Client(transport=transport, base_url="http://anything.example") as client:
        assert theirs <= {run["id"] for run in client.get("/runs").json()["runs"]}
        assert client.post(f"/runs/{theirs.pop()}/steps").status_code == 200
        assert client.post("/runs", json=NEW).json()["owner"] == "local"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Forwarded-Proto"])
def test_no_header_makes_an_administrator(guarded: Served, header: str) -> None:
    with guarded.client() as client:
        value = str(guarded.administrator)
        assert error(client.get("/runs", headers={header: value, "Host": value})) == (401, "unauthorized")


def test_without_tokens_a_rebound_name_is_refused_on_every_route(client: httpx.Client) -> None:
    rebound = {"Host": "evil.example:5000", "Origin": "http://evil.example:5000"}
    for path in ("/", "/runs", "/nothing", "/openapi.json", "/metrics", "/simulation", *OF_DIALECTS):
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            for headers in (rebound, {"Host": "evil.example"}):
                refused = client.request(method, path, headers=headers)
                assert refused.status_code == 403, (method, path)
                assert "PERDURE_HOSTS" in refused.text
                assert "Access-Control-Allow-Origin" not in refused.headers


def test_probes_take_any_host(client: httpx.Client) -> None:
    for path in ("/healthy", "/healthy/", "/ready"):
        assert client.get(path, headers={"Host": "10.1.2.3:5000"}).status_code == 200


def test_no_foreign_page_reads_or_writes_by_a_dialect(client: httpx.Client, ada: httpx.Client) -> None:
    for asked in (client, ada):
        for path in ("/simulation", *OF_DIALECTS):
            for method in ("GET", "POST", "OPTIONS"):
                refused = asked.request(method, path, headers={"Origin": "http://evil.example"})
                assert refused.status_code == 403, (method, path)
                assert "PERDURE_CORS_ORIGINS" in refused.text
                assert "Access-Control-Allow-Origin" not in refused.headers


def test_an_allowed_origin_may_call_dialects(ada: httpx.Client) -> None:
    headers = {"Origin": "https://pages.example"}
    for path in OF_DIALECTS:
        preflight = ada.options(path, headers={**headers, "Access-Control-Request-Method": "POST"})
        assert preflight.status_code == 204
        for answer in (preflight, ada.get(path, headers=headers)):
            assert answer.headers["Access-Control-Allow-Origin"] == "https://pages.example"
            assert answer.headers["Vary"] == "Origin"


def test_the_start_up_lines_say_who_may_call(server: Served, guarded: Served) -> None:
    assert "without a token; web pages of other origins may not call it" in server.announced()
    announced = guarded.announced()
    assert "with a token; web pages of https://pages.example may call it" in announced
    assert f"login:   {guarded.url}/login" in announced


def test_with_tokens_any_host_will_do(ada: httpx.Client) -> None:
    assert ada.get("/runs", headers={"Host": "perdure.example"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1", "https://", "x"])
def test_a_foreign_origin_is_forbidden(
    client: httpx.Client, ada: httpx.Client, run: str, origin: str
) -> None:
    headers = {"Origin": origin}
    assert error(client.post(f"/runs/{run}/steps", headers=headers)) == (403, "foreign_origin")
    assert error(client.options("/runs", headers=headers)) == (403, "foreign_origin")
    assert error(ada.post("/runs", json=NEW, headers=headers)) == (403, "foreign_origin")
    assert client.get(f"/runs/{run}").json()["step"] == 0


def test_the_servers_own_origin_is_its_own(server: Served, client: httpx.Client, run: str) -> None:
    answer = client.post(f"/runs/{run}/steps", headers={"Origin": server.url})
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_allowed_origin_may_read_answers_and_errors(ada: httpx.Client, guarded: Served) -> None:
    headers = {"Origin": "https://pages.example"}
    with guarded.client() as nobody:
        answers = [ada.get("/runs", headers=headers), nobody.get("/runs", headers=headers)]
    assert [one.status_code for one in answers] == [200, 401]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == "https://pages.example"
        assert answer.headers["Vary"] == "Origin"
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]


def test_a_preflight_of_an_allowed_origin_needs_no_token(guarded: Served) -> None:
    headers = {
        "Origin": "https://pages.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    with guarded.client() as client:
        answer = client.options("/runs", headers=headers)
    assert answer.status_code == 204
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]


def test_every_token_of_an_owner_is_his(ada: httpx.Client) -> None:
    run = ada.post("/runs", json=NEW).json()["id"]
    other = {"Authorization": "Bearer uno"}
    assert ada.get(f"/runs/{run}", headers=other).json()["owner"] == "ada"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_without_tokens_serve_refuses_to_listen_for_others(tmp_path: Path, host: str) -> None:
    settings = Settings(host=host, port=0, store=f"sqlite:///{tmp_path}/s.db")
    with pytest.raises(TokensMissing, match="PERDURE_TOKENS"):
        serve(Catalogue(), settings)
    assert not (tmp_path / "s.db").exists()


def test_the_socket_answers_while_the_server_runs_only(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        path = server.administrator
        assert path is not None
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
        server.process.terminate()
        assert server.process.wait(timeout=9) == 0
        assert not path.exists()

"""What holds of every route alike: no key twice, paths in UTF-8, HEAD as GET, storage that can't be read."""

import http.client
from collections import defaultdict
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.served import JSON, Served

TWICE = b'{"kind": "session", "a": {"b": 1, "c": [{}], "b": 1}}'

WITH_BODIES = [
    ("POST", "/runs"),
    ("POST", "/runs/{run}/steps"),
    ("POST", "/runs/{run}/fork"),
    ("POST", "/runs/{run}/check"),
    ("PUT", "/runs/{run}/state"),
    ("PATCH", "/runs/{run}/savepoints/0"),
    ("POST", "/runs/{run}/savepoints"),
    ("PATCH", "/experiments/x"),
    ("POST", "/start-instance"),
    ("POST", "/run"),
    ("POST", "/x/begin-session"),
    ("POST", "/x/run-step"),
    ("POST", "/simulation"),
    ("PUT", "/simulation/0/state"),
    ("POST", "/task"),
]


@pytest.mark.parametrize(("method", "path"), WITH_BODIES)
def test_a_key_given_twice_is_a_400_on_every_route(
    client: httpx.Client, run: str, method: str, path: str
) -> None:
    answer = client.request(method, path.format(run=run), content=TWICE, headers=JSON)
    if answer.status_code in (404, 405):  # no such route, or its simulation is looked for first
        assert path in ("/runs/{run}/savepoints", "/experiments/x", "/simulation/0/state"), answer.text
    else:
        assert (answer.status_code, "'b' twice" in answer.text) == (400, True), answer.text
    assert client.get(f"/runs/{run}").json()["step"] == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize(("method", "path"), [*WITH_BODIES, ("POST", "/login")])
def test_a_body_in_another_encoding_than_utf_8_is_a_400_on_every_route(
    client: httpx.Client, run: str, method: str, path: str, encoding: str
) -> None:
    """JSON is UTF-8 (RFC 8259, 8.1); in another encoding a key that is given twice would go unseen."""
    answer = client.request(
        method, path.format(run=run), content=TWICE.decode().encode(encoding), headers=JSON
    )
    if answer.status_code in (404, 405):
        assert path in ("/runs/{run}/savepoints", "/experiments/x", "/simulation/0/state"), answer.text
    else:
        assert (answer.status_code, "is not JSON" in answer.text) == (400, True), answer.text
    assert client.get(f"/runs/{run}").json()["step"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/runs/%ff",
        "/runs/%c3%28/steps",
        "/runs?cursor=%80",
        "/experiments/%ff",
        "/experiments/%ed%a0%80",
        "/experiments/x/files/%fe.txt",
        "/%ff/session-results",
        "/simulation/%ff",
        "/status/%ff",
        "/nothing/%ff",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_path_that_is_not_utf_8_is_a_400(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, "UTF-8" in answer.text) == (400, True), answer.text


def test_a_path_in_utf_8_is_taken_as_it_is(client: httpx.Client) -> None:
    told = client.get("/models/%D0%96/x").json()["error"]
    assert (told["code"], "'Ж/x'" in told["message"]) == ("scenario_not_found", True), told
    assert client.get("/models/%EF%BF%BD/x").status_code == 404  # the replacement character itself


def gets(client: httpx.Client) -> list[str]:
    """Return every path of the OpenAPI document that has a GET."""
    document = client.get("/openapi.json").json()
    return [path for path, item in document["paths"].items() if "get" in item]


def test_head_answers_wherever_get_does(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/steps", json={"steps": 3}).raise_for_status()
    instance = client.post("/start-instance").json()["instance_uuid"]
    paths = [
        path.format_map(defaultdict(lambda: "x", run_id=run, instance=instance)) for path in gets(client)
    ]
    others = [
        "/version",
        "/simulation",
        "/simulation/0",
        "/scenarios",
        "/status/x",
        f"/{instance}/session-results",
    ]
    for path in [*paths, *others]:
        if path.endswith("/events"):
            continue  # which has no end
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        kept = ("content-type", "etag", "allow")
        assert [head.headers.get(name) for name in kept] == [got.headers.get(name) for name in kept], path
        if path not in ("/metrics", "/system"):  # whose numbers change
            assert head.headers.get("content-length") == got.headers.get("content-length"), path
    assert client.head(f"/runs/{run}/fork").status_code == client.get(f"/runs/{run}/fork").status_code == 405


def test_head_of_a_stream_ends_at_once_and_the_connection_goes_on(server: Served, run: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=240)
    try:
        for _ in range(3):
            connection.request("HEAD", f"/runs/{run}/events")
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("Content-Type")) == (200, "text/event-stream")
            assert answer.read() == b""
        connection.request("GET", f"/runs/{run}")
        assert connection.getresponse().status == 200
    finally:
        connection.close()

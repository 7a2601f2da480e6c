"""Hostile input gets a 4xx in JSON; nothing is executed, nothing changes, others are answered meanwhile."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from tests.support.served import JSON, Served, served

SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}, "seed": 1}
MARK = Path("executed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server"), max_body_bytes=1_000_000) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


@pytest.fixture(scope="module")
def run(client: httpx.Client) -> str:
    run_id: str = client.post("/runs", json=SESSION).json()["id"]
    client.post(f"/runs/{run_id}/steps", json={"steps": 3}).raise_for_status()
    return run_id


@contextmanager
def others_are_answered(server: Served) -> Iterator[list[str]]:
    """Step other sessions all the while, and yield their ids; each step must come after the one before."""
    done = threading.Event()
    others: list[str] = []
    taken: list[int] = []
    failures: list[BaseException] = []

    def step() -> None:
        try:
            with server.client() as client:
                while not done.is_set() or not taken:
                    if len(taken) % 1000 == 0:  # a session has no more
                        others.append(client.post("/runs", json=SESSION).json()["id"])
                    answer = client.post(f"/runs/{others[-1]}/steps").raise_for_status().json()
                    taken.append(answer["steps"][0]["step"] + 1000 * (len(others) - 1))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=step)
    thread.start()
    try:
        yield others
    finally:
        done.set()
        thread.join()
    assert not failures
    assert taken == list(range(1, len(taken) + 1))


def everything(client: httpx.Client, run: str) -> list[Any]:
    """Return all that is known of a run, and how many there are."""
    place = f"/runs/{run}"
    return [
        client.get(place).json(),
        client.get(f"{place}/steps").json(),
        client.get(f"{place}/savepoints").json(),
    ]


def runs(client: httpx.Client) -> set[str]:
    """Return the ids of all runs."""
    page = client.get("/runs", params={"limit": 1000}).json()
    assert page["next"] is None
    return {run["id"] for run in page["runs"]}


def refused(response: httpx.Response) -> None:
    assert 400 <= response.status_code < 500, (response.request.content[:500], response.text[:500])
    assert response.headers["Content-Type"] == "application/json"
    assert response.json().keys() == {"error"}
    assert len(response.content) < 10_000
    assert "Traceback" not in response.text


def constant(value: str, name: str = '"tap"') -> str:
    return f'{{"settings": {{"bath": {{"base": {{"constants": {{{name}: {value}}}}}}}}}}}'


def points(value: str) -> str:
    return f'{{"settings": {{"bath": {{"base": {{"points": {{"curve": {value}}}}}}}}}}}'


CODE = json.dumps("__import__('os').system('touch executed')")
PICKLE = json.dumps('{"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["touch executed"]}]}')
WRONG_TYPES = ("null", "true", '"1"', "[]", "{}", "[1]", '{"a": 1}', "1.5", "-1", "1e400", "NaN", "Infinity")
STEPS = [
    constant(CODE),
    constant(PICKLE),
    constant("1", CODE),
    constant('{"py/reduce": []}'),
    constant("1e400"),
    constant("-1e400"),
    constant("NaN"),
    constant("Infinity"),
    constant("9" * 400),
    constant("9" * 100_000),
    constant("0x10"),
    constant("1_0"),
    constant('"1"'),
    constant("true"),
    constant("null"),
    constant("[1]"),
    constant("1", '"__class__"'),
    constant("1", '"water"'),
    constant("1", '"' + "x" * 100_000 + '"'),
    constant("1", '"\\ud800"'),
    points(CODE),
    points("[]"),
    points("[[1]]"),
    points("[[1, 2, 3]]"),
    points("[[1, 1e400]]"),
    points('[["0", "1"]]'),
    '{"settings": {"bath": {"base": {"equations": {"water": "1"}}}}}',
    '{"settings": {"nobody": {"base": {"constants": {"tap": 1}}}}}',
    '{"settings": {"bath": {"nobody": {"constants": {"tap": 1}}}}}',
    '{"steps": 1000000000}',
    '{"steps": 9007199254740992}',
    '{"steps": 99999999999999999999999999}',
    '{"steps": 0}',
    '{"steps": 1e400}',
    '{"expected_step": 0}',
    '{"expected_step": 77}',
    '{"expected_step": 99999999999999999999999999}',
    "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
    '{"settings":' * 100_000,
    '{"settings": {"bath": ' + '{"a":' * 100_000,
    '"' + "x" * 900_000,
    '"\\ud800"',
    "\x00",
    "nope",
    "{'steps': 1}",
    '{"steps": 1} {"steps": 1}',
    *(f'{{"{field}": {value}}}' for field in ("settings", "steps") for value in WRONG_TYPES if value != "{}"),
    *(f'{{"expected_step": {value}}}' for value in WRONG_TYPES if value != "null"),
]
NEW = [
    '{"kind": "session", "scenarios": {"bath": ["base"]}, "dt": 1e-12}',
    '{"kind": "session", "scenarios": {"bath": ["base"]}, "dt": 1e300}',
    '{"kind": "session", "scenarios": {"bath": ["base"]}, "dt": 5e-324}',
    '{"kind": "session", "scenarios": {"bath": ["base"]}, "dt": 0}',
    '{"kind": "session", "scenarios": {"bath": ["base"]}, "seed": 99999999999999999999}',
    '{"kind": "session", "scenarios": {"bath": ["base"]}, "seed": ' + "9" * 5000 + "}",
    '{"kind": "session", "scenarios": {"bath": ["../base"]}}',
    '{"kind": "session", "scenarios": {"bath": ["ba\\ud800se"]}}',
    '{"kind": "session", "scenarios": {"bath": ["base"]}, "outputs": ["__import__(\'os\')"]}',
    '{"kind": "session", "scenarios": {"bath": [' + ", ".join(['"x"'] * 100_000) + "]}}",
    '{"kind": "../session", "scenarios": {"bath": ["base"]}}',
    '{"kind": "session"}',
    *(
        f'{{"kind": "session", "scenarios": {{"bath": ["base"]}}, "{field}": {value}}}'
        for field, values in {
            "outputs": set(WRONG_TYPES) - {"[]"},
            "dt": set(WRONG_TYPES) - {"null"},
            "seed": set(WRONG_TYPES) - {"null"},
            "more": WRONG_TYPES,
        }.items()
        for value in sorted(values)
    ),
    *(f'{{"kind": "session", "scenarios": {value}}}' for value in WRONG_TYPES),
    *(f'{{"kind": {value}, "scenarios": {{"bath": ["base"]}}}}' for value in WRONG_TYPES),
]


def test_hostile_steps_change_nothing(server: Served, client: httpx.Client, run: str) -> None:
    before = everything(client, run)
    with others_are_answered(server):
        for body in STEPS:
            for headers in (JSON, {**JSON, "Idempotency-Key": "hostile"}):
                refused(client.post(f"/runs/{run}/steps", content=body.encode("utf-8"), headers=headers))
    assert everything(client, run) == before
    assert not MARK.exists()
    answer = client.post(f"/runs/{run}/steps", headers={"Idempotency-Key": "hostile"}).json()
    assert answer["steps"][0]["step"] == before[0]["step"] + 1


def test_hostile_sessions_are_not_made(server: Served, client: httpx.Client) -> None:
    before = runs(client)
    with others_are_answered(server) as others:
        for body in NEW:
            for headers in (JSON, {**JSON, "Idempotency-Key": "hostile"}):
                refused(client.post("/runs", content=body.encode("utf-8"), headers=headers))
    assert runs(client) == before | set(others)


@pytest.mark.parametrize(
    "path",
    [
        "/runs/{}",
        "/runs/{}/steps",
        "/runs/{}/results",
        "/runs/{}/events",
        "/runs/{}/savepoints",
        "/models/{}",
    ],
)
def test_hostile_names_lead_nowhere(server: Served, path: str) -> None:
    names = [
        "../x",
        "../../etc/passwd",
        "..",
        "%00",
        "x" * 65,
        "x" * 10_000,
        "a b",
        "'; drop table runs; --",
        "ü",
        "\n",
    ]
    for name in names:
        for written in (quote(name, safe=""), quote(name)):
            connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
            connection.request("GET", path.format(written))  # as it stands: other clients resolve ".."
            answer = connection.getresponse()
            assert 400 <= answer.status < 500, written
            assert json.loads(answer.read()).keys() == {"error"}
            connection.close()


@pytest.mark.parametrize("field", ["name", "pinned", "other"])
@pytest.mark.parametrize("value", WRONG_TYPES)
def test_hostile_savepoints_and_forks_change_nothing(
    client: httpx.Client, run: str, field: str, value: str
) -> None:
    before = everything(client, run)
    body = f'{{"{field}": {value}}}'
    right = (field, value) in {("name", "null"), ("name", '"1"'), ("pinned", "true")}
    if not right:
        refused(client.post(f"/runs/{run}/savepoints", content=body, headers=JSON))
        refused(client.patch(f"/runs/{run}/savepoints/0", content=body, headers=JSON))
    if value not in ("null", "{}"):
        refused(client.post(f"/runs/{run}/fork", content=f'{{"step": {value}}}', headers=JSON))
    refused(client.put(f"/runs/{run}/state", content=f'{{"state": {value}}}', headers=JSON))
    assert everything(client, run) == before


def test_fifty_megabytes_are_refused_before_they_are_read(
    server: Served, client: httpx.Client, run: str
) -> None:
    before = everything(client, run)
    size = 50_000_000
    with others_are_answered(server):
        declared = http.client.HTTPConnection(urlsplit(server.url).netloc)
        declared.putrequest("POST", f"/runs/{run}/steps")
        declared.putheader("Content-Type", "application/json")
        declared.putheader("Content-Length", str(size))
        declared.endheaders()  # and not a byte of the body
        answer = declared.getresponse()
        assert answer.status == 413
        assert json.loads(answer.read())["error"]["code"] == "body_too_large"
        declared.close()
        for content in (b"[" * size, b" " * size):
            response = client.post(f"/runs/{run}/steps", content=content, headers=JSON)
            refused(response)
            assert response.status_code == 413
    assert everything(client, run) == before


def test_an_endless_body_of_unknown_length_is_refused_while_it_comes(server: Served, run: str) -> None:
    chunk = b" " * 65_536
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=240)
    connection.putrequest("POST", f"/runs/{run}/steps")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    for _ in range(40):  # 2.6 MB, and no end
        connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["code"] == "body_too_large"
    connection.close()


def test_the_server_survived_all_of_it(server: Served, client: httpx.Client) -> None:
    assert server.process.poll() is None
    assert client.get("/ready").json() == {"status": "ready"}
    assert "request_failed" not in server.log.read_text()
    assert not MARK.exists()

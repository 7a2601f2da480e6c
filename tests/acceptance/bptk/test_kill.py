"""A server that is killed after every request answers as one that never was, and as it did before."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.bptk_process import DURABLE, BptkProcess, bptk_process
from tests.support.bptk_servers import client_of
from tests.support.models import NAMES, OUTPUTS, catalogue, settings_of

BEGIN = {
    "scenario_managers": list(NAMES),
    "scenarios": NAMES["every thing/1"],
    "equations": list(OUTPUTS),
    "seed": 7,
    "settings": {"every thing/1": {"1": {"constants": {"lag": 1.25}}}},
}
LATER = {**BEGIN, "scenarios": ["a/b"], "seed": 8}

Request = tuple[str, str, dict[str, Any] | None]
Send = Callable[[str, str, dict[str, Any] | None, dict[str, str]], Any]


def requests_of(instance: str) -> list[Request]:
    """Return a long session: constants and points that change, several steps, flat ones, a second session."""

    def step(number: int, **more: Any) -> dict[str, Any]:
        return {"settings": settings_of(number), **more}

    return [
        ("POST", f"/{instance}/begin-session", BEGIN),
        ("POST", f"/{instance}/run-step", step(3)),
        ("POST", f"/{instance}/run-step", None),
        ("POST", f"/{instance}/run-steps", step(7, numberSteps=3)),
        ("POST", f"/{instance}/run-step", step(11, flatResults=True)),
        ("GET", f"/{instance}/session-results", None),
        ("POST", f"/{instance}/keep-alive", None),
        ("POST", f"/{instance}/run-steps", step(20, numberSteps=6)),
        ("POST", f"/{instance}/run-step", step(24)),
        ("GET", f"/{instance}/flat-session-results", None),
        ("POST", f"/{instance}/begin-session", LATER),
        ("POST", f"/{instance}/run-step", step(7)),
        (
            "POST",
            f"/{instance}/stream-steps",
            {"settings": {"every thing/1": {"a/b": {"constants": {"rate": 0.1}}}}},
        ),
        ("POST", f"/{instance}/run-step", None),
        ("GET", f"/{instance}/session-results", None),
        ("POST", f"/{instance}/end-session", None),
        ("GET", f"/{instance}/session-results", None),
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The answers of a server that lives on, in memory."""
    with client_of("memory", tmp_path_factory.mktemp("memory"), catalogue) as client:
        instance = client.post("/start-instance").get_json()["instance_uuid"]
        answers = []
        for method, path, body in requests_of(instance):
            sent = {} if body is None else {"json": body}
            answer = client.get(path) if method == "GET" else client.post(path, **sent)
            assert answer.status_code == 200, answer.text
            answers.append(answer.get_json())
        return answers


@pytest.mark.parametrize("configuration", DURABLE)
def test_killed_after_every_request(configuration: str, tmp_path: Path, undisturbed: list[Any]) -> None:
    with bptk_process(configuration, tmp_path) as server:
        instance = sent(server.client, "POST", "/start-instance", None, "start")["instance_uuid"]
        server.kill()
        server.start()
        assert sent(server.client, "POST", "/start-instance", None, "start")["instance_uuid"] == instance
        answers = []
        for number, (method, path, body) in enumerate(requests_of(instance)):
            server.kill()
            server.start()
            answers.append(sent(server.client, method, path, body, f"key-{number}"))
            if path.endswith("-steps") or (path.endswith("/run-step") and number % 2):
                server.kill()
                server.start()
                assert sent(server.client, method, path, body, f"key-{number}") == answers[-1]
        assert answers == undisturbed
        assert server.starts > len(answers)


@pytest.mark.parametrize("configuration", DURABLE)
def test_killed_while_steps_are_streamed(configuration: str, tmp_path: Path, undisturbed: list[Any]) -> None:
    with bptk_process(configuration, tmp_path) as server:
        instance = server.client.post("/start-instance").json()["instance_uuid"]
        server.client.post(f"/{instance}/begin-session", json=LATER).raise_for_status()
        seen = first_bytes(server, f"/{instance}/stream-steps", 200)
        server.kill()
        server.start()
        results = server.client.get(f"/{instance}/flat-session-results").json()
        levels = results["every thing/1"]["a/b"]["equations"]["level"]
        assert len(levels) >= seen.count('"level"') >= 1
        rest = server.client.post(f"/{instance}/stream-steps").json()  # no lock was left behind
        assert len(levels) + len(rest) == 13
        everything = server.client.get(f"/{instance}/session-results").json()
    with client_of("memory", tmp_path, catalogue) as client:
        instance = client.post("/start-instance").get_json()["instance_uuid"]
        client.post(f"/{instance}/begin-session", json=LATER)
        client.post(f"/{instance}/stream-steps")
        assert client.get(f"/{instance}/session-results").get_json() == everything


@pytest.mark.parametrize("configuration", DURABLE)
def test_killed_while_steps_are_streamed_and_repeated_under_the_key(
    configuration: str, tmp_path: Path
) -> None:
    with bptk_process(configuration, tmp_path) as server:
        instance = server.client.post("/start-instance").json()["instance_uuid"]
        server.client.post(f"/{instance}/begin-session", json=LATER).raise_for_status()
        for count in (1, 600):
            seen = first_bytes(server, f"/{instance}/stream-steps", count, {"Idempotency-Key": "stream"})
            server.kill()
            server.start()
        streamed = server.client.post(f"/{instance}/stream-steps", headers={"Idempotency-Key": "stream"})
        assert streamed.text.startswith(seen.removesuffix("]"))
    with client_of("memory", tmp_path, catalogue) as client:
        instance = client.post("/start-instance").get_json()["instance_uuid"]
        client.post(f"/{instance}/begin-session", json=LATER)
        assert client.post(f"/{instance}/stream-steps").get_json() == streamed.json()


def first_bytes(server: BptkProcess, path: str, count: int, headers: dict[str, str] | None = None) -> str:
    """Return the beginning of a stream, and read no further."""
    with server.client.stream("POST", path, headers=headers) as response:
        text = ""
        for chunk in response.iter_text():
            text += chunk
            if len(text) >= count:
                break
        return text


def sent(client: httpx.Client, method: str, path: str, body: dict[str, Any] | None, key: str) -> Any:
    """Send a request and return what it answers."""
    content = None if body is None else json.dumps(body)
    headers = {"Idempotency-Key": key} | ({} if body is None else {"Content-Type": "application/json"})
    answer = client.request(method, path, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()

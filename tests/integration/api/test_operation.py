"""What operators and browsers need: log lines of requests, the start-up line, unknown settings, events."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.support.in_process import Client, in_process
from tests.support.served import catalogue

from perdure.api.server import serve
from perdure.observability import configure_logging
from perdure.settings import Settings
from perdure.stores.sqlite import SqliteStore

SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}}


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    configure_logging("INFO", as_json=True)
    yield
    structlog.reset_defaults()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# Log lines --------------------------------------------------------------------------------------------------


def ask_for_errors(client: Client) -> dict[str, int]:
    """Send requests that are refused by routes, dialects and middleware; return request id → status."""
    refused = [
        client.get("/runs/unknown"),
        client.post("/runs", json={}),
        client.get("/nothing?secret=1"),
        client.get("/healthy", headers={"Origin": "http://evil.example"}),
        client.get("/runs", headers={"Host": "evil.example"}),
        client.post("/x/run-step", json={}),
        client.get("/simulation/7"),
        client.get("/status/x"),
        client.request("HEAD", "/runs/unknown"),
        client.get("/runs/%ff"),
    ]
    return {answer.headers["X-Request-ID"]: answer.status_code for answer in refused}


def test_each_request_that_is_answered_with_an_error_is_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with in_process() as client:
        client.get("/healthy")
        refused = ask_for_errors(client)
        found = [line for line in lines(capsys.readouterr().err) if line["event"] == "request"]
    assert {line["request"]: line["status"] for line in found} == refused
    assert len(found) == len(refused)
    assert "secret" not in str(found)


def test_with_an_access_log_every_request_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    with in_process(Settings(store="memory://", access_log=True)) as client:
        answer = client.get("/healthy")
        found = [line for line in lines(capsys.readouterr().err) if line["event"] == "request"]
    (line,) = found
    assert (line["method"], line["path"], line["status"]) == ("GET", "/healthy", 200)
    assert line["request"] == answer.headers["X-Request-ID"]
    assert line["seconds"] > 0


# The start --------------------------------------------------------------------------------------------------


class Started(Exception):
    pass


def announced(settings: Settings) -> str:
    """Serve until the server says that it answers, and return what it said."""
    told = []

    def announce(text: str) -> None:
        told.append(text)
        raise Started

    with pytest.raises(Started):
        serve(catalogue(), settings, announce=announce)
    (text,) = told
    return text


def test_the_start_up_line_is_json_if_log_lines_are() -> None:
    text = announced(Settings(store="memory://", port=0, log_json=True))
    (line,) = lines(text)
    assert line["event"] == "serving"
    assert line["url"].startswith("http://127.0.0.1:")
    assert line["store"] == "memory://"
    assert announced(Settings(store="memory://", port=0)).startswith("Perdure serves http://127.0.0.1:")


def test_a_setting_that_does_not_exist_is_a_warning_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERDURE_CORS_ORIGIN", "http://x.example")
    monkeypatch.setenv("PERDURE_QWERTZUIOP", "1")
    monkeypatch.setenv("perdure_port", "0")
    announced(Settings(store="memory://"))
    warned = [line for line in lines(capsys.readouterr().err) if line["event"] == "unknown_setting"]
    assert {line["name"]: line["meaning"] for line in warned} == {
        "PERDURE_CORS_ORIGIN": "there is no such setting; did you mean PERDURE_CORS_ORIGINS?",
        "PERDURE_QWERTZUIOP": "there is no such setting",
    }
    assert {line["level"] for line in warned} == {"warning"}


# Browsers, and what probes ----------------------------------------------------------------------------------


def test_a_page_of_an_allowed_origin_may_send_the_id_of_the_last_event() -> None:
    headers = {"Origin": "https://game.example", "Access-Control-Request-Method": "GET"}
    with in_process(Settings(store="memory://", cors_origins=("https://game.example",))) as client:
        allowed = client.request("OPTIONS", "/runs/x/events", headers=headers)
    assert "Last-Event-ID" in allowed.headers["Access-Control-Allow-Headers"].split(", ")


def last_id(text: str) -> str:
    return [line for line in text.splitlines() if line.startswith("id: ")][-1].removeprefix("id: ")


def test_a_browser_that_has_the_last_event_of_a_finished_run_is_told_to_give_up() -> None:
    with in_process() as client:
        run = client.post("/runs", json=SESSION).json()["id"]
        client.post(f"/runs/{run}/steps")
        client.put(f"/runs/{run}/state", json={"state": "stopped"})
        events = client.get(f"/runs/{run}/events")
        assert (events.status_code, last_id(events.text)) == (200, "1-stopped")
        # One that had the step, but not the stop, gets that first.
        again = client.get(f"/runs/{run}/events", headers={"Last-Event-ID": "1"})
        assert (again.status_code, again.text) == (200, events.text)
        given_up = client.get(f"/runs/{run}/events", headers={"Last-Event-ID": last_id(events.text)})
        assert (given_up.status_code, given_up.content) == (204, b"")


def test_a_browser_is_told_to_give_up_on_a_task_that_has_ended() -> None:
    with in_process() as client:
        body = {"kind": "task", "task": "add", "input": {"numbers": [1, 2]}}
        run = client.post("/runs", json=body).json()["id"]
        events = client.get(f"/runs/{run}/events")  # it is there when the task has ended
        again = client.get(f"/runs/{run}/events", headers={"Last-Event-ID": last_id(events.text)})
        assert (last_id(events.text).partition("-")[2], again.status_code) == ("completed", 204)


def test_to_ask_whether_a_server_is_ready_writes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "perdure.db")

    def written() -> list[tuple[str, int, int]]:
        return [
            (path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(tmp_path.iterdir())
        ]

    with in_process(store=store) as client:
        client.post("/runs", json=SESSION)
        client.get("/ready")
        before = written()
        assert {client.get("/ready").status_code for _ in range(20)} == {200}
        assert written() == before

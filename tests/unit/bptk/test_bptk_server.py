"""The BPTK server as a program uses it: Flask's habits of `run`, and what gets into the log."""

import os
import subprocess
import sys
from typing import Any

import pytest
import structlog

from perdure.api import bptk_server
from perdure.bptk import BptkServer, FileAdapter

PROGRAM = """
from perdure.bptk import BptkServer
from perdure.dialects.bptk.handlers import FIXED

async def broken(dialect, call):
    raise RuntimeError("broken")

FIXED["scenarios"]["GET"] = broken
client = BptkServer("program", bearer_token="s3cret").test_client()
print(client.get("/scenarios", headers={"Authorization": "Bearer s3cret"}).status_code)
"""


@pytest.mark.parametrize("as_json", ["0", "1"])
def test_a_failure_is_logged_without_the_token(as_json: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PERDURE_LOG_JSON": as_json},
    )
    assert ended.stdout == "500\n", ended.stderr
    assert "request_failed" in ended.stderr
    assert "RuntimeError: broken" in ended.stderr
    assert "s3cret" not in ended.stderr


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return where servers would have listened."""
    found: list[tuple[str, int]] = []
    monkeypatch.setattr(
        bptk_server, "run_app", lambda app, settings, host, port, announce: found.append((host, port))
    )
    return found


@pytest.mark.parametrize(
    ("given", "address", "ignored"),
    [
        ({}, ("127.0.0.1", 5000), []),
        ({"host": None, "port": None, "debug": None}, ("127.0.0.1", 5000), []),
        ({"host": "0.0.0.0", "port": 0, "debug": False}, ("0.0.0.0", 0), []),
        ({"debug": True, "threaded": True}, ("127.0.0.1", 5000), ["debug", "threaded"]),
    ],
)
def test_run_takes_what_flask_takes(
    listening: list[tuple[str, int]], given: dict[str, Any], address: tuple[str, int], ignored: list[str]
) -> None:
    server = BptkServer("tests")
    with structlog.testing.capture_logs() as lines:
        server.run(**given)
    assert listening == [address]
    assert [line["options"] for line in lines] == ([ignored] if ignored else [])


def test_a_server_without_an_adapter_says_that_sessions_live_in_memory() -> None:
    for adapter, told in ((None, ["sessions_in_memory"]), (FileAdapter(False, "state"), [])):
        for externalize in (False, True):
            with structlog.testing.capture_logs() as lines:
                BptkServer("tests", external_state_adapter=adapter, externalize_state_completely=externalize)
            assert [line["event"] for line in lines] == told
            assert all("sessions end with the server" in line["meaning"] for line in lines)

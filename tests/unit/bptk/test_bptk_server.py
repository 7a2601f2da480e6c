"""The BPTK server as a program uses it: Flask's habits of `run`, and what gets into the log."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import flask_cors
import pytest
import structlog
import uvicorn
from tests.support.programs import run_program

from perdure.api import bptk_server
from perdure.bptk import BptkServer, ExternalStateAdapter, FileAdapter
from perdure.errors import AsgiOnly, Invalid

PROGRAM = """
from perdure.bptk import BptkServer
from perdure.dialects.bptk import handlers

def broken(catalogue):
    raise RuntimeError("broken")

handlers.scenario_names = broken
client = BptkServer("program", bearer_token="s3cret").test_client()
print(client.get("/scenarios", headers={"Authorization": "Bearer s3cret"}).status_code)
"""


@pytest.mark.parametrize("as_json", ["0", "1"])
def test_a_failure_is_logged_without_the_token(as_json: str) -> None:
    ended = run_program(PROGRAM, PERDURE_LOG_JSON=as_json)
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


# What is for Flask or WSGI ----------------------------------------------------------------------------------


def test_cors_of_flask_is_answered_with_what_to_do_instead() -> None:
    server = BptkServer("tests")
    with pytest.raises(AsgiOnly, match=r"In place of CORS\(application\), pass cors_origins="):
        flask_cors.CORS(server)


@pytest.mark.parametrize("name", ["route", "config", "before_request", "wsgi_app", "add_url_rule", "debug"])
def test_what_only_flask_objects_have_is_named(name: str) -> None:
    with pytest.raises(AsgiOnly, match=f"it has no '{name}': a BptkServer is an ASGI application"):
        getattr(BptkServer("tests"), name)
    assert not hasattr(BptkServer("tests"), "_private")


def test_a_wsgi_server_is_told_how_to_serve_it() -> None:
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    with pytest.raises(AsgiOnly, match=r"gunicorn -k uvicorn\.workers\.UvicornWorker"):
        BptkServer("tests")(environ, lambda *_: None)  # as gunicorn's sync worker calls


def test_asgi_servers_find_it_out_by_themselves() -> None:
    config = uvicorn.Config(BptkServer("tests"), log_config=None)
    config.load()
    assert config.interface == "asgi3"
    with BptkServer("tests").test_client() as client:
        assert client.get("/healthy").status_code == 200


def test_flask_run_is_answered_with_how_to_serve_it(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(
        "from perdure.bptk import BptkServer\napplication = BptkServer(__name__)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "server", "run", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
    )
    assert ended.returncode != 0
    assert "flask run can't serve it" in ended.stderr
    assert "uvicorn server:application" in ended.stderr


NOTEBOOK = """
import asyncio, os, signal, sys, threading, urllib.request
from perdure.bptk import BptkServer

async def cell():
    def answered(line):
        url = line.split()[-1] if line.split()[-1].startswith("http") else line.split(" at ")[1].split()[0]
        def ask():
            with urllib.request.urlopen(url + "/healthy") as answer:
                print(answer.status, flush=True)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=ask).start()
    BptkServer("notebook").run(port=0, announce=answered)
    print("ended", threading.active_count(), flush=True)

asyncio.run(cell())
"""


def test_run_serves_inside_an_event_loop_until_it_is_interrupted() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", NOTEBOOK],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.stdout.split()[:2] == ["200", "ended"], ended.stderr


# Adapters ---------------------------------------------------------------------------------------------------


class Lacking:
    """An adapter of one's own, not derived, without a way to load."""

    def _save_instance(self, state: Any) -> None:
        raise NotImplementedError

    def delete_instance(self, instance_id: str) -> None:
        raise NotImplementedError


class Asynchronous(FileAdapter):
    async def _load_instance(self, instance_id: str) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Lacking, "The adapter Lacking has no _load_instance"),
        (lambda: FileAdapter, "The adapter is the class FileAdapter; pass an instance"),
        (lambda: Asynchronous(False, "state"), "Asynchronous._load_instance is async"),
        (lambda: "state", "The adapter str has no _save_instance"),
    ],
)
def test_what_can_not_be_an_adapter_is_refused_when_the_server_is_made(
    make: Callable[[], Any], told: str
) -> None:
    with pytest.raises(Invalid, match=re.escape(told)):
        BptkServer("tests", external_state_adapter=make())


def test_a_derived_adapter_that_lacks_a_method_can_not_be_made() -> None:
    class Half(ExternalStateAdapter):
        def _save_instance(self, state: Any) -> None:
            raise NotImplementedError

    adapter: Any = Half
    with pytest.raises(TypeError, match="_load_instance"):
        adapter(True)

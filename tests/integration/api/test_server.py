"""The server process: it starts beside what a crash left, tells what is in its way, and stops cleanly."""

import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import httpx
import pytest
from tests.support.served import ROOT, served

from perdure.api import dialects
from perdure.api.server import serve
from perdure.errors import AddressUnavailable
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.schemes import socket_path

NEW = {"kind": "session", "scenarios": {"bath": ["base"]}}


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_everything_is_closed(tmp_path: Path, stop: signal.Signals) -> None:
    with served(tmp_path) as server, server.client() as client:
        client.post("/runs", json=NEW).raise_for_status()
        server.process.send_signal(stop)
        assert server.process.wait(timeout=9) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "perdure.db",
        "perdure.db.lock",
        "perdure.db.tail",
        "server.log",
    ]
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_dialect_is_imported_stops_it_and_is_no_error_of_the_dialect(
    tmp_path: Path, stop: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"slow_{stop.name.lower()}"
    (tmp_path / f"{module}.py").write_text(f"import signal\nsignal.raise_signal({stop.value})\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("slow", f"{module}:DIALECT", dialects.GROUP)
    monkeypatch.setattr(dialects, "entry_points", lambda group: EntryPoints([point]))
    with pytest.raises(SystemExit) as ended:
        serve(Catalogue(), Settings(store="memory://", port=0))
    assert ended.value.code == 0


def test_it_starts_again_after_a_kill_and_goes_on(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        run = client.post("/runs", json=NEW).json()["id"]
        first = client.post(f"/runs/{run}/steps", json={"steps": 3}).json()
        server.process.kill()
        server.process.wait()
        assert (tmp_path / "perdure.db.sock").exists()
    with served(tmp_path) as server, server.client() as client:
        assert client.get(f"/runs/{run}").json()["step"] == 3
        assert client.post(f"/runs/{run}/steps").json()["steps"][0]["step"] == 4
        log = client.get(f"/runs/{run}/steps").json()["steps"]
        assert [step["results"] for step in log[:3]] == [step["results"] for step in first["steps"]]
        assert server.administrator is not None
        transport = httpx.HTTPTransport(uds=str(server.administrator))
        with httpx.Client(transport=transport, base_url="http://x") as administrator:
            assert administrator.get(f"/runs/{run}").json()["step"] == 4


def test_it_prints_where_it_is_and_what_to_do_next(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        assert server.process.stdout is not None
        lines = [server.process.stdout.readline() for _ in range(4)]
        assert lines[0].startswith("  open:")
        for command in (line.partition("curl")[2] for line in lines[1:3]):
            done = subprocess.run(["bash", "-c", f"curl -sS -f {command}"], capture_output=True, check=True)
            assert done.stdout
        assert "/openapi.json" in lines[3]


def test_it_serves_also_when_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/s.db"
    settings = {"PERDURE_PORT": "0", "PERDURE_STORE": store, "PYTHONPATH": str(ROOT / "src")}
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "perdure", "serve"],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert process.stderr is not None
    with process.stderr:
        try:
            assert any("nobody_listens_to_output" in line for line in iter(process.stderr.readline, ""))
            transport = httpx.HTTPTransport(uds=str(tmp_path / "s.db.sock"))
            with httpx.Client(transport=transport, base_url="http://perdure") as client:
                assert client.get("/ready").status_code == 200
            process.terminate()
            assert process.wait(timeout=9) == 0
        finally:
            process.kill()
            process.wait()


def test_if_announcing_fails_all_is_closed(tmp_path: Path) -> None:
    def announce(told: str) -> None:
        raise RuntimeError("no voice")

    with pytest.raises(RuntimeError, match="no voice"):
        serve(Catalogue(), Settings(port=0, store=f"sqlite:///{tmp_path}/s.db"), announce=announce)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.db", "s.db.lock", "s.db.tail"]


def test_a_port_in_use_is_an_error_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(port=port, store=f"sqlite:///{tmp_path}/s.db")
        with pytest.raises(AddressUnavailable, match=f"127.0.0.1:{port}"):
            serve(Catalogue(), settings)
    assert not (tmp_path / "s.db").exists()


def test_a_file_in_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s.db.sock").write_text("mine")
    with pytest.raises(AddressUnavailable, match=r"s\.db\.sock"):
        serve(Catalogue(), Settings(port=0, store=f"sqlite:///{tmp_path}/s.db"))
    assert (tmp_path / "s.db.sock").read_text() == "mine"


def test_a_path_too_long_for_a_socket_is_a_warning_and_it_serves(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    with served(folder) as server, server.client() as client:
        assert client.get("/ready").status_code == 200
        assert server.administrator is not None
        assert not server.administrator.exists()
        assert "too long" in server.log.read_text()


def test_a_store_in_memory_has_no_socket(tmp_path: Path) -> None:
    assert socket_path("memory://") is None
    assert socket_path(f"sqlite:///{tmp_path}/a%20b/s.db") == tmp_path / "a b" / "s.db.sock"
    assert socket_path(f"sqlite:///{tmp_path}") == tmp_path / "perdure.db.sock"


def test_a_link_to_a_store_leads_to_its_socket(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here.db").symlink_to(tmp_path / "there" / "s.db")
    assert socket_path(f"sqlite:///{tmp_path}/here.db") == tmp_path / "there" / "s.db.sock"
    assert socket_path(f"sqlite:///{tmp_path}/new/") == tmp_path / "new" / "perdure.db.sock"


def test_two_servers_of_one_folder_have_a_socket_each(tmp_path: Path) -> None:
    stores = [f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b")]
    with served(tmp_path, stores[0]) as first, served(tmp_path, stores[1]) as second:
        for server in (first, second):
            with server.client() as client:
                run = client.post("/runs", json=NEW).json()["id"]
            transport = httpx.HTTPTransport(uds=str(server.administrator))
            with httpx.Client(transport=transport, base_url="http://perdure") as administrator:
                assert [found["id"] for found in administrator.get("/runs").json()["runs"]] == [run]


def test_a_server_writes_only_where_its_store_is(tmp_path: Path) -> None:
    """Not into the folder it was started in, which may be a repository with another server's data."""
    (tmp_path / "data").mkdir()
    (started_in := tmp_path / "elsewhere").mkdir()
    with served(tmp_path / "data", cwd=started_in) as server, server.client() as client:
        run = client.post("/runs", json=NEW).json()["id"]
        client.post(f"/runs/{run}/steps", json={"steps": 3}).raise_for_status()
    assert list(started_in.iterdir()) == []

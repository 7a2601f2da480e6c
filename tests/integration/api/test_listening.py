"""Where a server listens, and what it sends to the service manager that has started it."""

import socket
import tempfile
from pathlib import Path

import httpx
import pytest
from tests.support.commands import BATH
from tests.support.server import running

from perdure.api.service_manager import READY, notify
from perdure.settings import Settings

SECONDS = 240.0


def test_a_server_answers_at_each_port_and_notifies_its_service_manager(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{short}/notify")
        manager.settimeout(SECONDS)
        environment = {"NOTIFY_SOCKET": f"{short}/notify", "PERDURE_EXTRA_PORTS": "0,0"}
        with running(tmp_path / "perdure.db", BATH, environment) as server:
            assert server.process.stdout is not None
            lines = [server.process.stdout.readline().split() for _ in range(2)]
            assert [line[0] for line in lines] == ["also:", "also:"]
            urls = [server.url, *(line[1] for line in lines)]
            assert len(set(urls)) == 3
            for url in urls:
                assert httpx.get(f"{url}/ready").status_code == 200
            assert manager.recv(100) == b"READY=1"
            assert manager.recv(100) == b"WATCHDOG=1"
            assert server.stop() == 0
            while (message := manager.recv(100)) != b"STOPPING=1":
                assert message == b"WATCHDOG=1"


def test_without_a_service_manager_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(READY)
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    notify(READY)


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="abstract sockets are Linux's")
def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # the kernel chooses an abstract name
        name = manager.getsockname().decode()
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        notify(READY)
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("ports", ["x", "70000", "-1", "5000;5005"])
def test_what_is_no_port_is_refused(ports: str) -> None:
    with pytest.raises(ValueError, match="extra_ports"):
        Settings(extra_ports=ports)

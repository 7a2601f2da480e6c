"""The deployment of `perdure deploy supervisor`, played with the real supervisord."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.support.commands import perdure
from tests.support.dense_networks import dense
from tests.support.processes import process_of, until_gone

BIN = Path(sys.executable).parent
SECONDS = 240.0  # far more than it takes

CLASSIC = [["a", "b"], ["a*", "b*"], ["a", ">mon1"], ["b"]]


def free_ports(count: int) -> list[int]:
    """Return free ports, all at once, so that none is returned twice."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


class Supervised:
    """A supervisord with its configuration."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.configuration, self.ports = folder / "supervisord.conf", ports

    def control(self, *words: str) -> str:
        command = [str(BIN / "supervisorctl"), "-c", str(self.configuration), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def running(self, *but: str) -> dict[str, int]:
        """Wait until every program runs, and none with one of the given process ids; return these by name."""
        deadline = time.monotonic() + SECONDS
        while True:
            lines = self.control("status").splitlines()
            found = [re.match(r"(\S+)\s+RUNNING\s+pid (\d+)", line) for line in lines]
            running = {each[1]: int(each[2]) for each in found if each is not None}
            if lines and len(running) == len(lines) and not {str(pid) for pid in running.values()} & set(but):
                return running
            assert time.monotonic() < deadline, lines

    def client(self, port: int) -> httpx.Client:
        """Return a client of the server, once it is ready."""
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
        while subprocess.run(
            [str(BIN / "perdure"), "health", url], capture_output=True, check=False
        ).returncode:
            assert time.monotonic() < deadline
        return httpx.Client(base_url=url, timeout=SECONDS)


@pytest.fixture
def supervised() -> Iterator[Supervised]:
    # Not pytest's folder: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="perdure-") as made:
        folder, ports = Path(made), free_ports(2)
        options = [word for port in ports for word in ("--port", str(port))]
        printed = perdure("deploy", "supervisor", *options, "--setting", "task_timeout=240", folder=folder)
        assert printed.returncode == 0, printed.stderr
        supervised = Supervised(folder, ports)
        supervised.configuration.write_text(printed.stdout)
        (making,) = (line.removeprefix(";") for line in printed.stdout.splitlines() if "install -d" in line)
        subprocess.run(making, shell=True, check=True)
        command = [str(BIN / "supervisord"), "-n", "-s", "-c", str(supervised.configuration)]
        with process_of(command, cwd=folder) as process:
            try:
                yield supervised
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(SECONDS)


def test_the_seeds_deployment_is_played_under_the_real_supervisord(supervised: Supervised) -> None:
    programs = supervised.running()
    assert programs.keys() == {"server", "server-health"}
    first, second = supervised.ports
    with supervised.client(second) as client:
        task = client.post("/task", json={"monomers": CLASSIC}).json()["task_id"]
        while (answer := client.get(f"/status/{task}")).status_code == 202:
            assert answer.json()["status"] == "Progress"
        assert (answer.status_code, answer.json()["status"], answer.json()["entropy"]) == (200, "COMPLETE", 3)

        long = client.post("/task", json={"monomers": dense(120)}).json()["task_id"]
        assert client.get(f"/status/{long}").status_code == 202
        ended = client.delete(f"/terminate/{long}")
        assert (ended.status_code, ended.json()) == (200, {"status": f"terminating task: {long}"})
        assert client.get(f"/status/{long}").status_code == 401

    os.kill(programs["server"], signal.SIGKILL)
    assert until_gone(programs["server"])
    again = supervised.running(str(programs["server"]))
    assert again["server"] != programs["server"]
    with supervised.client(first) as client:
        assert client.get(f"/status/{task}").json() == answer.json()

    data = supervised.configuration.parent / "perdure-data"
    assert (data / "run" / "supervisor.sock").stat().st_mode & 0o777 == 0o770
    for folder in (data, data / "log", data / "run"):
        assert folder.stat().st_mode & 0o777 == 0o750
    assert {"server.log", "supervisord.log"} <= {path.name for path in (data / "log").iterdir()}

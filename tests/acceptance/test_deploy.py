"""The deployment of `perdure deploy supervisor`, played with the real supervisord."""

import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

import httpx
from supervisor.xmlrpc import SupervisorTransport
from tests.support.commands import perdure
from tests.support.dense_networks import dense
from tests.support.other_users import executing
from tests.support.postgres import DEBIAN
from tests.support.processes import process_of, until_gone
from tests.support.services import ROOT, USER, program
from tests.support.waiting import until

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

    def running(self, *but: int) -> dict[str, int]:
        """Wait until every program runs, and none with one of the given process ids; return these by name."""
        deadline = time.monotonic() + SECONDS
        while True:
            found = self._processes()
            pids = {each["name"]: each["pid"] for each in found if each["statename"] == "RUNNING"}
            if found and len(pids) == len(found) and not {*pids.values()} & {*but}:
                return pids
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def client(self, port: int) -> httpx.Client:
        """Return a client of the server, once it is ready."""
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
        while not _answers(url):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return httpx.Client(base_url=url, timeout=SECONDS)

    def _processes(self) -> list[dict[str, Any]]:
        """Return what supervisord says of its programs; nothing before it answers."""
        url = f"unix://{self.configuration.parent}/perdure-data/run/supervisor.sock"
        with suppress(OSError), ServerProxy("http://localhost", SupervisorTransport(serverurl=url)) as proxy:
            found: list[dict[str, Any]] = proxy.supervisor.getAllProcessInfo()
            return found
        return []


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/ready").status_code == 200
    return False


@contextmanager
def supervised(*options: str, user: str | None = None) -> Iterator[Supervised]:
    """Make a deployment as its page says, start it, and end it at the end."""
    # Not pytest's folder: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="perdure-") as made:
        folder, ports = Path(made), free_ports(2)
        folder.chmod(0o755)
        given = [word for port in ports for word in ("--port", str(port))]
        given += ["--setting", "task_timeout=240", *([] if user is None else ["--user", user])]
        printed = perdure("deploy", "supervisor", *given, *options, folder=folder)
        assert printed.returncode == 0, printed.stderr
        deployed = Supervised(folder, ports)
        deployed.configuration.write_text(printed.stdout)
        (making,) = (line.removeprefix(";") for line in printed.stdout.splitlines() if "install -d" in line)
        subprocess.run(making, shell=True, check=True)
        command = [str(BIN / "supervisord"), "-n", "-s", "-c", str(deployed.configuration)]
        with process_of([*([] if user is None else executing()), *command], cwd=folder) as process:
            try:
                yield deployed
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(SECONDS)


def solved(client: httpx.Client) -> str:
    """Play the seed's `POST /task` and `GET /status`; return the task's id."""
    task: str = client.post("/task", json={"monomers": CLASSIC}).json()["task_id"]

    def over() -> httpx.Response | None:
        answer = client.get(f"/status/{task}")
        if answer.status_code != 202:
            return answer
        assert answer.json()["status"] == "Progress"
        return None

    answer = until(over)
    assert (answer.status_code, answer.json()["status"], answer.json()["entropy"]) == (200, "COMPLETE", 3)
    return task


def terminated(client: httpx.Client) -> None:
    """Play the seed's `DELETE /terminate`."""
    task = client.post("/task", json={"monomers": dense(120)}).json()["task_id"]
    assert client.get(f"/status/{task}").status_code == 202
    ended = client.delete(f"/terminate/{task}")
    assert (ended.status_code, ended.json()) == (200, {"status": f"terminating task: {task}"})
    assert client.get(f"/status/{task}").status_code == 401


def test_the_seeds_deployment_is_played_under_the_real_supervisord() -> None:
    with supervised() as deployed:
        programs = deployed.running()
        assert programs.keys() == {"server", "server-health"}
        shown = dict(line.split()[:2] for line in deployed.control("status").splitlines())
        assert shown == dict.fromkeys(programs, "RUNNING")
        first, second = deployed.ports
        with deployed.client(second) as client:
            assert perdure("health", f"http://127.0.0.1:{second}").stdout == "ok\n"
            task = solved(client)
            terminated(client)

        os.kill(programs["server"], signal.SIGKILL)
        assert until_gone(programs["server"])
        again = deployed.running(programs["server"])
        assert again["server"] != programs["server"]
        with deployed.client(first) as client:
            assert client.get(f"/status/{task}").json()["status"] == "COMPLETE"

        data = deployed.configuration.parent / "perdure-data"
        assert (data / "run" / "supervisor.sock").stat().st_mode & 0o777 == 0o770
        for folder in (data, data / "log", data / "run"):
            assert folder.stat().st_mode & 0o777 == 0o750
        assert {"server.log", "supervisord.log"} <= {path.name for path in (data / "log").iterdir()}


def test_a_deployment_with_workers_has_its_own_database_and_broker_and_runs_as_an_ordinary_user() -> None:
    program("redis-server", "Redis", "redis-server")
    program("initdb", "PostgreSQL", "postgresql", *sorted(DEBIAN.glob("*/bin")))
    with supervised("--workers", "1", user=USER if ROOT else None) as deployed:
        programs = deployed.running()
        assert programs.keys() == {"database", "broker", "server", "server-health", "worker-1"}
        with deployed.client(deployed.ports[0]) as client:
            solved(client)
            terminated(client)
        if ROOT:
            running = deployed.running().values()  # a worker is started again until there is a store
            owners = {Path(f"/proc/{pid}").stat().st_uid for pid in running}
            assert owners == {pwd.getpwnam(USER).pw_uid}

"""An experiment on a worker of another host, steered and read at two API processes, on PostgreSQL and Redis.

Each process has working folders of its own, as on hosts of their own. They share the artifacts.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.support.commands import BATH, command
from tests.support.experiment_runs import ended, events, files, lines, put, scripted
from tests.support.forked import Forked
from tests.support.server import running

from perdure.stores.open import open_store
from perdure.testing.store_samples import WAIT

CONFIG = b"""{
  "Savepoint": {"every": 0.1},
  "EngineConfigs": [{"EngineName": "writer", "EngineType": "python_json", "PythonFileName": "writer.py"}]
}"""
WRITER = b"""
from nrp_core.engines.python_json import EngineScript

class Script(EngineScript):
    def initialize(self):
        self.steps = 0

    def runLoop(self, timestep_ns):
        self.steps += 1
        with open("steps.txt", "a") as file:
            file.write("x")

    def shutdown(self):
        with open("last.txt", "w") as file:
            file.write(str(self.steps))
"""
SCRIPT = """
file_logger.info("begun")
while True:
    nrp.run_loop(1)
"""


@pytest.fixture
def apis(postgres: str, redis_url: str, tmp_path: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two API processes, and a worker."""

    def environment(name: str) -> dict[str, str]:
        return {
            "PERDURE_STORE": postgres,
            "PERDURE_BROKER": redis_url,
            "PERDURE_ARTIFACTS": str(tmp_path / "artifacts"),
            "PERDURE_ARTIFACTS_SHARED": "yes",
            "PERDURE_WORKING_FOLDERS": str(tmp_path / name),
        }

    with ExitStack() as stack:
        clients = []
        for name in ("one", "two"):
            server = stack.enter_context(running(postgres, BATH, environment(name)))
            clients.append(stack.enter_context(httpx.Client(base_url=server.url, timeout=WAIT)))
        worker = Forked(
            command, ("worker",), folder=tmp_path, environment={**os.environ, **environment("worker")}
        )
        stack.callback(worker.stdout.close)
        stack.callback(worker.wait)
        stack.callback(worker.kill)
        assert worker.stdout.readline().startswith("Perdure works on ")
        one, two = clients
        yield one, two


def begun(client: httpx.Client, run_id: str) -> None:
    """Watch a run until it has made ten steps."""
    for told in events(client, run_id):
        if ((told.get("progress") or {}).get("simulation_time") or 0) >= 0.1:
            return


def test_an_experiment_is_steered_watched_read_and_forked_at_any_api_process(
    apis: tuple[httpx.Client, httpx.Client], postgres: str, tmp_path: Path
) -> None:
    one, two = apis
    run_id = scripted(one, "far", SCRIPT, **{"simulation_config.json": CONFIG, "writer.py": WRITER})
    put(one, run_id, "started")
    begun(two, run_id)
    put(two, run_id, "paused")
    assert one.get(f"/runs/{run_id}").json()["state"] == "paused"
    put(two, run_id, "started")
    put(one, run_id, "stopped")
    assert ended(two, run_id)["state"] == "stopped"
    found = [files(client, run_id) for client in (two, one)]
    assert found[0] == found[1]
    steps = len(found[0]["steps.txt"])
    assert steps >= 10
    assert found[0]["last.txt"] == b"%d" % steps  # which the engine wrote when it was shut down
    assert b"begun" in found[0]["main_script.log"]
    assert lines(one, run_id) == lines(two, run_id)
    assert any("begun" in line for line in lines(two, run_id))
    forked = two.post(f"/runs/{run_id}/fork", json={})
    assert forked.status_code == 201, forked.text
    fork = forked.json()["id"]
    put(one, fork, "started")
    put(two, fork, "stopped")
    found = [files(client, fork) for client in (one, two)]
    assert found[0] == found[1]
    assert found[0]["last.txt"] == b"%d" % len(found[0]["steps.txt"])
    store = open_store(postgres)
    try:
        assert [store.execution(it).holder for it in (run_id, fork)] == ["", ""]  # nobody keeps a lease
    finally:
        store.close()
    deadline = time.monotonic() + WAIT
    while any((tmp_path / "worker").iterdir()):  # it removes a folder once the store says that it is stored
        assert time.monotonic() < deadline
        time.sleep(0.05)

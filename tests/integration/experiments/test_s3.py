"""Experiments on an S3 server, over HTTP: sent, run, killed on the way, their results read and removed."""

import hashlib
import os
import signal
from pathlib import Path

import httpx
from tests.support.commands import BATH
from tests.support.experiment_runs import Signal, ended, files, made, put, send
from tests.support.processes import marked
from tests.support.s3_server import BUCKET, s3_server
from tests.support.server import running

CONFIG = b"""{
  "SimulationTimeout": 0.5,
  "Savepoint": {"every": 0.1},
  "EngineConfigs": [{"EngineName": "draws", "EngineType": "python_json", "PythonFileName": "draws.py"}]
}"""
DRAWS = b"""
import random
from nrp_core.engines.python_json import EngineScript

class Script(EngineScript):
    def initialize(self):
        pass

    def runLoop(self, timestep_ns):
        with open("draws.txt", "a") as file:
            print(random.random(), file=file)

    def shutdown(self):
        pass
"""
LARGE = 90_001  # bytes: more than a savepoint holds of a file
SCRIPT = """
try:
    while True:
        nrp.run_loop(10)
        file_logger.info("%g", nrp.simulation_time)
        if nrp.simulation_time == 0.3:
            {here}
            open({go!r}).close()
except NRPSimulationTimeout:
    with open("large.bin", "wb") as file:
        file.write(bytes(range(251)) * {rounds})
"""


def test_an_experiment_on_s3_is_sent_run_killed_and_read(tmp_path: Path) -> None:
    here = Signal(tmp_path / "here")
    go = Signal(tmp_path / "go").path
    script = SCRIPT.format(here=here.code.strip(), go=str(go), rounds=LARGE // 251 + 1)
    sources = {
        "simulation_config.json": CONFIG,
        "draws.py": DRAWS,
        "main_script.py": script.encode(),
    }
    identity = hashlib.sha256(bytes(tmp_path / "perdure.db")).hexdigest()[:16]
    with s3_server() as s3:
        places = {"PERDURE_ARTIFACTS": f"s3://{BUCKET}/perdure", **s3.environment}
        with (
            running(tmp_path / "perdure.db", BATH, places, prefix=()) as server,
            httpx.Client(base_url=server.url, timeout=240) as client,
        ):
            send(client, "draws", sources)
            found = []
            for killed in (False, True):
                run_id = made(client, "draws", seed=5)["id"]
                put(client, run_id, "started")
                here.wait()
                if killed:
                    processes = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in marked(identity)}
                    (child,) = [pid for pid, command in processes.items() if b"guard.py" not in command]
                    os.kill(child, signal.SIGKILL)
                    here.wait()  # the next attempt, in a folder that was fetched anew
                go.write_text("")
                told = ended(client, run_id)
                assert (told["state"], told["attempt"]) == ("completed", 2 if killed else 1), told
                found.append(files(client, run_id))
            assert found[0] == found[1]
            assert len(found[0]["large.bin"]) >= LARGE
            assert found[0]["draws.txt"].count(b"\n") == 50
            again = send(client, "draws", sources)
            other = client.put(f"/experiments/{again}/files/main_script.py", content=b"changed")
            assert other.status_code == 200
            assert client.get(f"/experiments/{again}/files/main_script.py").content == b"changed"
            for run in client.get("/runs").json()["runs"]:
                assert client.delete(f"/runs/{run['id']}").status_code == 204
            assert client.delete("/experiments/draws").status_code == 204
            # What is left says that they were deleted, for a day; blobs stay for an hour.
            left = [key.split("/") for key in s3.stored()]
            assert {parts[3] for parts in left if parts[2] != "blobs"} == {"versions"}

"""Large files that are rewritten: restored to the bit without the folder they were written in, and shared."""

import json
import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
from tests.support.experiment_runs import ended, files, made, put, send
from tests.support.gates import Gate
from tests.support.served import served

from perdure.artifacts import Artifacts
from perdure.drivers.experiments.saved_files import pieces_of
from perdure.drivers.experiments.script_position import FILES
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.state.codec import decode
from perdure.stores.sqlite import SqliteStore

CONFIG = {
    "SimulationTimeout": 0.3,
    "Savepoint": {"every": 0.1, "keep": 50},
    "EngineConfigs": [{"EngineName": "net", "EngineType": "python_json", "PythonFileName": "net.py"}],
}
ENGINE = b"""
import random, sqlite3
from contextlib import closing
from nrp_core.engines.python_json import EngineScript

class Script(EngineScript):
    def initialize(self):
        self.count = 0
        with closing(sqlite3.connect("data.db")) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS data (number INTEGER PRIMARY KEY, content BLOB)")
            for number in range(200):
                database.execute("INSERT OR IGNORE INTO data VALUES (?, zeroblob(4000))", (number,))

    def runLoop(self, timestep_ns):
        self.count += 1
        with open("weights.bin", "wb") as file:
            file.write(random.randbytes(2_000_000))
        with open("log.txt", "ab") as file:
            file.write(random.randbytes(40_000))
        with closing(sqlite3.connect("data.db")) as database, database:
            for _ in range(3):
                values = random.randbytes(4000), random.randrange(200)
                database.execute("UPDATE data SET content = ? WHERE number = ?", values)

    def shutdown(self):
        pass
"""


def finished(client: httpx.Client, run_id: str) -> dict[str, bytes]:
    put(client, run_id, "started")
    assert ended(client, run_id)["state"] == "completed", client.get(f"/runs/{run_id}").text
    return files(client, run_id)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def distinct(store: SqliteStore, runs: list[str], results: list[Mapping[str, bytes]]) -> int:
    """Return how many bytes all distinct contents have that savepoints list, and results."""
    contents: dict[Any, int] = {}
    for run in runs:
        for info in store.savepoints(run):
            kept: Any = decode(store.savepoint(run, info.timestamp).entities[FILES])
            for was in kept["files"]["written"].values():
                key = (tuple(digest for _, _, digest in was["pieces"]), was["tail"])
                contents[key] = was["size"]
    for written in results:
        contents |= {content: len(content) for content in written.values()}
    return sum(contents.values())


def test_large_rewritten_files_survive_without_their_folder_and_are_shared(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    script = f"nrp.run_loop(15)\n{gate.code}while True:\n    nrp.run_loop(5)\n"
    given = {
        "simulation_config.json": json.dumps(CONFIG).encode(),
        "net.py": ENGINE,
        "main_script.py": script.encode(),
    }
    working, artifacts = (tmp_path / f"perdure.db.{name}" for name in ("working", "artifacts"))
    with served(tmp_path) as server, server.client() as client:
        run = made(client, send(client, "net", given), seed=5)["id"]
        put(client, run, "started")
        gate.wait()
        server.process.kill()
        server.process.wait()
    shutil.rmtree(working)
    with served(tmp_path) as server, server.client() as client:
        gate()
        assert ended(client, run)["state"] == "completed", client.get(f"/runs/{run}").text
        resumed = files(client, run)
        timestamps = [it["timestamp"] for it in client.get(f"/runs/{run}/savepoints").json()["savepoints"]]
        assert len(timestamps) >= 4
        forks = []
        for timestamp in timestamps:
            fork = client.post(f"/runs/{run}/fork", json={"savepoint": timestamp}).json()["id"]
            forks.append(fork)
            put(client, fork, "started")
            gate()
            assert ended(client, fork)["state"] == "completed", client.get(f"/runs/{fork}").text
            assert files(client, fork) == resumed, timestamp
        undisturbed = made(client, "net", seed=5)["id"]
        put(client, undisturbed, "started")
        gate()
        assert ended(client, undisturbed)["state"] == "completed"
        assert files(client, undisturbed) == resumed
        assert client.post(f"/runs/{run}/check").json()["findings"] == []
    runs = [run, *forks, undisturbed]
    with closing(SqliteStore(tmp_path / "perdure.db")) as store:
        kept = Artifacts(str(artifacts))
        folders = WorkingFolders(working, kept)
        blobs = artifacts / "local" / "blobs"
        assert size(blobs) <= distinct(store, runs, [])
        folders.sweep(store, seconds=-1)
        assert size(blobs) <= distinct(store, runs, [])
        named = {piece.digest for run in runs for piece in _pieces(store, run) if piece.digest}
        assert sum(1 for path in blobs.iterdir()) == len(named)
        piece = next(piece for piece in _pieces(store, undisturbed) if piece.digest)
    with served(tmp_path) as server, server.client() as client:
        what_is_missing_is_found(client, undisturbed, blobs / f"{piece.digest}-{piece.number}")
        for number, each in enumerate(runs[:-1]):
            assert client.delete(f"/runs/{each}").status_code == 204
            if number < len(runs) - 2:
                assert files(client, runs[number + 1]) == resumed
        assert client.delete(f"/runs/{undisturbed}").status_code == 204
    with closing(SqliteStore(tmp_path / "perdure.db")) as store:
        WorkingFolders(working, Artifacts(str(artifacts))).sweep(store, seconds=-1)
    assert size(blobs) == 0
    assert size(artifacts) < 10_000, "the experiment, and nothing that was written"


def what_is_missing_is_found(client: httpx.Client, run: str, blob: Path) -> None:
    """Remove a blob and the results of a run: both are findings, and errors for who asks for them."""
    content = blob.read_bytes()
    blob.unlink()
    results = blob.parents[1] / "results" / "versions" / run
    results.rename(aside := blob.parents[1] / "aside")
    findings = client.post(f"/runs/{run}/check").json()["findings"]
    assert [it["place"] for it in findings if "are missing" in it["problem"]] == ["files"]
    assert {it["place"].split()[0] for it in findings if blob.name in it["problem"]} == {"savepoint"}
    for path in ("files", "files.zip", "files/log.txt"):
        answer = client.get(f"/runs/{run}/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "corrupt_blob"), path
    blob.write_bytes(content)
    aside.rename(results)


def _pieces(store: SqliteStore, run: str) -> list[Any]:
    savepoints = (store.savepoint(run, info.timestamp) for info in store.savepoints(run))
    return [piece for savepoint in savepoints for piece in pieces_of(decode(savepoint.entities[FILES]))]

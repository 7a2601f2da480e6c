"""Forks at any savepoint, on a real server: with the large files that had been written by then."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.experiment_runs import ended, events, files, lines, made, put, scripted, send
from tests.support.gates import Gate
from tests.support.served import served

from perdure.artifacts import Artifacts
from perdure.drivers.experiments.experiment_requests import ForkExperiment
from perdure.drivers.experiments.experiments import KIND
from perdure.drivers.experiments.preparing import Preparing
from perdure.drivers.experiments.storage import WorkingFolders
from perdure.lifecycle import DesiredState
from perdure.run import Execution, Run
from perdure.stores.commands import Fork, ForkRuns, encoded
from perdure.stores.sqlite import SqliteStore

CONFIG = b"""{
  "SimulationTimeout": 1,
  "Savepoint": {"every": 0.1, "keep": 50},
  "EngineConfigs": [{"EngineName": "writer", "EngineType": "python_json", "PythonFileName": "writer.py"}]
}"""
WRITER = b"""
import random
from nrp_core.engines.python_json import EngineScript

class Script(EngineScript):
    def initialize(self):
        with open("before.bin", "wb") as file:
            file.write(random.randbytes(70_000))

    def runLoop(self, timestep_ns):
        with open("grows.bin", "ab") as file:
            file.write(random.randbytes(9_000))
        with open("small.txt", "w") as file:
            file.write(str(random.random()))

    def shutdown(self):
        pass
"""
ANEW = (
    WRITER
    + b"""
class Script(Script):
    def runLoop(self, timestep_ns):
        with open("anew.bin", "wb") as file:
            file.write(random.randbytes(70_000))
"""
)
LOOP = """
import random
try:
    while True:
        nrp.run_loop(7)
        with open("state.txt", "w") as file:
            file.write(str(random.random()) * 5_000)
        file_logger.info("%s", nrp.simulation_time)
except NRPSimulationTimeout:
    pass
"""
MIDDLE = 300_000_000


class Gated:
    """An experiment whose script waits at its top, and after 55 steps."""

    def __init__(self, folder: Path) -> None:
        self.top, self.middle = Gate(folder / "top"), Gate(folder / "middle")
        script = f"{self.top.code}nrp.run_loop(55)\n{self.middle.code}{LOOP}"
        self.files = {
            "simulation_config.json": CONFIG,
            "writer.py": WRITER,
            "main_script.py": script.encode(),
        }

    def finished(self, client: httpx.Client, run_id: str) -> dict[str, bytes]:
        """Bring a paused run to its end; return what it wrote."""
        put(client, run_id, "started")
        self.top()
        self.middle()
        assert ended(client, run_id)["state"] == "completed", client.get(f"/runs/{run_id}").text
        return files(client, run_id)


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    return Gated(tmp_path)


def fork_of(client: httpx.Client, run_id: str, **given: Any) -> str:
    """Fork a run; return the fork's id."""
    answer = client.post(f"/runs/{run_id}/fork", json={"savepoint": MIDDLE, **given})
    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "paused", answer.text
    fork: str = answer.json()["id"]
    return fork


@contextmanager
def killed(folder: Path) -> Iterator[httpx.Client]:
    """Serve a folder, and kill the server at the end of the block."""
    with served(folder) as server, server.client() as client:
        yield client
        server.process.kill()
        server.process.wait()


def test_a_fork_takes_its_files_along_wherever_its_parent_stands(tmp_path: Path, gated: Gated) -> None:
    forks = {}
    with killed(tmp_path) as client:
        whole = gated.finished(client, made(client, send(client, "gated", gated.files), seed=5)["id"])
        assert len(whole["grows.bin"]) == 900_000
        parent = made(client, "gated", seed=5)["id"]
        put(client, parent, "started")
        gated.top()
        gated.middle.wait()
        forks["is running"] = fork_of(client, parent)
        put(client, parent, "paused")
        forks["is paused"] = fork_of(client, parent)
        forks["is a fork that never began"] = fork_of(client, forks["is paused"])
    with killed(tmp_path) as client:
        assert client.get(f"/runs/{parent}").json()["state"] == "paused"
        forks["has no process"] = fork_of(client, parent)
        put(client, forks["is paused"], "started")
        gated.top.wait()
    with served(tmp_path) as server, server.client() as client:
        gated.top()  # the one whose server was killed before it had caught up
        gated.middle()
        assert ended(client, forks["is paused"])["state"] == "completed"
        assert files(client, forks.pop("is paused")) == whole
        put(client, parent, "started")
        gated.top.wait()
        forks["is on its way back to its savepoint"] = fork_of(client, parent)
        gated.top.open()
        gated.middle()
        assert ended(client, parent)["state"] == "completed"
        assert files(client, parent) == whole
        forks["has completed"] = fork_of(client, parent)
        for where, fork in forks.items():
            assert gated.finished(client, fork) == whole, where
        again = fork_of(client, forks["has completed"])
        assert gated.finished(client, again) == whole
    assert list((tmp_path / "perdure.db.working").glob("*/place.json")) == []


def test_a_fork_whose_server_is_killed_before_its_first_attempt_has_its_files(
    tmp_path: Path, gated: Gated
) -> None:
    with served(tmp_path) as server, server.client() as client:
        whole = gated.finished(client, made(client, send(client, "gated", gated.files), seed=5)["id"])
        parent = made(client, "gated", seed=5)["id"]
        put(client, parent, "started")
        gated.top()
        gated.middle.wait()
        put(client, parent, "stopped")
        assert client.get(f"/runs/{parent}/files").status_code == 200  # which waits until all is stored
    keep_a_fork(tmp_path, parent, "fork")
    with served(tmp_path) as server, server.client() as client:
        with closing(events(client, "fork")) as telling:
            assert next(told["state"] for told in telling if told["state"] != "created") == "paused"
        assert gated.finished(client, "fork") == whole


def keep_a_fork(folder: Path, parent_id: str, run_id: str) -> None:
    """Do what a server does that is killed as soon as the fork is kept."""
    artifacts = Artifacts(str(folder / "perdure.db.artifacts"))
    with closing(SqliteStore(folder / "perdure.db")) as store:
        parent = store.run(parent_id)
        preparing = Preparing(store, artifacts, WorkingFolders(folder / "perdure.db.working", artifacts))
        prepared = preparing.fork(run_id, parent, ForkExperiment(savepoint=MIDDLE))
        assert prepared.savepoint is not None
        run = Run(
            id=run_id,
            kind=KIND,
            owner=parent.owner,
            spec=prepared.spec.to_blob(),
            created=0.0,
            updated=0.0,
            parent=parent_id,
            parent_position=prepared.savepoint.position,
        )
        execution = Execution(
            run_id=run_id, kind=KIND, owner=parent.owner, desired=DesiredState.PAUSED, stored=None
        )
        store.submit(
            ForkRuns([Fork(run=run, savepoint=encoded(prepared.savepoint), execution=execution)])
        ).result()[0]


def test_another_script_finds_the_files_at_its_top_whenever_it_runs_again(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    other = f"""
import hashlib, pathlib
for path in ("grows.bin", "small.txt"):
    file_logger.info(hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest())
nrp.run_loop(20)
{gate.code}
nrp.run_loop(20)
"""
    given = {
        "simulation_config.json": CONFIG,
        "writer.py": WRITER,
        "main_script.py": b"nrp.run_loop(100)\n",
        "other.py": other.encode(),
    }
    with killed(tmp_path) as client:
        parent = made(client, send(client, "found", given), seed=5)["id"]
        completed(client, parent)
        undisturbed, fork = (fork_of(client, parent, script="other.py") for _ in range(2))
        put(client, undisturbed, "started")
        gate()
        assert ended(client, undisturbed)["state"] == "completed"
        whole = files(client, undisturbed)
        assert len(whole["grows.bin"]) == 70 * 9_000
        put(client, fork, "started")
        gate.wait()
    with killed(tmp_path) as client:
        gate.wait()
        put(client, fork, "paused")
        again = [fork_of(client, fork, savepoint=500_000_000)]
    with served(tmp_path) as server, server.client() as client:
        put(client, fork, "started")
        gate()
        assert ended(client, fork)["state"] == "completed"
        assert files(client, fork) == whole
        again.append(fork_of(client, fork, savepoint=500_000_000))
        for run in again:
            put(client, run, "started")
            gate()
            assert ended(client, run)["state"] == "completed"
            assert files(client, run) == whole
    assert list((tmp_path / "perdure.db.working").glob("*/place.json")) == []


def test_a_run_that_is_stopped_on_its_way_back_keeps_what_it_had_written_by_its_savepoint(
    tmp_path: Path,
) -> None:
    top, middle = Gate(tmp_path / "top"), Gate(tmp_path / "middle")
    script = (
        f"open('own.txt', 'w').write('top')\n{top.code}"
        f"nrp.run_loop(55)\nopen('own.txt', 'a').write(' and middle')\n{middle.code}"
    )
    with killed(tmp_path) as client:
        config = b'{"Savepoint": {"every": 0.1}}'
        run = scripted(client, "way back", script, **{"simulation_config.json": config})
        put(client, run, "started")
        top()
        middle.wait()
    with served(tmp_path) as server, server.client() as client:
        top.wait()
        put(client, run, "stopped")
        assert files(client, run)["own.txt"] == b"top"


# What can be had, and what not ------------------------------------------------------------------------------


def completed(client: httpx.Client, run_id: str) -> dict[str, bytes]:
    """Bring a paused run to its end; return what it wrote."""
    put(client, run_id, "started")
    told = ended(client, run_id)
    assert told["state"] == "completed", told["reason"]
    return files(client, run_id)


def test_a_fork_has_files_as_they_were_also_those_written_anew_since(client: httpx.Client) -> None:
    given = {"simulation_config.json": CONFIG, "writer.py": ANEW, "main_script.py": LOOP.encode()}
    parent = made(client, send(client, "anew", given), seed=5)["id"]
    whole = completed(client, parent)
    for savepoint in client.get(f"/runs/{parent}/savepoints").json()["savepoints"][::4]:
        assert completed(client, fork_of(client, parent, savepoint=savepoint["timestamp"])) == whole


def test_a_fork_is_refused_where_a_file_was_too_large_for_the_savepoint(tmp_path: Path) -> None:
    with served(tmp_path, max_savepoint_bytes=100_000) as server, server.client() as client:
        given = {"simulation_config.json": CONFIG, "writer.py": ANEW, "main_script.py": LOOP.encode()}
        parent = made(client, send(client, "anew", given), seed=5)["id"]
        whole = completed(client, parent)
        before = client.get("/runs").json()["runs"]
        answer = client.post(f"/runs/{parent}/fork", json={"savepoint": MIDDLE})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["details"]["path"]) == (
            409,
            "file_lost",
            "before.bin",
        )
        assert "savepoint 0" in error["message"]
        assert client.get("/runs").json()["runs"] == before
        assert list((tmp_path / "perdure.db.working").iterdir()) == []
        assert completed(client, fork_of(client, parent, savepoint=0)) == whole
        said = [line for line in lines(client, parent) if "Left out" in line]
        assert len(said) == len(set(said))
        assert (
            "before.bin. It can't be read, or the files of a savepoint have more than 100000 bytes" in said[0]
        )


def test_what_a_script_wrote_it_writes_again_and_another_script_finds_it(client: httpx.Client) -> None:
    size = b"import os\nfile_logger.info('%s', os.path.getsize('state.txt'))\n"
    script = b"nrp.run_loop(35)\nopen('state.txt', 'w').write('1' * 80_000)\nnrp.run_loop(20)\n"
    anew = b"open('state.txt', 'w').write('2' * 90_000)\nnrp.run_loop(10)\n"
    config = {"simulation_config.json": CONFIG, "writer.py": WRITER}
    given = {**config, "main_script.py": script + anew, "size.py": size, "once.py": script}
    parent = made(client, send(client, "rewrites", given), seed=5)["id"]
    whole = completed(client, parent)
    at = 400_000_000
    assert completed(client, fork_of(client, parent, savepoint=at)) == whole
    fork = fork_of(client, parent, savepoint=at, script="size.py")
    completed(client, fork)
    assert lines(client, fork) == ["80000"]
    once = made(client, "rewrites", seed=5, script="once.py")["id"]
    completed(client, once)
    fork = fork_of(client, once, savepoint=at, script="size.py")
    # What the former script wrote, its successor doesn't: a fork of the fork needs it as well.
    for run in (fork_of(client, fork, savepoint=at), fork):
        completed(client, run)
        assert lines(client, run) == ["80000"]


def test_a_fork_finds_folders_permissions_and_links_as_they_were(client: httpx.Client) -> None:
    writer = b"""
import os
from nrp_core.engines.python_json import EngineScript
class Script(EngineScript):
    def initialize(self):
        self.count = 0
    def runLoop(self, timestep):
        self.count += 1
        if self.count == 5:
            os.makedirs("out/empty")
            open("tool.sh", "w").close()
            os.chmod("tool.sh", 0o750)
            os.symlink("tool.sh", "latest")
        if self.count == 45:
            os.remove("latest")
            os.rename("out", "gone")
"""
    look = b"""
import os
found = (sorted(os.listdir("out")), oct(os.stat("tool.sh").st_mode & 0o777), os.readlink("latest"))
file_logger.info("%s", found)
"""
    script = b"nrp.run_loop(60)\nimport os\nfile_logger.info('%s', sorted(os.listdir('gone')))\n"
    given = {"simulation_config.json": CONFIG, "writer.py": writer, "main_script.py": script, "look.py": look}
    parent = made(client, send(client, "shelves", given), seed=5)["id"]
    completed(client, parent)
    again = fork_of(client, parent, savepoint=300_000_000)
    completed(client, again)
    assert lines(client, again)[-1] == "['empty']"
    other = fork_of(client, parent, savepoint=300_000_000, script="look.py")
    completed(client, other)
    assert lines(client, other) == ["(['empty'], '0o750', 'tool.sh')"]


def test_a_fork_at_savepoint_0_with_another_configuration_or_script_needs_no_files(
    client: httpx.Client,
) -> None:
    longer = CONFIG.replace(b'"SimulationTimeout": 1,', b'"SimulationTimeout": 2,')
    given = {
        "simulation_config.json": CONFIG,
        "longer.json": longer,
        "writer.py": WRITER,
        "main_script.py": b"nrp.run_loop(200)\n",
        "other.py": b"nrp.run_loop(5)\n",
    }
    parent = made(client, send(client, "changed", given), seed=5)["id"]
    whole = completed(client, parent)
    short = completed(client, fork_of(client, parent, savepoint=0, script="other.py"))
    assert short["grows.bin"] == whole["grows.bin"][:45_000]
    for savepoint in (0, MIDDLE, 1_000_000_000):
        long = completed(
            client,
            fork_of(client, parent, savepoint=savepoint, configuration="longer.json", script="other.py"),
        )
        length = savepoint // 10_000_000 * 9_000 + 45_000
        assert long["grows.bin"][:900_000] == whole["grows.bin"][:length]
        assert len(long["grows.bin"]) == length


# Configurations ---------------------------------------------------------------------------------------------

CLOCKED = b"""
try:
    while True:
        nrp.run_loop(10)
        file_logger.info("%r %r %r", nrp.simulation_time, nrp.simulation_time_remaining, nrp.max_timesteps)
except NRPSimulationTimeout:
    pass
"""
LATE = b"""
from nrp_core.engines.python_json import EngineScript

class Script(EngineScript):
    def initialize(self):
        self.count = 0

    def runLoop(self, timestep_ns):
        self.count += 1
        with open("late.txt", "w") as file:
            file.write(str(self.count))

    def shutdown(self):
        pass
"""


@pytest.mark.parametrize("timestep", [0.02, 0.005])
def test_a_fork_may_have_other_timesteps_another_time_out_and_more_engines(
    client: httpx.Client, timestep: float
) -> None:
    changed = json.loads(CONFIG)
    changed["SimulationTimeout"] = 2
    changed["EngineConfigs"][0]["EngineTimestep"] = timestep
    late = {"EngineName": "late", "EngineType": "python_json", "PythonFileName": "late.py"}
    changed["EngineConfigs"].append({**late, "EngineTimestep": timestep})
    given = {
        "simulation_config.json": CONFIG,
        "changed.json": json.dumps(changed).encode(),
        "writer.py": WRITER,
        "late.py": LATE,
        "main_script.py": CLOCKED,
    }
    parent = made(client, send(client, f"clocked{timestep}", given), seed=5)["id"]
    whole = completed(client, parent)["main_script.log"].decode().splitlines()
    assert whole[:3] == ["0.1 0.9 100", "0.2 0.8 100", "0.3 0.7 100"]
    fork = fork_of(client, parent, savepoint=MIDDLE, configuration="changed.json")
    wrote = completed(client, fork)
    logged = wrote["main_script.log"].decode().splitlines()
    assert logged[:2] == whole[:2]  # answered from the journal; the next is asked in the fork
    times = [[float(number) for number in line.split()] for line in logged[2:]]
    assert times[0] == pytest.approx([0.3, 1.7, 2 / timestep])
    assert times[1] == pytest.approx([0.3 + 10 * timestep, 1.7 - 10 * timestep, 2 / timestep])
    assert all(reached + left == pytest.approx(2) for reached, left, _ in times)
    assert int(wrote["late.txt"]) == round(1.7 / timestep)
    progress = client.get(f"/runs/{fork}").json()["progress"]
    assert (progress["simulation_time"], progress["time_left"], progress["fraction"]) == (2.0, 0.0, 1.0)


def test_a_fork_whose_engine_is_another_one_says_so(client: httpx.Client) -> None:
    model = '<mujoco><worldbody><body><joint/><geom size="0.1"/></body>{}</worldbody></mujoco>'
    more = "<body pos='1 0 0'><freejoint/><geom size='0.1'/></body>"
    plant = b"from nrp_core.engines.py_sim import PySimEngineScript\nclass Script(PySimEngineScript):\n"
    plant += b"    def initialize(self): pass\n    def runLoop(self, timestep_ns):\n"
    plant += b"        self.sim_manager.run_step([], timestep_ns)\n    def shutdown(self): pass\n"
    engine = {"EngineName": "plant", "EngineType": "py_sim", "Simulator": "Mujoco"}
    engine |= {"PythonFileName": "plant.py", "WorldFileName": "one.xml"}
    config = {"SimulationTimeout": 0.1, "EngineConfigs": [engine]}
    given = {
        "simulation_config.json": json.dumps(config).encode(),
        "two.json": json.dumps(
            {**config, "EngineConfigs": [{**engine, "WorldFileName": "two.xml"}]}
        ).encode(),
        "one.xml": model.format("").encode(),
        "two.xml": model.format(more).encode(),
        "plant.py": plant,
        "main_script.py": CLOCKED,
    }
    parent = made(client, send(client, "plants", given))["id"]
    put(client, parent, "started")
    assert ended(client, parent)["reason"] == ""
    fork = client.post(f"/runs/{parent}/fork", json={"configuration": "two.json"}).json()
    assert fork["state"] == "failed"
    assert "The engine 'plant': The state doesn't fit the model" in fork["reason"]


# Modules ----------------------------------------------------------------------------------------------------


def test_a_changed_module_is_a_changed_script(client: httpx.Client) -> None:
    script = b"import helper\nfor _ in range(10):\n    helper.go(nrp)\n"
    helper = b"from parts import count\ndef go(nrp):\n    nrp.run_loop(count.STEPS)\n"
    given = {
        "simulation_config.json": CONFIG,
        "writer.py": WRITER,
        "main_script.py": script,
        "helper.py": helper,
        "parts/count.py": b"STEPS = 10\n",
        "unused.py": b"",
    }
    parent = made(client, send(client, "modules", given), seed=5)["id"]
    whole = completed(client, parent)

    def change(path: str, content: bytes | None) -> None:
        place = f"/experiments/modules/files/{path}"
        answer = client.delete(place) if content is None else client.put(place, content=content)
        answer.raise_for_status()

    change("unused.py", b"1 / 0\n")
    assert completed(client, fork_of(client, parent, newest=True)) == whole
    change("parts/count.py", b"STEPS = 1\n")
    assert len(completed(client, fork_of(client, parent, newest=True))["grows.bin"]) == 40 * 9_000
    assert completed(client, fork_of(client, parent)) == whole
    change("helper.py", None)
    fork = fork_of(client, parent, newest=True)
    put(client, fork, "started")
    assert "ModuleNotFoundError: No module named 'helper'" in ended(client, fork)["reason"]

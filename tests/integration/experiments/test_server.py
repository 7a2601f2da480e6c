"""Experiments on a real server, with no fault of the Neurorobotics Platform's backend.

==================================================  ========================================================
there                                               here, and the test that shows it
==================================================  ========================================================
a stop takes 23 s, whatever the script does         `test_whatever_a_script_does_it_is_paused_and_stopped`
a stop while paused takes 23 s                      `test_whatever_a_script_does_it_is_paused_and_stopped`
a stop of a completed one takes 3 s                 `test_a_completed_run_is_stopped_and_that_is_final`
a slow PUT keeps a GET of the state waiting         `test_states_are_told_while_another_run_is_initialized`
a hung script, a swallowed stop                     `test_whatever_a_script_does_it_is_paused_and_stopped`
a killed simulation server fails the run            `test_killed_experiments_end_alike` (tests/crash)
``os._exit`` leaves the state at started for ever   `test_a_process_that_ends_itself_fails_its_run`
an error of the script is told as completed         `test_a_script_that_raises_fails_with_file_and_line`
an init failure has logs after a minute only        `test_a_failed_initialization_is_told_at_once`
a new simulation removes a failed one's logs        `test_a_failed_initialization_is_told_at_once`
a failed upload loses the logs                      `test_a_failed_upload_is_told_and_made_up_for`
``POST`` with state started leaves a phantom        `test_a_simulation_may_begin_started`
no broker, no simulation; a reconnected broker      there is none: states are in the store alone, as
turns the state back                                `test_a_killed_server_knows_all_its_runs` shows
a killed server forgets all, ids begin anew,        `test_a_killed_server_knows_all_its_runs`
orphans go on
one simulation at a time, one port                  `test_twelve_runs_at_once_do_not_disturb_each_other`
what is left of steps before the time-out is lost   `test_a_remainder_of_steps_is_run_before_the_time_is_up`
a header makes anyone the owner; tokens are in      tests/integration/nrp;
reach of user code; source files are served         `test_scripts_do_not_see_tokens_and_nobody_sees_sources`
==================================================  ========================================================
"""

import json
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from tests.support.experiment_runs import (
    EMPTY,
    Signal,
    ended,
    events,
    example,
    files,
    identity,
    kill_simulation,
    lines,
    made,
    put,
    scripted,
    send,
)
from tests.support.processes import marked, until_gone
from tests.support.served import Served, served

STUBBORN = {
    "loops": "while True:\n    nrp.run_loop(3)\n",
    "loops long": "nrp.run_loop(10**9)\n",
    "sleeps": "import time\ntime.sleep(1e6)\n",
    "never calls": "while True:\n    pass\n",
    "spins in C": "sum(range(10**15))\n",
    "swallows": "while True:\n    try:\n        nrp.run_loop(1)\n    except BaseException:\n        pass\n",
}


def working(folder: Path) -> list[str]:
    """Return the names of the working folders that are left."""
    place = folder / "perdure.db.working"
    return [path.name for path in place.iterdir()] if place.exists() else []


@pytest.mark.parametrize("what", STUBBORN)
def test_whatever_a_script_does_it_is_paused_and_stopped(
    client: httpx.Client, server: Served, tmp_path: Path, what: str
) -> None:
    here = Signal(tmp_path / "here")
    script = f"file_logger.info('begun')\nprint('printed', flush=True)\n{here.code}{STUBBORN[what]}"
    run_id = scripted(client, f"stubborn {what}", script)
    for paused_first in (False, True):
        put(client, run_id, "started")
        if not paused_first:
            here.wait()
        put(client, run_id, "paused")
        put(client, run_id, "paused")
    told = put(client, run_id, "stopped")
    assert (told["outcome"], told["reason"]) == ("terminated", "It was terminated on request.")
    assert set(lines(client, run_id)) >= {"begun", "printed"}
    assert files(client, run_id)["main_script.log"] == b"begun\n"
    refused = client.put(f"/runs/{run_id}/state", json={"state": "started"}).json()["error"]
    assert refused["code"] == "trigger_refused"
    assert {"stopped", "started"} <= set(refused["message"].replace(".", "").split())
    assert client.get(f"/runs/{run_id}").json()["stored"]


def test_a_completed_run_is_stopped_and_that_is_final(client: httpx.Client) -> None:
    run_id = scripted(client, "completes", "nrp.run_loop(5)\n")
    put(client, run_id, "started")
    told = ended(client, run_id)
    assert (told["state"], told["outcome"]) == ("completed", "succeeded")
    put(client, run_id, "completed")
    assert client.put(f"/runs/{run_id}/state", json={"state": "paused"}).status_code == 409
    assert put(client, run_id, "stopped")["outcome"] == "succeeded"
    assert client.put(f"/runs/{run_id}/state", json={"state": "stopped"}).status_code == 409


def test_a_seed_that_was_made_can_be_sent_back(client: httpx.Client) -> None:
    name = send(client, "seeded", EMPTY)
    drawn = made(client, name)
    again = made(client, name, seed=drawn["seed"])
    assert again["seed"] == drawn["seed"]
    for run in (drawn, again):
        put(client, run["id"], "stopped")
    too_large = {"kind": "experiment", "experiment": name, "seed": 2**53}
    assert client.post("/runs", json=too_large).status_code == 422


@pytest.mark.parametrize(("state", "outcome"), [("completed", "succeeded"), ("failed", "failed")])
def test_a_started_run_is_completed_and_failed_on_request(
    client: httpx.Client, state: str, outcome: str
) -> None:
    run_id = scripted(client, f"on request {state}", "while True:\n    nrp.run_loop()\n")
    put(client, run_id, "started")
    told = put(client, run_id, state)
    assert (told["outcome"], told["reason"]) == (outcome, f"It was {state} on request.")


def test_states_are_told_while_another_run_is_initialized(client: httpx.Client, tmp_path: Path) -> None:
    here, go = Signal(tmp_path / "here"), Signal(tmp_path / "go")
    other = scripted(client, "other", "while True:\n    nrp.run_loop()\n")
    engine = (
        "from nrp_core.engines.python_json import EngineScript\n"
        "class Script(EngineScript):\n"
        f"    def initialize(self):\n        {here.code}        open({str(go.path)!r}).close()\n"
        "    def runLoop(self, timestep_ns): pass\n"
        "    def shutdown(self): pass\n"
    )
    config = (
        b'{"EngineConfigs": [{"EngineName": "a", "EngineType": "python_json", "PythonFileName": "a.py"}]}'
    )
    send(client, "slow", {"simulation_config.json": config, "a.py": engine.encode()})
    with ThreadPoolExecutor(1) as threads:
        making = threads.submit(made, client, "slow")
        here.wait()
        states = {run["id"]: run["state"] for run in client.get("/runs?kind=experiment").json()["runs"]}
        assert "created" in states.values()
        put(client, other, "started")
        assert client.get(f"/runs/{other}").json()["state"] == "started"
        put(client, other, "stopped")
        (slow,) = [run_id for run_id, state in states.items() if state == "created"]
        assert client.put(f"/runs/{slow}/state", json={"state": "started"}).status_code == 409
        assert not making.done()
        go.path.write_text("")
        assert making.result()["state"] == "paused"
    put(client, slow, "stopped")


@pytest.mark.parametrize("code", [0, 7])
def test_a_process_that_ends_itself_fails_its_run(client: httpx.Client, code: int) -> None:
    run_id = scripted(client, f"exits {code}", f"import os\nnrp.run_loop()\nos._exit({code})\n")
    put(client, run_id, "started")
    told = ended(client, run_id)
    assert (told["state"], told["outcome"]) == ("failed", "failed")
    assert f"exit code {code}" in told["reason"]


def test_a_script_that_raises_fails_with_file_and_line(client: httpx.Client) -> None:
    script = "import helper\nnrp.run_loop()\nfile_logger.info('so far')\nhelper.f(0)\n"
    helper = b"import json\ndef f(x):\n    return 1 / x\n"
    run_id = scripted(client, "raises", script, **{"helper.py": helper})
    put(client, run_id, "started")
    told = ended(client, run_id)
    assert (told["state"], told["outcome"]) == ("failed", "failed")
    traceback = [
        "Traceback (most recent call last):",
        '  File "main_script.py", line 4, in <module>',
        "    helper.f(0)",
        '  File "helper.py", line 3, in f',
        "    return 1 / x",
        "ZeroDivisionError: division by zero",
    ]
    first, *others = told["reason"].splitlines()
    assert first == "script_failed: ZeroDivisionError: division by zero (helper.py, line 3)"
    assert others == traceback
    assert lines(client, run_id) == ["so far", *traceback]
    assert files(client, run_id)["main_script.log"] == b"so far\n"
    log = client.get(f"/runs/{run_id}/files/simulation_{told['sim_id']}.log").text.splitlines()
    assert [line[38:] for line in log] == ["so far", *traceback]


def test_a_key_that_only_concerns_a_display_is_a_warning(client: httpx.Client) -> None:
    config = {"SimulationTimeout": 0.05, "Visualizer": True}
    script = "nrp.run_loop()\nfile_logger.info('ran')\n"
    run_id = scripted(client, "seen", script, **{"simulation_config.json": json.dumps(config).encode()})
    put(client, run_id, "started")
    assert ended(client, run_id)["state"] == "completed"
    assert lines(client, run_id) == ["$.Visualizer is ignored: a simulation server has no display.", "ran"]


def test_a_failed_initialization_is_told_at_once(client: httpx.Client) -> None:
    config = (
        b'{"EngineConfigs": [{"EngineName": "a", "EngineType": "python_json", "PythonFileName": "a.py"}]}'
    )
    send(client, "broken", {"simulation_config.json": config, "a.py": b"print('read')\nclass Script(\n"})
    first, second = made(client, "broken"), made(client, "broken")
    for told in (first, second):
        assert told["state"] == "failed"
        assert "SyntaxError" in told["reason"]
        assert "a.py, line 2" in told["reason"]
        assert list(files(client, told["id"])) == ["perdure.log"]
    answer = client.post("/simulation", json={"experimentID": "broken"})
    assert (answer.status_code, answer.json()["type"]) == (500, "Server Error")
    assert "SyntaxError" in answer.json()["message"]
    number = answer.json()["data"]
    assert client.get(f"/simulation/{number}/state").json() == {"state": "failed"}


def test_what_cannot_be_run_makes_no_run(client: httpx.Client, server: Served) -> None:
    send(
        client,
        "gazebo",
        {"simulation_config.json": b'{"EngineConfigs": [{"EngineType": "gazebo_grpc"}], "A": 1}'},
    )
    before = client.get("/runs").json()["runs"]
    for given, status, code in (
        ({"experiment": "gazebo"}, 422, "invalid_configuration"),
        ({"experiment": "unknown"}, 404, "experiment_not_found"),
        ({"experiment": "gazebo", "script": "other.py"}, 404, "artifact_not_found"),
        ({"experiment": "gazebo", "configuration": "../x"}, 422, "invalid_name"),
    ):
        answer = client.post("/runs", json={"kind": "experiment", **given})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    told = client.post("/runs", json={"kind": "experiment", "experiment": "gazebo"}).json()["error"]
    assert [problem["place"] for problem in told["details"]["problems"]] == [
        "$.A",
        "$.EngineConfigs[0].EngineName",
        "$.EngineConfigs[0].EngineType",
    ]
    assert client.post("/simulation", json={"experimentID": "gazebo"}).status_code == 400
    assert client.get("/runs").json()["runs"] == before


def test_a_simulation_may_begin_started(client: httpx.Client) -> None:
    send(client, "eager", {**EMPTY, "main_script.py": b"while True:\n    nrp.run_loop()\n"})
    answer = client.post("/simulation", json={"experimentID": "eager", "state": "started"})
    assert (answer.status_code, answer.json()["state"]) == (201, "started")
    place = answer.headers["Location"]
    assert client.put(f"{place}/state", json={"state": "stopped"}).json() == {"state": "stopped"}
    assert client.post("/simulation", json={"experimentID": "eager"}).status_code == 201


def test_a_simulation_has_a_number_for_its_script_and_its_log(client: httpx.Client) -> None:
    script = b"for _ in range(2):\n    nrp.run_loop(7)\n    file_logger.info('%r', nrp.sim_id)\n"
    send(client, "numbered", {**EMPTY, "control.py": script})
    answer = client.post(
        "/simulation", json={"experimentID": "numbered", "mainScript": "control.py", "state": "started"}
    ).json()
    number = answer["simulationID"]
    runs = client.get("/runs", params={"kind": "experiment"}).json()["runs"]
    (parent,) = [run["id"] for run in runs if run["experiment"] == "numbered"]
    ended(client, parent)
    names = {file["path"]: file["size"] for file in client.get(f"/runs/{parent}/files").json()["files"]}
    assert set(names) == {f"control_{number}.log", f"simulation_{number}.log"}
    assert names[f"control_{number}.log"] == len(f"{number}\n{number}\n")
    last = client.get(f"/runs/{parent}/savepoints").json()["savepoints"][-1]["timestamp"]
    fork = client.post(f"/runs/{parent}/fork", json={"savepoint": last}).json()
    assert (fork["sim_id"], fork["id"] != parent) == (number, True)
    put(client, fork["id"], "started")
    assert ended(client, fork["id"])["reason"] == ""
    assert files(client, fork["id"]) == files(client, parent)


def test_what_is_published_has_the_state_that_the_run_has(client: httpx.Client, tmp_path: Path) -> None:
    here = Signal(tmp_path / "here")
    script = f"nrp.run_loop(3)\n{here.code}{STUBBORN['never calls']}"
    run_id = scripted(client, "published", script)
    telling = events(client, run_id)
    assert next(telling)["state"] == "paused"
    put(client, run_id, "started")
    here.wait()
    assert next(event for event in telling if event["progress"]["steps"] == 3)["state"] == "started"
    put(client, run_id, "paused")  # it is frozen, and can't say that it is
    told = client.get(f"/runs/{run_id}").json()
    assert (told["progress"]["state"], told["progress"]["steps"]) == ("paused", 3)
    put(client, run_id, "started")
    put(client, run_id, "stopped")
    told = client.get(f"/runs/{run_id}").json()
    assert (told["progress"]["state"], told["progress"]["steps"]) == ("stopped", 3)
    (listed,) = [run for run in client.get("/runs?kind=experiment").json()["runs"] if run["id"] == run_id]
    assert listed["progress"] == told["progress"]
    seen = list(telling)
    assert all(event["progress"]["state"] == event["state"] for event in seen)
    states = [event["state"] for event in seen]
    changes = [state for before, state in pairwise(["started", *states]) if state != before]
    assert changes == ["paused", "started", "stopped"]


def test_a_run_whose_process_ends_itself_is_published_as_failed(client: httpx.Client) -> None:
    run_id = scripted(client, "published end", "nrp.run_loop(3)\nimport os\nos._exit(1)\n")
    put(client, run_id, "started")
    told = ended(client, run_id)
    assert (told["state"], told["progress"]["state"]) == ("failed", "failed")


def test_a_remainder_of_steps_is_run_before_the_time_is_up(client: httpx.Client) -> None:
    script = (
        b"try:\n    while True:\n        nrp.run_loop(2)\n"
        b"except NRPSimulationTimeout:\n    file_logger.info('%g s', nrp.simulation_time)\n"
    )
    config = b'{"SimulationTimeout": 0.05}'
    run_id = made(client, send(client, "odd", {"simulation_config.json": config, "main_script.py": script}))[
        "id"
    ]
    put(client, run_id, "started")
    progress = ended(client, run_id)["progress"]
    assert {name: progress[name] for name in ("state", "steps", "max_steps", "fraction", "time_left")} == {
        "state": "completed",
        "steps": 5,
        "max_steps": 5,
        "fraction": 1.0,
        "time_left": 0.0,
    }
    assert progress["simulation_time"] == 0.05
    assert lines(client, run_id) == ["0.05 s"]


def test_a_key_makes_one_run(client: httpx.Client) -> None:
    body = {"kind": "experiment", "experiment": send(client, "once", EMPTY)}
    first, again = (client.post("/runs", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    fork = f"/runs/{first.json()['id']}/fork"
    one, two = (client.post(fork, headers={"Idempotency-Key": "f"}) for _ in range(2))
    assert (one.status_code, two.status_code, one.json()["id"]) == (201, 200, two.json()["id"])
    for run_id in (first.json()["id"], one.json()["id"]):
        assert client.delete(f"/runs/{run_id}").status_code == 204
        assert client.get(f"/runs/{run_id}").status_code == 404


def test_a_fork_goes_on_as_its_parent_did_and_another_script_starts_at_its_top(client: httpx.Client) -> None:
    send(client, "forked", example("pendulum"))
    parent = made(client, "forked", seed=7)["id"]
    put(client, parent, "started")
    assert ended(client, parent)["state"] == "completed"
    savepoints = client.get(f"/runs/{parent}/savepoints").json()["savepoints"]
    middle = savepoints[1]["timestamp"]
    fork = client.post(f"/runs/{parent}/fork", json={"savepoint": middle}).json()
    assert (fork["state"], fork["parent"], fork["seed"], fork["sim_id"]) == ("paused", parent, 7, parent)
    put(client, fork["id"], "started")
    assert ended(client, fork["id"])["state"] == "completed"
    assert files(client, fork["id"]) == files(client, parent)
    nodes = client.get(f"/runs/{fork['id']}/tree").json()["nodes"]
    last = savepoints[-1]["timestamp"]
    assert [(node["savepoint"], node["position"]) for node in nodes] == [(None, last), (middle, last)]
    script = b"file_logger.info('%g', nrp.simulation_time)\nnrp.run_loop()\n"
    client.put("/experiments/forked/files/main_script.py", content=script).raise_for_status()
    changed = client.post(f"/runs/{parent}/fork", json={"savepoint": middle, "newest": True}).json()
    put(client, changed["id"], "started")
    assert ended(client, changed["id"])["state"] == "completed"
    assert lines(client, changed["id"]) == [f"{middle / 1e9:g}"]
    for body, status in (({"step": 1}, 422), ({"savepoint": 1}, 404), ({"script": "no.py"}, 404)):
        assert client.post(f"/runs/{parent}/fork", json=body).status_code == status
    assert client.post(f"/runs/{parent}/check").json() == {"findings": []}


def test_what_a_killed_run_says_is_what_it_would_have_said(tmp_path: Path) -> None:
    here, go = Signal(tmp_path / "here"), Signal(tmp_path / "go")
    engine = (
        "from nrp_core.engines.python_json import EngineScript\n"
        "print('NAME loaded')\n"
        "class Script(EngineScript):\n"
        "    def initialize(self):\n        self.step = 0\n        print('NAME initialized')\n"
        "    def runLoop(self, timestep_ns):\n        self.step += 1\n        print('NAME', self.step)\n"
        "    def shutdown(self):\n        print('NAME shut down')\n"
    )
    script = (
        "import os\n"
        "for i in range(4):\n"
        "    nrp.run_loop(5)\n"
        "    print('script prints', i)\n"
        "    os.write(1, f'script writes {i}\\n'.encode())\n"
        "    file_logger.info('script logs %s', i)\n"
        f"    if i == 2:\n        {here.code}        open({str(go.path)!r}).close()\n"
    )
    engines = [
        {
            "EngineName": name,
            "EngineType": "python_json",
            "PythonFileName": f"{name}.py",
            "Isolated": name == "b",
        }
        for name in "ab"
    ]
    config = {"EngineConfigs": engines, "Savepoint": {"every": 0.06}}
    sources = {f"{name}.py": engine.replace("NAME", name).encode() for name in "ab"}
    files = {"simulation_config.json": json.dumps(config).encode(), "main_script.py": script.encode()}

    def said(client: httpx.Client, kills: int) -> tuple[dict[str, list[str]], list[str]]:
        run_id = made(client, "talkative", seed=1)["id"]
        put(client, run_id, "started")
        for _ in range(kills):
            here.wait()
            kill_simulation(tmp_path, run_id)
        here.wait()
        go.path.write_text("")
        assert ended(client, run_id)["state"] == "completed"
        found = client.get(f"/runs/{run_id}/logs").json()["lines"]
        assert [line["number"] for line in found] == list(range(1, len(found) + 1))
        by: dict[str, list[str]] = {}
        for line in found:
            who, what, *_ = line["text"].split()
            by.setdefault(f"{who} {what}" if who == "script" else who, []).append(line["text"])
        through_python = [
            line["text"] for line in found if not line["text"].startswith(("b ", "script writes"))
        ]
        return by, through_python

    with served(tmp_path) as server, server.client() as client:
        send(client, "talkative", {**files, **sources})
        undisturbed = said(client, 0)
        counted = [len(undisturbed[0][who]) for who in ("a", "b", "script prints", "script logs")]
        assert counted == [23, 23, 4, 4]
        assert said(client, 2) == undisturbed


def test_a_run_says_of_each_engine_whether_it_is_saved_or_replayed_and_why(client: httpx.Client) -> None:
    engine = (
        "from nrp_core.engines.python_json import EngineScript\n"
        "class Script(EngineScript):\n"
        "    def initialize(self):\n        self.kept = KEPT\n"
        "    def runLoop(self, timestep_ns):\n        pass\n"
    )
    kinds = {"a": "1.0", "b": "object()", "c": "object()"}
    engines = [
        {
            "EngineName": name,
            "EngineType": "python_json",
            "PythonFileName": f"{name}.py",
            "Isolated": name == "c",
        }
        for name in kinds
    ]
    config = {"EngineConfigs": engines, "SimulationTimeout": 0.1}
    sources = {f"{name}.py": engine.replace("KEPT", kept).encode() for name, kept in kinds.items()}
    files = {"simulation_config.json": json.dumps(config).encode(), **sources}
    run = made(client, send(client, "parts", files))
    parts = run["progress"]["parts"]
    assert {part: how["kept"] for part, how in parts.items()} == {
        "engine/a": "saved",
        "engine/b": "replayed",
        "engine/c": "replayed",
        "functions": "saved",
    }
    assert parts["engine/a"]["reason"] is None
    for name in "bc":
        assert f"the engine '{name}', attribute 'kept'" in parts[f"engine/{name}"]["reason"]
    put(client, run["id"], "started")
    assert ended(client, run["id"])["progress"]["parts"] == parts


def test_numbers_of_data_packs_are_read_over_time_and_a_fork_begins_with_them(client: httpx.Client) -> None:
    run_id = made(client, send(client, "sampled", example("exchange")), seed=7)["id"]
    assert client.get(f"/runs/{run_id}/datapacks").json() == {"time": [], "series": {}}
    put(client, run_id, "started")
    assert "samples" not in ended(client, run_id)["progress"]
    sampled = client.get(f"/runs/{run_id}/datapacks").json()
    stride = round(sampled["time"][1] * 100)
    assert stride > 1, "500 steps have too many samples, so that every second was dropped"
    assert sampled["time"] == [step / 100 for step in range(0, 500, stride)]
    assert {name.split("/")[0] for name in sampled["series"]} == {"walker", "observer"}
    for values in sampled["series"].values():
        assert len(values) == len(sampled["time"])
    rows = [json.loads(row) for row in client.get(f"/runs/{run_id}/trajectory").text.splitlines()]
    assert len(rows) == 500
    places = [row for row in rows if round(row["t"] * 100) % stride == 0]
    assert [row["position"] for row in places] == sampled["series"]["walker/position/x"]
    assert "samples" not in client.get(f"/runs/{run_id}").json()["progress"]

    fork = client.post(f"/runs/{run_id}/fork", json={"savepoint": 0}).json()["id"]
    put(client, fork, "started")
    ended(client, fork)
    assert client.get(f"/runs/{fork}/datapacks").json() == sampled


def test_twelve_runs_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with served(tmp_path, max_simulations=12) as server, server.client() as client:
        send(client, "pendulum", example("pendulum"))
        alone = made(client, "pendulum", seed=3)["id"]
        put(client, alone, "started")
        assert ended(client, alone)["state"] == "completed"
        scripts = {
            "spins": STUBBORN["spins in C"],
            "fails": "nrp.run_loop(50)\nraise RuntimeError('on purpose')\n",
            "exits": "import os\nos._exit(3)\n",
            "hogs": "x = [bytes(1000) for _ in range(10**5)]\nnrp.run_loop(100)\n",
            "paused": STUBBORN["loops"],
            "stopped": STUBBORN["loops long"],
        }
        others = {name: scripted(client, name, script) for name, script in scripts.items()}
        same = [made(client, "pendulum", seed=3)["id"] for _ in range(6)]
        answer = client.post("/runs", json={"kind": "experiment", "experiment": "pendulum"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "slots_taken")
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(lambda run_id: put(client, run_id, "started"), [*others.values(), *same]))
        put(client, others["stopped"], "stopped")
        put(client, others["paused"], "paused")
        for run_id in same:
            assert ended(client, run_id)["state"] == "completed"
            assert files(client, run_id) == files(client, alone)
        states = {name: ended(client, others[name])["state"] for name in ("fails", "exits", "hogs")}
        assert states == {"fails": "failed", "exits": "failed", "hogs": "completed"}
        assert client.get(f"/runs/{others['spins']}").json()["state"] == "started"
        assert client.get(f"/runs/{others['paused']}").json()["state"] == "paused"
        assert client.post("/runs", json={"kind": "experiment", "experiment": "pendulum"}).status_code == 201
    assert marked(identity(tmp_path)) == []


def test_a_failed_upload_is_told_and_made_up_for(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        run_id = scripted(client, "precious", "nrp.run_loop()\nfile_logger.info('precious')\n")
        (owner,) = (tmp_path / "perdure.db.artifacts").iterdir()
        (owner / "results").write_text("in the way")
        put(client, run_id, "started")
        assert ended(client, run_id)["state"] == "completed"
        assert client.get(f"/runs/{run_id}/files").status_code == 503
        told = client.get(f"/runs/{run_id}").json()
        assert "Its logs and files aren't stored yet" in told["reason"]
        assert not told["stored"]
        assert working(tmp_path) == [run_id]
    (owner / "results").unlink()
    with served(tmp_path) as server, server.client() as client:
        assert files(client, run_id) == {"main_script.log": b"precious\n"}
        told = client.get(f"/runs/{run_id}").json()
        assert (told["reason"], told["stored"]) == ("", True)
    assert working(tmp_path) == []


def test_a_killed_server_knows_all_its_runs(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        send(client, "empty", {**EMPTY, "main_script.py": STUBBORN["loops"].encode()})
        for state in ("paused", "started"):
            assert (
                client.post("/simulation", json={"experimentID": "empty", "state": state}).status_code == 201
            )
        processes = marked(identity(tmp_path))
        assert len(processes) == 4  # a guard and a child each
        server.process.kill()
        server.process.wait()
    assert all(until_gone(pid) for pid in processes)
    with served(tmp_path) as server, server.client() as client:
        states = [simulation["state"] for simulation in client.get("/simulation").json()]
        assert states == ["paused", "started"]
        assert [client.get(f"/simulation/{number}/state").json()["state"] for number in (0, 1)] == states
        runs = client.get("/runs?kind=experiment").json()["runs"]  # the newest first
        assert [run["progress"]["state"] for run in reversed(runs)] == states
        assert client.post("/simulation", json={"experimentID": "empty"}).json()["simulationID"] == 2
        assert client.put("/simulation/0/state", json={"state": "started"}).json() == {"state": "started"}
        for number in (0, 1, 2):
            answer = client.put(f"/simulation/{number}/state", json={"state": "stopped"})
            assert answer.json() == {"state": "stopped"}
        for run in client.get("/runs?kind=experiment").json()["runs"]:
            assert (
                client.get(f"/runs/{run['id']}/files").status_code == 200
            )  # which waits until all is stored
    assert working(tmp_path) == []
    assert marked(identity(tmp_path)) == []


def test_with_manual_resume_an_interrupted_run_waits_for_its_owner(tmp_path: Path) -> None:
    here = Signal(tmp_path / "here")
    with served(tmp_path, resume="manual") as server, server.client() as client:
        run_id = scripted(client, "manual", f"nrp.run_loop()\n{here.code}{STUBBORN['loops']}")
        put(client, run_id, "started")
        here.wait()
        (child,) = [pid for pid in marked(identity(tmp_path)) if b"guard.py" not in command(pid)]
        os.kill(child, signal.SIGKILL)
        assert next(told for told in events(client, run_id) if told["state"] == "paused")
        put(client, run_id, "started")
        here.wait()
        server.process.kill()
        server.process.wait()
    with served(tmp_path, resume="manual") as server, server.client() as client:
        told = next(told for told in events(client, run_id) if told["state"] == "paused")
        assert told["progress"]["state"] == "paused"
        put(client, run_id, "stopped")
    assert marked(identity(tmp_path)) == []


def command(pid: int) -> bytes:
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_scripts_do_not_see_tokens_and_nobody_sees_sources(tmp_path: Path) -> None:
    with served(tmp_path, tokens="ada:secret-of-ada") as server, server.client("secret-of-ada") as client:
        run_id = scripted(client, "curious", "import os\nfile_logger.info(str(dict(os.environ)))\n")
        put(client, run_id, "started")
        assert ended(client, run_id)["state"] == "completed"
        assert b"secret-of-ada" not in files(client, run_id)["main_script.log"]
        assert client.get("/__init__.py").status_code == 404
        stranger = httpx.get(f"{server.url}/simulation", headers={"X-User-Name": "ada"})
        assert stranger.status_code == 401
    shutil.rmtree(tmp_path / "perdure.db.artifacts")

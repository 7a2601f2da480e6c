"""The command line, as a person uses it: with a server running, without one, and with everything wrong."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import apsw
import httpx
import pytest
import typer
from tests.support.commands import BATH, fails, perdure
from tests.support.processes import process_of
from tests.support.s3_server import BUCKET, s3_server
from tests.support.server import ROOT, running
from tests.support.zips import zip_of

from perdure.cli import app


def make_run(url: str) -> str:
    made = httpx.post(f"{url}/runs", json={"kind": "session", "scenarios": {"bath": ["base"]}})
    run_id: str = made.json()["id"]
    httpx.post(f"{url}/runs/{run_id}/steps", json={"steps": 5}).raise_for_status()
    return run_id


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["serve"],
        ["runs"],
        ["runs", "list"],
        ["runs", "show"],
        ["runs", "edit"],
        ["runs", "fork"],
        ["backup"],
        ["runs", "upgrade"],
        ["runs", "delete"],
        ["savepoints"],
        ["savepoints", "list"],
        ["savepoints", "show"],
        ["savepoints", "pin"],
        ["tasks"],
        ["tasks", "list"],
        ["tasks", "show"],
        ["tasks", "cancel"],
        ["solve"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_help_of_every_command_shows_examples_and_is_documented(command: list[str]) -> None:
    done = perdure(*command, "--help", COLUMNS="200")
    assert done.returncode == 0
    if len(command) == 2 or command in (["serve"], ["solve"], ["doctor"], []):
        assert "Example" in done.stdout
        assert " ".join(["perdure", *command]) in (ROOT / "docs" / "cli.md").read_text()


def test_the_name_of_a_savepoint_is_no_markup_and_moves_no_cursor(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    name = "[red]calm[/red]\x1b[2J\u202e\r"
    with running(path, BATH) as server:
        run_id = make_run(server.url)
        point = httpx.post(f"{server.url}/runs/{run_id}/savepoints", json={"name": name})
        assert point.status_code == 201, point.text
        listed = perdure("savepoints", "list", run_id, "--store", f"sqlite:///{path}")
    assert "[red]calm[/red]\\x1b[2J\\u202e\\r" in listed.stdout


def test_runs_are_looked_after_with_and_without_a_server(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = ("--store", f"sqlite:///{path}")
    with running(path, BATH) as server:
        run_id = make_run(server.url)
        listed = perdure("runs", "list", *store)
        assert run_id in listed.stdout
        assert "bath/base" in listed.stdout
        fork = perdure("runs", "fork", run_id, "--step", "3", *store).stdout.strip()
        assert json.loads(perdure("runs", "show", fork, *store).stdout)["parent_step"] == 3
        sampled = perdure("runs", "fork", run_id, "--seed", "8", "--seed", "9", "--stoptime", "99", *store)
        samples = [httpx.get(f"{server.url}/runs/{each}").json() for each in sampled.stdout.split()]
        assert [(each["seed"], each["specs"]["bath"]["base"]["stoptime"]) for each in samples] == [
            (8, 99.0),
            (9, 99.0),
        ]
        assert server.stop() == 0
    # Without a server the commands open the store themselves.
    shown = json.loads(perdure("runs", "list", "--json", *store).stdout)
    assert {run["id"] for run in shown} == {run_id, fork, *(each["id"] for each in samples)}
    again = perdure("runs", "fork", run_id, *store, "--models", BATH)
    assert again.returncode == 0, again.stderr
    points = json.loads(perdure("savepoints", "list", run_id, "--json", *store).stdout)
    assert [point["step"] for point in points] == [0, 5]
    pinned = perdure("savepoints", "pin", run_id, "6", "--name", "five", *store)
    assert json.loads(pinned.stdout)["name"] == "five"
    again = json.loads(perdure("savepoints", "pin", run_id, "6", *store).stdout)
    assert (again["name"], again["pinned"]) == ("five", True)
    assert json.loads(perdure("savepoints", "show", run_id, "6", *store).stdout)["pinned"] is True
    assert "five" in perdure("savepoints", "list", run_id, *store).stdout
    fails(perdure("savepoints", "show", run_id, "7", *store), "no savepoint 7")
    fails(perdure("savepoints", "pin", run_id, "6", "--off", "--name", "x", *store), "not both")
    undone = json.loads(perdure("savepoints", "pin", run_id, "6", "--off", *store).stdout)
    assert (undone["name"], undone["pinned"]) == (None, False)
    deleted = perdure("runs", "delete", run_id, fork, "--yes", *store)
    assert deleted.returncode == 0
    fails(perdure("runs", "show", run_id, *store), "No run has the id")


def test_upgrade_says_how_many_steps_were_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = ("--store", f"sqlite:///{path}")
    with running(path, BATH) as server:
        run_id = make_run(server.url)
        server.kill()
    changed = ("--models", "tests.support.small:changed")
    fails(perdure("runs", "fork", run_id, *store, *changed), "perdure runs upgrade")
    upgradable = ("--models", "tests.support.small:upgradable")
    done = perdure("runs", "upgrade", "--all", *store, *upgradable)
    assert done.returncode == 0, done.stderr
    assert "upgraded, 5 steps replayed" in done.stdout
    again = perdure("runs", "upgrade", "--all", *store, *upgradable)
    assert (again.returncode, again.stdout) == (0, f"{run_id}: unchanged\n"), again.stderr
    refused = perdure("runs", "upgrade", run_id, *store, *upgradable)
    fails(refused, "are the ones it was made with")
    fails(perdure("runs", "upgrade", *store), "--all")
    fails(perdure("runs", "upgrade", run_id, "--all", *store), "--all")


def test_a_models_file_may_change_or_go_while_it_is_served(tmp_path: Path) -> None:
    source = """from tests.support.small import bath


def half(model, t, x):
    return x / 2.0


def model():
    made = bath()
    made.name = "bath"
    made.converter("halved").equation = made.function("half", half)(made.stock("water"))
    return made
"""
    file = tmp_path / "tub.py"
    file.write_text(source)
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "PERDURE_MAX_LIVE_SESSIONS": "1"}
    with running(tmp_path / "s.db", "tub:model", environment) as server:
        body = {"kind": "session", "scenarios": {"smBath": ["base"]}, "outputs": ["halved"]}
        runs = [httpx.post(f"{server.url}/runs", json=body).json()["id"] for _ in range(2)]

        def step() -> list[object]:
            answers = [httpx.post(f"{server.url}/runs/{run}/steps").raise_for_status() for run in runs]
            return [answer.json()["steps"][0]["results"] for answer in answers]

        first = step()
        file.write_text(source.replace("2.0", "3.0"))
        runs.append(httpx.post(f"{server.url}/runs", json=body).raise_for_status().json()["id"])
        assert step()[2] == first[0]
        file.unlink()
        runs.append(httpx.post(f"{server.url}/runs", json=body).raise_for_status().json()["id"])
        assert step()[3] == first[0]


def test_a_typo_in_the_store_makes_no_new_one(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with running(path, BATH) as server:
        run_id = make_run(server.url)
        server.stop()
    typo = ("--store", f"sqlite:///{tmp_path}/typo.db")
    for command in (
        ["runs", "list"],
        ["runs", "show", run_id],
        ["runs", "fork", run_id],
        ["runs", "upgrade", "--all"],
        ["runs", "delete", run_id, "--yes"],
        ["savepoints", "list", run_id],
        ["savepoints", "pin", run_id, "6"],
        ["doctor"],
    ):
        fails(perdure(*command, *typo), "no store", "typo.db")
    assert not list(tmp_path.glob("typo*"))
    assert run_id in perdure("runs", "list", "--store", f"sqlite:///{path}").stdout


def test_the_version_is_the_packages() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert perdure("--version").stdout == f"perdure {version}\n"


def examples() -> list[str]:
    """Return every example that the help of the command and its parts shows."""
    root = typer.main.get_command(app)
    found: list[str] = []
    waiting = [root]
    while waiting:
        command = waiting.pop()
        command = getattr(command, "loaded", command)
        waiting += getattr(command, "commands", {}).values()
        shown = (command.epilog or "").partition(":")[2]
        found += [example.strip() for example in shown.splitlines() if example.strip()]
    return list(dict.fromkeys(found))


def make_experiment(url: str, folder: Path) -> str:
    """Copy the examples of experiments, and have one initialised."""
    pendulum = folder / "examples" / "experiments" / "pendulum"
    shutil.copytree(ROOT / "examples" / "experiments", pendulum.parent)
    (pendulum / "other_script.py").write_text("nrp.run_loop(5)\n")
    shutil.copytree(pendulum, folder / "pendulum")
    files = {path.name: path.read_bytes() for path in pendulum.iterdir()}
    endless = files["simulation_config.json"].replace(b'"SimulationTimeout": 10', b'"SimulationTimeout": 0')
    zipped = zip_of(files | {"simulation_config.json": endless})
    headers = {"Content-Type": "application/zip"}
    httpx.post(f"{url}/experiments?name=walk", content=zipped, headers=headers).raise_for_status()
    body = {"kind": "experiment", "experiment": "walk"}
    made: str = httpx.post(f"{url}/runs", json=body, timeout=240).raise_for_status().json()["id"]
    return made


@dataclass(frozen=True)
class Prepared:
    """A folder in which every example can be run, and the ids that they need."""

    folder: Path
    run: str
    task: str
    experiment: str

    @property
    def environment(self) -> dict[str, str]:
        """What the examples' processes are given."""
        return {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}

    def check(self, example: str, folder: Path) -> None:
        """Run an example in a folder, with the id of a run that there is."""
        shown = self.task if "perdure tasks" in example else self.run
        if example.startswith("perdure experiment "):
            shown = self.experiment
        _check(example, shown, folder, self.environment)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A store with a session, a paused task and an initialised experiment, and the files that are named."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "my_models.py").write_text("from tests.support.small import catalogue\n")
    (folder / "my_tasks.py").write_text("from tests.support.small_tasks import ADD\n")
    shutil.copytree(ROOT / "examples" / "networks", folder / "networks")
    for suffix in (".stmx", ".mdl", ".json"):
        shutil.copy(ROOT / "tests" / "fixtures" / "sir" / f"sir{suffix}", folder / f"model{suffix}")
    (folder / "sir.py").write_text(
        "from perdure.engines.system_dynamics import Model\n\nmodel = Model(0.0, 10.0, 1.0, 'sir')\n"
        "model.stock('infected').equation = model.constant('rate')\nmodel.constant('rate').equation = 2.0\n"
    )
    (folder / "tokens.txt").write_text("ada:secret\n")
    (folder / "tokens.txt").chmod(0o600)
    (folder / "bin").mkdir()
    (folder / "bin" / "perdure").write_text(f'#!/bin/sh\nexec {sys.executable} -m perdure "$@"\n')
    (folder / "bin" / "perdure").chmod(0o755)
    made = Prepared(folder, "", "", "")
    settings = made.environment | {"PERDURE_TASKS": "tests.support.small_tasks"}
    with running(folder / "perdure-data" / "perdure.db", BATH, settings) as server:
        run_id = make_run(server.url)
        task = {"kind": "task", "task": "spin", "input": {}}
        task_id = httpx.post(f"{server.url}/runs", json=task, timeout=240).raise_for_status().json()["id"]
        paused = httpx.put(f"{server.url}/runs/{task_id}/state", json={"state": "paused"}, timeout=240)
        paused.raise_for_status()
        experiment_id = make_experiment(server.url, folder)
        server.stop()
    return Prepared(folder, run_id, task_id, experiment_id)


@pytest.fixture
def copied(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder, since some examples delete and upgrade what others need.

    It has a short name: the path of a socket has about a hundred characters at most.
    """
    folder = tmp_path_factory.mktemp("x") / "c"
    shutil.copytree(prepared.folder, folder)
    return folder


EXAMPLES = examples()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 40


SERVED = "http://127.0.0.1:5000"
NEEDY = re.compile(rf"perdure experiment |perdure health {SERVED}|.*postgresql://")


@pytest.mark.parametrize("example", [it for it in EXAMPLES if not NEEDY.match(it)])
def test_every_example_works(example: str, prepared: Prepared, copied: Path) -> None:
    prepared.check(example, copied)


def test_every_example_of_experiments_works_with_a_server(prepared: Prepared, copied: Path) -> None:
    of_experiments = [it for it in EXAMPLES if it.startswith("perdure experiment ")]
    # Runs are made of what was sent; stopping changes what the others need, and what is followed has to end.
    of_experiments.sort(key=lambda it: [" send " not in it, *(word in it for word in ("--follow", "stop"))])
    with running(copied / "perdure-data" / "perdure.db", BATH, prepared.environment):  # which works on them
        for example in of_experiments:
            prepared.check(example, copied)


def test_every_example_of_health_works_with_a_server(prepared: Prepared, copied: Path) -> None:
    with running(copied / "perdure-data" / "perdure.db", BATH, prepared.environment) as server:
        for example in (it for it in EXAMPLES if it.startswith(f"perdure health {SERVED}")):
            prepared.check(example.replace(SERVED, server.url), copied)


def test_every_example_with_other_services_works_with_them(
    prepared: Prepared, copied: Path, postgres: str
) -> None:
    with s3_server() as s3:
        for example in (it for it in EXAMPLES if "postgresql://" in it):
            line = example.replace("postgresql://host/perdure", postgres)
            command = shlex.split(line.replace("s3://bucket", f"s3://{BUCKET}"))[1:]
            # Not a fork of this process, since the client of S3 reads the environment when it is imported.
            subprocess.run(
                [sys.executable, "-m", "perdure", *command],
                cwd=copied,
                env={**os.environ, **prepared.environment, **s3.environment},
                check=True,
            )


def _check(example: str, shown: str, folder: Path, places: dict[str, str]) -> None:
    """Run an example, with the id of a run that there is."""
    line = example.replace("0f3c…", shown).replace("--step 20", "--step 2")
    line = re.sub(r"(savepoints \w+ \S+) \d+", r"\1 6", line)
    line = re.sub(r"--savepoint \d+", "--savepoint 0", line)
    if " | jq" in line and shutil.which("jq") is None:
        line = line.partition(" | ")[0]
    models = ""
    if re.search("runs fork|upgrade|doctor", line) and "--models" not in line:
        models = f" --models tests.support.small:{'upgradable' if 'upgrade' in line else 'catalogue'}"
    serving, working = " serve" in line, line.startswith("perdure worker")
    if not serving and not working and line.startswith("perdure ") and not re.search(r" [|<>&]", line):
        done = perdure(*shlex.split(f"{line}{models}")[1:], folder=folder, **places)
        assert done.returncode == 0, f"{example}: {done.stdout}{done.stderr}"
        return
    if serving:
        line = re.sub(r"--port \d+", "", line) + " --port 0"
    with process_of(
        ["bash", "-c", f"exec 2>&1; {line}{models}"],
        cwd=folder,
        env={**os.environ, **places, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            if serving or working:
                # Warnings may come first: the folder's path may be too long for a socket.
                ready = "Perdure serves http://" if serving else "Perdure works on "
                told = next((line for line in process.stdout if ready in line), "")
                os.killpg(process.pid, signal.SIGTERM)
                assert told, example
                process.stdout.read()
                process.wait(timeout=240)
            else:
                told = process.stdout.read()
                assert process.wait(timeout=240) == 0, f"{example}: {told}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_doctor_reports_and_repairs(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = ("--store", f"sqlite:///{path}", "--models", BATH)
    with running(path, BATH) as server:
        run_id = make_run(server.url)
        server.stop()
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE savepoints SET blob = zeroblob(20)")
    connection.close()
    report = perdure("doctor", "--dry-run", *store)
    assert report.returncode == 1
    assert f"{run_id}  savepoint 6:" in report.stdout
    assert "2 faults found, 0 repaired" in report.stdout
    assert "2 faults found, 2 repaired" in perdure("doctor", *store).stdout
    clean = perdure("doctor", *store)
    assert clean.returncode == 0
    assert "0 faults found" in clean.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "nonsense"], ["module:name"]),
        (["serve", "no_such_module:model"], ["no_such_module"]),
        (["serve", "tests.support.small:nothing"], ["nothing"]),
        (["serve", "tests.support.small:NEW"], ["not a Catalogue"]),
        (["serve", "--store", "mysql://x"], ["mysql://", "sqlite://"]),
        (["serve", "--host", "0.0.0.0"], ["PERDURE_TOKENS"]),
        (["serve", "--port", "99999"], ["PERDURE_PORT"]),
        (["runs", "list", "--store", "sqlite:////no/such/folder/x.db"], ["no store"]),
        (["runs", "list", "--store", "memory://"], ["There is no store at memory://"]),
        (["runs", "upgrade"], ["--all"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_wrong_is_one_line_that_says_what_to_do(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    if arguments[0] == "serve" and "--port" not in arguments:
        arguments = [*arguments, "--port", "0"]
    store = {"PERDURE_STORE": f"sqlite:///{tmp_path}/s.db"}
    fails(
        perdure(*arguments, PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), *sys.path])), **store), *words
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = (\n", ["bad.py, line 1: SyntaxError"]),
        ("import no_such_thing\n", ["bad.py, line 1: ModuleNotFoundError", "no_such_thing"]),
        ("x = 1\nmodel = 1 / 0\n", ["bad.py, line 2: ZeroDivisionError: division by zero"]),
        ("def model():\n    return {}['a']\n", ["bad.py, line 2: KeyError"]),
        ("def model():\n    yield 1 / 0\n", ["bad.py, line 2: ZeroDivisionError"]),
        (
            "from tests.support.small import bath\n\nmodel = bath()\n"
            "lost = model.function('lost', eval('lambda model, t: 1.0'))\n"
            "model.converter('odd').equation = lost()\n",
            ["'lost'", "can't be identified"],
        ),
    ],
)
def test_a_fault_in_a_model_ends_the_start_with_one_line(
    tmp_path: Path, source: str, words: list[str]
) -> None:
    (tmp_path / "bad.py").write_text(source)
    store = f"sqlite:///{tmp_path}/s.db"
    done = perdure(
        "serve", "bad:model", "--port", "0", "--store", store, folder=tmp_path, PYTHONPATH=str(ROOT)
    )
    fails(done, *words)
    assert not (tmp_path / "s.db").exists()


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    fails(perdure("serve", PERDURE_SAVEPOINT_EVERY="often"), "PERDURE_SAVEPOINT_EVERY")


def test_a_second_server_names_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with running(path, BATH) as server:
        second = perdure("serve", BATH, "--port", "0", "--store", f"sqlite:///{path}")
        fails(second, f"process {server.process.pid}", "--store")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(os.urandom(10_000))
    fails(perdure("serve", BATH, "--port", "0", "--store", f"sqlite:///{path}"), str(path))

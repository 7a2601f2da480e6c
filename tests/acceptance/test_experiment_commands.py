"""``perdure experiment``, as a person uses it: without a server, killed in the midst, and with one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.commands import fails, perdure
from tests.support.processes import process_of
from tests.support.server import ROOT, running
from tests.support.zips import zip_of

from perdure.artifacts.archive import Archive
from perdure.cli.experiment_folder import zipped_folder
from perdure.drivers.experiments.journal import trajectory
from perdure.stores.sqlite import SqliteStore

SCRIPT = """
import random

print("begun", flush=True)
try:
    for count in range(1, 1_000_000):
        nrp.run_loop(20)
        if count % 20 == 0:
            file_logger.info("%s: %s", count, random.random())
except NRPSimulationTimeout:
    file_logger.info("simulation time is up")
"""
LOG = "main_script_{}.log"


def example(root: Path, name: str = "pendulum", script: str = SCRIPT, timeout: float = 60) -> Path:
    """Copy an example, with a savepoint every simulated second."""
    folder = root / name
    shutil.copytree(ROOT / "examples" / "experiments" / name, folder)
    file = folder / "simulation_config.json"
    configuration = json.loads(file.read_text()) | {"SimulationTimeout": timeout, "Savepoint": {"every": 1}}
    file.write_text(json.dumps(configuration))
    (folder / "main_script.py").write_text(script)
    return folder


@contextmanager
def going(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run an experiment in the background for the length of the block, in which it has to end."""
    with subprocess.Popen(
        [sys.executable, "-m", "perdure", "experiment", "run", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def until(process: subprocess.Popen[str], words: str) -> list[str]:
    """Read lines up to one that begins with these words."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(words):
            return lines
    raise AssertionError(f"it never said {words!r}: {lines}")


def only_run(folder: Path) -> tuple[str, list[Any], str]:
    """Return the id, the trajectory and the log file of a folder's newest run, which has completed."""
    with closing(SqliteStore(folder / ".perdure" / "perdure.db")) as store:
        run = store.runs(limit=1)[0]
        assert run.state == "completed", run
        rows = list(trajectory(store.steps(run.id, limit=1_000_000)))
    results = folder / ".perdure" / "results" / run.id
    told = (results / LOG.format(run.id)).with_suffix(".trajectory.jsonl").read_text()
    assert [json.loads(row) for row in told.splitlines()] == rows
    return run.id, rows, (results / LOG.format(run.id)).read_text()


def left_over(folder: Path) -> list[str]:
    """Return what is left of working folders, and of processes that work in them."""
    working = folder / ".perdure" / "perdure.db.working"
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(working):
                processes.append(process.name)
        except OSError:  # it has ended, or is another user's
            continue
    return [*(path.name for path in working.glob("*")), *processes]


def test_an_experiment_in_a_folder_ignores_what_its_environment_says_of_a_servers_store(
    tmp_path: Path,
) -> None:
    room = tmp_path / "room"
    perdure("experiment", "new", str(room))
    of_a_server = {
        "PERDURE_STORE": "postgresql://nobody@127.0.0.1:1/perdure",
        "PERDURE_STORE_LISTEN": "postgresql://nobody@127.0.0.1:1/perdure",
        "PERDURE_BROKER": "redis://127.0.0.1:1/0",
        "PERDURE_ARTIFACTS": str(tmp_path / "artifacts"),
        "PERDURE_WORKING_FOLDERS": str(tmp_path / "working"),
        "PERDURE_KEEP_FINISHED": "0.00000001",
    }
    ran = []
    for _ in range(2):
        done = perdure("experiment", "run", str(room), **of_a_server)
        assert done.returncode == 0, done.stderr
        ran.append(only_run(room)[0])
    listed = perdure("runs", "list", "--json", f"--store={room}/.perdure/perdure.db", **of_a_server)
    assert {run["id"] for run in json.loads(listed.stdout)} == {*ran} and len({*ran}) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["room"]


def test_a_new_experiment_runs_at_once(tmp_path: Path) -> None:
    room = tmp_path / "my room"
    made = perdure("experiment", "new", str(room))
    assert made.stdout == f"Created {room}. Run it with: perdure experiment run '{room}'\n"
    done = perdure("experiment", "run", str(room), "--watch")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "simulation time is up")
    assert "60.00 s of 60 s simulated" in done.stderr
    assert "Completed: 60 s simulated" in done.stderr
    assert "Saved in savepoints: engine/" in done.stderr
    run, rows, log = only_run(room)
    assert len(rows) == 600
    assert log == done.stdout
    store = f"--store={room}/.perdure/perdure.db"
    assert perdure("experiment", "list", store).stdout.splitlines()[1].split()[:3] == [
        run,
        "local",
        "my-room",
    ]
    printed = perdure("experiment", "trajectory", run, store).stdout
    assert [json.loads(row) for row in printed.splitlines()] == rows
    files = [LOG.format(run), f"main_script_{run}.trajectory.jsonl", f"simulation_{run}.log"]
    assert f"Its files are in {room}/.perdure/results/{run}: {', '.join(files)}\n" in done.stderr
    logged = (room / ".perdure" / "results" / run / files[2]).read_text().splitlines()
    assert [line.split(maxsplit=2)[1:] for line in logged] == [["info", line] for line in log.splitlines()]
    fails(perdure("experiment", "new", str(room)), "exists already")
    within_a_file = room / "simulation_config.json" / "x"
    fails(perdure("experiment", "new", str(within_a_file)), f"'{within_a_file}' can't be created: Not a dir")
    assert not left_over(room)


def test_a_seed_that_is_too_large_is_refused(tmp_path: Path) -> None:
    refused = perdure("experiment", "run", str(example(tmp_path / "one")), "--seed", str(2**53))
    assert refused.returncode == 2
    assert str(2**53 - 1) in refused.stderr


def test_one_that_was_killed_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    folder, other = example(tmp_path / "one"), example(tmp_path / "other")
    whole = perdure("experiment", "run", str(other), "--seed", "7")
    assert whole.returncode == 0, whole.stderr
    with going(folder, "--seed", "7", "--name", "first", "--tag", "p") as process:
        until(process, "80: ")
        process.kill()
    with going(folder) as process:
        assert process.stderr is not None
        until(process, "160: ")
        process.kill()
        assert "Resuming run " in process.stderr.read()
    folder = folder.rename(tmp_path / "renamed")  # its experiment was called by the former name
    done = perdure("experiment", "run", str(folder), "--name", "second")
    assert done.returncode == 0, done.stderr
    assert "from its savepoint at" in done.stderr
    with closing(SqliteStore(folder / ".perdure" / "perdure.db")) as store:
        assert [(run.name, run.tags) for run in store.runs()] == [("second", ("p",))]
    (_, rows, log), (_, same_rows, same_log) = only_run(folder), only_run(other)
    assert len(rows) == 6000
    assert rows == same_rows
    assert log == same_log
    assert not left_over(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_interrupted_says_how_to_go_on_and_loses_no_line(tmp_path: Path, number: int) -> None:
    folder, other = example(tmp_path / "one"), example(tmp_path / "other")
    whole = perdure("experiment", "run", str(other), "--seed", "7")
    with going(folder, "--seed", "7") as process:
        said = until(process, "80: ")
        process.send_signal(number)
        rest, told = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "Paused, and saved. The same command resumes from here." in told
    assert not [left for left in left_over(folder) if left.isdecimal()]
    done = perdure("experiment", "run", str(folder), "--seed", "7")
    assert done.returncode == 0, done.stderr
    # One that is paused from outside, since it didn't obey in time, may say its last lines again.
    assert {*said, *rest.splitlines(True), *done.stdout.splitlines(True)} == {*whole.stdout.splitlines(True)}
    assert only_run(folder)[1:] == only_run(other)[1:]


def test_a_script_that_spins_is_interrupted_too_and_with_other_files_it_begins_anew(tmp_path: Path) -> None:
    folder = example(tmp_path, "exchange", "print('spinning', flush=True)\nwhile True: pass\n")
    with going(folder) as process:
        until(process, "spinning")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=240)
    assert (process.returncode, "Paused, and saved" in told) == (130, True)
    (folder / "main_script.py").write_text("nrp.run_loop(5)\n")
    done = perdure("experiment", "run", str(folder))
    assert done.returncode == 0, done.stderr
    assert "Stopped run " in done.stderr
    assert "Completed: 0.05 s simulated" in done.stderr


@pytest.mark.parametrize("name", ["exchange", "pendulum", "cartpole", "warm_motor"])
def test_every_example_runs(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(ROOT / "examples" / "experiments" / name, folder)
    done = perdure("experiment", "run", str(folder))
    assert done.returncode == 0, done.stderr
    assert "Completed: " in done.stderr
    with closing(SqliteStore(folder / ".perdure" / "perdure.db")) as store:
        run = store.runs(limit=1)[0].id
    rows = (folder / ".perdure" / "results" / run / f"main_script_{run}.trajectory.jsonl").read_text()
    assert all(len(json.loads(row)) > 1 for row in rows.splitlines())
    assert len(rows.splitlines()) > 100


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("print(1)\nnrp.run_loop(5)\n1 / 0\n", "division by zero (main_script.py, line 3)"),
        ("x = (\n", "SyntaxError: '(' was never closed (main_script.py, line 1)"),
        ("import os\nos._exit(7)\n", "exit code 7"),
    ],
)  # fmt: skip
def test_a_script_that_fails_is_told_with_file_and_line(tmp_path: Path, script: str, words: str) -> None:
    done = perdure("experiment", "run", str(example(tmp_path, "exchange", script)))
    assert done.returncode == 1
    assert "drivers/experiments" not in done.stderr + done.stdout  # of a traceback, the user's lines alone
    assert done.stderr.splitlines()[-1].startswith("perdure: failed after ")
    assert words in done.stderr.splitlines()[-1]


def test_what_is_wrong_with_a_configuration_is_told_at_once_and_nothing_is_kept(tmp_path: Path) -> None:
    folder = example(tmp_path, "exchange")
    (folder / "wrong.json").write_text(
        '{"SimulationTimeout": "long", "EngineConfigs": [{"EngineName": "a", "EngineType": "gazebo_grpc"}]}'
    )
    (folder / "broken.json").write_text('{"SimulationTimeout": ')
    run = ("experiment", "run", str(folder))
    fails(perdure(*run, "--config=wrong.json"), "$.SimulationTimeout", "$.EngineConfigs[0].EngineType")
    fails(perdure(*run, "--config=broken.json"), "broken.json")
    fails(perdure(*run, "--config=none.json"), "none.json")
    fails(perdure(*run, "--script=none.py"), "There is no script 'none.py'")
    fails(perdure("experiment", "run", str(tmp_path / "none")), "There is no folder", "experiment new")
    assert not (folder / ".perdure").exists()


def test_a_simulator_that_is_not_installed_is_named(tmp_path: Path) -> None:
    folder, hidden = example(tmp_path), tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['mujoco'] = None\n")
    path = os.pathsep.join(filter(None, (str(hidden), os.environ.get("PYTHONPATH"))))
    done = perdure("experiment", "run", str(folder), PYTHONPATH=path)
    assert done.returncode == 1
    assert "pip install" in done.stderr.splitlines()[-1]
    assert "perdure[mujoco]" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_what_goes_wrong_unexpectedly_is_told_in_a_line(tmp_path: Path) -> None:
    folder = example(tmp_path, "exchange", "nrp.run_loop(1)\n")
    (folder / ".perdure").mkdir()
    (folder / ".perdure" / "results").write_text("in the way")
    done = perdure("experiment", "run", str(folder))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("perdure: The experiment can't be run: NotADirectoryError: ")


def test_what_is_in_hidden_folders_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.py", "a/c.txt", "a/.hidden/d.txt", ".perdure/working/e.txt", ".env"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    os.utime(tmp_path / "b.py", (0, 0))  # a zip has no such time
    seen, look = [], os.scandir

    def scandir(path: Any = ".") -> Any:
        seen.append(os.path.relpath(path, tmp_path))
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with zipped_folder(tmp_path, print) as archive, zipfile.ZipFile(archive) as files:
        assert files.namelist() == ["experiment/", "experiment/b.py", "experiment/a/", "experiment/a/c.txt"]
    assert sorted(seen) == [".", "a"]


def test_links_are_followed_and_names_that_are_not_utf8_are_left_out_with_a_line(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    (folder / "a").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "b.py").write_text("b")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "a" / "again").symlink_to(folder)  # in itself
    (elsewhere / "back").symlink_to(folder / "a")
    (folder / "a" / "c.py").write_text("c")
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)
    (folder / os.fsdecode(b"odd\xff.py")).touch()
    (folder / os.fsdecode(b"odd\xfe")).mkdir()
    (folder / "data" / "frames").mkdir(parents=True)
    (folder / "a" / "void").mkdir()
    (folder / "a" / "void" / ".gitkeep").touch()
    said: list[str] = []
    with zipped_folder(folder, said.append) as archive, zipfile.ZipFile(archive) as files:
        names = {name.removeprefix("experiment/") for name in files.namelist()}
        modes = {name: files.getinfo(name).external_attr >> 16 & 0o111 for name in files.namelist()}
        files_alone = Archive(archive, max_files=100, max_bytes=100)
    assert {name for name in names if name and not name.endswith("/")} == {
        "a/c.py",
        "linked/b.py",
        "linked/back/c.py",
        "tool.sh",
    }
    assert files_alone.folders == {"a/void", "data/frames", "linked/back/void"}
    assert (modes["experiment/tool.sh"], modes["experiment/a/c.py"]) == (0o111, 0)
    assert len(said) == 2
    assert all(line.startswith("Left out ") and line.endswith("its name isn't UTF-8.") for line in said)


def test_two_at_once_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = example(tmp_path, "exchange", "print('spinning', flush=True)\nwhile True: pass\n")
    with going(folder) as process:
        until(process, "spinning")
        fails(perdure("experiment", "run", str(folder)), "perdure.db")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=240)
    assert process.returncode == 130


def test_experiments_of_a_server_are_looked_after(tmp_path: Path) -> None:
    folder = example(tmp_path, "exchange", timeout=0)
    (folder / "other.py").write_text("file_logger.info('other script')\n")
    zipped = zip_of({path.name: path.read_bytes() for path in folder.iterdir()})
    file = tmp_path / "s.db"
    store = f"--store=sqlite:///{file}"
    with running(file, "perdure.examples:catalogue") as server:
        assert perdure("experiment", "list", store).stdout == "No experiments yet.\n"
        sent = {"params": {"name": "walk"}, "headers": {"Content-Type": "application/zip"}}
        httpx.post(f"{server.url}/experiments", content=zipped, **sent).raise_for_status()  # type: ignore[arg-type]
        body = {"kind": "experiment", "experiment": "walk"}
        run = httpx.post(f"{server.url}/runs", json=body, timeout=240).raise_for_status().json()["id"]
        assert perdure("experiment", "start", run, store).stdout == f"{run}: started\n"
        with httpx.stream("GET", f"{server.url}/runs/{run}/events", timeout=240) as stream:
            assert any('"simulation_time"' in line for line in stream.iter_lines())
        assert perdure("experiment", "pause", run, store).stdout == f"{run}: paused\n"
        listed = perdure("experiment", "list", store).stdout.splitlines()
        assert listed[0].split()[:4] == ["ID", "OWNER", "EXPERIMENT", "STATE"]
        assert listed[1].split()[:5] == [run, "local", "walk", "paused", "1"]
        assert json.loads(perdure("experiment", "list", "--json", store).stdout)[0]["id"] == run
        assert "experiment walk" in perdure("runs", "list", store).stdout
        assert perdure("experiment", "logs", run, store).stdout.splitlines()[0].endswith("begun")
        first = perdure("experiment", "trajectory", run, store).stdout.splitlines()[0]
        assert set(json.loads(first)) == {"t", "position", "belief"}

        fork = perdure("experiment", "fork", run, "--script=other.py", store).stdout.strip()
        follow = [sys.executable, "-m", "perdure", "experiment", "logs", fork, "--follow", store]
        with process_of(follow, stdout=subprocess.PIPE, text=True) as following:
            assert perdure("experiment", "start", fork, store).returncode == 0
            told, _ = following.communicate(timeout=240)
        assert told.endswith(" info    other script\n")
        assert told == perdure("experiment", "logs", fork, store).stdout
        fails(perdure("experiment", "fork", run, "--savepoint=-1", store), "savepoint")

        left = httpx.post(f"{server.url}/runs", json=body, timeout=240).raise_for_status().json()["id"]
        assert perdure("experiment", "stop", run, store).stdout == f"{run}: stopped\n"
        fails(perdure("experiment", "start", run, store), "stopped")
        scenarios = {"kind": "session", "scenarios": {"epidemic": ["base"]}}
        session = httpx.post(f"{server.url}/runs", json=scenarios).raise_for_status().json()["id"]
        for command in ("logs", "trajectory"):
            fails(perdure("experiment", command, session, store), "is a session; this is for")
    assert perdure("experiment", "list", store).returncode == 0
    fails(perdure("experiment", "start", left, store), "No server works on", "perdure serve")
    fails(perdure("experiment", "fork", left, store), "No server works on", "perdure serve")
    assert perdure("experiment", "stop", left, store).stdout == f"{left}: stopped\n"
    assert perdure("runs", "upgrade", "--all", store).returncode == 0
    assert perdure("doctor", store).returncode == 0


def test_one_whose_store_can_not_grow_any_more_ends_and_says_so(tmp_path: Path) -> None:
    folder = example(tmp_path, "exchange", "while True: nrp.run_loop(10)\n", timeout=0)
    limited = f"ulimit -f 300; exec {sys.executable} -m perdure experiment run {folder}"
    done = subprocess.run(
        ["bash", "-c", limited], capture_output=True, text=True, cwd=ROOT, timeout=240, check=False
    )
    assert done.returncode == 1
    assert "The store can't be written" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not [left for left in left_over(folder) if left.isdecimal()]

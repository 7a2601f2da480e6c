"""The command line, as a person uses it: with a server running, without one, and with everything wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import apsw
import httpx
import pytest
from tests.support.server import ROOT, running

BATH = "tests.support.small:catalogue"


def perdure(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "perdure", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def fails(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that it failed with one line that says what is wrong."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


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
        ["runs", "fork"],
        ["runs", "upgrade"],
        ["runs", "delete"],
        ["savepoints"],
        ["savepoints", "list"],
        ["savepoints", "show"],
        ["savepoints", "pin"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_help_of_every_command_shows_examples_and_is_documented(command: list[str]) -> None:
    done = perdure(*command, "--help", COLUMNS="200")
    assert done.returncode == 0
    if len(command) == 2 or command in (["serve"], ["doctor"], []):
        assert "Example" in done.stdout
        assert " ".join(["perdure", *command]) in (ROOT / "docs" / "cli.md").read_text()


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
        assert server.stop() == 0
    # Without a server the commands open the store themselves.
    shown = json.loads(perdure("runs", "list", "--json", *store).stdout)
    assert {run["id"] for run in shown} == {run_id, fork}
    again = perdure("runs", "fork", run_id, *store, "--models", BATH)
    assert again.returncode == 0, again.stderr
    points = json.loads(perdure("savepoints", "list", run_id, "--json", *store).stdout)
    assert [point["step"] for point in points] == [0, 5]
    pinned = perdure("savepoints", "pin", run_id, "6", "--name", "five", *store)
    assert json.loads(pinned.stdout)["name"] == "five"
    assert json.loads(perdure("savepoints", "show", run_id, "6", *store).stdout)["pinned"] is True
    assert "five" in perdure("savepoints", "list", run_id, *store).stdout
    fails(perdure("savepoints", "show", run_id, "7", *store), "no savepoint 7")
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
    assert "upgraded, 5 steps taken again" in done.stdout
    refused = perdure("runs", "upgrade", run_id, *store, *upgradable)
    fails(refused, "are the ones it was made with")
    fails(perdure("runs", "upgrade", *store), "--all")


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
        (["serve", "--store", "mysql://x"], ["sqlite:///"]),
        (["serve", "--host", "0.0.0.0"], ["PERDURE_TOKENS"]),
        (["serve", "--port", "99999"], ["port"]),
        (["runs", "list", "--store", "sqlite:////no/such/folder/x.db"], ["no store"]),
        (["runs", "list", "--store", "memory://"], ["no store"]),
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

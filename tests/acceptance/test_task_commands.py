"""``perdure tasks``, as a person uses it: with a server that works on tasks, and without one."""

import json
from pathlib import Path

import httpx
import pytest
from tests.support.commands import fails, perdure
from tests.support.server import running

MODELS = "perdure.examples:catalogue"
SESSION = {"kind": "session", "scenarios": {"epidemic": ["base"]}}
TASKS = ("--tasks", "tests.support.small_tasks")


def queue(url: str, task: str, given: object) -> str:
    made = httpx.post(f"{url}/runs", json={"kind": "task", "task": task, "input": given})
    run_id: str = made.raise_for_status().json()["id"]
    return run_id


def follow(url: str, run_id: str, wanted: str) -> None:
    """Follow a task until its events hold a text."""
    with httpx.stream("GET", f"{url}/runs/{run_id}/events", timeout=240) as stream:
        assert any(wanted in line for line in stream.iter_lines())


def test_tasks_are_looked_after_with_and_without_a_server(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    store = f"--store=sqlite:///{file}"
    with running(file, MODELS, {"PERDURE_MAX_TASK_PROCESSES": "1"}, TASKS) as server:
        assert perdure("tasks", "list", store).stdout == "No tasks yet.\n"
        done = queue(server.url, "add", {"numbers": [1, 2]})
        follow(server.url, done, '"completed"')
        spinning = queue(server.url, "spin", {})
        follow(server.url, spinning, "spinning")
        waiting = queue(server.url, "add", {"numbers": [3]})

        listed = perdure("tasks", "list", store).stdout.splitlines()
        assert listed[0].split()[:5] == ["ID", "OWNER", "TASK", "STATE", "ATTEMPT"]
        assert [line.split()[:5] for line in listed[1:]] == [
            [waiting, "local", "add", "created", "0"],
            [spinning, "local", "spin", "started", "1"],
            [done, "local", "add", "succeeded", "1"],
        ]
        assert "spinning=True" in listed[2]
        assert "added=2, total=3" in listed[3]
        unfinished = json.loads(perdure("tasks", "list", "--unfinished", "--json", store).stdout)
        assert [task["id"] for task in unfinished] == [waiting, spinning]

        shown = json.loads(perdure("tasks", "show", done, store).stdout)
        assert (shown["state"], shown["input"]) == ("completed", {"numbers": [1, 2]})
        assert shown["result"] == {"total": 3, "added": 2, "attempt": 1}
        shown = json.loads(perdure("tasks", "show", waiting, store).stdout)
        assert (shown["state"], shown["place"]) == ("created", 1)
        assert "result" not in shown
        assert perdure("tasks", "show", done, "--logs", store).stdout.endswith(" info    added 2 numbers\n")
        table = perdure("runs", "list", store).stdout
        assert "task add" in table

        assert perdure("tasks", "cancel", spinning, store).stdout == f"{spinning}: stopped\n"
        follow(server.url, waiting, '"completed"')
        left = queue(server.url, "spin", {})
        follow(server.url, left, "spinning")
        fails(perdure("tasks", "cancel", done, store), "completed")
        session = httpx.post(f"{server.url}/runs", json=SESSION).raise_for_status().json()["id"]
        for command in ("show", "cancel"):
            fails(perdure("tasks", command, session, store), "is a session; this is for tasks only")
        server.kill()

    listed = perdure("tasks", "list", "--unfinished", store).stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == [left]
    assert perdure("tasks", "cancel", left, store).stdout == f"{left}: stopped\n"
    assert perdure("tasks", "list", "--unfinished", store).stdout == "No such tasks.\n"
    assert perdure("doctor", store).returncode == 0
    assert perdure("runs", "upgrade", "--all", store).returncode == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("no_such_module", "No module named 'no_such_module'"),
        ("tests.support.small_tasks:NONE", "has no 'NONE'"),
        ("no_such_file.py", "No such file"),
    ],
)
def test_a_server_with_tasks_that_are_not_there_does_not_start(
    source: str, words: str, tmp_path: Path
) -> None:
    store = f"--store=sqlite:///{tmp_path}/s.db"
    fails(perdure("serve", MODELS, "--port=0", store, "--tasks", source), source, words)


def test_sources_of_tasks_come_from_the_environment_too(tmp_path: Path) -> None:
    environment = {"PERDURE_TASKS": "tests.support.small_tasks:ADD, tests.support.small_tasks:FAIL"}
    with running(tmp_path / "s.db", MODELS, environment) as server:
        tasks = httpx.get(f"{server.url}/tasks").json()["tasks"]
        assert {"add", "fail"} <= {task["name"] for task in tasks}
        assert "spin" not in {task["name"] for task in tasks}

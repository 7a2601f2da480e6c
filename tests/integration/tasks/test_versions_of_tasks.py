"""A run that has begun goes on only with the version of its task that it has begun with, and says so."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.in_process import Client, in_process

from perdure import numerics
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore

MODULE = "versioned_tasks"
PIPES = ("first", "second")  # by which a run says that it has a savepoint
TASK = """
import signal
from pathlib import Path
from pydantic import BaseModel
from perdure.tasks import Task

class Given(BaseModel):
    stops_at: str

class Result(BaseModel):
    resumed: int | None
    version: str

def work(given, context):
    if given.stops_at and context.resumed is None:
        context.savepoint(7)
        Path(given.stops_at).write_text("a savepoint")
        signal.pause()
    return Result(resumed=context.resumed, version=VERSION)

VERSION = "{version}"
WORK = Task(name="work", input=Given, result=Result, function=work, version=VERSION)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("perdure.execution.attempt.SAVING", 0.1)  # the task makes no further savepoint
    for name in PIPES:
        os.mkfifo(name)


@contextmanager
def serving(version: str | None, **settings: Any) -> Iterator[Client]:
    """Serve the task in a version, or no task at all, on the store of the folder."""
    Path(f"{MODULE}.py").write_text(TASK.replace("{version}", version or ""))
    sys.modules.pop(MODULE, None)
    tasks = () if version is None else (f"{MODULE}:WORK",)
    chosen = Settings(store="memory://", tasks=tasks, **settings)
    with in_process(chosen, SqliteStore(Path.cwd())) as client:
        yield client


def made(client: Client, *, stops_at: str = "") -> str:
    body = {"kind": "task", "task": "work", "input": {"stops_at": stops_at}}
    answer: dict[str, Any] = client.post("/runs", json=body).json()
    return str(answer["id"])


def ended(client: Client, run_id: str) -> Any:
    client.get(f"/runs/{run_id}/events")  # which last until it ends
    return client.get(f"/runs/{run_id}/result").json()["result"]


def test_a_run_that_has_begun_waits_for_its_version_and_others_take_the_new_one() -> None:
    with serving("1.2") as client:
        begun = made(client, stops_at="first")
        assert Path("first").read_text() == "a savepoint"
        run = client.get(f"/runs/{begun}").json()
        assert (run["computed_by"]["version"], run["missing"]) == ("1.2", None)
    with serving("1.3") as client:
        new = made(client)
        assert ended(client, new) == {"resumed": None, "version": "1.3"}
        assert client.get(f"/runs/{new}").json()["computed_by"]["version"] == "1.3"
        run = client.get(f"/runs/{begun}").json()
        assert (run["state"], run["attempt"], run["computed_by"]["version"]) == ("started", 1, "1.2")
        assert "version 1.2" in run["missing"]
        assert "this server has it in version 1.3" in run["missing"]
    with serving("1.2") as client:
        assert ended(client, begun) == {"resumed": 7, "version": "1.2"}
        run = client.get(f"/runs/{begun}").json()
        assert (run["attempt"], run["missing"]) == (2, None)


def test_a_run_whose_task_is_not_served_any_more_waits_and_can_be_stopped() -> None:
    with serving("1.2") as client:
        begun, other = (made(client, stops_at=name) for name in PIPES)
        assert {Path(name).read_text() for name in PIPES} == {"a savepoint"}
    with serving(None) as client:
        for run_id in (begun, other):
            run = client.get(f"/runs/{run_id}").json()
            assert (run["state"], run["attempt"]) == ("started", 1)
            assert (
                run["missing"] == "No task 'work' is served here. Serve it again (--tasks), or stop the run."
            )
        stopped = client.put(f"/runs/{other}/state", json={"state": "stopped"}).json()
        assert (stopped["state"], stopped["outcome"], stopped["missing"]) == ("stopped", "terminated", None)
    with serving("1.2") as client:
        assert ended(client, begun) == {"resumed": 7, "version": "1.2"}


def test_a_worker_leaves_a_run_to_one_that_serves_its_task() -> None:
    Path(f"{MODULE}.py").write_text(TASK.replace("{version}", "1.2"))
    sys.modules.pop(MODULE, None)
    store, able = MemoryStore(), Settings(store="memory://", tasks=(f"{MODULE}:WORK",))
    with in_process(Settings(store="memory://"), store) as unable, in_process(able, store) as client:
        runs = [made(client) for _ in range(5)]
        assert [ended(client, run_id)["version"] for run_id in runs] == ["1.2"] * 5
        for run_id in runs:
            run = unable.get(f"/runs/{run_id}").json()
            assert (run["state"], run["attempt"], run["missing"]) == ("completed", 1, None)


def test_a_run_that_has_begun_waits_for_a_host_of_its_arithmetic_or_says_that_another_went_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(numerics, "fingerprint", lambda: "a" * 16)
    with serving("1.2") as client:
        begun, other = (made(client, stops_at=name) for name in PIPES)
        assert {Path(name).read_text() for name in PIPES} == {"a savepoint"}
    monkeypatch.setattr(numerics, "fingerprint", lambda: "b" * 16)
    with serving("1.2") as client:
        assert ended(client, made(client)) == {"resumed": None, "version": "1.2"}
        for run_id in (begun, other):
            run = client.get(f"/runs/{run_id}").json()
            assert (run["state"], run["attempt"], run["computed_by"]["numerics"]) == ("started", 1, "a" * 16)
            assert f"numeric fingerprint {'a' * 16}, and this host has {'b' * 16}" in run["missing"]
        client.put(f"/runs/{other}/state", json={"state": "stopped"})
    with serving("1.2", other_numerics=True) as client:
        assert ended(client, begun) == {"resumed": 7, "version": "1.2"}
        computed_by = client.get(f"/runs/{begun}").json()["computed_by"]
        assert (computed_by["numerics"], computed_by["earlier_numerics"]) == ("b" * 16, ["a" * 16])

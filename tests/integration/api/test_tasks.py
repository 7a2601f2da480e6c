"""Tasks over HTTP, on a real server: made, followed, paused, stopped, read, deleted; and over its restart."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.served import Served, served

SOURCE = "tests.support.small_tasks"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server"), tasks=SOURCE, max_task_processes=2) as running:
        yield running


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    made = tmp_path / "pipe"
    os.mkfifo(made)
    return made


def queue(client: httpx.Client, task: str, given: Any, **more: Any) -> str:
    made = client.post("/runs", json={"kind": "task", "task": task, "input": given, **more})
    assert made.status_code == 201, made.text
    run_id: str = made.json()["id"]
    assert made.headers["location"] == f"/runs/{run_id}"
    return run_id


def events(client: httpx.Client, run_id: str) -> Iterator[dict[str, Any]]:
    """Yield what a run's events tell, until it ends."""
    with client.stream("GET", f"/runs/{run_id}/events") as stream:
        assert stream.status_code == 200
        for line in stream.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def until(client: httpx.Client, run_id: str, **desired: Any) -> dict[str, Any]:
    """Follow a run until its events tell this."""
    for told in events(client, run_id):
        if desired.items() <= told.items():
            return told
    raise AssertionError(f"{run_id} ended and was never {desired}")


def error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()["error"]
    assert (answer.status_code, told["code"]) == (status, code), answer.text
    return told


def test_a_task_is_done_and_answers_with_its_result(client: httpx.Client) -> None:
    run_id = queue(client, "add", {"numbers": [1, 2, 3]}, timeout=60)
    last = list(events(client, run_id))[-1]
    assert (last["state"], last["attempt"], last["progress"]) == ("completed", 1, {"added": 3, "total": 6})
    answer = client.get(f"/runs/{run_id}/result")
    assert answer.json() == {
        "id": run_id,
        "state": "completed",
        "outcome": "succeeded",
        "reason": "",
        "result": {"total": 6, "added": 3, "attempt": 1},
    }
    record = client.get(f"/runs/{run_id}").json()
    assert record["input"] == {"numbers": [1, 2, 3]}
    assert (record["kind"], record["task"], record["timeout"], record["place"]) == ("task", "add", 60.0, None)
    (line,) = client.get(f"/runs/{run_id}/logs").json()["lines"]
    assert (line["number"], line["level"], line["text"]) == (1, "info", "added 3 numbers")
    assert client.get(f"/runs/{run_id}/logs", params={"after": 1}).json() == {"lines": [], "next": None}
    assert client.get(f"/runs/{run_id}/logs", params={"limit": 1}).json()["next"] == 1
    assert client.post(f"/runs/{run_id}/check").json() == {"findings": []}


def test_tasks_are_listed_with_the_schemas_of_what_they_take_and_answer(client: httpx.Client) -> None:
    tasks = {task["name"]: task for task in client.get("/tasks").json()["tasks"]}
    assert tasks["spin"]["timeout"] == 3600.0
    assert tasks["add"]["description"] == "Add numbers, one after the other."
    assert tasks["add"]["input"]["properties"]["numbers"]["items"] == {"type": "integer"}
    assert set(tasks["add"]["result"]["properties"]) == {"total", "added", "attempt"}


def test_an_unfinished_task_tells_its_progress_and_has_no_result(client: httpx.Client, pipe: Path) -> None:
    run_id = queue(client, "add", {"numbers": [1, 2, 3], "wait_at": 1, "pipe": str(pipe)})
    until(client, run_id, progress={"added": 1, "waiting": True})
    assert client.get(f"/runs/{run_id}").json()["progress"] == {"added": 1, "waiting": True}
    error(client.get(f"/runs/{run_id}/result"), 409, "task_unfinished")
    pipe.write_text("go on")
    until(client, run_id, state="completed")


def test_a_task_is_called_otherwise_while_it_runs_and_is_found_by_its_tags(
    client: httpx.Client, pipe: Path
) -> None:
    given = {"numbers": [1, 2, 3], "wait_at": 1, "pipe": str(pipe)}
    run_id = queue(client, "add", given, name="sum", tags=["nightly"])
    until(client, run_id, progress={"added": 1, "waiting": True})
    named = client.patch(f"/runs/{run_id}", json={"name": "a sum", "add_tags": ["slow"]}).json()
    assert (named["name"], named["tags"], named["attempt"]) == ("a sum", ["nightly", "slow"], 1)
    pipe.write_text("go on")
    until(client, run_id, state="completed")
    assert client.get(f"/runs/{run_id}/result").json()["result"]["attempt"] == 1
    (found,) = client.get("/runs?tag=slow,nightly&state=completed&kind=task").json()["runs"]
    assert (found["id"], found["name"]) == (run_id, "a sum")


def test_a_failed_task_says_why_and_answers_with_what_there_is(client: httpx.Client) -> None:
    run_id = queue(client, "fail", {})
    until(client, run_id, state="failed")
    result = client.get(f"/runs/{run_id}/result").json()
    assert (result["outcome"], result["reason"]) == ("failed", "too_odd: These numbers are too odd.")
    assert result["result"] == {"total": 1, "added": 1, "attempt": 1}
    lines = client.get(f"/runs/{run_id}/logs").json()["lines"]
    assert any("TaskFailed" in line["text"] and line["level"] == "error" for line in lines)


@pytest.mark.parametrize(
    ("task", "reason", "part"),
    [
        ("stammer", "ValueError: no such file: caf\\udce9 (", None),
        ("fall_silent", "Mute: its message can't be shown, since its __str__ raised RuntimeError (", None),
        ("give_up", "SystemExit: nothing to count: caf\\udce9 (", None),
        ("fail_in_part", "half_done: Only half is done \\ud800.", {"total": 7, "share": None}),
        ("fail_in_pieces", "half_done: Only half is done. (The partial result can't be stored: ", None),
    ],
)
def test_a_failed_task_keeps_its_reason_whatever_it_is_made_of(
    client: httpx.Client, task: str, reason: str, part: object
) -> None:
    run_id = queue(client, task, {})
    until(client, run_id, state="failed")
    result = client.get(f"/runs/{run_id}/result").json()
    assert result["reason"].startswith(reason)
    assert result["result"] == part


def test_a_state_that_cannot_be_kept_fails_the_task_with_its_place(client: httpx.Client) -> None:
    run_id = queue(client, "hoard", {})
    until(client, run_id, state="failed")
    assert "at state[1]['seen']" in client.get(f"/runs/{run_id}").json()["reason"]


def test_a_task_that_takes_too_long_ends_with_its_latest_progress(client: httpx.Client) -> None:
    # The time-out counts from the process's start: under load that may take longer than the first ones.
    for timeout in (1.5, 6.0, 24.0, 96.0):
        run_id = queue(client, "spin", {}, timeout=timeout)
        last = until(client, run_id, state="failed")
        if last["progress"] is not None:
            break
    assert last["progress"] == {"spinning": True}
    assert client.get(f"/runs/{run_id}").json()["outcome"] == "timed_out"


def test_a_task_that_is_stopped_has_ended_when_that_is_answered(client: httpx.Client) -> None:
    run_id = queue(client, "spin", {})
    until(client, run_id, progress={"spinning": True})
    stopped = client.put(f"/runs/{run_id}/state", json={"state": "stopped"})
    assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")
    assert (stopped.json()["outcome"], stopped.json()["desired"]) == ("terminated", "stopped")
    error(client.put(f"/runs/{run_id}/state", json={"state": "started"}), 409, "trigger_refused")


def test_a_task_is_paused_and_goes_on(client: httpx.Client, pipe: Path) -> None:
    run_id = queue(client, "add", {"numbers": [1, 2], "wait_at": 1, "pipe": str(pipe)})
    until(client, run_id, progress={"added": 1, "waiting": True})
    with ThreadPoolExecutor(1) as pool:
        paused = pool.submit(until, client, run_id, state="paused")
        asked = client.put(f"/runs/{run_id}/state", json={"state": "paused"})
        assert (asked.status_code, asked.json()["desired"]) == (200, "paused")
        assert paused.result(60)["progress"] == {"added": 1, "waiting": True}
    assert client.put(f"/runs/{run_id}/state", json={"state": "started"}).json()["desired"] == "started"
    pipe.write_text("go on")
    until(client, run_id, state="completed")


def test_a_wrong_task_is_refused_and_not_queued(client: httpx.Client) -> None:
    before = client.get("/runs").json()
    body = {"kind": "task", "task": "add", "input": {"numbers": ["one"], "more": 1}}
    told = error(client.post("/runs", json=body), 422, "invalid_task_input")
    assert "input.numbers.0" in told["message"]
    assert "input.more" in told["message"]
    error(client.post("/runs", json={**body, "task": "sub"}), 404, "task_not_found")
    long = {**body, "input": {"numbers": []}, "timeout": 1e9}
    error(client.post("/runs", json=long), 422, "limit_exceeded")
    for wrong in ({"timeout": 0}, {"timeout": "9"}, {"task": ""}, {"kind": "tasks"}, {"scenarios": {}}):
        error(client.post("/runs", json={**body, **wrong}), 422, "invalid_request")
    assert client.get("/runs").json() == before


def test_a_repeated_request_is_answered_with_the_task_made_then(client: httpx.Client) -> None:
    body = {"kind": "task", "task": "add", "input": {"numbers": [7]}}
    first, again = (client.post("/runs", json=body, headers={"Idempotency-Key": "add-7"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = client.post("/runs", json={**body, "timeout": 5}, headers={"Idempotency-Key": "add-7"})
    error(other, 422, "key_reused")


def test_runs_are_listed_by_kind(client: httpx.Client, run: str) -> None:
    task = queue(client, "add", {"numbers": []})
    listed = {kind: client.get("/runs", params={"kind": kind}).json()["runs"] for kind in ("session", "task")}
    assert run in {one["id"] for one in listed["session"]}
    newest = listed["task"][0]
    assert (newest["id"], newest["task"], newest["damage"]) == (task, "add", None)
    for kind, runs in listed.items():
        assert {one["kind"] for one in runs} == {kind}
    assert [one["id"] for one in client.get("/runs", params={"limit": 2}).json()["runs"]] == [task, run]
    error(client.get("/runs", params={"kind": "other"}), 422, "invalid_request")


def test_what_is_for_another_kind_says_so(client: httpx.Client, run: str) -> None:
    task = queue(client, "add", {"numbers": []})
    for method, path, body in (
        ("POST", "steps", {}),
        ("GET", "steps", None),
        ("GET", "results", None),
        ("POST", "savepoints", {}),
        ("PATCH", "savepoints/1", {"pinned": True}),
        ("POST", "fork", {}),
        ("POST", "upgrade", None),
    ):
        told = error(client.request(method, f"/runs/{task}/{path}", json=body), 409, "wrong_kind")
        assert told["message"] == f"The run {task!r} is a task; this is for sessions only."
    for path, kinds in (("result", "tasks"), ("logs", "tasks and experiments")):
        told = error(client.get(f"/runs/{run}/{path}"), 409, "wrong_kind")
        assert told["message"] == f"The run {run!r} is a session; this is for {kinds} only."
    error(client.put(f"/runs/{run}/state", json={"state": "paused"}), 409, "wrong_kind")


def test_a_deleted_task_is_gone_also_while_it_runs(client: httpx.Client) -> None:
    run_id = queue(client, "spin", {})
    until(client, run_id, progress={"spinning": True})
    assert client.delete(f"/runs/{run_id}").status_code == 204
    for path in ("", "/result", "/events", "/logs"):
        error(client.get(f"/runs/{run_id}{path}"), 404, "run_not_found")


def test_another_owners_task_does_not_exist(tmp_path: Path) -> None:
    with (
        served(tmp_path, tasks=SOURCE, tokens="ann:a,bob:b") as running,
        running.client("a") as ann,
        running.client("b") as bob,
    ):
        run_id = queue(ann, "add", {"numbers": []})
        for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("DELETE", "")):
            error(bob.request(method, f"/runs/{run_id}{path}"), 404, "run_not_found")
        assert bob.get("/runs").json()["runs"] == []


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_task_outlives_the_server_and_goes_on_from_its_savepoint(
    tmp_path: Path, pipe: Path, ending: signal.Signals
) -> None:
    given = {"numbers": [1, 2, 3, 4], "wait_at": 2, "pipe": str(pipe)}
    with served(tmp_path, tasks=SOURCE) as running, running.client() as client:
        run_id = queue(client, "add", given)
        waiting = queue(client, "add", {"numbers": [5]})
        until(client, run_id, progress={"added": 2, "waiting": True})
        until(client, waiting, state="completed")
        kept = client.get(f"/runs/{run_id}/savepoints").raise_for_status().json()["savepoints"]
        assert [it["timestamp"] for it in kept] == [1, 2]
        running.process.send_signal(ending)
        running.process.wait(timeout=30)
    with served(tmp_path, tasks=SOURCE) as running, running.client() as client:
        until(client, run_id, attempt=2, progress={"added": 2, "waiting": True})
        pipe.write_text("go on")
        until(client, run_id, state="completed")
        result = client.get(f"/runs/{run_id}/result").json()["result"]
        assert result == {"total": 10, "added": 2, "attempt": 2}
        assert client.get(f"/runs/{waiting}/result").json()["result"]["attempt"] == 1

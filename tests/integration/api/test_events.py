"""Events: where a run stands, now and after every change, until the run, the client or the server ends."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from tests.support.in_process import TASKS
from tests.support.served import Served, served


def events(stream: httpx.Response) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Yield name, id and data of each event."""
    fields: dict[str, str] = {}
    for line in stream.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields["event"], fields["id"], json.loads(fields["data"])
            fields = {}


def test_a_stream_tells_where_a_run_stands_and_ends_with_it(
    server: Served, client: httpx.Client, run: str
) -> None:
    with server.client() as other, other.stream("GET", f"/runs/{run}/events") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        seen = events(stream)
        assert next(seen) == ("run", "0", {"state": "created", "step": 0})
        client.post(f"/runs/{run}/steps")
        assert next(seen) == ("run", "1", {"state": "started", "step": 1})
        client.put(f"/runs/{run}/state", json={"state": "stopped"})
        assert next(seen) == ("run", "1-stopped", {"state": "stopped", "step": 1})
        assert list(seen) == []


def test_a_deleted_run_ends_its_stream(server: Served, client: httpx.Client, run: str) -> None:
    with server.client() as other, other.stream("GET", f"/runs/{run}/events") as stream:
        seen = events(stream)
        next(seen)
        client.delete(f"/runs/{run}")
        assert next(seen)[2]["state"] == "deleted"
        assert list(seen) == []


def test_an_unknown_run_has_no_stream(client: httpx.Client) -> None:
    missing = client.get("/runs/unknown/events")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "run_not_found")


def test_a_client_that_leaves_its_stream_disturbs_nobody(
    server: Served, client: httpx.Client, run: str
) -> None:
    for _ in range(20):
        with server.client() as other, other.stream("GET", f"/runs/{run}/events") as stream:
            next(events(stream))
    assert client.post(f"/runs/{run}/steps").status_code == 200


def test_a_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        body = {"kind": "session", "scenarios": {"bath": ["base"]}}
        run_id = client.post("/runs", json=body).json()["id"]
        with client.stream("GET", f"/runs/{run_id}/events") as stream:
            seen = events(stream)
            next(seen)
            server.process.terminate()
            assert list(seen) == []
        assert server.process.wait(timeout=9) == 0


# Many runs ------------------------------------------------------------------------------------------------


def stands(event: tuple[str, str, dict[str, object]]) -> tuple[object, ...]:
    """Return the run of an event of many, its state, and its step."""
    return tuple(event[2].get(name) for name in ("run", "state", "step"))


def test_one_stream_follows_many_runs_and_goes_on_when_one_has_ended(
    server: Served, client: httpx.Client, run: str
) -> None:
    other_run = client.post(f"/runs/{run}/fork", json={"name": "other", "tags": ["a"]}).json()
    with server.client() as other, other.stream("GET", f"/events?runs={run},{other_run['id']}") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        seen = events(stream)
        assert stands(next(seen)) == (run, "created", 0)
        kind, _, data = next(seen)
        same = {name: value for name, value in other_run.items() if name in data}
        assert (kind, data) == ("run", {"run": other_run["id"], "step": 0, **same})
        assert (data["name"], data["tags"], data["kind"]) == ("other", ["a"], "session")
        client.put(f"/runs/{run}/state", json={"state": "stopped"})
        assert stands(next(seen)) == (run, "stopped", 0)
        client.post(f"/runs/{other_run['id']}/steps", json={"steps": 3})
        while (last := stands(next(seen)))[2] != 3:
            assert last[0] == other_run["id"]
        client.delete(f"/runs/{run}")
        assert next(seen)[2] == {"run": run, "state": "deleted"}


def test_one_stream_follows_all_runs_also_those_that_are_made_later(
    server: Served, client: httpx.Client, run: str
) -> None:
    with server.client() as other, other.stream("GET", "/events") as stream:
        seen = events(stream)
        new = client.post("/runs", json={"kind": "session", "scenarios": {"bath": ["base"]}}).json()["id"]
        assert stands(next(seen)) == (new, "created", 0)
        client.post(f"/runs/{run}/steps")
        assert stands(next(seen)) == (run, "started", 1)
        client.patch(f"/runs/{run}", json={"name": "renamed"})
        assert next(seen)[2]["name"] == "renamed"
        client.delete(f"/runs/{new}")
        assert next(seen)[2] == {"run": new, "state": "deleted"}


def test_a_stream_that_was_lost_first_sends_what_has_changed_since(
    server: Served, client: httpx.Client, run: str
) -> None:
    with server.client() as other, other.stream("GET", "/events") as stream:
        first = next(line for line in stream.iter_lines() if line.startswith("id: "))  # before any event
    client.post(f"/runs/{run}/steps")
    resumed = {"Last-Event-ID": first.removeprefix("id: ")}
    with server.client() as other, other.stream("GET", "/events", headers=resumed) as stream:
        found = (stands(event) for event in events(stream))
        assert (run, "started", 1) in found  # after those that changed at about the same time


def test_a_run_that_changes_quickly_is_sent_a_few_times_a_second_and_at_last_as_it_stands(
    server: Served, client: httpx.Client, run: str
) -> None:
    with server.client() as other, other.stream("GET", f"/events?runs={run}") as stream:
        seen = events(stream)
        next(seen)
        began = time.monotonic()
        for _ in range(60):
            client.post(f"/runs/{run}/steps").raise_for_status()
        sent = 1
        while next(seen)[2]["step"] != client.get(f"/runs/{run}").json()["step"]:
            sent += 1
        assert sent <= (time.monotonic() - began) / 0.25 + 2


def test_runs_that_are_not_there_are_deleted_ones_for_a_stream(server: Served, client: httpx.Client) -> None:
    with server.client() as other, other.stream("GET", "/events?runs=unknown") as stream:
        assert next(events(stream))[2] == {"run": "unknown", "state": "deleted"}
    for wrong in ("", "a b", ",a", "a,", "a%0A", ",".join(map(str, range(201)))):
        answer = client.get(f"/events?runs={wrong}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_a_stream_of_all_runs_has_only_those_of_its_owner(tmp_path: Path) -> None:
    body = {"kind": "session", "scenarios": {"bath": ["base"]}}
    with (
        served(tmp_path, "memory://", tokens="ann:1,bob:2") as server,
        server.client("1") as ann,
        server.client("1") as reader,
        server.client("2") as bob,
    ):
        former = bob.post("/runs", json=body).json()["id"]
        with reader.stream("GET", f"/events?runs={former}") as stream:
            assert next(events(stream))[2] == {"run": former, "state": "deleted"}
        with reader.stream("GET", "/events", headers={"Last-Event-ID": "0"}) as stream:
            bob.post(f"/runs/{former}/steps")
            bob.delete(f"/runs/{former}")
            own = ann.post("/runs", json=body).json()["id"]
            assert stands(next(events(stream))) == (own, "created", 0)


def test_a_stream_of_many_runs_has_where_tasks_stand(tmp_path: Path) -> None:
    body = {"kind": "task", "task": "add", "input": {"numbers": [1, 2]}}
    with (
        served(tmp_path, "memory://", tasks=TASKS) as server,
        server.client() as client,
        server.client() as other,
        other.stream("GET", "/events") as stream,
    ):
        run_id = client.post("/runs", json=body).json()["id"]
        last: dict[str, object] = {}
        for _, _, last in events(stream):
            assert (last["run"], last["kind"], last["desired"]) == (run_id, "task", "started")
            assert "place" not in last, "it takes long to find, and a list doesn't show it"
            if last["state"] == "completed":
                break
        assert (last["attempt"], last["outcome"]) == (1, "succeeded")
        with client.stream("GET", f"/events?runs={run_id}") as named:
            assert next(events(named))[2] == {**last, "place": None}

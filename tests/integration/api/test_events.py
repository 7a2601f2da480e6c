"""Events: where a run stands, now and after every change, until the run, the client or the server ends."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
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

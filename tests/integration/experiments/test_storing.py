"""Storing what a run wrote, however much that is: told, called off, taken up again, deleted."""

import signal
from pathlib import Path

import httpx
import pytest
from tests.support.experiment_runs import put, scripted
from tests.support.served import served

from perdure.artifacts.objects import Objects

HUGE = 1 << 33  # bytes of a file that is nothing but a hole: storing it takes a while


def pending(answer: httpx.Response) -> dict[str, int]:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (503, "results_pending"), answer.text
    assert int(answer.headers["Retry-After"]) > 0
    details: dict[str, int] = error["details"]
    return details


def test_a_server_ends_while_it_stores_and_what_is_not_stored_is_never_answered_as_none(
    tmp_path: Path,
) -> None:
    script = f"with open('small.txt', 'w') as file:\n    file.write('1')\nopen('z', 'wb').truncate({HUGE})\n"

    with served(tmp_path) as server:
        with server.client() as client:
            run_id = scripted(client, "huge", script)
            put(client, run_id, "started")
            with client.stream("GET", f"/runs/{run_id}/events") as events:
                for line in events.iter_lines():
                    if '"completed"' in line:
                        break
            put(client, run_id, "stopped")
            details = pending(client.get(f"/runs/{run_id}/files"))
            assert details["stored"] < HUGE < details["total"]
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=60)
    with served(tmp_path) as server, server.client() as client:
        pending(client.get(f"/runs/{run_id}/files"))  # it goes on
        assert client.delete(f"/runs/{run_id}").status_code == 204
        assert client.get(f"/runs/{run_id}").status_code == 404


@pytest.mark.parametrize("tail", [b"", b"end", bytes(3_000_000)])
def test_holes_take_no_room_in_a_local_storage(tmp_path: Path, tail: bytes) -> None:
    chunks = [b"begin" + bytes(999_995), *[bytes(1_000_000)] * 20, tail]
    objects = Objects(str(tmp_path))
    objects.write("a/sparse", iter(chunks))
    assert objects.read("a/sparse") == b"".join(chunks)
    assert (tmp_path / "a" / "sparse").stat().st_blocks * 512 < 4_000_000

"""Storing what a run wrote, however much that is: told, called off, taken up again, deleted."""

import hashlib
import os
import signal
from pathlib import Path

import httpx
import pytest
from tests.support.experiment_runs import put, scripted
from tests.support.served import served

from perdure.artifacts.objects import Objects
from perdure.artifacts.outputs import chunks_of

HUGE = 1 << 39  # bytes of a file that is nothing but a hole: storing it takes a while


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

    with served(tmp_path, max_experiment_file_bytes=2 * HUGE) as server:
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
        server.process.wait(timeout=240)
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


HOLE = 50_000_000


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"begin"],
        [HOLE],
        [b"begin", HOLE],
        [HOLE, b"end"],
        [b"begin", HOLE, b"middle" * 400_000, HOLE, b"end"],
        [HOLE + 1, b"end", HOLE - 1],
    ],
)
def test_holes_are_hashed_and_stored_as_zeros_that_are_never_read(
    tmp_path: Path, parts: list[bytes | int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, written = hashlib.sha256(), 0
    with (tmp_path / "sparse").open("wb") as file:
        for part in parts:
            if isinstance(part, int):
                file.seek(part, os.SEEK_CUR)
                wanted.update(bytes(part))
            else:
                file.write(part)
                wanted.update(part)
                written += len(part)
        file.truncate()
    pread, read = os.pread, 0

    def counted(handle: int, count: int, offset: int) -> bytes:
        nonlocal read
        found = pread(handle, count, offset)
        read += len(found)
        return found

    monkeypatch.setattr(os, "pread", counted)
    found = hashlib.sha256()
    with (tmp_path / "sparse").open("rb") as file:
        for chunk in chunks_of(file):
            found.update(chunk)
    assert found.hexdigest() == wanted.hexdigest()
    assert read <= written + 4_000_000  # what of a hole lies in one read with data
    objects = Objects(str(tmp_path / "objects"))
    with (tmp_path / "sparse").open("rb") as file:
        objects.write("copy", chunks_of(file))
    copy = tmp_path / "objects" / "copy"
    assert copy.read_bytes() == (tmp_path / "sparse").read_bytes()
    assert copy.stat().st_blocks * 512 <= written + 8_000_000

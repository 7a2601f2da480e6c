"""The file adapter: whole files, one server a folder, nothing of anybody else's touched."""

import asyncio
import contextlib
import datetime
import errno
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.mirrored import Inside
from tests.support.processes import process_of
from tests.support.small import NEW

from perdure.dialects.bptk.external_state import FileAdapter, InstanceState
from perdure.dialects.bptk.timeouts import checked_timeout
from perdure.errors import ExternalStateLocked, ExternalStateUnavailable, Invalid

ROOT = Path(__file__).parents[3]
ID = "0123456789abcdef" * 2
OTHER = "f" * 32
NOW = datetime.datetime(2030, 1, 2, 3, 4, 5, 678901)


def instance(state: Any = None, instance_id: str = ID, step: float | None = None) -> InstanceState:
    return InstanceState(state, instance_id, NOW, checked_timeout({"minutes": 1.5}), step)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".perdure.lock")


def test_what_is_saved_is_loaded_and_the_folder_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    adapter = FileAdapter(False, folder)
    state = {"x": [0.1, 1e300, -0.0, 5e-324], "ü": {"n": 10**30, "s": "NaN"}}
    adapter._save_state([instance(state, ID, 2.5), instance(None, OTHER)])
    loaded = adapter._load_instance(ID)
    assert loaded is not None
    assert repr(loaded.state) == repr(state)
    assert (loaded.instance_id, loaded.step, loaded.timeout["minutes"]) == (ID, 2.5, 1.5)
    assert isinstance(loaded.time, datetime.datetime)
    assert loaded.time.timestamp() == NOW.timestamp()
    assert [held.instance_id for held in adapter._load_state()] == [ID, OTHER]
    assert names(folder) == [f"{ID}.json", f"{OTHER}.json"]
    assert json.loads((folder / f"{ID}.json").read_text())["data"]["state"] == state
    adapter.delete_instance(ID)
    adapter.delete_instance(ID)
    assert adapter._load_instance(ID) is None
    assert names(folder) == [f"{OTHER}.json"]
    adapter._close()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", ".", "a" * 31, "A" * 32, ID + "\n", "a/b"])
def test_what_is_no_id_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.json").write_text("{}")
    adapter = FileAdapter(False, tmp_path / "state")
    assert adapter._load_instance(name) is None
    adapter.delete_instance(name)
    adapter._lock_instance(name)()
    with pytest.raises(Invalid):
        adapter._save_instance(instance(None, name))
    assert (tmp_path / "secret.json").exists()
    assert names(tmp_path / "state") == []
    adapter._close()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("notes.json", "README.txt", f"{OTHER}.json"):
        (tmp_path / name).write_text('{"data": 1}')
    (tmp_path / f"{'e' * 32}.json").mkdir()
    (tmp_path / f"{'e' * 32}.json").rmdir()
    adapter = FileAdapter(True, tmp_path)
    assert adapter._load_state() == []
    assert adapter._load_instance("notes") is None
    assert names(tmp_path) == sorted(["notes.json", "README.txt", f"{OTHER}.json"])
    adapter._close()


def test_any_damage_is_found_and_the_file_set_aside(tmp_path: Path) -> None:
    adapter = FileAdapter(False, tmp_path)
    adapter._save_instance(instance({"results": [1.25, 2.5], "name": "x"}, ID, 3.0))
    path = tmp_path / f"{ID}.json"
    intact = path.read_bytes()
    damages = [intact[:size] for size in range(0, len(intact), 7)]
    damages += [
        intact[:at] + bytes([intact[at] ^ 1]) + intact[at + 1 :] for at in range(0, len(intact) - 2, 3)
    ]
    for number, damaged in enumerate(damages):
        path.write_bytes(damaged)
        held = adapter._load_instance(ID)
        assert held is None, damaged
        assert len(list(tmp_path.glob("*.corrupt*"))) <= number + 1
        path.unlink(missing_ok=True)
    assert (tmp_path / f"{ID}.json.corrupt").exists()
    assert (tmp_path / f"{ID}.json.corrupt.1").exists()
    path.write_bytes(intact)
    assert adapter._load_state()[0].state == {"results": [1.25, 2.5], "name": "x"}
    adapter._close()


def test_one_bad_file_does_not_keep_the_others_from_being_listed(tmp_path: Path) -> None:
    adapter = FileAdapter(False, tmp_path)
    adapter._save_instance(instance())
    folder, pipe, deep, deeper, circle = (digit * 32 for digit in "0234e")
    (tmp_path / f"{folder}.json").mkdir()
    os.mkfifo(tmp_path / f"{pipe}.json")
    (tmp_path / f"{deep}.json").write_text("[" * 100_000)
    (tmp_path / f"{deeper}.json").write_text(json.dumps({"data": {"state": "[" * 100_000}}))
    (tmp_path / f"{circle}.json").symlink_to(f"{circle}.json")
    assert [held.instance_id for held in adapter._load_state()] == [ID]
    assert names(tmp_path) == [
        f"{folder}.json",
        f"{ID}.json",
        f"{pipe}.json",
        f"{deep}.json.corrupt",
        f"{deeper}.json.corrupt",
        f"{circle}.json",
    ]
    assert adapter._load_instance(folder) is adapter._load_instance(pipe) is None
    with pytest.raises(OSError, match="symbolic"):
        adapter._load_instance(circle)
    adapter._close()


def test_a_file_of_bptk_counts_as_asked_for_when_it_is_loaded_also_without_a_session(tmp_path: Path) -> None:
    adapter = FileAdapter(False, tmp_path)
    data = {
        "state": "null",
        "instance_id": ID,
        "time": "2020-01-02 03:04:05",
        "timeout": checked_timeout({"minutes": 1}),
        "step": None,
    }
    path = tmp_path / f"{ID}.json"
    path.write_text(json.dumps({"data": data}))

    async def body() -> None:
        inside = Inside(adapter)
        began = time.time()
        (loaded,) = await inside.open()
        assert loaded.id == ID and loaded.run is None
        assert began <= loaded.accessed <= time.time()
        await inside.aclose()

    asyncio.run(body())
    assert path.exists()


def test_a_copy_under_another_name_is_set_aside(tmp_path: Path) -> None:
    adapter = FileAdapter(False, tmp_path)
    adapter._save_instance(instance())
    (tmp_path / f"{OTHER}.json").write_bytes((tmp_path / f"{ID}.json").read_bytes())
    assert [held.instance_id for held in adapter._load_state()] == [ID]
    assert (tmp_path / f"{OTHER}.json.corrupt").exists()
    adapter._close()


def test_what_a_killed_server_left_behind_goes_when_the_folder_is_opened_alone(tmp_path: Path) -> None:
    for name in (f"{ID}.tmp", f"{ID}.lock", "notes.tmp", "notes.lock"):
        (tmp_path / name).write_text("")
    adapter = FileAdapter(False, tmp_path)
    adapter._open(shared=True)
    assert len(names(tmp_path)) == 4
    adapter._close()
    adapter._open(shared=False)
    assert names(tmp_path) == ["notes.lock", "notes.tmp"]
    adapter._close()


HOLD = """
import sys
from perdure.dialects.bptk.external_state import FileAdapter
adapter = FileAdapter(False, sys.argv[1])
adapter._open(shared=sys.argv[2] == "shared")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def another(folder: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(folder), how]
    with process_of(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.stdin.close()
        process.wait(60)


def test_a_second_server_is_told_who_has_the_folder(tmp_path: Path) -> None:
    with another(tmp_path, "alone") as first:
        adapter = FileAdapter(False, tmp_path)
        for shared in (False, True):
            with pytest.raises(ExternalStateLocked, match=f"process {first.pid} on .*externalize"):
                adapter._open(shared=shared)
        with pytest.raises(ExternalStateLocked):
            adapter._load_state()

        async def start() -> None:
            inside = Inside(FileAdapter(False, tmp_path))
            with pytest.raises(ExternalStateLocked):
                await inside.open()
            with pytest.raises(ExternalStateLocked):
                await inside.start()
            assert inside.store.documents("bptk") == []
            await inside.aclose()

        asyncio.run(start())
        first.kill()
    adapter._open(shared=False)
    adapter._close()


def test_servers_that_share_the_folder_keep_out_one_that_does_not(tmp_path: Path) -> None:
    with another(tmp_path, "shared") as first:
        adapter = FileAdapter(False, tmp_path)
        with pytest.raises(ExternalStateLocked, match="another process"):
            adapter._open(shared=False)
        adapter._open(shared=True)
        adapter._close()
        first.kill()


def test_an_instance_is_locked_against_other_servers_from_load_to_save(tmp_path: Path) -> None:
    """Two servers in one process: their locks are those of two openings, as of two processes."""

    async def body() -> None:
        one, two = (Inside(FileAdapter(False, tmp_path), shared=True) for _ in range(2))
        assert await one.open() == await two.open() == []
        created = await one.begin(await one.start(), NEW)
        await one.forget(created)

        async def step(inside: Inside) -> None:
            async with inside.mirror.lock(created.id):
                loaded = await inside.load(created.id)
                assert loaded is not None
                await inside.step(loaded)
                await inside.forget(loaded)

        async def steps(inside: Inside) -> None:
            for _ in range(10):
                await step(inside)

        await asyncio.gather(steps(one), steps(two))
        loaded = await one.load(created.id)
        assert loaded is not None
        assert len(await one.log(loaded)) == 20
        await one.aclose()
        await two.aclose()
        assert names(tmp_path) == [f"{created.id}.json"]

    asyncio.run(body())


def test_a_request_that_goes_away_while_it_waits_leaves_no_lock(tmp_path: Path) -> None:
    async def body() -> None:
        inside = Inside(FileAdapter(False, tmp_path), shared=True)

        async def hold(held: asyncio.Event, done: asyncio.Event) -> None:
            async with inside.mirror.lock(ID):
                held.set()
                await done.wait()

        held, done = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(hold(held, done))
        await held.wait()
        waiting = [asyncio.create_task(hold(asyncio.Event(), done)) for _ in range(5)]
        for task in waiting:
            await asyncio.sleep(0.003)
            task.cancel()
        assert await asyncio.gather(*waiting, return_exceptions=True)
        assert not first.done()
        done.set()
        await first
        async with inside.mirror.lock(ID):
            pass
        await inside.aclose()
        assert names(tmp_path) == []

    asyncio.run(body())


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fail every fsync while the list isn't empty, as a full disk may do late."""
    full: list[int] = []
    real = os.fsync

    def fsync(file: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    return full


def test_on_a_full_disk_every_unsaved_step_is_refused_and_the_file_stays(
    tmp_path: Path, full_disk: list[int]
) -> None:
    async def body() -> None:
        inside = Inside(FileAdapter(False, tmp_path))
        created = await inside.begin(await inside.start(), NEW)
        await inside.step(created)
        path = tmp_path / f"{created.id}.json"
        former = path.read_bytes()
        full_disk.append(1)
        for _ in range(5):
            with pytest.raises(ExternalStateUnavailable, match="No space left"):
                await inside.step(created)
        with pytest.raises(ExternalStateUnavailable):
            await inside.start()
        assert path.read_bytes() == former
        assert names(tmp_path) == [path.name]
        full_disk.clear()
        await inside.step(created)
        assert len(await inside.log(created)) == 2
        await inside.aclose()

    asyncio.run(body())


LIMITED = """
import resource, sys
from tests.integration.bptk_external_state.test_file_adapter import fill
fill(sys.argv[1])
"""


def fill(folder: str) -> None:
    """Save a growing session under a limit on the size of files, and tell what came of it."""

    async def body() -> None:
        inside = Inside(FileAdapter(False, folder))
        created = await inside.begin(await inside.start(), NEW)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # in real life, the disk
        saved, refused = 0, 0
        while refused < 5:
            try:
                await inside.step(created)
                saved += 1
            except ExternalStateUnavailable:
                refused += 1
        print(created.id, saved, len(await inside.log(created)), flush=True)
        await inside.aclose()

    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    asyncio.run(body())


def test_when_the_kernel_refuses_to_write_the_acknowledged_steps_are_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=240,
        check=True,
    )
    instance_id, saved, in_memory = done.stdout.splitlines()[-1].split()
    assert int(saved) == int(in_memory) > 10

    async def body() -> None:
        inside = Inside(FileAdapter(False, tmp_path))
        loaded = await inside.load(instance_id)
        assert loaded is not None
        assert len(await inside.log(loaded)) == int(saved)
        await inside.aclose()

    asyncio.run(body())
    assert not list(tmp_path.glob("*.corrupt")) + list(tmp_path.glob("*.tmp"))


def test_a_damaged_file_of_a_shared_folder_is_set_aside_only_under_its_lock(tmp_path: Path) -> None:
    async def body() -> None:
        path = tmp_path / f"{ID}.json"
        path.write_bytes(b'{"data":')
        inside = Inside(FileAdapter(False, tmp_path), shared=True)
        assert await inside.open() == []
        assert names(tmp_path) == [path.name]  # another server may be about to replace it
        async with inside.mirror.lock(ID):
            assert await inside.load(ID) is None
        assert names(tmp_path) == [f"{path.name}.corrupt"]
        await inside.aclose()

    asyncio.run(body())

"""`perdure serve --workers`: what is refused, and how several processes are kept running."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import httpx
import pytest
from tests.support.commands import BATH, ROOT, command, fails, perdure
from tests.support.forked import Forked
from tests.support.processes import exists, until_gone
from tests.support.waiting import PAUSE

from perdure.stores import schemes
from perdure.stores.memory import MemoryStore
from perdure.stores.options import StoreOptions
from perdure.stores.schemes import find_scheme
from perdure.testing.store_samples import WAIT


@pytest.mark.parametrize("store", ["perdure.db", "memory://"])
def test_a_store_that_is_open_in_one_process_is_refused_and_not_even_created(
    store: str, tmp_path: Path
) -> None:
    refused = perdure("serve", "--workers", "2", "--port", "0", "--store", store, folder=tmp_path)
    fails(refused, "--workers", "PERDURE_STORE")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite:///a.db", "memory://"])
def test_schemes_say_whether_processes_can_share_their_stores(url: str) -> None:
    assert find_scheme(url).shared is False


class Each(MemoryStore):
    """A store that says that processes can share it, though each has one of its own."""

    shared = True

    @classmethod
    def open(cls, url: str, options: StoreOptions) -> "Each":
        store = cls(keep=options.keep)
        store.identity = "each"
        return store

    @classmethod
    def locate(cls, url: str) -> None:
        return None


def serve_each(arguments: tuple[str, ...]) -> None:
    """Be `perdure serve` on such a store."""
    real = schemes.entry_points
    point = EntryPoint("each", f"{__name__}:Each", schemes.GROUP)
    schemes.__dict__["entry_points"] = lambda group: EntryPoints([*real(group=group), point])
    command(("serve", BATH, "--port", "0", "--store", "each://", *arguments))


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Forked]:
    given = {
        **os.environ,
        "PERDURE_ARTIFACTS": str(folder / "artifacts"),
        "PERDURE_ARTIFACTS_SHARED": "yes",
        "PERDURE_WORKING_FOLDERS": str(folder / "working"),
        "PERDURE_LOG_LEVEL": "ERROR",
        **environment,
    }
    process = Forked(serve_each, ("--workers", "2"), folder=ROOT, environment=given, errors=folder / "errors")
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def children(pid: int) -> set[int]:
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_processes_share_a_port_are_started_again_and_end_together(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        url = process.stdout.readline().split()[2]
        first = children(process.pid)
        assert len(first) == 2
        killed, kept = sorted(first)
        os.kill(killed, signal.SIGKILL)
        assert until_gone(killed)
        deadline = time.monotonic() + WAIT
        while len(children(process.pid) - {killed}) < 2:  # the other one answers meanwhile
            assert httpx.get(f"{url}/ready").status_code == 200
            assert time.monotonic() < deadline
            time.sleep(PAUSE)
        assert kept in children(process.pid)
        assert f"pid={killed}" in (tmp_path / "errors").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 0
        assert not any(exists(pid) for pid in first)


def test_processes_end_when_the_first_one_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        process.stdout.readline()
        others = children(process.pid)
        process.kill()
        assert len(others) == 2
        assert all(until_gone(pid) for pid in others)


def test_an_error_that_keeps_all_from_serving_is_reported_once(tmp_path: Path) -> None:
    with serving(tmp_path, PERDURE_ARTIFACTS_SHARED="no") as process:
        assert process.wait(WAIT) == 1
    errors = (tmp_path / "errors").read_text()
    assert errors.count("PERDURE_ARTIFACTS_SHARED=yes") == 1
    assert "Traceback" not in errors

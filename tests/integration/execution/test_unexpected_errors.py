"""Errors that nobody expected, in the threads and tasks that others wait for: nobody waits for ever."""

import asyncio
import errno
import signal
import subprocess
import sys
from typing import Any

import pytest
from tests.integration.execution.test_guard import exists, guarded
from tests.support.other_users import ROOT, executing, free_ids, needs_root, open_folder

import perdure.execution.guarded_process
import perdure.supervision
from perdure.dialects.bptk import expiry
from perdure.drivers.experiments import results
from perdure.drivers.portal import Portal
from perdure.execution.end import EndKind
from perdure.stores.feed import Feed
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT, queued

LINK = """
import socket
from perdure.execution.link import Link
from perdure.execution.messages import Start, framed
ours, theirs = socket.socketpair()
link = Link(ours)
theirs.sendall(framed(Start(path=[], body="", run_id="r", spec=b"", attempt=1, seconds=0.0, position=0,
                            savepoint=None, paused=False, given={})))
link.begin()
theirs.sendall(b"\\0\\0\\0\\7garbage")
link.append([], None)
"""


def test_a_child_that_can_not_understand_the_server_any_more_ends_as_by_a_crash() -> None:
    done = subprocess.run([sys.executable, "-c", LINK], capture_output=True, timeout=240, text=True)
    assert done.returncode == -signal.SIGKILL
    assert "Error" in done.stderr


def test_a_guard_that_can_not_be_followed_is_ended_and_so_is_its_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        async with guarded("sleep") as (process, numbers):

            async def failing(reader: asyncio.StreamReader) -> str:
                raise MemoryError

            monkeypatch.setattr(perdure.execution.guarded_process, "_line", failing)
            process.hold_clock()  # which it reports
            end = await asyncio.wait_for(process.kill(), 60)
            assert end.how is EndKind.BROKEN
            assert not any(map(exists, numbers))

    asyncio.run(work())


ISOLATED = """
import asyncio, secrets, sys
from pathlib import Path

import perdure.execution.guarded_process
from perdure.execution.guarded_process import GuardedProcess
from perdure.execution.isolation import User, hand_over
from perdure.execution.child_limits import ChildLimits
from perdure.execution.progress_slot import ProgressSlot
from perdure.execution.sweep import adopt_orphans
from tests.support.processes import exists

async def failing(reader):
    raise MemoryError

async def work(first, home):
    (home / "tmp").mkdir(parents=True)
    hand_over(home, first)
    process = await GuardedProcess.start(
        "tests.support.odd_child", ("sleep", "session", "orphan", "session"), identity=secrets.token_hex(8),
        limits=ChildLimits(), shared=ProgressSlot.create().file, environment={"PYTHONPATH": str(Path.cwd())},
        user=User(first, home), ids=range(first, first + 10),
    )
    output, lines = process.outputs["info"], []
    while not lines and not output.over:
        await output.readable()
        _, lines = output.take(1 << 16)
    numbers = [int(number) for line in lines for number in line.split()]
    perdure.execution.guarded_process._line = failing
    process.hold_clock()  # which it reports
    await process.aclose()
    print(len(numbers), sum(map(exists, numbers)))

adopt_orphans()
asyncio.run(work(int(sys.argv[1]), Path(sys.argv[2])))
"""


@needs_root
def test_a_guard_that_can_not_be_followed_leaves_no_isolated_children() -> None:
    with open_folder() as folder:
        command = [sys.executable, "-c", ISOLATED, str(free_ids().start), str(folder / "home")]
        done = subprocess.run([*executing(), *command], capture_output=True, timeout=240, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1:] == ["4 0"], done.stdout + done.stderr


def test_a_guard_that_can_not_be_followed_is_ended_also_when_that_can_not_be_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unwritable(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    async def failing(reader: asyncio.StreamReader) -> str:
        raise MemoryError

    async def work() -> None:
        async with guarded("sleep") as (process, numbers):
            monkeypatch.setattr(perdure.execution.guarded_process, "_line", failing)
            monkeypatch.setattr(perdure.execution.guarded_process.log, "exception", unwritable, raising=False)
            process.hold_clock()  # which it reports
            end = await asyncio.wait_for(process.kill(), 60)
            assert end.how is EndKind.BROKEN
            assert not any(map(exists, numbers))

    asyncio.run(work())


def test_a_portal_that_can_not_be_opened_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(self: Portal) -> None:
        raise MemoryError("no loop")

    monkeypatch.setattr(Portal, "_run", failing)
    with pytest.raises(MemoryError, match="no loop"):
        Portal()


class Folders:
    """Working folders whose first removals fail."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def find(self, run_id: str) -> None:
        """Return no folder."""

    def discard(self, run_id: str) -> None:
        if self.failures:
            self.failures -= 1
            raise MemoryError


def test_results_whose_storing_failed_unexpectedly_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FIRST", 0.0)

    async def work() -> None:
        store = MemoryStore()
        queued(store, "run", stored=1)
        folders: Any = Folders(failures=3)
        storing = results.ResultStorage(store, folders, Feed(store))
        storing.begin("run")
        async with asyncio.timeout(WAIT):
            while folders.failures:
                await asyncio.sleep(0)
        await storing.aclose()
        assert folders.failures == 0

    asyncio.run(work())


def test_the_expiry_goes_on_when_even_its_error_can_not_be_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(perdure.supervision, "PAUSE", 0.0)
    swept = 0
    again = asyncio.Event()

    async def sweep() -> None:
        nonlocal swept
        swept += 1
        if swept > 2:
            again.set()
        raise MemoryError

    def failing(*_: object, **__: object) -> None:
        raise MemoryError

    async def work() -> None:
        sweeping = expiry.Expiry(sweep, sweep, sweep)
        monkeypatch.setattr(expiry.log, "exception", failing, raising=False)
        sweeping.start()
        async with asyncio.timeout(WAIT):
            await again.wait()
        await sweeping.aclose()

    asyncio.run(work())

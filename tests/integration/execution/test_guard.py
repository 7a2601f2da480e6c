"""A guard tells how its child ended, enforces the limits, and leaves nothing of it behind."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.support.processes import exists, marked, process_of, state, until_gone

from perdure.execution import guard
from perdure.execution.child_limits import ChildLimits
from perdure.execution.end import End, EndKind
from perdure.execution.guarded_process import GuardedProcess
from perdure.execution.progress_slot import ProgressSlot
from perdure.execution.sweep import MARKER, adopt_orphans, sweep

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="docs/execution.md says what is weaker elsewhere"
)

MEBIBYTE = 1 << 20
FAMILY = ("session", "orphan", "session")


@contextlib.asynccontextmanager
async def guarded(
    *what: str, limits: ChildLimits | None = None, identity: str = "", folder: Path | None = None
) -> AsyncIterator[tuple[GuardedProcess, list[int]]]:
    """Start an odd child, in a folder or none; yield it, and the numbers of all its processes."""
    slot = ProgressSlot.create()
    try:
        process = await GuardedProcess.start(
            "tests.support.odd_child",
            what,
            identity=identity or secrets.token_hex(8),
            limits=limits or ChildLimits(),
            shared=slot.file,
            environment={} if folder is None else {"TMPDIR": str(folder)},
            folders=() if folder is None else (folder,),
        )
        try:
            output, lines = process.outputs["info"], []
            while not lines and not output.over:
                await output.readable()
                _, lines = output.take(1 << 16)
            yield process, [int(number) for line in lines for number in line.split()]
        finally:
            await process.aclose()
    finally:
        slot.close()


def end_of(*what: str, limits: ChildLimits | None = None) -> End:
    """Return how an odd child ends by itself or at a limit."""

    async def work() -> End:
        async with guarded(*what, limits=limits) as (process, numbers):
            end = await process.ended
            assert not any(map(exists, numbers))
            return end

    return asyncio.run(work())


def test_an_exit_code_is_told() -> None:
    assert end_of("leave") == End(EndKind.EXIT, 7)


def test_a_signal_is_told() -> None:
    assert end_of("abort") == End(EndKind.SIGNAL, signal.SIGABRT)


def test_the_limit_of_running_time_ends_what_computes_in_c() -> None:
    assert end_of("spin", *FAMILY, limits=ChildLimits(seconds=0.5)) == End(EndKind.TIME)


def test_the_limit_of_cpu_time_is_told_from_a_signal() -> None:
    assert end_of("spin", limits=ChildLimits(cpu_seconds=1)) == End(EndKind.CPU)


def test_the_limit_of_memory_ends_what_takes_more() -> None:
    assert end_of("grow", limits=ChildLimits(memory=200 * MEBIBYTE)) == End(EndKind.MEMORY)


@pytest.mark.parametrize(
    ("what", "limits", "how"),
    [
        ("grow", ChildLimits(memory=200 * MEBIBYTE), EndKind.MEMORY),
        ("fill", ChildLimits(folder_bytes=10 * MEBIBYTE), EndKind.FOLDER),
        ("fill_deleted", ChildLimits(folder_bytes=10 * MEBIBYTE), EndKind.FOLDER),
    ],
)
def test_limits_end_what_goes_on_while_its_time_is_held(
    tmp_path: Path, what: str, limits: ChildLimits, how: EndKind
) -> None:
    async def work() -> None:
        async with guarded(what, "asked", limits=limits, folder=tmp_path) as (process, (child,)):
            await process.freeze()  # which, unlike holding the clock, is answered
            os.kill(child, signal.SIGCONT)
            os.kill(child, signal.SIGUSR1)
            async with asyncio.timeout(240):
                assert await asyncio.shield(process.ended) == End(how)

    asyncio.run(work())


def test_address_space_that_is_only_reserved_counts_for_nothing() -> None:
    assert end_of("reserve", limits=ChildLimits(memory=200 * MEBIBYTE)) == End(EndKind.EXIT, 0)


def test_the_limit_of_open_files_holds_in_the_child() -> None:
    assert end_of("open_files", limits=ChildLimits(open_files=64)) == End(EndKind.EXIT, 64)


def test_what_a_child_leaves_is_ended_with_it() -> None:
    assert end_of("leave", *FAMILY) == End(EndKind.EXIT, 7)


def test_an_order_ends_the_child_and_all_that_escaped_its_session() -> None:
    async def work() -> None:
        async with guarded("spin", *FAMILY) as (process, numbers):
            assert len(numbers) == 1 + len(FAMILY)
            assert all(map(exists, numbers))
            assert await process.kill() == End(EndKind.ORDER)
            assert not any(map(exists, numbers))
            assert await process.kill() == End(EndKind.ORDER)  # harmless when done twice

    asyncio.run(work())


def test_a_killed_guard_leaves_nothing_either() -> None:
    async def work() -> None:
        adopt_orphans()
        async with guarded("spin", *FAMILY) as (process, numbers):
            os.kill(process.guard, signal.SIGKILL)
            assert await process.ended == End(EndKind.UNWATCHED)
            assert not any(map(exists, numbers))  # reaped, too: this process had inherited them

    asyncio.run(work())


def test_a_guard_that_is_asked_to_end_takes_its_child_along() -> None:
    async def work() -> None:
        async with guarded("spin", *FAMILY) as (process, numbers):
            os.kill(process.guard, signal.SIGTERM)
            assert await process.ended == End(EndKind.UNWATCHED)
            assert not any(map(exists, numbers))

    asyncio.run(work())


def test_a_guard_that_does_not_obey_is_killed_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.execution.guarded_process.PATIENCE", 0.1)

    async def work() -> None:
        adopt_orphans()
        async with guarded("spin", *FAMILY) as (process, numbers):
            os.kill(process.guard, signal.SIGSTOP)
            assert await process.kill() == End(EndKind.UNWATCHED)
            assert not any(map(exists, numbers))

    asyncio.run(work())


def test_an_order_explains_no_end_that_came_before_it() -> None:
    async def work() -> None:
        async with guarded("spin") as (process, (child,)):
            os.kill(process.guard, signal.SIGSTOP)
            await until(lambda: state(process.guard) == "T")
            os.kill(child, signal.SIGKILL)
            await until(lambda: state(child) == "Z")
            killing = asyncio.create_task(process.kill())
            await asyncio.sleep(0)  # the order is written
            os.kill(process.guard, signal.SIGCONT)
            assert await killing == End(EndKind.SIGNAL, signal.SIGKILL)

    asyncio.run(work())


def test_what_has_another_number_at_any_moment_does_not_escape_its_guard() -> None:
    async def work() -> None:
        async with guarded("spin", "runner") as (process, (child, runner)):
            assert await process.kill() == End(EndKind.ORDER)
            assert not exists(child)
            with pytest.raises(ProcessLookupError):
                os.killpg(runner, 0)

    asyncio.run(work())


def test_freezing_stops_all_of_it_and_its_time() -> None:
    async def work() -> None:
        async with guarded("spin", "session", limits=ChildLimits(seconds=1.0)) as (process, numbers):
            os.kill(process.guard, signal.SIGSTOP)
            freezing = asyncio.create_task(process.freeze())
            await until(lambda: state(process.guard) == "T")
            assert not freezing.done()
            os.kill(process.guard, signal.SIGCONT)
            await freezing
            assert [state(number) for number in numbers] == ["T", "T"]
            async with guarded("spin", limits=ChildLimits(seconds=1.0)) as (other, _):
                assert await other.ended == End(EndKind.TIME)  # so long it would have lasted itself
            assert [state(number) for number in numbers] == ["T", "T"]
            process.go_on()
            assert await process.ended == End(EndKind.TIME)

    asyncio.run(work())


def test_freezing_what_is_gone_waits_for_nothing() -> None:
    async def work() -> None:
        async with guarded("spin") as (process, _):
            await process.kill()
            await process.freeze()

    asyncio.run(work())


def test_freezing_waits_only_so_long_for_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        adopt_orphans()
        async with guarded("spin") as (process, _):
            monkeypatch.setattr("perdure.execution.guarded_process.PATIENCE", 0.1)
            os.kill(process.guard, signal.SIGSTOP)
            await process.freeze()
            assert not process.ended.done()

    asyncio.run(work())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that nothing tells of."""
    async with asyncio.timeout(240):
        while not condition():
            await asyncio.sleep(0.01)


# Without the server -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(
    command: list[str], *, marker: str = "test:guard"
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """Start a guard as a server does; yield it and the socket by which they speak."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        guarding = [sys.executable, "-I", "-S", guard.__file__, str(theirs.fileno()), ""]
        with process_of(
            [*guarding, *ChildLimits().arguments(), *command],
            stdout=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, MARKER: marker},
        ) as process:
            theirs.close()
            yield process, ours


ODD = [sys.executable, "-m", "tests.support.odd_child", "-", "-"]


def test_a_guard_whose_server_is_gone_leaves_nothing() -> None:
    with started([*ODD, "spin", *FAMILY]) as (process, control):
        assert process.stdout is not None
        numbers = [int(number) for number in process.stdout.readline().split()]
        process.stdout.close()
        assert len(numbers) == 1 + len(FAMILY)
        control.close()
        assert process.wait(60) == 0
        assert not any(map(exists, numbers))


def test_what_cant_be_started_is_told() -> None:
    with started(["/nowhere/python"]) as (process, control), control.makefile() as lines:
        told = lines.read()
        process.wait(60)
    assert "broken /nowhere/python: " in told
    assert "No such file" in told


# The sweep --------------------------------------------------------------------------------------------------


def killed_guard(identity: str, *what: str) -> list[int]:
    """Leave the processes of a guard that is killed; return their numbers."""
    with started([*ODD, *what], marker=f"{identity}:token") as (process, _):
        assert process.stdout is not None
        return [int(number) for number in process.stdout.readline().split()]


def test_a_sweep_ends_what_a_killed_guard_of_the_store_left_and_nothing_else() -> None:
    adopt_orphans()
    mine, others = secrets.token_hex(8), secrets.token_hex(8)
    numbers = killed_guard(mine, "spin", *FAMILY)
    foreign = killed_guard(others, "spin", "session")
    try:
        assert sweep(mine, child=numbers[0]) >= len(FAMILY)
        assert all(map(until_gone, numbers))
        assert not marked(mine)
        assert exists(foreign[1])
    finally:
        sweep(others, child=foreign[0])
    assert not marked(others)


def test_a_sweep_takes_along_what_hid_its_environment_below_a_marked_process() -> None:
    async def work() -> None:
        identity = secrets.token_hex(8)
        async with guarded("sleep", "bare", identity=identity) as (process, numbers):
            await asyncio.to_thread(sweep, identity)
            # The guard may report the child's end before it is ended itself.
            assert await process.ended in (End(EndKind.UNWATCHED), End(EndKind.SIGNAL, signal.SIGKILL))
            assert not any(map(exists, numbers))

    adopt_orphans()
    asyncio.run(work())


def test_a_sweep_of_one_guard_leaves_the_others_of_the_store() -> None:
    async def work() -> None:
        identity = secrets.token_hex(8)
        async with guarded("sleep", identity=identity) as (one, _):
            async with guarded("sleep", identity=identity) as (other, numbers):
                pass
            assert not any(map(exists, numbers))
            assert other.ended.done()
            assert not one.ended.done()

    asyncio.run(work())

"""Starting processes that don't outlive a test, and looking at others by their numbers."""

import contextlib
import os
import select
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.forked import Forked


@contextlib.contextmanager
def process_of(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a process, and end it by the end of the block, also when the test fails or is timed out.

    A process that nobody reaps is told by a warning when its object is collected: in another test.
    """
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[Any] | Forked") -> None:
    """Kill a process if it still runs, reap it, and close its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # what was still to be written
                pipe.close()


def exists(pid: int) -> bool:
    """Return whether there is a process of that number, be it only to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def state(pid: int) -> str:
    """Return the kernel's letter for what a process does: R, S, T (stopped), Z …; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def until_gone(pid: int, seconds: float = 240.0) -> bool:
    """Wait until a process has ended, whosever it is; return whether it did."""
    try:
        file = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([file], [], [], seconds)[0])
    finally:
        os.close(file)


def marked(identity: str) -> list[int]:
    """Return the processes whose environment says that they run under a guard of a store."""
    marker = f"PERDURE_GUARDED={identity}:".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and marker in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def below(pid: int) -> dict[int, str]:
    """Return the processes that descend from one, with their commands."""
    parents = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            if entry.name.isdigit():
                stat = (entry / "stat").read_text()
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: dict[int, str] = {}
    family = {pid}
    while more := [child for child, parent in parents.items() if parent in family and child not in found]:
        for child in more:
            found[child] = ""
            with contextlib.suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        family |= set(more)
    return found

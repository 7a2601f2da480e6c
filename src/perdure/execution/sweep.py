"""The sweep: ends the processes of guards that were killed.

Every process under a guard carries a marker in its environment: the store's identity and the guard's token.
It works on Linux only: elsewhere there is no ``/proc``, and nothing is swept.
"""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

from perdure.execution import guard

__all__ = ["MARKER", "NOBODY", "adopt_orphans", "sweep"]

MARKER = "PERDURE_GUARDED"
NOBODY = range(0)
"""No user ids: children have that of this process."""

PATIENCE = 5.0  # seconds until what won't go, caught in the kernel for example, is left to itself

log = structlog.get_logger(__name__)


class _Process(NamedTuple):
    pid: int
    state: str
    parent: int
    group: int
    session: int
    user: int


def adopt_orphans() -> None:
    """Make this process a subreaper: it inherits the processes that a killed guard leaves."""
    guard.prctl(guard.SET_CHILD_SUBREAPER, 1)


def sweep(identity: str, token: str = "", child: int | None = None, ids: range = NOBODY) -> int:
    """End all processes under one guard, or under all guards of a store; return their number.

    Descendants of these processes and members of their sessions are ended too, marked or not. It blocks until
    all have ended. Processes that this one inherited are reaped by number: ``waitpid(-1)`` would steal other
    exit codes.

    Parameters
    ----------
    identity
        The store's identity; the processes of other stores are never touched.
    token
        The guard; empty means all guards of the store.
    child
        The number of the guard's child, which is reaped even if it has ended already.
    ids
        User ids that only this store's children have. Their processes are found by these, since the kernel
        may hide the environment of another user from root: all of them, or for one guard those that this
        process inherited.
    """
    if sys.platform != "linux":
        return 0
    marker = f"{MARKER}={identity}:{token}".encode()
    swept: set[int] = set()
    sessions = set() if child is None else {child}
    left = set() if child is None else {child}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = _unwanted(
            lambda it: (
                _carries(it.pid, marker, exact=bool(token))
                or (it.user in ids and (not token or it.parent == os.getpid()))
            ),
            child,
            ids,
        )
        new = found.keys() - swept
        if not new and not left:
            break
        with _opened(new) as files:
            # As a whole, so that none escapes by forking at this moment.
            for group in {found[pid].group for pid in files.values()} - {os.getpgrp()}:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
            for file in files:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(file, signal.SIGKILL)
            _await_all(files)
        swept |= new
        sessions |= {found[pid].session for pid in new}
        # The child looks dead as soon as its first thread has ended. When all threads have ended, this
        # process inherits its children, and the next round finds them.
        with _opened(left & {process.pid for process in _inherited(ids)}) as files:
            _await_all(files)
        swept |= left
        left = set()
    else:
        log.warning("sweep_unfinished", identity=identity, meaning="processes are born faster than they end")
    for process in _inherited(ids):
        if process.pid in swept or process.session in sessions - {os.getsid(0)}:
            with contextlib.suppress(ChildProcessError):  # another thread has reaped it
                os.waitpid(process.pid, os.WNOHANG)
    return len(swept)


@contextlib.contextmanager
def _opened(pids: Iterable[int]) -> Iterator[dict[int, int]]:
    """Open descriptors of existing processes. With one, a number can't come to mean another process."""
    with contextlib.ExitStack() as opened:
        files = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                file = os.pidfd_open(pid)
                opened.callback(os.close, file)
                files[file] = pid
        yield files


def _inherited(ids: range) -> list[_Process]:
    """Return the children of this process, zombies included."""
    return [process for process in _processes(ids) if process.parent == os.getpid()]


def _unwanted(marked: Callable[[_Process], bool], child: int | None, ids: range) -> dict[int, _Process]:
    """Return the marked processes, their descendants and the members of their sessions."""
    living = {process.pid: process for process in _processes(ids) if process.state not in ("Z", "X")}
    found = {pid for pid, process in living.items() if marked(process)}
    own = {os.getpid(), os.getppid()}
    family = {pid for pid in found if living[pid].session == pid} | ({child} if child is not None else set())
    found |= {pid for pid, process in living.items() if process.session in family}
    while below := {pid for pid, process in living.items() if process.parent in found} - found - own:
        found |= below
    return {pid: living[pid] for pid in found - own}


def _processes(ids: range) -> Iterator[_Process]:
    """Yield each process of this user, and of those with the given ids."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                user = _user(entry)
                if user == os.getuid() or user in ids:
                    # The name in parentheses may hold anything.
                    fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                    parent, group, session = map(int, fields[1:4])
                    yield _Process(int(entry.name), fields[0], parent, group, session, user)


def _user(process: Path) -> int:
    """Return the user of a process.

    Its folder in ``/proc`` may belong to root although the process doesn't.
    """
    for line in (process / "status").read_text(errors="replace").splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[1])
    return -1


def _carries(pid: int, marker: bytes, *, exact: bool) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(entry == marker if exact else entry.startswith(marker) for entry in environment)


def _await_all(files: dict[int, int]) -> None:
    """Wait until processes, given by descriptor, have ended."""
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    waiting = dict(files)
    while waiting:
        gone = poll.poll(PATIENCE * 1000)
        if not gone:
            log.warning("process_stays", pids=sorted(waiting.values()), meaning="the kernel can't end it now")
            return
        for file, _ in gone:
            poll.unregister(file)
            del waiting[file]

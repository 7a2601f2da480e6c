"""The guard: the process between a server and one child, which leaves nothing of the child behind.

It is started by path, ``python -I -S guard.py …``, and imports only the standard library, so that it starts
in 15 ms and needs five megabytes. It starts the child in a session of its own, enforces the limits and obeys
orders. It ends when the child ends, when a limit is reached, on an order, or when the pipe to the server
closes because the server has ended. In every case it first kills all descendants of the child: it is their
subreaper and inherits each process whose parent ends, so that none escapes by a session of its own or a
double fork.

Orders of the server are single bytes on the control socket, answers are lines::

    server → guard   h hold the clock · f freeze (SIGSTOP) and hold the clock · c continue · k kill
    guard → server   started PID · frozen · ended HOW NUMBER · broken WHY

HOW is ``exit`` with the exit code, ``signal`` with its number, ``kernel`` (killed by the kernel, out of
memory), ``time``, ``cpu``, ``memory`` or ``folder`` (a limit), or ``order``.

The command line is ``guard.py [--user USER] [--folder PATH]… CONTROL KEPT WALL CPU MEMORY FILES SIZE FOLDER
COMMAND…``: the child's user, the folders in which it writes, the file descriptor of the control socket, those
that only the child inherits (with commas), and the limits, of which ``-`` is none.
"""

import contextlib
import ctypes
import itertools
import math
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator

LINUX = sys.platform == "linux"
SET_PARENT_DEATH_SIGNAL = 1
SET_CHILD_SUBREAPER = 36
SET_NO_NEW_PRIVS = 38
PRIVATE = 0o077  # umask: files of an isolated user are closed to all others
FASTEST = 4 << 30  # bytes a second that a child may allocate: near its limit it is checked more often
SHORTEST_LOOK, LONGEST_LOOK = 0.005, 0.1  # seconds between two checks of the memory
# Bytes a second that a child may write: near its limit its folders are checked more often.
WRITING = 1 << 30
# Seconds between two walks through the folders, unless a walk takes longer.
SHORTEST_REST, LONGEST_REST = 0.2, 2.0
PIECE = 0.005  # seconds of a walk through folders before other events are handled
SHARE = 4  # rest between walks, in multiples of their duration
STOPPED = b"TtZX"  # the kernel's letters for stopped and ended processes
MAX_STOP_ROUNDS = 20  # rounds of stopping the processes that are new since the last round
# Seconds until all stopped processes stand still: those in system calls, and those waiting for a core.
HELD, STILL = 0.05, 2.0
OOM_SCORE = b"500"  # when memory runs out, the kernel kills the child before the server


def prctl(option: int, value: int) -> None:
    """Call Linux's prctl; do nothing on other systems."""
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Clock:
    """The running time: wall time without the time during which the clock is held."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._since: float | None = time.monotonic()

    @property
    def seconds(self) -> float:
        """The running time so far."""
        return self._passed + (0.0 if self._since is None else time.monotonic() - self._since)

    @property
    def held(self) -> bool:
        """Whether the clock is held."""
        return self._since is None

    def hold(self) -> None:
        """Stop it."""
        self._passed, self._since = self.seconds, None

    def go_on(self) -> None:
        """Continue after `hold`."""
        if self._since is None:
            self._since = time.monotonic()


# The tree of processes --------------------------------------------------------------------------------------


def numbers(folder: str) -> list[int]:
    """Return the names in a folder of ``/proc`` that are numbers; none if the folder doesn't exist."""
    try:
        with os.scandir(folder) as entries:
            return [int(entry.name) for entry in entries if entry.name.isdigit()]
    except OSError:
        return []


def content(path: str) -> bytes:
    """Return the content of a file of ``/proc``; nothing if it doesn't exist."""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            return os.read(file, 1 << 16)
        finally:
            os.close(file)
    except OSError:
        return b""


def descendants(root: int) -> dict[int, int]:
    """Return all processes below `root` with the group of each, from ``/proc``; without ``/proc``, none."""
    children: dict[int, list[int]] = {}
    groups: dict[int, int] = {}
    for pid in numbers("/proc") if LINUX else ():
        # The name in parentheses may hold anything; after it come state, parent, group.
        fields = content(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
            groups[pid] = int(fields[2])
    found: dict[int, int] = {}
    waiting = [root]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update((pid, groups[pid]) for pid in new)
        waiting += new
    return found


def is_still(pid: int, states: bytes) -> bool:
    """Return whether all threads of a process are in some states; True without ``/proc``."""
    return all(
        content(f"/proc/{pid}/task/{thread}/stat").rpartition(b")")[2][1:2] in states
        for thread in numbers(f"/proc/{pid}/task")
    )


def memory(pid: int) -> int:
    """Return the bytes that a process and its descendants hold for themselves, without files.

    It reads the kernel's lists of children instead of all of ``/proc``, since it is called often.
    """
    held = 0
    for line in content(f"/proc/{pid}/status").splitlines():
        if line.startswith((b"RssAnon:", b"RssShmem:")):
            held += int(line.split()[1]) * 1024
    for thread in numbers(f"/proc/{pid}/task"):
        below = content(f"/proc/{pid}/task/{thread}/children").split()
        held += sum(memory(int(child)) for child in below)
    return held


def held_by(folders: list[str]) -> Iterator[int]:
    """Yield the bytes that each file and folder below some folders occupies on the disk.

    Links aren't followed.

    Holes occupy nothing, and a file with several names counts once. Files that are deleted meanwhile or can't
    be read are left out.
    """
    seen = set()
    waiting = list(folders)
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink > 1 and (status.st_dev, status.st_ino) in seen:
                        continue
                    if status.st_nlink > 1:
                        seen.add((status.st_dev, status.st_ino))
                    yield status.st_blocks * 512


def held_without_name(folders: list[str]) -> Iterator[int]:
    """Yield the bytes of each deleted file from below some folders that a descendant still has open.

    Processes whose open files this process may not inspect are left out.
    """
    below = tuple(os.path.realpath(folder) + "/" for folder in folders)
    seen = set()
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    file = status.st_dev, status.st_ino
                    if status.st_nlink or file in seen or not os.path.realpath(entry.path).startswith(below):
                        continue
                    seen.add(file)
                    yield status.st_blocks * 512


def kernel_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory, as far as it reports that."""
    for line in content("/proc/vmstat").splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return 0


def is_childless() -> bool:
    """Return whether this process has no children, not even zombies."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def send(pid: int, number: int) -> None:
    """Send a signal to a process, which may have ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def send_below(number: int, child: int | None) -> set[int]:
    """Send a signal to all descendants and to the child's group; return the descendants' numbers.

    Groups are signalled as a whole, so that no process escapes by forking at that moment. The groups of
    descendants contain no other processes, since the child has a session of its own.
    """
    below = descendants(os.getpid())
    groups = {*below.values(), *(() if child is None else (child,))}
    for group in groups - {os.getpgrp()}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
    for pid in below:
        send(pid, number)
    return set(below)


# The guard --------------------------------------------------------------------------------------------------


class Folders:
    """The total size of some folders, against a limit.

    They are walked in pieces, so that no order waits for a walk.
    """

    def __init__(self, folders: list[str], limit: int) -> None:
        self._folders, self._limit = folders, limit
        self._walk = self._begin()
        self._held = 0
        self.next_look = 0.0

    def too_large(self) -> bool:
        """Continue the walk when it is due; return whether the limit was exceeded."""
        began = time.monotonic()
        if began < self.next_look:
            return False
        rest = None
        while rest is None and time.monotonic() < began + PIECE:
            found = next(self._walk, None)
            if found is None:
                rest = min(max((self._limit - self._held) / WRITING, SHORTEST_REST), LONGEST_REST)
            else:
                self._held += found
                if self._held > self._limit:
                    return True
        now = time.monotonic()
        self.next_look = now + max(rest or 0.0, SHARE * (now - began))
        if rest is not None:
            self._walk, self._held = self._begin(), 0
        return False

    def _begin(self) -> Iterator[int]:
        return itertools.chain(held_by(self._folders), held_without_name(self._folders))


class Guard:
    """Watches one child.

    Parameters
    ----------
    control
        The socket to the server.
    child
        The number of the child.
    wall, cpu, memory
        Limits: seconds of running time, seconds of CPU time, bytes; None is no limit.
    folders
        The folders in which it writes; None is no limit.
    """

    def __init__(
        self,
        control: int,
        child: int,
        wall: float | None,
        cpu: int | None,
        memory: int | None,
        folders: Folders | None = None,
    ) -> None:
        self._folders = folders
        self._control, self._child = control, child
        self._wall, self._cpu, self._memory = wall, cpu, memory
        self._clock = Clock()
        self._kernel_kills = kernel_kills()
        self._ended: tuple[str, int] | None = None
        self._next_look = 0.0

    def watch(self, wake: int) -> tuple[str, int] | None:
        """Wait for the end.

        Return how the child ended, or None if the server has ended or the guard must end.
        """
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            self._reap()
            if self._ended is not None:
                return self._ended
            if self._wall is not None and self._clock.seconds >= self._wall:
                return "time", 0
            if self._too_large():
                return "memory", 0
            if self._folders is not None and self._folders.too_large():
                return "folder", 0
            for file, _ in poll.poll(self._patience()):
                if file == wake:
                    if set(os.read(wake, 64)) - {signal.SIGCHLD}:
                        return None
                else:
                    orders = self._orders()
                    if not orders:
                        return None
                    if b"k" in orders:
                        self._reap()  # the child may have ended by itself before the order
                        return self._ended or ("order", 0)
                    for order in orders:
                        self._obey(order)

    def _orders(self) -> bytes:
        """Read the server's orders; nothing if the server has ended."""
        try:
            return os.read(self._control, 64)
        except ConnectionError:  # the server ended before it had read all answers
            return b""

    def clear(self) -> None:
        """Kill all descendants, and wait until they have ended."""
        if LINUX and is_childless():
            return  # then there are no descendants either: orphans become children of this process
        self._stop_all()  # so that no process is forked while they are killed
        while True:
            send_below(signal.SIGKILL, self._group)
            try:
                pid, _ = os.wait()
            except ChildProcessError:
                return
            if pid == self._child:
                self._ended = "order", 0

    @property
    def _group(self) -> int | None:
        """The child's group, while its number is certain to be the child's.

        On other systems than Linux, always.
        """
        return self._child if self._ended is None or not LINUX else None

    def _stop_all(self) -> set[int]:
        """Stop all descendants, and return their numbers."""
        stopped: set[int] = set()
        for _ in range(MAX_STOP_ROUNDS):
            found = send_below(signal.SIGSTOP, self._group)
            if found <= stopped:
                break
            stopped |= found
        return stopped

    def _freeze(self) -> None:
        """Stop all descendants, and report when they stand still; threads first finish their system calls."""
        stopped = self._stop_all()
        start = time.monotonic()
        while (waited := time.monotonic() - start) < STILL:
            still = STOPPED if waited < HELD else STOPPED + b"D"
            if all(is_still(pid, still) for pid in stopped):
                break
            time.sleep(0.001)
        report(self._control, "frozen")

    def _obey(self, order: int) -> None:
        if order == ord("c"):
            send_below(signal.SIGCONT, self._group)
            self._clock.go_on()
        else:
            self._clock.hold()
            if order == ord("f"):
                self._freeze()

    def _reap(self) -> None:
        """Record all children that have ended, adopted ones too."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._child:
                    self._ended = self._how(os.waitstatus_to_exitcode(status), usage)

    def _how(self, code: int, usage: resource.struct_rusage) -> tuple[str, int]:
        if code >= 0:
            return "exit", code
        # A process that survives SIGXCPU is killed a second later.
        used_up = self._cpu is not None and usage.ru_utime + usage.ru_stime >= self._cpu
        if -code == signal.SIGXCPU or (-code == signal.SIGKILL and used_up):
            return "cpu", 0
        if -code == signal.SIGKILL and kernel_kills() > self._kernel_kills:
            return "kernel", 0
        return "signal", -code

    def _too_large(self) -> bool:
        """Check the memory when it is due, and set the time of the next check."""
        if self._memory is None or time.monotonic() < self._next_look:
            return False
        room = self._memory - memory(self._child)
        self._next_look = time.monotonic() + min(max(room / FASTEST, SHORTEST_LOOK), LONGEST_LOOK)
        return room < 0

    def _patience(self) -> int | None:
        """Return how many milliseconds may pass before the next check.

        While the clock is held no running time passes, but descendants may still run in threads and
        processes.
        """
        waits = []
        if self._wall is not None and not self._clock.held:
            waits.append(self._wall - self._clock.seconds)
        if self._memory is not None:
            waits.append(self._next_look - time.monotonic())
        if self._folders is not None:
            waits.append(self._folders.next_look - time.monotonic())
        return max(0, math.ceil(min(waits) * 1000)) if waits else None


def become_user(user: int) -> None:
    """Switch to another user, and the group of the same number, irreversibly."""
    os.umask(PRIVATE)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    prctl(SET_NO_NEW_PRIVS, 1)


def become_child(
    command: list[str], user: int | None, cpu: int | None, files: int | None, size: int | None, guard: int
) -> None:
    """Turn the forked guard into the child: session, limits, user and program."""
    os.setsid()
    if LINUX:
        with contextlib.suppress(OSError):
            os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), OOM_SCORE)
    if cpu is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))  # SIGXCPU, then SIGKILL
    if files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if user is not None:
        become_user(user)
    prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)  # last, since a change of user clears it
    if os.getppid() != guard:  # the guard ended before the signal was set
        os._exit(1)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execv(command[0], command)


def report(control: int, text: str) -> None:
    """Send a line to the server, which may have ended."""
    with contextlib.suppress(OSError):
        os.write(control, text.encode(errors="replace").replace(b"\n", b" ") + b"\n")


def main(arguments: list[str]) -> None:
    """Start the child, watch it, kill what is left, and report how the child ended."""
    user, folders = None, []
    while arguments[0].startswith("--"):
        if arguments[0] == "--user":
            user = int(arguments[1])
        else:
            folders.append(arguments[1])
        arguments = arguments[2:]
    control = int(arguments[0])
    os.set_inheritable(control, False)
    kept = [int(number) for number in arguments[1].split(",") if number]
    wall = None if arguments[2] == "-" else float(arguments[2])
    cpu, memory_limit, files, size, room = (
        None if text == "-" else math.ceil(float(text)) for text in arguments[3:8]
    )
    prctl(SET_CHILD_SUBREAPER, 1)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    for caught in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(caught, lambda *_: None)  # its number arrives in the pipe

    guard = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            become_child(arguments[8:], user, cpu, files, size, guard)
        except BaseException as error:
            report(control, f"broken {arguments[8]}: {error}")
        os._exit(127)
    for number in kept:
        os.close(number)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    report(control, f"started {child}")
    watched = Guard(control, child, wall, cpu, memory_limit, None if room is None else Folders(folders, room))
    try:
        how = watched.watch(wake)
    finally:
        watched.clear()
    if how is not None:
        report(control, f"ended {how[0]} {how[1]}")


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # at once: the server waits for the exit, and there is nothing to clean up

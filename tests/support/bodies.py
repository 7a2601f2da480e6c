"""Bodies that misbehave, or show what a child is given: for tests of the local executor."""

import atexit
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from perdure.execution.context import BodyInterrupted, RunContext
from perdure.execution.messages import Arrived, Beat, framed
from perdure.state.savepoint import Savepoint


def run(context: RunContext) -> bytes | None:
    """Do what the spec says: ``do`` is the name of a function here."""
    given = msgspec.msgpack.decode(context.spec)
    return BODIES[given.pop("do")](context, **given)


def channel(context: RunContext) -> socket.socket:
    """Return the pipe to the server, which is none of a body's business."""
    return context._link._channel


def garble(context: RunContext) -> None:
    """Send what is no message."""
    channel(context).sendall(b"\0\0\0\x05hello")
    time.sleep(600)


def announce(context: RunContext) -> None:
    """Announce a message that is larger than any may be."""
    channel(context).sendall(b"\xff\xff\xff\xff")
    time.sleep(600)


def flood(context: RunContext) -> None:
    """Send messages that want no answer, as fast as it goes."""
    beats = framed(Beat()) * 1000
    while True:
        channel(context).sendall(beats)


def flood_with_arrivals(context: RunContext) -> None:
    """Arrive at the savepoint, again and again, without waiting for the answers."""
    arrivals = framed(Arrived(1)) * 1000
    while True:
        channel(context).sendall(arrivals)


def hang_up(context: RunContext) -> None:
    """Close the pipe and live on."""
    channel(context).shutdown(socket.SHUT_RDWR)
    time.sleep(600)


def hang_up_and_spin(context: RunContext) -> None:
    """Close the pipe and compute in C, so that nothing in the process notices."""
    channel(context).shutdown(socket.SHUT_RDWR)
    sum(range(10**12))


def wrong(context: RunContext) -> Any:
    """Return what is no result."""
    return {"a": "dictionary"}


def oversized(context: RunContext) -> None:
    """Save what is too large."""
    context.save(Savepoint(timestamp=1, entities={"large": bytes(65 << 20)}))


def crash_late(context: RunContext) -> bytes:
    """Return a result, and end badly afterwards."""
    atexit.register(os._exit, 9)
    return msgspec.msgpack.encode("whole")


def linger(context: RunContext) -> bytes:
    """Return a result, and don't end."""
    atexit.register(time.sleep, 600)
    return msgspec.msgpack.encode("whole")


def speak(context: RunContext, lines: int = 1) -> None:
    """Print to both streams and write lines, through a process of its own too."""
    for number in range(lines):
        print(f"printed {number}")
    print("x" * 20000)
    print("warned", file=sys.stderr)
    context.write_line("written\ntwice", "debug")
    subprocess.run([sys.executable, "-c", "print('by another')"], check=True)
    sys.stdout.write("without an end")


def show(context: RunContext) -> bytes:
    """Return what the process is given of the server's."""
    return msgspec.msgpack.encode(
        {
            "environment": sorted(os.environ),
            "files": len(list(Path("/proc/self/fd").iterdir())),
            "inherited": subprocess.run(
                [sys.executable, "-c", "import os; print(len(os.listdir('/proc/self/fd')))"],
                stdout=subprocess.PIPE,
                close_fds=False,
                check=True,
            ).stdout.decode(),
            "session": os.getsid(0) == os.getpid(),
        }
    )


def scribble(context: RunContext) -> None:
    """Leave a report that is none."""
    context._slot.write(b"\xc1")


def report_much(context: RunContext, times: int) -> None:
    """Report as fast as it goes."""
    for number in range(times):
        context.progress({"number": number})


def grow(context: RunContext) -> None:
    """Take memory until something is done about it."""
    held = []
    while True:
        held.append(b"x" * (1 << 20))


def family(context: RunContext) -> None:
    """Report the numbers of this process and of one in a session of its own, then compute in C."""
    command = [sys.executable, "-c", "sum(range(10**12))"]
    other = subprocess.Popen(command, start_new_session=True)
    context.progress({"pids": [os.getpid(), os.getppid(), other.pid]})
    sum(range(10**12))


def interrupt(context: RunContext, times: int) -> bytes:
    """Be interrupted so often, each time before anything is saved."""
    if context.attempt <= times:
        raise BodyInterrupted(f"interrupted in attempt {context.attempt}")
    return msgspec.msgpack.encode([context.attempt, context.given, os.environ.get("PROVIDED")])


def recite(context: RunContext, to: int, lines: int, falls_at: Mapping[int, str] | None = None) -> None:
    """Say so many lines a number in each way there is, and save after each number.

    At the numbers in `falls_at` the first attempt that comes there dies, loses its guard or waits for its
    end, between lines and a savepoint.
    """
    begin = 0 if context.savepoint is None else context.savepoint.timestamp
    for number in range(begin + 1, to + 1):
        for line in range(lines):
            print(f"printed {number}.{line}")
            os.write(1, f"written {number}.{line}\n".encode())
            print(f"warned {number}.{line}", file=sys.stderr)
            context.write_line(f"logged {number}.{line}", "debug")
        if (falls_at or {}).get(number) and begin + 1 < number:
            fall(context, (falls_at or {})[number])
        context.save(Savepoint(timestamp=number, entities={}))
    print("without an end", end="", flush=True)


def fall(context: RunContext, how: str) -> None:
    """Come to an end that isn't its own."""
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "unguarded":
        os.kill(os.getppid(), signal.SIGKILL)
    context.progress({"waiting": context.attempt})
    time.sleep(600)


def rehearse(context: RunContext, to: int, dies_at: int) -> None:
    """Say and do all from the beginning in each attempt, and save half-way through a line."""
    arrives = -1 if context.savepoint is None else context.savepoint.timestamp
    print("begun")
    for number in range(to):
        os.write(1, b"said\n" * 9000 + f"the line {number} ".encode())
        if number == arrives:
            context.arrived()
        if number > arrives:
            context.save(Savepoint(timestamp=number, entities={}))
        print(f"ends in {number}")
        if number == dies_at and context.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def die_again(context: RunContext) -> None:
    """Save, and say something to die of in this attempt and each that follows."""
    if context.savepoint is None:
        context.save(Savepoint(timestamp=0, entities={}))
    print(f"dying in attempt {context.attempt}", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL)


def fall_silent(context: RunContext) -> None:
    """Be killed within a line; in the next attempt, end it."""
    print("a line")
    print("half a line", end="", flush=True)
    if context.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    print(", and the rest")


def rehearse_in_vain(context: RunContext, ends: str) -> None:
    """Be killed at a savepoint, and end before it is come to again: by an error, or asked to."""
    print("said")
    if context.savepoint is None:
        context.save(Savepoint(timestamp=0, entities={}))
        os.kill(os.getpid(), signal.SIGKILL)
    context.progress({"attempt": context.attempt})
    if ends == "raises":
        raise ValueError("it goes another way")
    while not context.stopping:
        time.sleep(0.001)
    if ends == "exits":
        os._exit(0)


def babble(context: RunContext, way: str) -> None:
    """Say a number after the other as fast as it goes, and report each that was said."""
    say = {
        "print": print,
        "write": lambda n: os.write(1, b"%d\n" % n),
        "log": lambda n: context.write_line(f"{n}"),
    }
    for number in itertools.count(1):
        say[way](number)
        context.progress({"number": number})


def save_beside_babble(context: RunContext, to: int) -> bytes:
    """Save, while another thread prints as fast as it goes."""
    threading.Thread(target=lambda: [print(number) for number in itertools.count()], daemon=True).start()
    for number in range(1, to + 1):
        context.save(Savepoint(timestamp=number, entities={}))
    return msgspec.msgpack.encode("saved")


def hoard(context: RunContext, size: int, dies: bool = False, ends: bool = True) -> bytes:
    """Write temporary files, and return where, what was there before, and who may look at it."""
    folder = Path(tempfile.gettempdir())
    before = sorted(path.name for path in folder.iterdir())
    (folder / "closed" / "inner").mkdir(parents=True)
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(b"1" * size)
    (folder / "closed").chmod(0)
    if dies and context.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    while not ends:
        time.sleep(1.0)
    return msgspec.msgpack.encode([str(folder), before, folder.stat().st_mode & 0o777])


BODIES: Mapping[str, Callable[..., bytes | None]] = {
    body.__name__: body
    for body in (
        *(garble, announce, flood, flood_with_arrivals, hang_up, hang_up_and_spin),
        *(wrong, oversized, crash_late, linger),
        *(speak, show, scribble, report_much, grow, family, interrupt),
        hoard,
        *(recite, rehearse, die_again, fall_silent, rehearse_in_vain, babble, save_beside_babble),
    )
}

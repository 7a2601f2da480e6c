"""Bodies that misbehave, or show what a child is given: for tests of the local executor."""

import atexit
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from perdure.execution.context import BodyInterrupted, RunContext
from perdure.execution.messages import Beat, framed
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


BODIES: Mapping[str, Callable[..., bytes | None]] = {
    body.__name__: body
    for body in (
        *(garble, announce, flood, hang_up, hang_up_and_spin, wrong, oversized, crash_late, linger),
        *(speak, show, scribble, report_much, grow, family, interrupt),
    )
}

"""A child that misbehaves, for tests of the guard: ``python -m tests.support.odd_child CHANNEL SLOT WHAT…``.

It prints the numbers of its process and of all that it started in one line, then does what it was told.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

MEBIBYTE = 1 << 20


def sleep() -> None:
    """Sleep for longer than any test."""
    time.sleep(600)


def spin() -> None:
    """Compute in C, so that no handler of Python's gets a turn."""
    sum(range(10**12))


def grow() -> None:
    """Take memory until something is done about it."""
    held = []
    while True:
        held.append(b"x" * MEBIBYTE)


def fill() -> None:
    """Write 20 MiB into its folder for temporary files, then sleep."""
    Path(os.environ["TMPDIR"], "filled").write_bytes(b"x" * 20 * MEBIBYTE)
    sleep()


def fill_deleted() -> None:
    """Write 20 MiB there into a file that has no name any more, then sleep."""
    path = Path(os.environ["TMPDIR"], "deleted")
    with path.open("wb") as file:
        path.unlink()
        file.write(b"x" * 20 * MEBIBYTE)
        file.flush()
        sleep()


def reserve() -> None:
    """Reserve address space without touching it, as numerical libraries do, then leave."""
    import mmap

    mmap.mmap(-1, 4096 * MEBIBYTE)


def open_files() -> None:
    """Leave with the number of files that may be open."""
    os._exit(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def run_away() -> None:
    """Fork and end, over and over, for a minute at most."""
    os.setsid()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if os.fork():
            os._exit(0)
    os._exit(0)


def start(*command: str, **given: object) -> int:
    """Start another of these; return its number."""
    process = subprocess.Popen([sys.executable, "-m", "tests.support.odd_child", "-", "-", *command], **given)
    return process.pid


def main(what: str, *family: str) -> None:
    """Start the family that was asked for, tell the numbers, then do `what`.

    ``session`` is a grandchild in a session of its own; ``bare`` one without an environment as well;
    ``asked`` is none, but makes it wait for SIGUSR1 before it does anything;
    ``orphan`` a great-grandchild in a session of its own whose parent has ended; ``runner`` one that forks
    and ends again and again, so that it has another number at any moment: told is that of its session.
    """
    numbers = [os.getpid()]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    for member in family:
        if member == "asked":
            continue
        if member == "orphan":
            reading, writing = os.pipe()
            if os.fork() == 0:
                os.setsid()
                number = start("spin", start_new_session=True, stdout=subprocess.DEVNULL)
                os.write(writing, str(number).encode())
                os._exit(0)
            numbers.append(int(os.read(reading, 32)))
        elif member == "runner":
            if (number := os.fork()) == 0:
                run_away()
            numbers.append(number)
        else:
            environment = {"PATH": os.environ["PATH"]} if member == "bare" else dict(os.environ)
            environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
            numbers.append(start("spin", start_new_session=True, stdout=subprocess.DEVNULL, env=environment))
    print(*numbers, flush=True)
    if "asked" in family:
        signal.sigwait({signal.SIGUSR1})
    does: dict[str, Callable[[], None]] = {
        "sleep": sleep,
        "spin": spin,
        "grow": grow,
        "fill": fill,
        "fill_deleted": fill_deleted,
        "reserve": reserve,
        "open_files": open_files,
        "abort": os.abort,
        "leave": lambda: os._exit(7),
    }
    does[what]()


if __name__ == "__main__":
    main(*sys.argv[3:])

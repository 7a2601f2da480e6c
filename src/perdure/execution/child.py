"""The child: the process in which the body of one run works, ``python -m perdure.execution.child``.

Its arguments are the file descriptors of the pipe to the server and of the progress slot, and the run's id,
which makes it recognisable in a list of processes.
"""

import faulthandler
import importlib
import io
import os
import signal
import socket
import sys
import time
import traceback
from typing import cast

from perdure.errors import message_of, writable
from perdure.execution.context import BodyFailed, BodyInterrupted, RunBody, RunContext
from perdure.execution.link import Link
from perdure.execution.messages import Failure, Result, Start, Traced
from perdure.execution.progress_slot import ProgressSlot

__all__ = ["main", "print_by_lines"]

LONGEST_TRACEBACK = 16384  # characters; the end is kept, which has the error
BODY_RAISED = 1


def main(channel: int, slot: int) -> int:
    """Carry out the server's assignment; return the exit code."""
    for file in (channel, slot):
        os.set_inheritable(file, False)  # processes that the body starts must not keep the pipe open
    began = time.time_ns()
    # Ends the process, as any signal does: a KeyboardInterrupt is always the body's own then, and an error.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print_by_lines()
    faulthandler.enable()  # a crash in C leaves its traceback among the run's lines
    link = Link(socket.socket(fileno=channel))
    start, log = link.begin()
    sys.path[:] = start.path
    if start.trace:
        os.environ["TRACEPARENT"] = start.trace  # so that spans of the body's own are in the same trace
    try:
        body = _load(start.body)
        result = body(RunContext(start, log, link, ProgressSlot(slot)))
        if not isinstance(result, bytes | None):
            raise TypeError(f"the body {start.body} returned {type(result).__name__}, not bytes or None")
        _end(link, start, began, Result(result))
    except BaseException as error:
        if isinstance(error, SystemExit) and isinstance(error.code, int | None):
            raise
        _end(link, start, began, _failure(error))
        return BODY_RAISED
    return 0


def print_by_lines() -> None:
    """Write each printed line at once and as a whole, whatever the environment says.

    So a line is among the run's lines before any later savepoint, and no other process's output is within it.
    """
    for stream in (sys.stdout, sys.stderr):
        cast(io.TextIOWrapper, stream).reconfigure(
            line_buffering=True, write_through=False, errors="backslashreplace"
        )


def _end(link: Link, start: Start, began: int, last: Result | Failure) -> None:
    """Send the last message, after the times of the child if the attempt is traced."""
    if start.trace:
        link.send(Traced(began, time.time_ns()))
    link.send(last)


def _load(name: str) -> RunBody:
    """Return the function that ``module:function`` names."""
    module, _, function = name.partition(":")
    return cast("RunBody", getattr(importlib.import_module(module), function))


def _failure(error: BaseException) -> Failure:
    """Convert an error into a message, with the place that raised it."""
    message = message_of(error)
    if isinstance(error, BodyFailed) and error.__cause__ is None:
        return Failure(message, writable(error.traceback), error.result)  # complete as it is
    text = writable("".join(traceback.format_exception(error)))[-LONGEST_TRACEBACK:]
    if isinstance(error, BodyFailed):
        return Failure(message, text, error.result)
    if isinstance(error, BodyInterrupted):
        return Failure(message, text, None, again=True)
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return Failure(writable(f"{said} ({last.filename}, line {last.lineno})"), text, None)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))

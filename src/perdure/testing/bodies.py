"""Bodies of runs for the conformance suite of executors: each does one thing, named by its spec.

A spec is a MessagePack map with ``do``, the name of one of the functions here, and the function's arguments.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from perdure.execution.context import BodyFailed, RunContext
from perdure.run import Entry
from perdure.state.savepoint import Savepoint

__all__ = ["run", "spec"]


def spec(do: str, **given: Any) -> bytes:
    """Return the spec of a run that does one of these things."""
    return msgspec.msgpack.encode({"do": do, **given})


def run(context: RunContext) -> bytes | None:
    """Do what the spec says."""
    given = msgspec.msgpack.decode(context.spec)
    return BODIES[given.pop("do")](context, **given)


def echo(context: RunContext, value: Any) -> bytes:
    """Return what was given."""
    return msgspec.msgpack.encode(value)


def count(context: RunContext, to: int, dies_at: Mapping[int, int] | None = None) -> bytes:
    """Count with a savepoint after each number; return the number and where each attempt began.

    It kills itself at the numbers in `dies_at`, each in as many attempts as given there.
    """
    dies_at = dict(dies_at or {})
    number, begins = 0, []
    if context.savepoint is not None:
        number, begins = msgspec.msgpack.decode(context.savepoint.entities["count"])
    begins.append(number)
    while number < to and not context.stopping:
        if dies_at.get(number, 0) >= context.attempt:
            os.kill(os.getpid(), signal.SIGKILL)
        number += 1
        state = msgspec.msgpack.encode([number, begins])
        position = len(context.log) + number - begins[-1]
        entry = Entry(inputs=None, outputs=msgspec.msgpack.encode(number))
        savepoint = Savepoint(timestamp=number, position=position, entities={"count": state})
        context.append([entry], savepoint)
        context.progress({"number": number})
    return msgspec.msgpack.encode([number, begins])


def save_when_preempted(context: RunContext, until: str) -> bytes:
    """Count until a file exists, printing each number, with a savepoint only when the worker is about to end.

    Return the number and where each attempt began.
    """
    number, begins = 0, []
    if context.savepoint is not None:
        number, begins = msgspec.msgpack.decode(context.savepoint.entities["count"])
    begins.append(number)
    while not Path(until).exists():
        number += 1
        print(number)
        context.progress({"number": number})
        if context.preempted:
            state = msgspec.msgpack.encode([number, begins])
            context.save(Savepoint(timestamp=number, entities={"count": state}))
    return msgspec.msgpack.encode([number, begins])


def spin(context: RunContext) -> None:
    """Report progress, then compute in C without giving another thread a turn."""
    context.progress({"spinning": True})
    sum(range(10**12))


def fail(context: RunContext, code: str | None = None) -> None:
    """Raise an error: one with a partial result, or any error."""
    if code is not None:
        raise BodyFailed(code, "as requested", result=msgspec.msgpack.encode("a part"))
    raise ValueError("as requested")


def interrupt_itself(context: RunContext) -> None:
    """Raise KeyboardInterrupt."""
    raise KeyboardInterrupt


def leave(context: RunContext, code: int) -> None:
    """End the process with an exit code, and without a result."""
    os._exit(code)


def die(context: RunContext, number: int) -> None:
    """End the process with a signal."""
    os.kill(os.getpid(), number)
    time.sleep(60)


def stop_when_asked(context: RunContext) -> bytes:
    """Report progress, work until an end is requested, and return a partial result."""
    context.progress({"waiting": True})
    while not context.stopping:
        time.sleep(0.001)
    return msgspec.msgpack.encode("a part")


def march(context: RunContext, until: str) -> bytes:
    """Count, pausing when requested, until a file exists."""
    number = 0
    while context.hold() and not Path(until).exists():
        number += 1
        context.progress({"number": number})
    return msgspec.msgpack.encode(number)


BODIES: Mapping[str, Callable[..., bytes | None]] = {
    body.__name__: body
    for body in (
        echo,
        count,
        save_when_preempted,
        spin,
        fail,
        interrupt_itself,
        leave,
        die,
        stop_when_asked,
        march,
    )
}

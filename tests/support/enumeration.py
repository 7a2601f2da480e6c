"""A toy enumeration with savepoints, for crash tests: its answer depends on every item, in their order."""

import hashlib
import os
from collections.abc import Callable

import msgspec

from perdure.execution.context import RunContext
from perdure.run import Entry
from perdure.state.savepoint import Savepoint


def spec(seed: int, items: int) -> bytes:
    """Return the spec of an enumeration of so many items."""
    return msgspec.msgpack.encode([seed, items])


def run(context: RunContext) -> bytes:
    """Chain hashes, with two lines before each, and a savepoint and an entry of the log after it.

    The result is the last hash, the number of items, and where each attempt began that saved one.
    """
    seed, items = msgspec.msgpack.decode(context.spec)
    digest, found, begins = b"%d" % seed, 0, []
    if context.savepoint is not None:
        digest, found, begins = msgspec.msgpack.decode(context.savepoint.entities["enumeration"])
    begins.append(found)
    say = _ways(context)[seed % 3]
    while found < items and not context.stopping:
        say(f"after {found}")
        say(f"comes {found + 1}")
        for _ in range(2000):
            digest = hashlib.sha256(digest).digest()
        found += 1
        state = msgspec.msgpack.encode([digest, found, begins])
        savepoint = Savepoint(timestamp=found, position=found, entities={"enumeration": state})
        context.append([Entry(inputs=None, outputs=digest)], savepoint)
        context.progress({"found": found})
    return msgspec.msgpack.encode([digest, found, begins])


def _ways(context: RunContext) -> list[Callable[[str], object]]:
    """Return the ways in which a body can say something."""
    return [print, lambda text: os.write(1, f"{text}\n".encode()), context.write_line]

"""The messages between a server and a child, and their frames: four bytes of length, then MessagePack."""

import socket
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from perdure.errors import LimitExceeded
from perdure.execution.frames import read_exactly
from perdure.run import Entry, Step
from perdure.state.savepoint import Savepoint

if TYPE_CHECKING:  # a child doesn't need it, and should start quickly
    from asyncio import StreamReader

__all__ = [
    "LARGEST",
    "Append",
    "Arrived",
    "Beat",
    "Done",
    "Failure",
    "FromChild",
    "Garbled",
    "Line",
    "LoggedSteps",
    "Pause",
    "Paused",
    "Preempt",
    "Result",
    "Resume",
    "Show",
    "Start",
    "Stop",
    "ToChild",
    "Traced",
    "View",
    "framed",
    "receive",
    "receive_blocking",
]

LARGEST = 64 << 20  # bytes of one frame
_LENGTH = struct.Struct(">I")


class Garbled(Exception):
    """Raised if data from the pipe is no message."""


# To the child -----------------------------------------------------------------------------------------------


class Start(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The assignment of a child; `Log` messages with `position` steps follow.

    `path` is its module search path, `body` is ``module:function``. If `paused`, it begins with the pause
    number 1. `trace` is the span of the attempt as a `traceparent` header has it; empty without traces. The
    other fields are those of `RunContext`.
    """

    path: Sequence[str]
    body: str
    run_id: str
    spec: bytes
    attempt: int
    seconds: float
    position: int
    savepoint: Savepoint | None
    paused: bool
    given: Mapping[str, str]
    trace: str = ""


class LoggedSteps(msgspec.Struct, frozen=True, tag=True):
    """The next steps of the run's log."""

    steps: Sequence[Step]


class Done(msgspec.Struct, frozen=True, tag=True):
    """The request with this number is done; an append is durable."""

    number: int


class Pause(msgspec.Struct, frozen=True, tag=True):
    """Pause at the next opportunity, and answer `Paused` with the number, which counts from 1."""

    number: int


class Resume(msgspec.Struct, frozen=True, tag=True):
    """Go on."""


class Preempt(msgspec.Struct, frozen=True, tag=True):
    """Make a savepoint now: the worker is about to end. The child is killed when the savepoint is durable."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """End now; a child that doesn't is killed."""


class Show(msgspec.Struct, frozen=True, tag=True):
    """Send a `View` at the next opportunity."""


ToChild: TypeAlias = Start | LoggedSteps | Done | Pause | Resume | Preempt | Stop | Show

# From the child ---------------------------------------------------------------------------------------------


class Append(msgspec.Struct, frozen=True, tag=True):
    """Store entries and a savepoint, all or nothing, and answer `Done` with the number."""

    number: int
    entries: Sequence[Entry]
    savepoint: Savepoint | None


class Arrived(msgspec.Struct, frozen=True, tag=True):
    """The replay has reached the savepoint: drop the output so far, and answer `Done` with the number."""

    number: int


class Line(msgspec.Struct, frozen=True, tag=True):
    """An output line of the run."""

    level: str
    text: str


class Paused(msgspec.Struct, frozen=True, tag=True):
    """The child has paused, for the pause with this number."""

    number: int


class Beat(msgspec.Struct, frozen=True, tag=True):
    """The child's heartbeat: it lives, and its threads run."""


class Result(msgspec.Struct, frozen=True, tag=True):
    """The value that the body returned."""

    result: bytes | None


class Failure(msgspec.Struct, frozen=True, tag=True):
    """The error that the body raised: a message of one line, the place, and a partial result if there is one.

    `again` says that another attempt may succeed.
    """

    reason: str
    traceback: str
    result: bytes | None
    again: bool = False


class Traced(msgspec.Struct, frozen=True, tag=True):
    """When the child began and ended, in Unix nanoseconds; it is sent if the assignment has a trace."""

    began: int
    ended: int


class View(msgspec.Struct, frozen=True, tag=True):
    """What somebody sees of the run, in the body's own format."""

    view: bytes


FromChild: TypeAlias = Append | Arrived | Line | Paused | Beat | Result | Failure | Traced | View

# Frames -----------------------------------------------------------------------------------------------------

_to_child = msgspec.msgpack.Decoder(ToChild)
_from_child = msgspec.msgpack.Decoder(FromChild)
_encoder = msgspec.msgpack.Encoder()


def framed(message: ToChild | FromChild) -> bytes:
    """Return a message as a frame; raise `LimitExceeded` if it is too large for one."""
    frame = bytearray(_LENGTH.size)
    _encoder.encode_into(message, frame, _LENGTH.size)
    if len(frame) - _LENGTH.size > LARGEST:
        raise LimitExceeded(
            f"A message between a run's process and the server may have at most {LARGEST} bytes, "
            f"not {len(frame)}.",
            limit=LARGEST,
            value=len(frame),
        )
    _LENGTH.pack_into(frame, 0, len(frame) - _LENGTH.size)
    return bytes(frame)


async def receive(reader: "StreamReader") -> FromChild:
    """Read a child's next message; raise `Garbled` for invalid data, `EOFError` at the end."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > LARGEST:
            raise Garbled(f"it announced a message of {length} bytes; the limit is {LARGEST}")
        message: FromChild = _from_child.decode(await reader.readexactly(length))
    except (EOFError, ConnectionError) as error:
        raise EOFError from error
    except msgspec.DecodeError as error:
        raise Garbled(f"it sent data that is no message: {error}") from error
    return message


def receive_blocking(channel: socket.socket) -> ToChild:
    """Read the server's next message; raise `ConnectionError` at the end."""
    (length,) = _LENGTH.unpack(read_exactly(channel, _LENGTH.size))
    message: ToChild = _to_child.decode(read_exactly(channel, length))
    return message

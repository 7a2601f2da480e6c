"""The guarded process: the server's handle on one child, by way of its guard."""

import asyncio
import fcntl
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any, TypeAlias

import structlog

from perdure.execution.child_limits import ChildLimits
from perdure.execution.end import End, EndKind
from perdure.execution.environment import allowed
from perdure.execution.guard_start import start_guard
from perdure.execution.isolation import User
from perdure.execution.output import Output
from perdure.execution.sweep import MARKER, NOBODY, sweep

__all__ = ["GuardedProcess"]

PATIENCE = 5.0  # seconds that a guard has to obey; then it is killed, and its processes are swept
BUFFERED = 1 << 14  # bytes in an output pipe, or read from a channel, before the sender has to wait

Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

log = structlog.get_logger(__name__)


class GuardedProcess:
    """A process under a guard. Its creator calls `aclose`, after which nothing of it is left.

    Attributes
    ----------
    ended
        Resolves when nothing of the process is left, with how it ended.
    channel
        The connection to the process.
    outputs
        Its output streams, by the log level of their lines.
    guard, child
        Process numbers; the child's from its start on.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        identity: str,
        token: str,
        ids: range,
        control: Connection,
        channel: Connection,
        outputs: Mapping[str, Output],
        opened: AsyncExitStack,
    ) -> None:
        self._process = process
        self._identity, self._token, self._ids = identity, token, ids
        self._reports, self._orders = control
        self.channel = channel
        self.outputs = outputs
        self._opened = opened
        self.guard = process.pid
        self.child: int | None = None
        self._still: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.create_task(self._watch())  # ends when the guard does; never cancelled

    @classmethod
    async def start(
        cls,
        module: str,
        arguments: Sequence[str],
        *,
        identity: str,
        limits: ChildLimits,
        shared: int | None = None,
        environment: Mapping[str, str],
        user: User | None = None,
        ids: range = NOBODY,
        folders: Sequence[Path] = (),
    ) -> "GuardedProcess":
        """Start a Python module under a guard.

        Parameters
        ----------
        module
            The module. Its arguments are the file descriptors of its channel and of the shared file, if there
            is one, then `arguments`.
        identity
            The store's identity, with which a sweep finds processes that a guard left.
        limits
            What the process may use.
        shared
            The descriptor of a file that it inherits; it stays the caller's.
        environment
            Variables of its environment, besides those of this process that every child may see.
        user
            The user that it runs as; None is this process's user.
        ids
            The user ids of children, with which a sweep finds processes that a guard left.
        folders
            Where it writes, besides a home of its user; they count against the limit of its folders.
        """
        own = () if user is None else (user.home,)
        files = () if shared is None else (shared,)
        token = secrets.token_hex(8)
        async with AsyncExitStack() as undo:
            with ExitStack() as its:
                control, its_control = await _connect(undo, its)
                channel, its_channel = await _connect(undo, its)
                output, its_output = _pipe(undo, its)
                errors, its_errors = _pipe(undo, its)
                # Last, with nothing to await afterwards, so that the process always has an owner.
                process = start_guard(
                    ["-m", module, str(its_channel), *map(str, files), *arguments],
                    control=its_control,
                    kept=(its_channel, *files),
                    limits=limits,
                    environment={
                        **allowed(os.environ),
                        **environment,
                        **({} if user is None else user.environment),
                        MARKER: f"{identity}:{token}",
                    },
                    streams=(its_output, its_errors),
                    user=None if user is None else user.id,
                    folder=None if user is None else user.home,
                    written=(*folders, *own),
                )
            outputs = {"info": output, "error": errors}
            return cls(process, identity, token, ids, control, channel, outputs, undo.pop_all())

    def hold_clock(self) -> None:
        """Stop the running time, since the process has paused by itself."""
        self._order(b"h")

    async def freeze(self) -> None:
        """Stop the process and its descendants, and the running time; return when they stand still."""
        self._still = asyncio.get_running_loop().create_future()
        self._order(b"f")
        answers: list[asyncio.Future[Any]] = [self._still, self.ended]
        done, _ = await asyncio.wait(answers, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            log.warning("guard_does_not_obey", pid=self.guard)

    def go_on(self) -> None:
        """Undo `hold_clock` and `freeze`."""
        self._order(b"c")

    async def kill(self) -> End:
        """Kill the process and its descendants; return how it ended, which may have happened before."""
        self._order(b"k")
        done, _ = await asyncio.wait({self.ended}, timeout=PATIENCE)
        if not done:
            log.warning("guard_does_not_obey", pid=self.guard)
            self._process.kill()
        return await asyncio.shield(self.ended)

    async def aclose(self) -> None:
        """Ensure that nothing of the process is left."""
        await self.kill()
        await self._opened.aclose()

    def _order(self, order: bytes) -> None:
        if not self._orders.is_closing():
            self._orders.write(order)

    async def _watch(self) -> End:
        """Return how the process ended. If its guard can't be followed, kill the process and report that."""
        try:
            return await self._follow()
        except Exception as error:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            await asyncio.to_thread(sweep, self._identity, self._token, self.child, self._ids)
            with suppress(Exception):  # others wait for the end, even if the log can't be written
                log.exception("guard_not_followed", pid=self.guard)
            return End(EndKind.BROKEN, why=f"its guard couldn't be followed: {type(error).__name__}: {error}")

    async def _follow(self) -> End:
        """Read the guard's reports until it has ended, and sweep processes that it may have left.

        A guard that reports how its child ended has left nothing; the sweep is skipped then, since it
        inspects all processes.
        """
        end = None
        while line := await _line(self._reports):
            verb, _, rest = line.partition(" ")
            if verb == "started":
                self.child = int(rest)
            elif verb == "frozen":
                if not self._still.done():
                    self._still.set_result(None)
            else:
                end = end or End.reported(line)
        code = await asyncio.to_thread(self._process.wait)
        if end is None and code > 0:
            end = End(EndKind.BROKEN, why=f"its guard ended with exit code {code}")
        if end is None or code != 0:
            left = self.child if end is None else None
            await asyncio.to_thread(sweep, self._identity, self._token, left, self._ids)
        return end or End(EndKind.UNWATCHED)


async def _connect(undo: AsyncExitStack, its: ExitStack) -> tuple[Connection, int]:
    """Create a pair of sockets; return an open connection, and the descriptor of the other end."""
    ours, theirs = socket.socketpair()
    its.callback(theirs.close)
    connection = await asyncio.open_unix_connection(sock=ours, limit=BUFFERED)
    undo.push_async_callback(_disconnect, connection[1])
    return connection, theirs.fileno()


async def _disconnect(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def _pipe(undo: AsyncExitStack, its: ExitStack) -> tuple[Output, int]:
    """Create a pipe; return its output, and the descriptor of the end to write to."""
    reading, writing = os.pipe()
    its.callback(os.close, writing)
    if sys.platform == "linux":
        # A small pipe is emptied quickly when a flooding process is paused or ended.
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, BUFFERED)
    output = Output(reading)
    undo.callback(output.close)
    return output, writing


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readline()).decode(errors="replace").rstrip("\n")
    except ConnectionError:
        return ""

"""The conversation of an attempt with its child: sends the assignment, and answers the child's messages.

Messages are answered one after the other; the child waits for each answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from msgspec.structs import replace

from perdure import tracing
from perdure.execution.attempt import Event, Happened
from perdure.execution.body import Provision
from perdure.execution.guarded_process import Connection
from perdure.execution.messages import (
    Append,
    Arrived,
    Done,
    FromChild,
    Line,
    LoggedSteps,
    ToChild,
    Traced,
    View,
    framed,
    receive,
)
from perdure.execution.reporter import Reporter
from perdure.run import Execution, Step
from perdure.stores import commands
from perdure.stores.base import Store
from perdure.stores.commands import Leased, encoded

__all__ = ["Conversation"]

LOG_BYTES = 8 << 20  # bytes of the step log in one message


class Conversation:
    """Exchanges messages with the child of one attempt.

    Parameters
    ----------
    store
        Where the run is kept.
    execution
        The run's execution; entries and savepoints are written under its lease.
    position
        Number of steps in the run's log.
    channel
        The connection to the child; it stays the caller's.
    reporter
        Receives the child's output lines.
    provision
        Has the hooks to call at the child's savepoints.

    Attributes
    ----------
    views
        What the child shows of the run. One that comes before the last was taken is dropped.
    """

    def __init__(
        self,
        store: Store,
        execution: Execution,
        position: int,
        channel: Connection,
        reporter: Reporter,
        provision: Provision,
    ) -> None:
        self._store, self._position = store, position
        self._run_id, self._guard = execution.run_id, Leased(execution.fence)
        self._reader, self._writer = channel
        self._reporter = reporter
        self._arrived, self._save = provision.arrived, provision.save
        self.views: asyncio.Queue[bytes] = asyncio.Queue(1)

    def send(self, message: ToChild) -> None:
        """Send a message to the child, which may have ended.

        Data that doesn't fit into the pipe waits in memory.
        """
        if not self._writer.is_closing():
            self._writer.write(framed(message))

    async def send_log(self) -> None:
        """Send the step log, for which the child waits before it begins."""
        read, position = 0, self._position
        try:
            while read < position:
                steps = await asyncio.to_thread(self._store.steps, self._run_id, read)
                for part in _parts(steps):
                    self.send(LoggedSteps(part))
                    await self._writer.drain()
                read += len(steps)
        except ConnectionError:
            return  # the child ended before it began; its guard reports that

    async def listen(
        self, notify: Callable[[Event], Awaitable[None]], heard: Callable[[float], None]
    ) -> Event:
        """Answer each message, until the pipe has closed, and pass those that are events to `notify`.

        The others, steps and lines, may come in thousands; `heard` only gets the time of each. Raises
        `Garbled` if the child sends anything but messages.
        """
        while True:
            try:
                message = await receive(self._reader)
            except EOFError:
                return Happened.CLOSED
            match message:
                case Append():
                    heard(time.monotonic())
                    await self._append(message)
                    if message.savepoint is not None:
                        await notify(Happened.SAVED)
                case Line(level, text):
                    heard(time.monotonic())
                    await self._reporter.add(text, level)
                case _:
                    await notify(message)
                    await self._answer(message)

    async def _answer(self, message: FromChild) -> None:
        match message:
            case Arrived(number):
                await self._reporter.drain()
                if self._arrived is not None:
                    await asyncio.to_thread(self._arrived)
                self._reporter.unmute()
                self.send(Done(number))
            case Traced(began, ended):
                tracing.record("child", began, ended, run=self._run_id)
            case View(view):
                if not self.views.full():
                    self.views.put_nowait(view)

    async def _append(self, message: Append) -> None:
        """Store what the child sent, and acknowledge it when it is durable."""
        entries, savepoint = message.entries, message.savepoint
        if savepoint is not None:
            savepoint = replace(savepoint, blobs=frozenset())  # a child can't name blobs
            if self._save is not None:
                savepoint, lines = await asyncio.to_thread(self._save, savepoint)
                for line in lines:
                    await self._reporter.add(line, "warning", sent=False)
            # An attempt that resumes here doesn't repeat the output from before.
            await self._reporter.drain()
            await self._reporter.write()
        append = commands.Append(self._run_id, self._guard, self._position, entries, encoded(savepoint))
        appended = await asyncio.wrap_future(self._store.submit(append))
        if not appended.replayed:
            self._position += len(entries)
        self.send(Done(message.number))


def _parts(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """Split a log into parts that fit into messages."""
    part: list[Step] = []
    size = 0
    for step in steps:
        part.append(step)
        size += len(step.inputs or b"") + len(step.outputs)
        if size > LOG_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part

"""The reporter: collects the output lines and the progress of a run, and writes them ten times a second."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from perdure.execution.output import Output
from perdure.execution.progress_slot import ProgressSlot
from perdure.run import LogLine
from perdure.stores.base import Store
from perdure.stores.commands import Report

__all__ = ["Reporter"]

LINE = 1 << 9  # cost of a line besides its characters
MAX_COST = 1000 * LINE  # limit of the cost of unwritten lines; beyond it the child waits
MAX_COST_HURRIED = 5 * MAX_COST  # the limit in a hurry: more than the pipes can hold
SLICE = 1 << 12  # bytes of a stream at a time, with back-pressure; all of them may be empty lines
CHUNK = 1 << 16  # bytes of a stream at a time, without back-pressure
LAST_WORDS = 100  # dropped lines that are remembered, in case the child ends during its replay
LOGGED = 1 << 14  # characters of last words in the server log
TURN = 100  # lines after which other tasks get a turn

log = structlog.get_logger(__name__)


class Reporter:
    """Collects the lines and the progress of one attempt.

    Parameters
    ----------
    store, run_id, token
        Where it writes, and the fencing token of its lease.
    slot
        Where the child leaves its progress; it stays the caller's.
    outputs
        The child's output streams, by level; they stay the caller's.
    muted
        Whether output is dropped at first, since the replay repeats it.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        token: int,
        slot: ProgressSlot,
        outputs: Mapping[str, Output],
        *,
        muted: bool = False,
    ) -> None:
        self._store, self._run_id, self._token = store, run_id, token
        self._slot = slot
        self._seen = 0  # number of the last report that was read
        self._report: tuple[bytes, int] | None = None  # not written yet, with the lines sent before it
        self._heard = 0  # lines that the child has sent
        self._over = False  # whether no more of them come
        self._outputs = outputs
        self._lines: list[LogLine] = []
        self._size = 0
        self._accepting = asyncio.Event()  # set unless too many lines wait to be written
        self._accepting.set()
        self._limit = MAX_COST
        self._muted = muted
        self._dropped: deque[tuple[str, str]] = deque(maxlen=LAST_WORDS)

    def hurry(self) -> None:
        """Lift the back-pressure so that the child can flush its output."""
        self._limit = MAX_COST_HURRIED
        for level, output in self._outputs.items():
            _, lines = output.take(CHUNK)
            self._hear(lines, level)
        self._accepting.set()

    def take_time(self) -> None:
        """Undo `hurry`."""
        self._limit = MAX_COST

    def unmute(self) -> None:
        """Keep the output from now on."""
        self._muted = False
        self._dropped.clear()

    async def add(self, text: str, level: str, *, sent: bool = True) -> None:
        """Add a line that the child has sent, or one of the worker; wait while there are too many."""
        await self._accepting.wait()
        self._heard += sent
        self._gather([text], level)
        if len(self._lines) % TURN == 0:
            await asyncio.sleep(0)

    async def copy(self, level: str) -> None:
        """Read an output stream to its end; wait while there are too many lines."""
        output = self._outputs[level]
        while not output.over:
            await output.readable()
            if not self._muted:
                await self._accepting.wait()
            _, lines = output.take(CHUNK if self._muted else SLICE)
            self._hear(lines, level)

    async def drain(self) -> None:
        """Read everything printed so far, whatever its size; later output may wait."""
        for level, output in self._outputs.items():
            left = output.waiting
            while left > 0:
                count, lines = output.take(min(left, CHUNK))
                if not count:
                    break  # another task has read it
                left -= count
                self._hear(lines, level)
                await asyncio.sleep(0)

    async def finish(self, traceback: str = "", *, explained: bool = False, final: bool = True) -> None:
        """Read the remaining output of a child that has ended, and its last words.

        These are an unfinished line; if nothing else explains the end, the last lines that were dropped while
        it was muted; and its traceback. Another attempt doesn't repeat them, and gives their numbers to its
        own lines. So they become lines only if this attempt is `final`; otherwise they go to the server log.
        """
        self._over = True
        await self.drain()
        for level, output in self._outputs.items():
            self._dropped.extend((text, level) for text in output.take_rest())
        last = [] if self._muted and explained else list(self._dropped)
        last += [(text, "error") for text in traceback.splitlines()]
        if final:
            for text, level in last:
                self._gather([text], level)
        elif last:
            log.info("last_words", run=self._run_id, said="\n".join(text for text, _ in last)[-LOGGED:])

    async def write(self, seconds: float | None = None) -> None:
        """Write new lines and progress to the store, with the running time if it is given.

        Nobody reads a report before the lines that the child wrote before it.
        """
        progress = self._progress()
        if progress is not None:
            await self.drain()
            self._report = None
        lines, self._lines, self._size = self._lines, [], 0
        self._accepting.set()
        if lines or progress is not None or seconds is not None:
            report = Report(self._run_id, self._token, progress=progress, seconds=seconds, lines=lines)
            # Even if the caller is cancelled, since the lines exist nowhere else.
            await asyncio.shield(asyncio.wrap_future(self._store.submit(report)))

    def _hear(self, printed: Sequence[str], level: str) -> None:
        if self._muted:
            self._dropped.extend((text, level) for text in printed[-LAST_WORDS:])
        else:
            self._gather(printed, level)

    def _gather(self, texts: Sequence[str], level: str) -> None:
        now = time.time()
        self._lines += [LogLine(text=text, level=level, time=now) for text in texts]
        self._size += LINE * len(texts) + sum(map(len, texts))
        if self._size >= self._limit:
            self._accepting.clear()

    def _progress(self) -> bytes | None:
        """Return a report that is new and valid once the lines before it have arrived.

        A child may write anything there.
        """
        count = self._slot.count
        if count != self._seen and (self._report is None or self._over):
            self._seen, report = count, self._slot.read() or b""
            try:
                msgspec.msgpack.decode(report, type=dict[str, msgspec.Raw])
                self._report = report, self._slot.lines
            except msgspec.DecodeError:
                log.warning("progress_garbled", run=self._run_id)
        if self._report is None or (self._report[1] > self._heard and not self._over):
            return None
        return self._report[0]

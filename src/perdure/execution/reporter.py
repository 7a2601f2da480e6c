"""The reporter: what a working run tells besides its steps, gathered, and written ten times a second."""

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

LINE = 1 << 9  # what a line counts besides its characters
MOST = 1000 * LINE  # of lines that wait to be written; who says more waits
HURRIED = 5 * MOST  # in a hurry: more than are on their way
SLICE = 1 << 12  # bytes of a stream at a time: as many lines more there may be, each of them empty
CHUNK = 1 << 16  # bytes at a time of what doesn't have to wait
LAST_WORDS = 100  # lines that were dropped, of a child that ends before what it prints counts
LOGGED = 1 << 14  # characters of last words in the server's log
TURN = 100  # lines after which others get a turn

log = structlog.get_logger(__name__)


class Reporter:
    """Gathers the lines and the progress of one attempt.

    Parameters
    ----------
    store, run_id, token
        Where it writes, and by what right.
    slot
        Where the child leaves its progress; it stays the caller's.
    outputs
        What the child prints, by level; they stay the caller's.
    muted
        Whether what is printed is dropped at first, since it is said again.
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
        self._shown = 0
        self._outputs = outputs
        self._lines: list[LogLine] = []
        self._size = 0
        self._room = asyncio.Event()  # set unless too much waits to be written
        self._room.set()
        self._limit = MOST
        self._muted = muted
        self._dropped: deque[tuple[str, str]] = deque(maxlen=LAST_WORDS)

    def hurry(self) -> None:
        """Lift the back-pressure so that the child can flush its output."""
        self._limit = HURRIED
        for level, output in self._outputs.items():
            _, lines = output.take(CHUNK)
            self._hear(lines, level)
        self._room.set()

    def take_time(self) -> None:
        """Undo `hurry`."""
        self._limit = MOST

    def unmute(self) -> None:
        """Let what is printed from now on count."""
        self._muted = False
        self._dropped.clear()

    async def add(self, text: str, level: str) -> None:
        """Take a line; wait while there are too many."""
        await self._room.wait()
        self._gather([text], level)
        if len(self._lines) % TURN == 0:
            await asyncio.sleep(0)

    async def copy(self, level: str) -> None:
        """Take what a child prints to its end; wait while there are too many lines."""
        output = self._outputs[level]
        while not output.over:
            await output.readable()
            if not self._muted:
                await self._room.wait()
            _, lines = output.take(CHUNK if self._muted else SLICE)
            self._hear(lines, level)

    async def drain(self) -> None:
        """Take what was printed by now, however much that is; what comes meanwhile can wait."""
        for level, output in self._outputs.items():
            left = output.waiting
            while left > 0:
                count, lines = output.take(min(left, CHUNK))
                if not count:
                    break  # others took it
                left -= count
                self._hear(lines, level)
                await asyncio.sleep(0)

    async def finish(self, traceback: str = "", *, explained: bool = False, final: bool = True) -> None:
        """Take what is there still of a child that is gone, and its last words.

        Those are what it began of a line and, if nothing else explains its end, what it printed last while it
        was muted; then its traceback. Another attempt doesn't say them again, and gives their numbers to its
        lines: so they become lines only if this attempt is `final`, else they go to the server's log.
        """
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
        """Put what is new down in the store, and the running time if it is given."""
        lines, self._lines, self._size = self._lines, [], 0
        self._room.set()
        progress = self._progress()
        if lines or progress is not None or seconds is not None:
            report = Report(self._run_id, self._token, progress=progress, seconds=seconds, lines=lines)
            # Also if the caller is cancelled: the lines are nowhere else any more.
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
            self._room.clear()

    def _progress(self) -> bytes | None:
        """Return the latest report if it is new, and is one: a child may write anything there."""
        count = self._slot.count
        if count == self._shown:
            return None
        self._shown, report = count, self._slot.read()
        try:
            msgspec.msgpack.decode(report or b"", type=dict[str, msgspec.Raw])
        except msgspec.DecodeError:
            log.warning("progress_garbled", run=self._run_id)
            return None
        return report

"""The reporter: what a working run tells besides its steps, gathered, and written ten times a second."""

import asyncio
import time

import msgspec
import structlog

from perdure.execution.progress_slot import ProgressSlot
from perdure.run import LogLine
from perdure.stores.base import Store

__all__ = ["Reporter"]

MOST_LINES = 1000  # that wait to be written; who prints more waits

log = structlog.get_logger(__name__)


class Reporter:
    """Gathers the lines and the progress of one attempt.

    Parameters
    ----------
    store, run_id, fence
        Where it writes, and by what right.
    slot
        Where the child leaves its progress; it stays the caller's.
    """

    def __init__(self, store: Store, run_id: str, fence: int, slot: ProgressSlot) -> None:
        self._store, self._run_id, self._fence = store, run_id, fence
        self._slot = slot
        self._shown = 0
        self._lines: asyncio.Queue[LogLine] = asyncio.Queue(MOST_LINES)

    async def add(self, text: str, level: str) -> None:
        """Take a line; wait while there are too many."""
        await self._lines.put(LogLine(text=text, level=level, time=time.time()))

    async def copy(self, reader: asyncio.StreamReader, level: str) -> None:
        """Take what a child prints, line by line, to its end; one that is too long becomes several."""
        while text := await _line(reader):
            await self.add(text.decode(errors="replace").rstrip("\r\n"), level)

    async def write(self, seconds: float | None = None) -> None:
        """Put what is new down in the store, and the running time if it is given."""
        lines = [self._lines.get_nowait() for _ in range(self._lines.qsize())]
        progress = self._progress()
        if lines or progress is not None or seconds is not None:
            await asyncio.wrap_future(
                self._store.report(self._run_id, self._fence, progress=progress, seconds=seconds, lines=lines)
            )

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


async def _line(reader: asyncio.StreamReader) -> bytes:
    """Return the next line with its end, or what there is of one that is too long; empty at the end."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await reader.readexactly(max(1, error.consumed))
    except ConnectionError:
        return b""

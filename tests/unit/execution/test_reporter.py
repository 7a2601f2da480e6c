"""The reporter takes what is there, holds little of it, and lets nobody wait for ever."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from perdure.execution.output import Output
from perdure.execution.progress_slot import ProgressSlot
from perdure.execution.reporter import CHUNK, LINE, MAX_COST, SLICE, Reporter
from perdure.stores.commands import Lease
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT, queued

TURNS = 20  # of the event loop, in which whoever can go on does


class Printing:
    """A reporter of one stream, and who prints to it.

    Attributes
    ----------
    reporter
        The reporter.
    store
        Where it writes.
    slot
        Where reports are left.
    """

    def __init__(self, reporter: Reporter, store: MemoryStore, file: int, slot: ProgressSlot) -> None:
        self.reporter = reporter
        self.store = store
        self.slot = slot
        self._file = file

    def print(self, text: str) -> int:
        """Print as much of a text as there is room for; return how much that was."""
        try:
            return os.write(self._file, text.encode())
        except BlockingIOError:
            return 0

    @property
    def texts(self) -> list[str]:
        """What was written down."""
        return [line.text for line in self.store.log_lines("task", limit=100_000)]

    @property
    def progress(self) -> Any:
        """The report that was written down."""
        progress = self.store.execution("task").progress
        return None if progress is None else msgspec.msgpack.decode(progress)


@asynccontextmanager
async def printing(*, muted: bool = False) -> AsyncIterator[Printing]:
    """Open a pipe with a reporter on it."""
    store = MemoryStore(keep_lines=100_000)
    queued(store)
    fence = store.submit(Lease("task", "w", WAIT)).result(WAIT).fence
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    output, slot = Output(reading), ProgressSlot.create()
    try:
        reporter = Reporter(store, "task", fence, slot, {"info": output}, muted=muted)
        yield Printing(reporter, store, writing, slot)
    finally:
        slot.close()
        os.close(writing)
        output.close()


def tried(work: Callable[[Printing], Awaitable[None]], *, muted: bool = False) -> None:
    """Do a test's work."""

    async def within() -> None:
        async with printing(muted=muted) as there:
            await work(there)

    asyncio.run(asyncio.wait_for(within(), WAIT))


def test_who_prints_too_much_waits_until_it_is_written_down() -> None:
    async def work(there: Printing) -> None:
        copying = asyncio.create_task(there.reporter.copy("info"))
        printed = idle = 0
        while idle < TURNS:
            count = there.print("\n" * SLICE)
            printed += count
            idle = 0 if count else idle + 1
            await asyncio.sleep(0)
        await there.reporter.write()
        assert len(there.texts) < MAX_COST / LINE + SLICE
        waiting = printed - len(there.texts)
        await there.reporter.finish()
        await there.reporter.write()
        assert len(there.texts) == printed
        assert waiting > SLICE
        copying.cancel()

    tried(work)


def test_what_was_printed_is_taken_however_much_comes_meanwhile() -> None:
    async def work(there: Printing) -> None:
        assert there.print("before\n" * 5000)

        async def print_on() -> None:
            while True:
                there.print("after\n" * 5000)
                await asyncio.sleep(0)

        printing_on = asyncio.create_task(print_on())
        await there.reporter.drain()
        printing_on.cancel()
        await there.reporter.write()
        assert there.texts.count("before") == 5000

    tried(work)


def test_who_prints_too_much_can_go_on_at_once_when_there_is_a_hurry() -> None:
    async def work(there: Printing) -> None:
        copying = asyncio.create_task(there.reporter.copy("info"))
        idle = 0
        while idle < TURNS:
            idle = 0 if there.print("\n" * SLICE) else idle + 1
            await asyncio.sleep(0)
        there.reporter.hurry()
        assert there.print("it is in nobody's way\n")
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert there.print("\n" * CHUNK) > CHUNK - SLICE  # that was taken, too
        copying.cancel()

    tried(work)


def test_messages_wait_for_room_unless_there_is_a_hurry() -> None:
    async def work(there: Printing) -> None:
        async def add() -> None:
            for number in range(3000):
                await there.reporter.add(str(number), "info")

        adding = asyncio.create_task(add())
        for _ in range(3000):
            await asyncio.sleep(0)
        assert not adding.done()
        there.reporter.hurry()
        await adding
        adding = asyncio.create_task(add())
        for _ in range(3000):
            await asyncio.sleep(0)
        assert not adding.done()  # a hurry doesn't last for ever either
        adding.cancel()
        await there.reporter.write()
        assert there.texts[:3000] == [str(number) for number in range(3000)]

    tried(work)


def test_what_is_printed_while_it_is_muted_is_dropped_but_the_beginning_of_a_line() -> None:
    async def work(there: Printing) -> None:
        there.print("again\nand ag")
        await there.reporter.drain()
        there.reporter.unmute()
        there.print("ain, and new\nnew\nwithout an end")
        await there.reporter.add("logged", "info")
        await there.reporter.finish()
        await there.reporter.write()
        assert there.texts == ["logged", "and again, and new", "new", "without an end"]

    tried(work, muted=True)


def test_the_last_words_of_who_dies_while_muted_are_there() -> None:
    async def work(there: Printing) -> None:
        there.print("".join(f"{number}\n" for number in range(2000)) + "dying")
        await there.reporter.finish()
        await there.reporter.write()
        assert there.texts == [*(str(number) for number in range(1901, 2000)), "dying"]

    tried(work, muted=True)


def test_whose_end_is_explained_while_muted_says_only_what_it_raised() -> None:
    async def work(there: Printing) -> None:
        there.print("again\nand ag")
        await there.reporter.finish("Traceback\nValueError", explained=True)
        await there.reporter.write()
        assert there.texts == ["Traceback", "ValueError"]

    tried(work, muted=True)


@pytest.mark.parametrize("muted", [True, False])
def test_the_last_words_of_who_is_to_try_again_are_in_the_servers_log_only(muted: bool) -> None:
    async def work(there: Printing) -> None:
        there.print("a line\nhalf a line")
        with capture_logs() as logged:
            await there.reporter.finish("Traceback\nValueError", final=False)
        await there.reporter.write()
        assert there.texts == ([] if muted else ["a line"])
        said = ["a line"] * muted + ["half a line", "Traceback", "ValueError"]
        assert [(it["event"], it["said"].splitlines()) for it in logged] == [("last_words", said)]

    tried(work, muted=muted)


def test_no_report_is_written_before_the_lines_that_were_printed_before_it() -> None:
    async def work(there: Printing) -> None:
        there.print("a line\n")
        there.slot.write(msgspec.msgpack.encode({"number": 1}))
        await there.reporter.write()  # nobody has read the stream yet
        assert (there.texts, there.progress) == (["a line"], {"number": 1})

    tried(work)


def test_a_report_waits_for_the_lines_that_were_sent_before_it_but_not_for_later_ones() -> None:
    async def work(there: Printing) -> None:
        there.slot.write(msgspec.msgpack.encode({"number": 1}), 2)
        await there.reporter.add("first", "info")
        await there.reporter.add("the worker's own", "warning", sent=False)
        await there.reporter.write()
        assert there.progress is None
        there.slot.write(msgspec.msgpack.encode({"number": 2}), 1000)  # its lines are under way
        await there.reporter.add("second", "info")
        await there.reporter.write()
        assert there.progress == {"number": 1}
        await there.reporter.write()
        assert there.progress == {"number": 1}
        await there.reporter.finish()
        await there.reporter.write()
        assert there.progress == {"number": 2}
        assert there.texts == ["first", "the worker's own", "second"]

    tried(work)

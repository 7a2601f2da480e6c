"""Threads of one group never wait for those of another."""

import asyncio
import threading

from perdure.drivers.threads import COMPUTING, WAITING, Threads


def test_work_that_never_ends_in_other_processes_leaves_computing_and_reading_alone() -> None:
    free = threading.Event()
    busy = threading.Semaphore(0)

    def hang() -> None:
        busy.release()
        free.wait()

    async def work() -> None:
        threads = Threads()
        hanging = [asyncio.create_task(threads.wait(hang)) for _ in range(COMPUTING + 1)]
        for _ in hanging:
            await asyncio.to_thread(busy.acquire)  # so that all of them hang at once
        assert await threads.compute(lambda: 1) == await threads.read(lambda: 1) == 1
        assert await threads.wait(lambda: 2) == 2
        free.set()
        await asyncio.gather(*hanging)

    assert WAITING > COMPUTING + 1
    asyncio.run(work())

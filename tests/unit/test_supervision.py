"""Threads and tasks that others wait for go on after whatever happens to them."""

import asyncio
import threading

import pytest
import structlog

import perdure.supervision
from perdure.supervision import keep_going, start_thread

WAIT = 240.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perdure.supervision, "PAUSE", 0.001)


@pytest.mark.parametrize("error", [MemoryError(), ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_a_thread_works_on_after_an_error_and_is_told_of_it(error: BaseException) -> None:
    told: list[BaseException | None] = []

    def work(failure: BaseException | None) -> None:
        told.append(failure)
        if len(told) < 4:
            raise error

    thread = start_thread("worker", work)
    thread.join(WAIT)
    assert not thread.is_alive()
    assert told == [None, error, error, error]
    assert threading.current_thread() is not thread


def test_a_task_goes_on_after_an_error_until_it_returns() -> None:
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise MemoryError

    asyncio.run(keep_going("task", work))
    assert calls == 4


def test_a_task_that_is_cancelled_ends() -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def work() -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(keep_going("task", work))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_failures_are_logged_with_the_name_of_what_failed() -> None:
    failed = False

    def work(failure: BaseException | None) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise ValueError

    with structlog.testing.capture_logs() as entries:
        start_thread("worker", work).join(WAIT)
    assert [(entry["event"], entry["thread"]) for entry in entries] == [("thread_failed", "worker")]

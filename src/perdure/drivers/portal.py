"""The portal: an event loop in a thread of its own, by which blocking callers use what is async."""

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import TypeVar

import anyio
from anyio.from_thread import BlockingPortal

__all__ = ["Portal"]

T = TypeVar("T")


class Portal:
    """Runs async functions for threads that block; who makes it closes it.

    Its threads are daemons, so that a program that ends without closing it isn't kept from ending.

    Examples
    --------
    >>> async def answer(number: int) -> int:
    ...     return number + 1
    >>> with Portal() as portal:
    ...     portal.call(answer, 41)
    42
    """

    def __init__(self) -> None:
        self._resources = ExitStack()
        self._started: Future[BlockingPortal] = Future()
        self._thread = threading.Thread(target=self._work, name="perdure-portal", daemon=True)
        self._thread.start()
        self._portal = self._started.result()

    def __enter__(self) -> "Portal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Do async work and return what it returns."""
        return self._portal.call(work, *arguments)

    def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Enter an async context that is left when the portal closes."""
        return self._resources.enter_context(self._portal.wrap_async_context_manager(resource))

    def close(self) -> None:
        """Leave what was entered, then end the loop and its thread; harmless when done twice."""
        self._resources.close()
        if self._thread.is_alive():
            self._portal.call(self._portal.stop)
            self._thread.join()

    def _work(self) -> None:
        try:
            anyio.run(self._run)
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)  # the maker of the portal waits for it

    async def _run(self) -> None:
        async with BlockingPortal() as portal:
            self._started.set_result(portal)
            await portal.sleep_until_stopped()

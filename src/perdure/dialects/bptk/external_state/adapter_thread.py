"""The adapter's thread: makes all calls of an adapter, one after the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from perdure.dialects.bptk.external_state.adapter import ExternalStateAdapter
from perdure.errors import ExternalStateLocked, ExternalStateUnavailable

__all__ = ["AdapterThread"]

LOCK_SECONDS = 30.0  # limit of waiting for the lock of another server
POLL_SECONDS = (0.002, 0.05)  # shortest and longest interval between two tries

T = TypeVar("T")


class AdapterThread:
    """Calls an adapter, which it opens before the first call.

    Parameters
    ----------
    adapter
        The adapter.
    shared
        Whether other servers use the same storage.
    """

    def __init__(self, adapter: ExternalStateAdapter, *, shared: bool) -> None:
        self._shared = shared
        self._adapter = adapter
        self._opened = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="external-state")

    async def call(self, work: Callable[[], T]) -> T:
        """Run a function in the thread.

        Raises
        ------
        ExternalStateLocked
            If another server uses the storage, or the instance.
        ExternalStateUnavailable
            If the function raised anything else.
        """

        def call() -> T:
            if not self._opened:
                self._adapter._open(self._shared)
                self._opened = True
            return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except (ExternalStateLocked, ExternalStateUnavailable):
            raise
        except Exception as error:  # an adapter is the user's code
            raise ExternalStateUnavailable(reason=str(error) or type(error).__name__) from error

    @asynccontextmanager
    async def lock(self, instance_id: str) -> AsyncIterator[None]:
        """Lock an instance against other servers.

        Raise `ExternalStateLocked` if it stays locked for too long.

        The work under the lock is always completed.
        """
        if not self._shared:
            yield
            return
        held: list[Callable[[], None]] = []

        def take() -> None:
            held.append(self._adapter._lock_instance(instance_id))

        def let_go() -> None:
            while held:
                held.pop()()

        loop = asyncio.get_running_loop()
        pause, longest = POLL_SECONDS
        until = loop.time() + LOCK_SECONDS
        try:
            while not held:
                try:
                    await self.call(take)
                except ExternalStateLocked:
                    if loop.time() > until:
                        raise
                    # The thread must not wait: the lock's holder may wait for this thread.
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, longest)
            yield
        finally:
            await self.call(let_go)

    async def aclose(self) -> None:
        """Close the adapter and end the thread."""
        if self._opened:
            with suppress(ExternalStateUnavailable):
                await self.call(self._adapter._close)
        self._thread.shutdown()

"""The adapter's thread: the one thread on which all calls of an adapter are made, one after the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from perdure.dialects.bptk.external_state.adapter import ExternalStateAdapter
from perdure.errors import ExternalStateLocked, ExternalStateUnavailable

__all__ = ["AdapterThread"]

LOCK_SECONDS = 30.0  # how long a request waits for another server's
POLL_SECONDS = (0.002, 0.05)  # from, to: how often it looks

T = TypeVar("T")


class AdapterThread:
    """Calls an adapter, which it opens before the first call.

    Parameters
    ----------
    adapter
        What is called.
    shared
        Whether other servers use the same storage.
    """

    def __init__(self, adapter: ExternalStateAdapter, *, shared: bool) -> None:
        self.shared = shared
        self._adapter = adapter
        self._opened = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="external-state")

    async def call(self, work: Callable[[], T]) -> T:
        """Do work on the thread.

        Raises
        ------
        ExternalStateLocked
            If another server uses the storage, or the instance.
        ExternalStateUnavailable
            If the work raised anything else.
        """

        def call() -> T:
            if not self._opened:
                self._adapter._open(self.shared)
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
        """Keep other servers off an instance; raise `ExternalStateLocked` if one stays for too long.

        The work under it is always done to its end.
        """
        if not self.shared:
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
                    # The thread must not wait: whoever holds the lock may be waiting for this one in turn.
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, longest)
            yield
        finally:
            await self.call(let_go)

    async def aclose(self) -> None:
        """Let go of the adapter and end the thread."""
        if self._opened:
            with suppress(ExternalStateUnavailable):
                await self.call(self._adapter._close)
        self._thread.shutdown()

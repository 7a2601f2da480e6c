"""The sweeper: expires in the background the instances that nobody asks for.

What is due is known from the registry. Of instances elsewhere that is as old as the adapter's last list,
which is asked for now and then; whether their time is up is told when they are loaded. One that can't be
expired is tried again ever more rarely.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from perdure.dialects.bptk.registry import Registry
from perdure.errors import PerdureError
from perdure.supervision import keep_going

__all__ = ["Sweeper"]

SWEEP_SECONDS = 1.0
LIST_SECONDS = 300.0  # between two lists, at least
LIST_SHARE = 100.0  # and so many times as long as the last one took
RETRY_SECONDS = (1.0, 64.0)  # after the first failure, and at most

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Failure:
    """When an instance that couldn't be expired is tried again, and how long after the last time."""

    again: float
    pause: float


class Sweeper:
    """Sweeps the instances of a registry.

    Parameters
    ----------
    registry
        What knows when they are due.
    expire
        Removes an instance whose time is up.
    refresh
        Lets the registry learn what only the adapter holds.
    clock
        Returns seconds that only grow.
    """

    def __init__(
        self,
        registry: Registry,
        expire: Callable[[str], Awaitable[None]],
        refresh: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._expire = expire
        self._refresh = refresh
        self._clock = clock
        self._failures: dict[str, _Failure] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep on and on."""
        self._task = asyncio.create_task(keep_going("sweeper", self._sweep_on_and_on))

    async def aclose(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def sweep(self) -> None:
        """Expire every instance that is due, but for those that failed a moment ago."""
        now = self._clock()
        due = self._registry.due(now)
        self._failures = {name: self._failures[name] for name in due if name in self._failures}
        for instance_id in due:
            failure = self._failures.get(instance_id)
            if failure is not None and now < failure.again:
                continue
            try:
                await self._expire(instance_id)
            except PerdureError as error:
                first, longest = RETRY_SECONDS
                pause = first if failure is None else min(2 * failure.pause, longest)
                self._failures[instance_id] = _Failure(now + pause, pause)
                log.error(
                    "instance_not_expired", instance=instance_id, reason=str(error), again_in_seconds=pause
                )

    async def refresh(self) -> None:
        """Let the registry learn what only the adapter holds; a failure is logged."""
        try:
            await self._refresh()
        except PerdureError as error:
            log.warning("external_state_not_listed", reason=str(error))

    async def _sweep_on_and_on(self) -> None:
        loop = asyncio.get_running_loop()
        next_list = loop.time() + LIST_SECONDS
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                if (began := loop.time()) >= next_list:
                    await self.refresh()
                    next_list = loop.time() + max(LIST_SECONDS, LIST_SHARE * (loop.time() - began))
                await self.sweep()
            except Exception:  # whatever it is, the others are to be expired in time
                log.exception("sweep_failed")

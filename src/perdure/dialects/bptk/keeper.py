"""The keeper: instances under their locks, agreed with the adapter, until they are stopped or time out.

Everything an instance is asked for happens under its lock and to its end, also when the client goes away.
With a mirror, memory and adapter agree whenever the lock is free: an instance is saved before its answer goes
out, and if that fails, memory is put back to what the adapter holds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar

import structlog

from perdure.clock import SteadyClock
from perdure.dialects.bptk.external_state.mirror import Mirror
from perdure.dialects.bptk.instances import Instance
from perdure.dialects.bptk.registry import Registry
from perdure.dialects.bptk.sweeper import Sweeper
from perdure.drivers.locks import Locks
from perdure.drivers.requests import Owner
from perdure.drivers.sessions import Sessions
from perdure.errors import InstanceNotFound, PerdureError, RunNotFound, TriggerRefused
from perdure.lifecycle import Outcome
from perdure.observability import Metrics

__all__ = ["Keeper"]

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Keeper:
    """Keeps the instances of one server.

    Parameters
    ----------
    sessions
        The driver of their sessions; its store keeps their records.
    metrics
        Where instances are counted.
    mirror
        Where instances are written through to; None leaves them in the store alone.
    externalize
        Leave nothing in memory between requests; with a mirror only.
    keep_runs
        Whether the run of a session that has ended stays readable; if not, it is forgotten.
    clock
        What timeouts are measured by.
    """

    def __init__(
        self,
        sessions: Sessions,
        metrics: Metrics,
        *,
        mirror: Mirror | None,
        externalize: bool,
        keep_runs: bool,
        clock: SteadyClock,
    ) -> None:
        self.registry = Registry(sessions.store, clock)
        self.mirror = mirror
        self.clock = clock
        self._sessions = sessions
        metrics.bptk_instances.set_function(lambda: len(self.registry))
        self._externalize = externalize and mirror is not None
        self._keep_runs = keep_runs
        self._locks = Locks()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listed = False
        self._sweeper = Sweeper(self.registry, self._expire, self._list, clock)

    async def open(self) -> None:
        """Learn which instances there are, and begin to watch their timeouts."""
        if self.mirror is not None:
            self._listed = bool(await self.registry.learn(self.mirror.start))
        await asyncio.to_thread(self.registry.read_all)
        self._sweeper.start()

    async def aclose(self) -> None:
        """End what watches timeouts, and wait for what is under way; closes the mirror too."""
        await self._sweeper.aclose()
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self.mirror is not None:
            await self.mirror.aclose()

    # Asking for an instance ---------------------------------------------------------------------------------

    async def on(
        self,
        owner: Owner,
        instance_id: str,
        work: Callable[[Instance], Awaitable[T]],
        *,
        touch: bool = True,
    ) -> T:
        """Do work on an instance under its lock; `InstanceNotFound` if there is none.

        Parameters
        ----------
        touch
            Whether its timeout begins anew.
        """

        async def found() -> T:
            async with self.held(instance_id):
                instance = await self.find(owner, instance_id)
                if not touch:
                    return await work(instance)
                try:
                    return await work(self.registry.touch(instance))
                finally:
                    await self._touched(instance_id)

        return await self.uninterrupted(found())

    @asynccontextmanager
    async def held(self, instance_id: str) -> AsyncIterator[None]:
        """Hold an instance's lock, across processes where the adapter can, and forget the instance after."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._locks.hold(instance_id))
            if self.mirror is not None:
                await stack.enter_async_context(self.mirror.lock(instance_id))
            try:
                yield
            finally:
                kept = self.registry.get(instance_id)
                if self._externalize and self.mirror is not None and kept is not None:
                    await self.mirror.forget(kept)
                    self.registry.leave(instance_id)

    async def uninterrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work to its end, also when whoever asked for it goes away meanwhile."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    # Changing it, under its lock ----------------------------------------------------------------------------

    async def keep(self, instance: Instance) -> None:
        """Keep a changed instance, in the store and outside; durable when it returns."""
        await self.registry.put(instance)
        await self.save(instance)

    async def save(self, instance: Instance) -> None:
        """Write an instance through; if that fails, memory is what the mirror has put back."""
        if self.mirror is not None:
            try:
                await self.mirror.save(self.registry.by_wall(instance))
            finally:
                self.registry.read(instance.id)

    async def end_run(self, instance: Instance, outcome: Outcome, reason: str) -> None:
        """End the run of an instance's session, if it has one."""
        if instance.run is None:
            return
        with suppress(RunNotFound, TriggerRefused):
            if self._keep_runs:
                await self._sessions.stop(instance.owner, instance.run, outcome, reason)
            else:
                await self._sessions.delete(instance.owner, instance.run)

    async def remove(self, instance_id: str, outcome: Outcome, reason: str) -> None:
        """Forget an instance, first where it is held outside: what fails there has changed nothing."""
        if self.mirror is not None:
            await self.mirror.delete(instance_id)
        instance = self.registry.get(instance_id)
        if instance is not None:
            await self.end_run(instance, outcome, reason)
        await self.registry.remove(instance_id)

    # All of them --------------------------------------------------------------------------------------------

    async def save_all(self, instances: Sequence[Instance]) -> None:
        """Write instances through at once, those that are still there."""
        mirror = self.mirror
        if mirror is None:
            return

        async def save() -> None:
            async with AsyncExitStack() as stack:
                for instance_id in sorted(instance.id for instance in instances):
                    await stack.enter_async_context(self.held(instance_id))
                found = [self.registry.get(one.id) for one in instances]
                present = [self.registry.by_wall(kept) for kept in found if kept is not None]
                await mirror.save_all(present)

        await self.uninterrupted(save())

    async def load_all(self) -> None:
        """Bring in all instances that the adapter holds; those in memory agree with it already.

        If nothing is to stay in memory, they are read and forgotten again: another server may step an
        instance as soon as its lock is free, so each request loads its own, under the lock.
        """
        mirror = self.mirror
        if mirror is None:
            return
        if self._externalize:
            await self.registry.learn(lambda: mirror.survey(check=True))
            return
        for instance in await mirror.load_all():
            async with self.held(instance.id):
                self.registry.read(instance.id)

    async def find(self, owner: Owner, instance_id: str) -> Instance:
        """Return an instance whose lock is held; `InstanceNotFound` if there is none, or its time is up."""
        instance = self.registry.get(instance_id)
        if instance is None and self.mirror is not None:
            await self.mirror.load(instance_id)
            instance = self.registry.read(instance_id)
        if instance is None or (owner is not None and instance.owner != owner):
            raise InstanceNotFound
        if self.registry.expired(instance_id):
            await self.remove(instance_id, Outcome.EXPIRED, "its instance timed out")
            raise InstanceNotFound
        return instance

    async def _touched(self, instance_id: str) -> None:
        """Let the timeout begin anew when the work is done, and write that now and then, outside too."""
        kept = self.registry.get(instance_id)
        if kept is None:
            return
        kept = self.registry.touch(kept)
        if self.registry.stale(kept):
            try:
                await self.keep(kept)
            except PerdureError as error:  # the work is done and saved; only its time isn't
                log.warning("instance_not_touched", instance=instance_id, reason=str(error))

    async def _expire(self, instance_id: str) -> None:
        """Remove an instance if its time is up, which may be told only when it is loaded."""
        with suppress(InstanceNotFound):
            await self.on(None, instance_id, _nothing, touch=False)  # looking it up removes it

    async def _list(self) -> None:
        """Learn of the instances that only the adapter holds.

        Whoever has the storage for himself knows them all as soon as the adapter could list any.
        """
        mirror = self.mirror
        if mirror is not None and (self._externalize or not self._listed):
            self._listed = bool(await self.registry.learn(lambda: mirror.survey(check=False)))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("request_failed", error=str(error))  # whoever asked for it may be gone


async def _nothing(instance: Instance) -> None:
    """Do nothing with an instance."""

"""The instances: started, used, changed and expired, each under its lock.

They are documents of the store, so that all servers on the store see every change. A server remembers a copy
of an instance, which a commit checks: the transaction of a step records the use of the instance, and is
refused if another server has changed it. An instance is expired by compare-and-set on the stamp of its last
use. Every operation is completed, even if the client disconnects.

If another server has changed an instance in the adapter of external state meanwhile, it is loaded again, and
the work on it is repeated.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar

import structlog
from msgspec.structs import replace

from perdure.clock import SteadyClock
from perdure.dialects.bptk.expiry import Expiry
from perdure.dialects.bptk.external_state.mirror import Mirror
from perdure.dialects.bptk.instance import DIALECT, Instance, keyed_instance_id, new_instance_id
from perdure.dialects.bptk.mirrored_rows import MirroredRows
from perdure.dialects.bptk.rows import InstanceRows
from perdure.dialects.bptk.watch import Kept
from perdure.drivers.locks import RunLocks
from perdure.drivers.session_requests import Answer, Owner
from perdure.drivers.sessions import Sessions
from perdure.drivers.uninterrupted import Uninterrupted, uninterrupted
from perdure.errors import (
    ExternalStateChanged,
    ExternalStateLocked,
    ExternalStateUnavailable,
    InstanceNotFound,
    KeyReused,
    PerdureError,
    RunNotFound,
    TriggerRefused,
    VersionConflict,
)
from perdure.lifecycle import Outcome, RunStatus
from perdure.observability import Metrics
from perdure.run import Change, Key
from perdure.stores.commands import Touch, Use

__all__ = ["Instances", "Take"]

MAX_OVERTAKEN = 50  # further attempts, if other servers change the same instances meanwhile
OVERTAKEN_MILLISECONDS = 20  # limit of the random pause after the first attempt; it grows with their number

T = TypeVar("T")

Take = Callable[[Instance, Callable[[], Touch]], Awaitable[Answer | None]]
"""Takes steps of an instance; each step's commit includes the `Touch` that the function returns."""

log = structlog.get_logger(__name__)


class Instances:
    """The instances that one server serves.

    Parameters
    ----------
    sessions
        The driver of their sessions; its store keeps their documents.
    metrics
        Where they are counted.
    limit
        Limit of instances for each owner.
    mirror
        Writes instances through to an adapter; None keeps them only in the store.
    keep_runs
        Whether the runs of ended sessions stay readable; otherwise they are deleted.
    clock
        The clock for timeouts.
    """

    def __init__(
        self,
        sessions: Sessions,
        metrics: Metrics,
        *,
        limit: int,
        mirror: Mirror | None,
        keep_runs: bool,
        clock: SteadyClock,
    ) -> None:
        self._sessions = sessions
        self._limit = limit
        self._keep_runs = keep_runs
        self._clock = clock
        self._rows = InstanceRows(sessions.store, clock, limit=limit, mirrored=mirror is not None)
        self._copies = MirroredRows(self._rows, mirror)
        self._locks = RunLocks()
        self._uninterrupted = Uninterrupted()
        self._expiry = Expiry(self.sweep, self._rows.look, self._copies.look_elsewhere)
        metrics.bptk_instances.set_function(lambda: len(self._rows.watch))

    async def open(self) -> None:
        """Read which instances exist, and start the background task for timeouts."""
        try:
            await self._copies.open()
            await self.load_all(reread=False)
        except ExternalStateLocked:
            raise
        except ExternalStateUnavailable as error:  # each is loaded on request
            log.warning("external_state_not_listed", reason=str(error))
        await self._rows.adopt()
        await self._rows.look()
        self._expiry.start()

    async def aclose(self) -> None:
        """Stop the background task, and wait for pending work; also closes the mirror."""
        await self._expiry.aclose()
        await self._uninterrupted.wait()
        if self._copies.mirrored:
            await self._copies.aclose()
            return

        async def write(instance_id: str) -> None:
            seen = self._rows.watch.get(instance_id)
            with suppress(PerdureError):
                await self._rows.note(instance_id, None if seen is None else seen.until - seen.use.lasts)

        # Concurrently, so that the store commits many together: the time to stop is limited.
        await asyncio.gather(*(write(it) for it in self._rows.watch.unwritten()))

    # Using one ----------------------------------------------------------------------------------------------

    @uninterrupted
    async def on(
        self, owner: Owner, instance_id: str, work: Callable[[Instance], Awaitable[T]], *, touch: bool = True
    ) -> T:
        """Work on an instance under its lock; raise `InstanceNotFound` if there is none.

        The work is repeated if another server has changed the instance in the adapter meanwhile.

        Parameters
        ----------
        touch
            Whether to restart its timeout.
        """

        async def found() -> T:
            began, kept = self._clock(), await self._find(owner, instance_id)
            try:
                return await work(kept.instance)
            finally:
                if touch:
                    await self._touched(instance_id, began)

        return await self._repeated(instance_id, found)

    @uninterrupted
    async def advance(self, owner: Owner, instance_id: str, take: Take) -> Answer | None:
        """Take steps of an instance under its lock; raise `InstanceNotFound` if there is none.

        Uses the copy that this server remembers, if there is one. A result without a commit is only used if
        the document is unchanged; otherwise the steps are taken again.
        """

        async def advanced() -> Answer | None:
            began, kept = self._clock(), self._rows.remembered(owner, instance_id)
            while True:
                kept = kept or await self._find(owner, instance_id)
                answer, failure, use = await self._taken(kept, take)
                if use is not None:
                    self._rows.watch.used(instance_id, use)
                    await self._copies.save(kept.instance, use)
                elif (now := await self._find(owner, instance_id)).version != kept.version:
                    kept = now
                    continue
                else:
                    await self._touched(instance_id, began)
                if failure is not None:
                    raise failure
                return answer

        return await self._repeated(instance_id, advanced)

    async def own(self, owner: Owner) -> list[Instance]:
        """Return an owner's instances that are in the store and haven't timed out."""
        return await self._rows.own(owner)

    async def get(self, instance_id: str) -> Instance | None:
        """Return an instance from the store, or None."""
        kept = await self._rows.read(instance_id)
        return None if kept is None else kept.instance

    @asynccontextmanager
    async def held(self, *ids: str) -> AsyncIterator[None]:
        """Hold the locks of instances, also against other servers if the adapter supports that."""
        if not self._copies.mirrored and len(ids) == 1:  # the fast path of steps
            async with self._locks.hold(ids[0]):
                yield
            return
        async with AsyncExitStack() as stack:
            for instance_id in sorted(ids):
                await stack.enter_async_context(self._locks.hold(instance_id))
                await self._copies.hold(instance_id, stack)
            yield

    # Starting and ending ------------------------------------------------------------------------------------

    @uninterrupted
    async def start(
        self, owner: str, number: int, lasting: Mapping[str, int | float], key: Key | None
    ) -> list[str]:
        """Start instances within their owner's limit, only once for a key; see `InstanceSessions.start`."""
        if number > self._limit:
            self._rows.owner_limit(owner).check(len(await self._rows.own(owner)), number)
        if key is None:
            ids = [new_instance_id() for _ in range(number)]
        else:
            ids = [keyed_instance_id(owner, key.text, ordinal) for ordinal in range(number)]
        async with self.held(*ids):
            for overtaken in range(MAX_OVERTAKEN + 1):
                missing = [it for it in ids if key is None or not await self._is_started(it, key)]
                try:
                    await self._add(owner, missing, lasting, key)
                    break
                except (VersionConflict, ExternalStateChanged):  # another server has started one of them
                    if overtaken == MAX_OVERTAKEN:
                        raise
        return ids

    @uninterrupted
    async def stop(self, owner: Owner, instance_id: str, reason: str) -> bool:
        """Delete an instance and end its session; returns False if it belongs to another owner."""
        async with self.held(instance_id):
            kept = await self._rows.read(instance_id)
            known = self._rows.damaged(instance_id) if kept is None else kept.instance
            if known is not None and owner is not None and known.owner != owner:
                return False
            return await self._remove(instance_id, Outcome.TERMINATED, reason)

    async def sweep(self) -> None:
        """Expire instances; some must be loaded first to know whether they have expired."""
        for instance_id in self._rows.watch.due():
            try:
                if instance_id not in self._locks:  # the lookup expires it
                    await self.on(None, instance_id, _nothing, touch=False)
            except InstanceNotFound:
                continue
            except PerdureError as error:
                log.error(
                    "instance_not_expired",
                    instance=instance_id,
                    reason=str(error),
                    again_in_seconds=self._rows.watch.fail(instance_id),
                )

    # Changing one, under its lock ---------------------------------------------------------------------------

    async def change(self, instance_id: str, run: str | None) -> Instance:
        """Set an instance's run, durably, and return the former instance.

        Raise `InstanceNotFound` if it is gone.
        """
        while (kept := await self._rows.read(instance_id)) is not None:
            changed = replace(kept.instance, run=run, accessed=self._clock.wall())
            with suppress(VersionConflict):  # another server has changed it
                use = await self._rows.put(changed, kept.version)
                self._rows.watch.used(instance_id, use)
                await self._copies.save(changed, use, kept.instance)
                return kept.instance
        raise InstanceNotFound

    async def keep_alive(self, instance: Instance) -> None:
        """Restart an instance's timeout, durably."""
        await self._copies.note(instance.id)

    async def end_run(self, instance: Instance, outcome: Outcome, reason: str) -> None:
        """End the run of an instance's session, if it has one."""
        if instance.run is not None:
            with suppress(RunNotFound, TriggerRefused):
                if self._keep_runs:
                    await self._sessions.stop(instance.owner, instance.run, outcome, reason)
                else:
                    await self._sessions.delete(instance.owner, instance.run)

    # All of them --------------------------------------------------------------------------------------------

    @uninterrupted
    async def save_all(self, instances: Iterable[Instance]) -> None:
        """Write existing instances through to the adapter, concurrently."""
        if self._copies.mirrored:
            ids = [instance.id for instance in instances]
            async with self.held(*ids):
                found = [await self.get(instance_id) for instance_id in ids]
                await self._copies.save_all([instance for instance in found if instance is not None])

    @uninterrupted
    async def load_all(self, *, reread: bool = True) -> None:
        """Load all instances of the adapter; those in the store are up to date already.

        If nothing is to stay in the store, they are only checked: another server may step an instance as soon
        as its lock is free, so that each request loads its own, under the lock.

        Parameters
        ----------
        reread
            Whether a request may have changed an instance since it was listed.
        """
        if self._copies.externalized:
            await self._copies.look_elsewhere(check=True)
        elif self._copies.mirrored:
            for instance_id, held in (await self._copies.listed()).items():
                async with self.held(instance_id):
                    await self._copies.load_listed(instance_id, None if reread else held)

    # The work, under the lock -------------------------------------------------------------------------------

    async def _find(self, owner: Owner, instance_id: str) -> Kept:
        """Return an instance from the store or the adapter; raise `InstanceNotFound` if it has expired."""
        while True:
            kept = await self._rows.read(instance_id)
            if kept is None and self._copies.mirrored:
                await self._copies.load(instance_id)
                kept = await self._rows.read(instance_id)
            if kept is None:
                if self._rows.damaged(instance_id) is None:
                    self._rows.watch.forget(instance_id)
                elif self._rows.timed_out(instance_id):
                    await self._remove(instance_id, Outcome.EXPIRED, "its instance timed out")
                raise InstanceNotFound
            if owner is not None and kept.instance.owner != owner:
                raise InstanceNotFound
            if not self._rows.timed_out(instance_id):
                return kept
            if await self._remove(instance_id, Outcome.EXPIRED, "its instance timed out"):
                raise InstanceNotFound

    async def _repeated(self, instance_id: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do work under an instance's lock until no other server changes it in the adapter meanwhile."""
        async with self.held(instance_id):
            for attempt in range(MAX_OVERTAKEN):
                try:
                    return await work()
                except ExternalStateChanged:  # it is dropped, so that the work loads it again
                    longest = OVERTAKEN_MILLISECONDS * min(attempt + 1, 10)
                    await asyncio.sleep(secrets.randbelow(longest) / 1000)
            return await work()

    async def _taken(self, kept: Kept, take: Take) -> tuple[Answer | None, PerdureError | None, Use | None]:
        """Take steps; return the answer or the error, and the last use that was committed with a step."""
        instance = kept.instance
        use = self._rows.use(instance)

        def touch() -> Touch:
            nonlocal use
            use = self._rows.use(instance, self._clock.wall(), use.lasts)
            return Touch(DIALECT, instance.id, kept.version, use.stamp, use.accessed)

        try:
            answer = await take(instance, touch)
        except PerdureError as error:
            return None, error, use if error.values.get("steps_taken") else None
        return answer, None, None if answer is None or answer.replayed else use

    async def _touched(self, instance_id: str, began: float) -> None:
        """Restart the timeout after the work, and store that from time to time, also in the adapter."""
        if self._rows.watch.renew(instance_id, began):
            try:
                await self._copies.note(instance_id)
            except PerdureError as error:  # the work is saved; only its time isn't
                log.warning("instance_not_touched", instance=instance_id, reason=str(error))

    async def _is_started(self, instance_id: str, key: Key) -> bool:
        """Return whether an instance was started with a key before; if so, restart its timeout."""
        try:
            found = await self._find(None, instance_id)
        except InstanceNotFound:
            return False
        if found.instance.started != key.body_hash:
            raise KeyReused(key=key.text)
        await self.keep_alive(found.instance)
        return True

    async def _add(
        self, owner: str, ids: list[str], lasting: Mapping[str, int | float], key: Key | None
    ) -> None:
        """Add new instances to the store, all or none, and then to the adapter, one after the other."""
        made = Instance(id="", owner=owner, timeout=dict(lasting), accessed=self._clock.wall())
        new = [replace(made, id=it, started=None if key is None else key.body_hash) for it in ids]
        await self._rows.add(new)
        for number, instance in enumerate(new):
            try:
                await self._copies.save(instance, self._rows.use(instance))
            except PerdureError:
                for other in new[number:]:
                    await self._copies.drop(other.id)
                    self._rows.watch.forget(other.id)
                for other in new[:number] if key is None else ():
                    with suppress(PerdureError):
                        await self._remove(other.id, Outcome.TERMINATED, "another could not be started")
                raise

    async def _remove(self, instance_id: str, outcome: Outcome, reason: str) -> bool:
        """Delete an instance, first in the adapter, so that a failure there changes nothing.

        An instance that is to expire but was used at another server meanwhile stays; then this returns False.
        """
        change = Change(state=RunStatus.STOPPED, outcome=outcome, reason=reason)
        expires = outcome == Outcome.EXPIRED
        if not await self._copies.delete_copy(instance_id, expired=expires):
            return False
        while (kept := await self._rows.read(instance_id)) is not None:
            if expires and not self._rows.timed_out(instance_id):
                return False
            run = kept.instance.run if self._keep_runs else None
            if await self._rows.forget(kept, run, change, unused=expires):
                await self.end_run(kept.instance, outcome, reason)
                break
        else:
            if not await self._rows.forget_damaged(instance_id, unused=expires):
                return False
        self._rows.watch.forget(instance_id)
        return True


async def _nothing(instance: Instance) -> None:
    """Do nothing with an instance."""

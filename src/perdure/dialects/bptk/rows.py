"""The rows: instances as documents of the store, and what this server knows about their uses."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import TypeVar

import structlog

from perdure.clock import SteadyClock
from perdure.dialects.bptk.instance import DIALECT, Instance
from perdure.dialects.bptk.timeouts import lasts
from perdure.dialects.bptk.watch import Kept, Watch
from perdure.drivers.session_requests import Owner
from perdure.errors import Damaged, InstanceNotFound, VersionConflict
from perdure.run import Change
from perdure.stores.base import Store
from perdure.stores.commands import (
    AddDocuments,
    Command,
    DeleteDocument,
    Document,
    ForgetDocument,
    OwnerLimit,
    PutDocument,
    Touch,
    Use,
)

__all__ = ["InstanceRows"]

T = TypeVar("T")

log = structlog.get_logger(__name__)


class InstanceRows:
    """The instances in a store. The caller holds the lock of an instance to change it.

    Parameters
    ----------
    store
        The store of their documents.
    clock
        The clock for timeouts.
    limit
        Limit of instances for each owner.
    mirrored
        Whether an adapter holds them too. It stores only the time of a use, so that this is used as the
        stamp.

    Attributes
    ----------
    watch
        When each times out.
    """

    def __init__(self, store: Store, clock: SteadyClock, *, limit: int, mirrored: bool) -> None:
        self._store = store
        self._clock = clock
        self._limit = limit
        self._mirrored = mirrored
        self._stamps = count(secrets.randbits(62))
        self.watch = Watch(clock, mirrored=mirrored)

    # Reading ------------------------------------------------------------------------------------------------

    async def read(self, instance_id: str) -> Kept | None:
        """Return an instance from the store; None if it isn't there or can't be read."""
        try:
            document = await asyncio.to_thread(self._store.document, DIALECT, instance_id)
            if document is None:
                return None
            kept = Kept(Instance.of(document), document.version)
        except Damaged as error:
            log.error("instance_damaged", instance=instance_id, reason=str(error))
            if (known := self.watch.get(instance_id)) is not None:
                known.damaged = True
            return None
        seen = self.watch.see(instance_id, document.use or self.use(kept.instance))
        seen.kept, seen.damaged = kept, False
        return kept

    def remembered(self, owner: Owner, instance_id: str) -> Kept | None:
        """Return an instance as this server last saw it in the store; None if it must be read."""
        seen = self.watch.get(instance_id)
        if seen is None or seen.kept is None or self.timed_out(instance_id):
            return None
        return seen.kept if owner is None or seen.kept.instance.owner == owner else None

    def damaged(self, instance_id: str) -> Use | None:
        """Return the last use of an instance in the store that can't be read; None for any other."""
        seen = self.watch.get(instance_id)
        return seen.use if seen is not None and seen.damaged else None

    def timed_out(self, instance_id: str) -> bool:
        """Return whether an instance has expired, as far as this server knows."""
        seen = self.watch.get(instance_id)
        return seen is not None and self._clock() >= seen.until

    async def own(self, owner: Owner) -> list[Instance]:
        """Return an owner's instances that are in the store and haven't timed out."""
        found = []
        for document in await asyncio.to_thread(self._store.documents, DIALECT, owner=owner):
            seen = self.watch.get(document.id)
            if seen is None or self._clock() < seen.until or document.use != seen.use:
                with suppress(Damaged):
                    found.append(Instance.of(document))
        return found

    async def look(self) -> None:
        """Read the uses of the instances in the store."""

        async def uses() -> Mapping[str, Use]:
            return await asyncio.to_thread(self._store.uses, DIALECT)

        await self.watch.learn(uses, here=True)

    def owner_limit(self, owner: str) -> OwnerLimit:
        """Return the limit of an owner's instances, without those that have timed out."""
        return OwnerLimit(
            maximum=self._limit,
            what="instances",
            setting="PERDURE_MAX_INSTANCES",
            idle=self.watch.idle(owner),
            elsewhere=self.watch.elsewhere(owner),
        )

    # Changing -----------------------------------------------------------------------------------------------

    async def adopt(self) -> None:
        """Add a use to documents of a former schema, which had none."""

        async def adopted(document: Document) -> None:
            with suppress(Damaged, VersionConflict):
                await self.put(Instance.of(document), document.version)

        documents = await asyncio.to_thread(self._store.documents, DIALECT)
        await asyncio.gather(*(adopted(it) for it in documents if it.use is None))

    async def add(self, instances: Sequence[Instance]) -> None:
        """Add new instances of one owner, all or none; raise `VersionConflict` if one exists."""
        if instances:
            use = self.use(instances[0])
            added = [(instance.id, instance.to_blob()) for instance in instances]
            add = AddDocuments(DIALECT, added, use, self.owner_limit(use.owner))
            documents = await self._submit(add)
            for instance, document in zip(instances, documents, strict=True):
                self.watch.used(instance.id, use).kept = Kept(instance, document.version)

    async def put(self, instance: Instance, version: int | None, noted: float | None = None) -> Use:
        """Store an instance with a use at its time; raise `VersionConflict` if another server has changed it.

        Parameters
        ----------
        noted
            The time in the adapter, if the instance was loaded from it.
        """
        use = self.use(instance, noted=noted)
        document = await self._submit(PutDocument(DIALECT, instance.id, instance.to_blob(), version, use))
        self.watch.see(instance.id, use).kept = Kept(instance, document.version)
        return use

    async def note(self, instance_id: str, at: float | None = None) -> tuple[Instance, Use]:
        """Store that an instance was used at a time of the clock, by default now; return it and the use."""
        seen = self.watch.get(instance_id)
        kept = None if seen is None else seen.kept
        while kept is not None:
            instance, version = kept
            use = self.use(instance, self._clock.wall() if at is None else self._clock.to_wall(at))
            try:
                await self._submit(Touch(DIALECT, instance_id, version, use.stamp, use.accessed))
            except VersionConflict:  # another server has changed it
                kept = await self.read(instance_id)
            else:
                self.watch.used(instance_id, use)
                return instance, use
        raise InstanceNotFound

    async def forget(self, kept: Kept, run: str | None, change: Change, *, unused: bool) -> bool:
        """Delete an unchanged instance, and change its run; return whether that was done.

        Parameters
        ----------
        unused
            Whether nobody may have used it since it was read.
        """
        seen = self.watch.get(kept.instance.id)
        stamp = seen.use.stamp if unused and seen is not None else None
        command = ForgetDocument(DIALECT, kept.instance.id, kept.version, stamp, run, change)
        return await self._submit(command)

    async def forget_damaged(self, instance_id: str, *, unused: bool) -> bool:
        """Delete an instance that can't be read; return False if it may have been used since.

        Parameters
        ----------
        unused
            Whether nobody may have used it since this server last looked.
        """
        if (use := self.damaged(instance_id)) is None:
            return True
        stamp = use.stamp if unused else None
        return await self._submit(ForgetDocument(DIALECT, instance_id, None, stamp)) or not unused

    async def drop(self, instance_id: str) -> None:
        """Remove an instance from the store that the adapter holds."""
        gone = self._store.submit(DeleteDocument(DIALECT, instance_id))
        self.watch.leave(instance_id)  # at once, so that it is counted once
        await asyncio.wrap_future(gone)

    def use(
        self,
        instance: Instance,
        accessed: float | None = None,
        lasting: float | None = None,
        noted: float | None = None,
    ) -> Use:
        """Return a use of an instance, by default at its own time."""
        accessed = instance.accessed if accessed is None else accessed
        stamp = _microseconds(accessed if noted is None else noted) if self._mirrored else next(self._stamps)
        return Use(instance.owner, stamp, accessed, lasting or lasts(instance))

    async def _submit(self, command: Command[T]) -> T:
        return await asyncio.wrap_future(self._store.submit(command))


def _microseconds(when: float) -> int:
    """Return Unix time in microseconds, rounded as `datetime` does."""
    whole, part = divmod(when, 1.0)
    return int(whole) * 1_000_000 + round(part * 1e6)

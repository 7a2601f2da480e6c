"""Mirrored rows: instances in the store together with their copies in an adapter, if there is one.

An instance is saved in the adapter before the response is sent. If that fails, it is removed from the store,
and the next request loads it from the adapter. The caller holds the lock of an instance.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

import structlog
from msgspec.structs import replace

from perdure.dialects.bptk.external_state.mirror import Mirror
from perdure.dialects.bptk.instance import Instance
from perdure.dialects.bptk.rows import InstanceRows
from perdure.errors import (
    ExternalStateChanged,
    ExternalStateLocked,
    ExternalStateRefused,
    ExternalStateUnavailable,
    PerdureError,
)
from perdure.stores.commands import Use

__all__ = ["MirroredRows"]

log = structlog.get_logger(__name__)


class MirroredRows:
    """The instances of a store, and their copies in an adapter.

    Parameters
    ----------
    rows
        The instances in the store.
    mirror
        Writes them through to an adapter; None if there is none: then there is nothing to do here.

    Attributes
    ----------
    mirrored, externalized
        Whether there is an adapter, and whether only it keeps the instances between requests, since other
        servers use it too.
    """

    def __init__(self, rows: InstanceRows, mirror: Mirror | None) -> None:
        self._rows = rows
        self._mirror = mirror
        self._listed = False  # whether the adapter has returned a list
        self.mirrored = mirror is not None
        self.externalized = mirror is not None and mirror.shared

    async def open(self) -> None:
        """Open the adapter; raise `ExternalStateLocked` if another server uses the storage."""
        if self._mirror is not None:
            await self._mirror.open()

    async def aclose(self) -> None:
        """Close the adapter."""
        if self._mirror is not None:
            await self._mirror.aclose()

    async def hold(self, instance_id: str, stack: AsyncExitStack) -> None:
        """Lock an instance against other servers until the stack is closed, if the adapter supports that."""
        if self._mirror is not None:
            await stack.enter_async_context(self._mirror.lock(instance_id))
            if self.externalized:
                stack.push_async_callback(self.drop, instance_id)

    # One of them --------------------------------------------------------------------------------------------

    async def load(self, instance_id: str, held: object = None) -> None:
        """Load an instance from the adapter into the store, unless the store has it.

        Parameters
        ----------
        held
            What the adapter listed of it, if nothing may have changed it since.
        """
        if self._mirror is not None and (loaded := await self._mirror.load(instance_id, held)) is not None:
            instance, noted = loaded
            await self._rows.put(instance, None, noted)

    async def save(self, instance: Instance, use: Use, former: Instance | None = None) -> None:
        """Write an instance with its use through to the adapter; if that fails, remove it from the store.

        Parameters
        ----------
        former
            The instance before it got another run; that run is removed too.
        """
        if self._mirror is not None:
            try:
                await self._mirror.save(replace(instance, accessed=use.accessed))
            except (ExternalStateLocked, ExternalStateUnavailable):
                await self.drop(instance.id)
                if former is not None:
                    await self._mirror.forget(former)
                raise

    async def note(self, instance_id: str) -> None:
        """Store that an instance was used now, also in the adapter.

        If the adapter fails, the store differs from it only in the time, so that the instance stays. A later
        use is stored again after a tenth of the timeout.
        """
        instance, use = await self._rows.note(instance_id)
        if self._mirror is not None:
            try:
                await self._mirror.save(replace(instance, accessed=use.accessed))
            except ExternalStateChanged:
                await self.drop(instance_id)
                raise
            except (ExternalStateLocked, ExternalStateUnavailable):
                if (seen := self._rows.watch.get(instance_id)) is not None:
                    seen.unwritten = True
                raise

    async def drop(self, instance_id: str) -> None:
        """Remove an instance from the store that the adapter holds."""
        if self._mirror is not None and (kept := await self._rows.read(instance_id)) is not None:
            await self._mirror.forget(kept.instance)
            await self._rows.drop(instance_id)

    async def delete_copy(self, instance_id: str, *, expired: bool) -> bool:
        """Delete an instance in the adapter.

        One that has `expired` but was used at another server meanwhile stays; then it is removed from the
        store, and this returns False.
        """
        if self._mirror is not None and expired:
            try:
                await self._mirror.expire(instance_id)
            except ExternalStateChanged:
                await self.drop(instance_id)
                return False
        elif self._mirror is not None:
            await self._mirror.delete(instance_id)
        return True

    # All of them --------------------------------------------------------------------------------------------

    async def look_elsewhere(self, *, check: bool = False) -> None:
        """Read the adapter's list of instances; a failure is logged unless `check`.

        A server that is the only user of the adapter's storage needs only one list.
        """
        mirror = self._mirror
        if mirror is None or (self._listed and not self.externalized):
            return

        async def uses() -> Mapping[str, Use]:
            return {it.id: self._rows.use(it) for it in await mirror.survey(check=check)}

        try:
            self._listed = bool(await self._rows.watch.learn(uses, here=False))
        except PerdureError as error:
            if check:
                raise
            log.warning("external_state_not_listed", reason=str(error))

    async def listed(self) -> Mapping[str, object]:
        """Return what the adapter lists, by the ids of the instances."""
        listed = {} if self._mirror is None else await self._mirror.listed()
        self._listed = bool(listed)
        return listed

    async def load_listed(self, instance_id: str, held: object) -> None:
        """Load a listed instance, unless the store has it; a failure is logged."""
        if await self._rows.read(instance_id) is None:
            try:
                await self.load(instance_id, held)
            except ExternalStateRefused as error:
                log.warning("external_state_refused", instance=instance_id, reason=str(error))
            except ExternalStateUnavailable as error:  # it is loaded on request
                log.warning("external_state_not_loaded", instance=instance_id, reason=str(error))

    async def save_all(self, instances: Sequence[Instance]) -> None:
        """Write instances through to the adapter, at once."""
        if self._mirror is not None:
            await self._mirror.save_all(instances)

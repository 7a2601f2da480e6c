"""The starts: instances made within their owner's quota, and once only for an idempotency key.

What a key starts has ids that follow from it, so it is found again by looking it up, wherever it is held.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress

from msgspec.structs import replace

from perdure.dialects.bptk.instances import Instance, keyed_instance_id, new_instance_id
from perdure.dialects.bptk.keeper import Keeper
from perdure.errors import InstanceNotFound, KeyReused, PerdureError, TooMany
from perdure.lifecycle import Outcome
from perdure.run import Key

__all__ = ["Starts"]

AT_ONCE = 64  # instances that share commits


class Starts:
    """Starts the instances of one server.

    Parameters
    ----------
    keeper
        What keeps them.
    most
        How many an owner may have.
    """

    def __init__(self, keeper: Keeper, most: int) -> None:
        self._keeper = keeper
        self._most = most
        self._under_way: dict[str, set[str]] = defaultdict(set)

    async def start(
        self, owner: str, count: int, lasting: Mapping[str, int | float], key: Key | None
    ) -> list[str]:
        """Start instances; see `Dialect.start`."""
        if key is None:
            self._check(owner, count)
            ids = missing = [new_instance_id() for _ in range(count)]
        else:
            if count > self._most:
                self._check(owner, count)
            ids = [keyed_instance_id(owner, key.text, ordinal) for ordinal in range(count)]
            missing = [one for one in ids if not await self._started(owner, one, key)]
            self._check(owner, len(set(missing) - self._under_way[owner]))
        under_way = self._under_way[owner]
        under_way.update(missing)
        try:
            await self._start(owner, missing, lasting, key)
        finally:
            under_way.difference_update(missing)
        return ids

    async def _start(
        self, owner: str, ids: list[str], lasting: Mapping[str, int | float], key: Key | None
    ) -> None:
        started: list[str] = []

        async def start(instance_id: str) -> None:
            async with self._keeper.held(instance_id):
                if key is None or not await self._is_started(owner, instance_id, key):
                    instance = Instance(
                        id=instance_id,
                        owner=owner,
                        timeout=dict(lasting),
                        accessed=self._keeper.clock(),
                        started=None if key is None else key.body_hash,
                    )
                    await self._keeper.keep(instance)
            started.append(instance_id)

        for first in range(0, len(ids), AT_ONCE):
            several = (start(one) for one in ids[first : first + AT_ONCE])
            outcomes = await asyncio.gather(*several, return_exceptions=True)
            failures = [outcome for outcome in outcomes if outcome is not None]
            if failures:
                for instance_id in started if key is None else ():
                    with suppress(PerdureError):
                        async with self._keeper.held(instance_id):
                            reason = "others could not be started with it"
                            await self._keeper.remove(instance_id, Outcome.TERMINATED, reason)
                raise failures[0]

    async def _started(self, owner: str, instance_id: str, key: Key) -> bool:
        async with self._keeper.held(instance_id):
            return await self._is_started(owner, instance_id, key)

    async def _is_started(self, owner: str, instance_id: str, key: Key) -> bool:
        """Return whether an instance was started under a key before; if so, its timeout begins anew."""
        try:
            found = await self._keeper.find(owner, instance_id)
        except InstanceNotFound:
            return False
        if found.started != key.body_hash:
            raise KeyReused(key=key.text)
        await self._keeper.keep(replace(found, accessed=self._keeper.clock()))
        return True

    def _check(self, owner: str, more: int) -> None:
        """Raise `TooMany` if an owner would have too many instances with some more."""
        registry = self._keeper.registry
        owned = registry.owned(owner, self._keeper.clock())
        owned += sum(one not in registry for one in self._under_way[owner])
        if more and owned + more > self._most:
            raise TooMany(
                f"An owner may have {self._most} instances; there are {owned}, and {more} more were asked "
                "for. Stop some, or raise PERDURE_MAX_INSTANCES.",
                limit=self._most,
                value=owned + more,
                setting="PERDURE_MAX_INSTANCES",
            )

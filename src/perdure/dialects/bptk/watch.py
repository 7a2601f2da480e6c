"""The watch: when each instance times out, as far as this server knows its uses.

A server measures with its own monotonic clock how long the stamp of the last use has been unchanged. Uses are
stored with the wall clock, which may have been changed since, or may be wrong on another host. So the wall
clock is only used for the time before this server first saw the instance, which then stays for at least
another hour, or for its whole timeout if that is shorter. A use by another server counts from the moment when
this one sees it.

Instances *elsewhere* are those that only an adapter holds. The server knows them from the adapter's last
list, and from what it started and ended itself since. A list may have coarser times than loaded instances, so
that listed times are only compared with listed times.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from perdure.clock import SteadyClock
from perdure.dialects.bptk.instance import Instance
from perdure.stores.commands import Use

__all__ = ["Kept", "Seen", "Watch"]

WRITES_PER_TIMEOUT = 10
RETRY_SECONDS = (1.0, 64.0)  # pause after the first failure to expire an instance, and its limit


class Kept(NamedTuple):
    """An instance, and the version of its document."""

    instance: Instance
    version: int


@dataclass
class Seen:
    """What a server knows about an instance.

    Attributes
    ----------
    use
        Its last use, as it was last seen in the store, or first in a list.
    since
        Time of that use, as far as this server knows.
    until
        When it times out.
    here
        Whether the store holds it.
    unwritten
        Whether it was used here since.
    kept
        The document at the last read; None if it wasn't read.
    damaged
        Whether the document at the last read was damaged.
    listed
        The stamp in the adapter's last list; None if there was none.
    again, pause
        When to try again to expire it, and the pause after the last failure.
    """

    use: Use
    since: float
    until: float
    here: bool = True
    unwritten: bool = False
    kept: Kept | None = None
    damaged: bool = False
    listed: int | None = None
    again: float = 0.0
    pause: float = 0.0


class Watch:
    """What one server knows about the uses of instances.

    Parameters
    ----------
    clock
        The clock for timeouts.
    mirrored
        Whether an adapter holds the instances too. Then the stamp and the time may both belong to the last
        use; two uses are the same if one of the two agrees. Without an adapter, a tenth of the timeout is
        added to uses of other servers, since not every use is written.
    """

    def __init__(self, clock: SteadyClock, *, mirrored: bool) -> None:
        self._clock = clock
        self._mirrored = mirrored
        self._seen: dict[str, Seen] = {}
        self._learning = asyncio.Lock()
        self._changed: set[str] = set()  # changes by this server since a list was requested

    def __len__(self) -> int:
        return sum(seen.here for seen in self._seen.values())

    def get(self, instance_id: str) -> Seen | None:
        """Return what is known about an instance, or None."""
        return self._seen.get(instance_id)

    def see(self, instance_id: str, use: Use, *, here: bool = True) -> Seen:
        """Record the last use of an instance."""
        self._changed.add(instance_id)
        now, seen = self._clock(), self._seen.get(instance_id)
        accessed = self._clock.from_wall(use.accessed)
        lasts = use.lasts if self._mirrored else use.lasts * (1 + 1 / WRITES_PER_TIMEOUT)
        if seen is None:
            until = max(accessed + lasts, self._clock.earliest(use.lasts))
            seen = self._seen[instance_id] = Seen(use, accessed, until)
        elif not self._mirrored or use.accessed != seen.use.accessed:
            if use.stamp not in (seen.use.stamp, seen.listed):
                seen.since, seen.until = accessed, max(seen.until, now + lasts)
            elif self._mirrored and here:  # the same use according to the list, whose times may be coarser
                seen.until = max(seen.until, accessed + lasts)
        if here:
            seen.use = use
        else:
            seen.listed = use.stamp
        seen.here = here
        return seen

    def used(self, instance_id: str, use: Use) -> Seen:
        """Record a use that this server has written now."""
        self._changed.add(instance_id)
        now, seen = self._clock(), self._seen.get(instance_id)
        if seen is None:
            seen = self._seen[instance_id] = Seen(use, now, now)
        seen.use, seen.since, seen.until = use, now, now + use.lasts
        seen.here, seen.unwritten = True, False
        return seen

    def renew(self, instance_id: str, began: float) -> bool:
        """Restart the timeout of an instance; return whether that has to be written.

        A use that was written since the request began needn't be written again.
        """
        now, seen = self._clock(), self._seen.get(instance_id)
        if seen is None or not seen.here:
            return False
        seen.until = now + seen.use.lasts
        seen.unwritten = seen.unwritten or seen.since < began
        return seen.unwritten and now - seen.since >= seen.use.lasts / WRITES_PER_TIMEOUT

    def leave(self, instance_id: str) -> None:
        """Record that the store no longer holds an instance, but the adapter does."""
        self._changed.add(instance_id)
        if (seen := self._seen.get(instance_id)) is not None:
            seen.here, seen.kept = False, None

    def forget(self, instance_id: str) -> None:
        """Record that an instance is deleted; does nothing if it isn't known."""
        self._changed.add(instance_id)
        self._seen.pop(instance_id, None)

    def due(self) -> list[str]:
        """Return the instances that have timed out, without those that failed to expire a moment ago."""
        now = self._clock()
        return [name for name, seen in self._seen.items() if now >= max(seen.until, seen.again)]

    def fail(self, instance_id: str) -> float:
        """Record that an instance could not be expired; return the seconds until the next try."""
        first, longest = RETRY_SECONDS
        if (seen := self._seen.get(instance_id)) is None:
            return 0.0
        seen.pause = min(2 * seen.pause, longest) or first
        seen.again = self._clock() + seen.pause
        return seen.pause

    def unwritten(self) -> list[str]:
        """Return the instances with a use here that isn't written."""
        return [name for name, seen in self._seen.items() if seen.here and seen.unwritten]

    def idle(self, owner: str) -> Mapping[str, int]:
        """Return the stamps of an owner's instances in the store that have timed out."""
        now, mine = self._clock(), [it for it in self._seen.items() if it[1].use.owner == owner]
        return {name: seen.use.stamp for name, seen in mine if seen.here and now >= seen.until}

    def elsewhere(self, owner: str) -> int:
        """Return the number of an owner's instances that only the adapter holds, without timed out ones."""
        now, mine = self._clock(), [it for it in self._seen.values() if it.use.owner == owner]
        return sum(not seen.here and now < seen.until for seen in mine)

    async def learn(self, ask: Callable[[], Awaitable[Mapping[str, Use]]], *, here: bool) -> int:
        """Request a list of instances, those in the store or those elsewhere; return its length.

        Known instances that aren't in the list are removed; changes by this server meanwhile take precedence.
        """
        async with self._learning:
            self._changed = set()
            listed = await ask()
            changed = self._changed.copy()
            for name, use in listed.items():
                known = self._seen.get(name)
                if name not in changed and (here or known is None or not known.here):
                    self.see(name, use, here=here)
            for name in [name for name, seen in self._seen.items() if seen.here == here]:
                if name not in listed and name not in changed:
                    del self._seen[name]
            return len(listed)

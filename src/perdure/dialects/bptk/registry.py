"""The registry: which instances there are, in memory, as records of the store, and elsewhere.

A request looks its instance up without reading the store. The time of the last request is written at most
once a minute, or ten times within a shorter timeout, besides with every other change: a restarted server
counts on from there. The wall clock, by which that time is written, may have been set meanwhile. Therefore
what this process meets for the first time lasts another hour, or its whole timeout if that is shorter.

*Elsewhere* are instances that only an adapter holds. Of them the registry knows as much as the adapter's last
list said, and what this server started and ended since.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from perdure.clock import SteadyClock
from perdure.dialects.bptk.instances import DIALECT, Instance
from perdure.dialects.bptk.timeouts import lasts
from perdure.errors import Damaged
from perdure.stores.base import Store
from perdure.stores.commands import DeleteDocument, Document, PutDocument

__all__ = ["Registry"]

WRITE_SECONDS = 60.0
WRITES_PER_TIMEOUT = 10

log = structlog.get_logger(__name__)


@dataclass
class _Slot:
    """An instance, its record's version, the time of access that the record holds, and when it times out."""

    instance: Instance
    version: int
    written: float
    until: float


@dataclass(frozen=True)
class _Elsewhere:
    """Whose an instance is that isn't in memory, and when it times out unless it is asked for."""

    owner: str
    until: float


class Registry:
    """The instances of a store. Whoever changes one holds its lock.

    Times of access are times of the clock, here and in the instances that it returns; in records they are
    those of the wall clock.

    Parameters
    ----------
    store
        Where their records are kept.
    clock
        What times are measured by.
    """

    def __init__(self, store: Store, clock: SteadyClock) -> None:
        self._store = store
        self._clock = clock
        self._at_least: dict[str, float] = {}  # until when an instance lasts, whatever its record says
        self._slots: dict[str, _Slot] = {}
        self._elsewhere: dict[str, _Elsewhere] = {}
        self._asking = asyncio.Lock()
        self._changed: set[str] | None = None  # while a list is asked for: what changed meanwhile

    def __iter__(self) -> Iterator[Instance]:
        return iter([slot.instance for slot in self._slots.values()])

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, instance_id: str) -> bool:
        return instance_id in self._slots or instance_id in self._elsewhere

    def owned(self, owner: str, now: float) -> int:
        """Count the instances of an owner that haven't timed out at a time, those elsewhere too."""
        here = sum(slot.instance.owner == owner and now < slot.until for slot in self._slots.values())
        return here + sum(one.owner == owner and now < one.until for one in self._elsewhere.values())

    def get(self, instance_id: str) -> Instance | None:
        """Return an instance that is in memory, or None."""
        slot = self._slots.get(instance_id)
        return None if slot is None else slot.instance

    def expired(self, instance_id: str) -> bool:
        """Return whether an instance in memory has gone without a request for as long as its timeout."""
        return self._clock() >= self._slots[instance_id].until

    def due(self, now: float) -> list[str]:
        """Return the ids of the instances that have timed out at a time, also of those elsewhere."""
        here = [name for name, slot in self._slots.items() if now >= slot.until]
        return here + [name for name, one in self._elsewhere.items() if now >= one.until]

    def read_all(self) -> None:
        """Read all records, and log those that are damaged; blocks."""
        for record in self._store.documents(DIALECT):
            try:
                self._take(record)
            except Damaged as error:
                log.error("instance_damaged", instance=record.id, reason=str(error))

    def read(self, instance_id: str) -> Instance | None:
        """Read one record again, which another part of this process may have changed; blocks."""
        record = self._store.document(DIALECT, instance_id)
        if record is None:
            self._drop(instance_id)
            return None
        return self._take(record)

    async def put(self, instance: Instance) -> None:
        """Keep an instance; durable when it returns."""
        slot = self._slots.get(instance.id)
        version = None if slot is None else slot.version
        blob = self.by_wall(instance).to_blob()
        self._take(
            await asyncio.wrap_future(self._store.submit(PutDocument(DIALECT, instance.id, blob, version))),
            instance,
        )

    def touch(self, instance: Instance) -> Instance:
        """Return an instance that was accessed now; `stale` tells whether that is to be written."""
        slot, now = self._slots[instance.id], self._clock()
        slot.instance = replace(instance, accessed=now)
        slot.until = self._at_least[instance.id] = now + lasts(instance)
        return slot.instance

    def by_wall(self, instance: Instance) -> Instance:
        """Return an instance as it is written, for whoever has another clock."""
        return replace(instance, accessed=self._clock.to_wall(instance.accessed))

    def stale(self, instance: Instance) -> bool:
        """Return whether the time of access that was written last is too long ago."""
        slot = self._slots[instance.id]
        ago = instance.accessed - slot.written
        return not -1.0 <= ago < min(WRITE_SECONDS, lasts(instance) / WRITES_PER_TIMEOUT)

    async def remove(self, instance_id: str) -> None:
        """Forget an instance; harmless if there is none."""
        if instance_id in self._slots:
            await asyncio.wrap_future(self._store.submit(DeleteDocument(DIALECT, instance_id)))
        self._drop(instance_id)

    # Elsewhere ----------------------------------------------------------------------------------------------

    def leave(self, instance_id: str) -> None:
        """Let an instance go out of memory that the adapter holds."""
        slot = self._slots.pop(instance_id)
        self._elsewhere[instance_id] = _Elsewhere(slot.instance.owner, slot.until)
        self._note(instance_id)

    async def learn(self, ask: Callable[[], Awaitable[list[Instance]]]) -> list[Instance]:
        """Ask the adapter for its list, take that as what is elsewhere, and return it.

        What changed meanwhile stays as it is, and so does what is in memory.
        """
        async with self._asking:
            changed: set[str] = set()
            self._changed = changed
            try:
                listed = await ask()
            finally:
                self._changed = None
            self._elsewhere = {name: one for name, one in self._elsewhere.items() if name in changed} | {
                instance.id: _Elsewhere(instance.owner, self._until(instance))
                for instance in map(self._by_clock, listed)
                if instance.id not in self._slots and instance.id not in changed
            }
            self._at_least = {name: until for name, until in self._at_least.items() if name in self}
            return listed

    def _note(self, instance_id: str) -> None:
        if self._changed is not None:
            self._changed.add(instance_id)

    def _take(self, record: Document, instance: Instance | None = None) -> Instance:
        instance = instance or self._by_clock(Instance.from_blob(record.blob))
        self._slots[record.id] = _Slot(instance, record.version, instance.accessed, self._until(instance))
        self._elsewhere.pop(record.id, None)
        self._note(record.id)
        return instance

    def _by_clock(self, instance: Instance) -> Instance:
        return replace(instance, accessed=self._clock.from_wall(instance.accessed))

    def _until(self, instance: Instance) -> float:
        """Return when an instance times out: it was met, or used, too recently for that to be earlier."""
        lasting = lasts(instance)
        grace = self._clock.earliest(lasting)
        return max(instance.accessed + lasting, self._at_least.setdefault(instance.id, grace))

    def _drop(self, instance_id: str) -> None:
        self._at_least.pop(instance_id, None)
        self._slots.pop(instance_id, None)
        self._elsewhere.pop(instance_id, None)
        self._note(instance_id)

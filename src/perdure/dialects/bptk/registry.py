"""The registry: which instances there are, in memory and as records of the store.

A request looks its instance up without reading the store. The time of the last request is written at most
once a minute, or ten times within a shorter timeout, besides with every other change: a restarted server
counts on from there.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from perdure.dialects.bptk.instances import DIALECT, Instance
from perdure.dialects.bptk.timeouts import lasts
from perdure.errors import Damaged
from perdure.stores.base import Record, Store

__all__ = ["Registry"]

WRITE_SECONDS = 60.0
WRITES_PER_TIMEOUT = 10

log = structlog.get_logger(__name__)


@dataclass
class _Slot:
    """An instance, its record's version, the time of access that the record holds, and its timeout."""

    instance: Instance
    version: int
    written: float
    lasts: float


class Registry:
    """The instances of a store. Whoever changes one holds its lock.

    Parameters
    ----------
    store
        Where their records are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._slots: dict[str, _Slot] = {}
        self._owned: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Instance]:
        return iter([slot.instance for slot in self._slots.values()])

    def __len__(self) -> int:
        return len(self._slots)

    def owned(self, owner: str) -> int:
        """Count the instances of an owner."""
        return self._owned[owner]

    def get(self, instance_id: str) -> Instance | None:
        """Return an instance, or None."""
        slot = self._slots.get(instance_id)
        return None if slot is None else slot.instance

    def due(self, now: float) -> list[str]:
        """Return the ids of the instances that have timed out at a Unix time."""
        return [name for name, slot in self._slots.items() if now >= slot.instance.accessed + slot.lasts]

    def read_all(self) -> None:
        """Read all records, and log those that are damaged; blocks."""
        for record in self._store.records(DIALECT):
            try:
                self._take(record)
            except Damaged as error:
                log.error("instance_damaged", instance=record.id, reason=str(error))

    def read(self, instance_id: str) -> Instance | None:
        """Read one record again, which another part of this process may have changed; blocks."""
        record = self._store.record(DIALECT, instance_id)
        if record is None:
            self._drop(instance_id)
            return None
        return self._take(record)

    async def put(self, instance: Instance) -> None:
        """Keep an instance; durable when it returns."""
        slot = self._slots.get(instance.id)
        version = None if slot is None else slot.version
        blob = instance.to_blob()
        self._take(
            await asyncio.wrap_future(self._store.put_record(DIALECT, instance.id, blob, version)), instance
        )

    def touch(self, instance: Instance, now: float) -> Instance:
        """Return an instance that was accessed now; `stale` tells whether that is to be written."""
        slot = self._slots[instance.id]
        slot.instance = Instance(
            id=instance.id,
            owner=instance.owner,
            timeout=instance.timeout,
            accessed=now,
            run=instance.run,
        )
        return slot.instance

    def stale(self, instance: Instance) -> bool:
        """Return whether the time of access that was written last is too long ago."""
        slot = self._slots[instance.id]
        ago = instance.accessed - slot.written
        return not -1.0 <= ago < min(WRITE_SECONDS, slot.lasts / WRITES_PER_TIMEOUT)

    async def remove(self, instance_id: str) -> None:
        """Forget an instance; harmless if there is none."""
        if instance_id in self._slots:
            await asyncio.wrap_future(self._store.delete_record(DIALECT, instance_id))
            self._drop(instance_id)

    def _take(self, record: Record, instance: Instance | None = None) -> Instance:
        instance = instance or Instance.from_blob(record.blob)
        if record.id not in self._slots:
            self._owned[instance.owner] += 1
        self._slots[record.id] = _Slot(instance, record.version, instance.accessed, lasts(instance))
        return instance

    def _drop(self, instance_id: str) -> None:
        slot = self._slots.pop(instance_id, None)
        if slot is not None:
            self._owned[slot.instance.owner] -= 1

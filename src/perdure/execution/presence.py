"""The presence of workers: each worker of a shared store says what it lacks, for runs to say what nobody has.

It is a document of the store for each worker, which counts for some seconds by the clock of the store. Runs
are claimed without it.
"""

import platform
import time
from collections.abc import Collection, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from perdure.errors import PerdureError, VersionConflict
from perdure.stores.base import Store
from perdure.stores.commands import DeleteDocument, PutDocument
from perdure.stores.queue import ANY_TAG

__all__ = ["EVERY", "MAX_RUNS", "Announcement", "Presence", "Workers"]

DIALECT = "perdure-workers"
LASTS = 12.0  # seconds for which a presence counts
EVERY = 4.0  # seconds after which it is renewed
MAX_RUNS = 100  # that a presence names
FRESH = 1.0  # seconds for which the presences that were read are used again


class Presence(msgspec.Struct, frozen=True):
    """What a worker can work on.

    Attributes
    ----------
    lacks
        For each kind of runs that it works on, what it lacks for the needs of runs, in words.
    tags
        The tags of the runs that it works on; `ANY_TAG` for all.
    slots
        How many runs of each kind it works on at a time.
    busy
        How many slots of each kind are taken.
    runs
        The ids of the runs that it works on, at most `MAX_RUNS`.
    host
        The name of its host.
    until
        Until when it counts, by the clock of the store.
    """

    lacks: Mapping[str, Mapping[str, str]]
    tags: Collection[str]
    slots: Mapping[str, int] = {}
    busy: Mapping[str, int] = {}
    runs: Collection[str] = ()
    host: str = ""
    until: float = 0.0

    def count(self) -> Iterator[tuple[str, str, str, int]]:
        """Yield kind, tag, state and number of the slots."""
        for kind, number in self.slots.items():
            busy = min(self.busy.get(kind, 0), number)
            for tag in self.tags:
                yield kind, tag, "busy", busy
                yield kind, tag, "free", number - busy


class Announcement:
    """The presence of one worker; blocking.

    Parameters
    ----------
    store
        The store, which is shared.
    name
        The worker's name, which no other worker has.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._version: int | None = None

    def put(self, presence: Presence) -> None:
        """Announce what the worker can work on, for some seconds from now."""
        until = self._store.clock() + LASTS
        blob = msgspec.msgpack.encode(replace(presence, host=platform.node(), until=until))
        try:
            self._put(blob)
        except VersionConflict:  # another worker has removed it, or an earlier put was committed after all
            kept = self._store.document(DIALECT, self._name)
            self._version = None if kept is None else kept.version
            self._put(blob)

    def _put(self, blob: bytes) -> None:
        put = PutDocument(DIALECT, self._name, blob, self._version)
        self._version = self._store.submit(put).result().version

    def withdraw(self) -> None:
        """Announce that the worker has ended, and remove what killed workers have left."""
        now = self._store.clock()
        ended = [id for id, presence in _read(self._store).items() if presence.until < now]
        for name in (self._name, *ended):
            self._store.submit(DeleteDocument(DIALECT, name)).result()


class Workers:
    """The workers of a store; blocking.

    Parameters
    ----------
    store
        The store. If it can't be shared, only this process works on its runs.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: Mapping[str, Presence] = {}
        self._read_at = -FRESH

    def present(self) -> Mapping[str, Presence]:
        """Return the presences that count, by the names of the workers."""
        if time.monotonic() - self._read_at >= FRESH:
            self._known, self._read_at = _read(self._store), time.monotonic()
        now = self._store.clock()
        return {name: it for name, it in self._known.items() if now < it.until}

    def lack(self, kind: str, needs: str, tags: Collection[str], here: str) -> str:
        """Return what every worker lacks for a run that waits, in words; empty if one of them has it all.

        Parameters
        ----------
        here
            What this process lacks, which counts if it is the only one.
        """
        if not self._store.shared:
            return here
        lacking = [
            presence.lacks[kind].get(needs, "")
            for presence in self.present().values()
            if kind in presence.lacks and {ANY_TAG, *tags} & {*presence.tags}
        ]
        if not lacking:
            none = "No worker for its kind and tags is running. Start one (perdure worker), or stop the run."
            return f"{none} {here}".rstrip()
        return "" if "" in lacking else min(lacking)


def _read(store: Store) -> Mapping[str, Presence]:
    """Return the presences by the names of the workers, without those that can't be read."""
    found = {}
    try:
        documents = store.documents(DIALECT)
    except PerdureError:  # a run says what it can without them
        return {}
    for document in documents:
        try:
            found[document.id] = msgspec.msgpack.decode(document.blob, type=Presence)
        except msgspec.DecodeError:  # another version of Perdure wrote it
            continue
    return found

"""Locks: what a command needs for itself while it reads, decides and writes.

A store with one writer ignores them. One whose commands run side by side takes them before the reads, always
in their order, so that nobody else changes what was read, and commands with a lock in common are executed in
the order in which they were submitted.
"""

import msgspec

__all__ = ["BLOBS", "Lock", "blobs_of", "document", "documents_of", "owner", "run", "shared", "slots"]


class Lock(msgspec.Struct, frozen=True, order=True):
    """A lock by its name; those who share it exclude only others who don't."""

    name: str
    shared: bool = False


BLOBS = Lock("blobs")
"""All blobs. Who names or uses blobs shares it; the sweep has it alone."""


def shared(lock: Lock) -> Lock:
    """Return a lock as it is taken by those who share it."""
    return Lock(lock.name, True)


def run(run_id: str) -> Lock:
    """Return the lock of a run with all its parts."""
    return Lock(f"run {run_id}")


def owner(name: str) -> Lock:
    """Return the lock of an owner's keys and counts of runs."""
    return Lock(f"owner {name}")


def slots(kind: str) -> Lock:
    """Return the lock of the slots for runs of a kind."""
    return Lock(f"slots {kind}")


def document(dialect: str, id: str) -> Lock:
    """Return the lock of a document of a dialect."""
    return Lock(f"document {dialect} {id}")


def documents_of(dialect: str, owner: str) -> Lock:
    """Return the lock of the number of an owner's documents of a dialect."""
    return Lock(f"documents {dialect} {owner}")


def blobs_of(owner: str) -> Lock:
    """Return the lock of the blobs that an owner has."""
    return Lock(f"blobs of {owner}")

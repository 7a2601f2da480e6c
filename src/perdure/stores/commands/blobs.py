"""Blobs: the large parts of files that savepoints name, each an object in the artifacts.

No savepoint ever names a blob whose object is gone:

1. A row comes before its object: `UseBlobs` is committed, then the object is written and synced, then the
   savepoint is committed that names it.
2. An object is removed only after `SweepBlobs` has committed that its row is dying. It does so in one
   transaction with the look that no savepoint names it.
3. A savepoint is committed only if all blobs that it names are there and none is dying (`name_blobs`).
   `UseBlobs` never returns a dying one: the same content becomes a new row, whose object has another name.

Transactions that name blobs and those that sweep exclude each other. If the one that names a blob comes
before that of 2, the sweep sees the name; if it comes after it, 3 refuses it. So the hour for which an unused
blob stays isn't what makes this safe. It keeps savepoints under way from being refused, and a backup whole,
whose rows are older than its objects.
"""

import json
from collections.abc import Collection, Sequence

import msgspec

from perdure.errors import ArtifactsUnavailable
from perdure.stores.commands import locks
from perdure.stores.commands.base import Answers, Command, Decision, Moment, Query, Rows, Write, write
from perdure.stores.commands.locks import Lock

__all__ = [
    "UNNAMED_SECONDS",
    "Blob",
    "ForgetBlobs",
    "SweepBlobs",
    "UseBlobs",
    "find_blobs",
    "name_blobs",
    "name_locks",
]

UNNAMED_SECONDS = 3600.0
MOST = 1000  # that are swept at once


class Blob(msgspec.Struct, frozen=True):
    """A blob: its number, its owner, the SHA-256 of its bytes, and whether its object is known to exist."""

    number: int
    owner: str
    hash: str
    stored: bool


class UseBlobs(Command[list[Blob]], frozen=True):
    """Return the blobs of an owner with these hashes and sizes, in their order; new ones are made.

    They stay for an hour at least, for a savepoint to name them. Those that aren't `stored` must be written.
    """

    owner: str
    contents: Sequence[tuple[str, int]]

    def locks(self) -> Sequence[Lock]:
        """Return the lock of the owner's blobs, and a shared one against the sweep."""
        return locks.blobs_of(self.owner), locks.shared(locks.BLOBS)

    def reads(self) -> Sequence[Query]:
        """Return the queries for the blobs that there are, and numbers for new ones."""
        hashes = json.dumps([digest for digest, _ in self.contents])
        return Query("find_blobs", (self.owner, hashes)), Query("next_blob_numbers", (len(self.contents),))

    def decide(self, answers: Answers, at: Moment) -> Decision[list[Blob]]:
        """Note the use of those that there are, and make the others."""
        known = {
            digest: Blob(number, self.owner, digest, bool(stored)) for number, digest, stored in answers[0]
        }
        writes = [Write("use_blob", [(blob.number,) for blob in known.values()])] if known else []
        numbers = iter(answers[1])
        for digest, size in self.contents:
            if digest not in known:
                (number,) = next(numbers)
                known[digest] = Blob(number, self.owner, digest, False)
                writes.append(write("insert_blob", number, self.owner, digest, size))
        return Decision([known[digest] for digest, _ in self.contents], writes)


class SweepBlobs(Command[list[Blob]], frozen=True):
    """Return blobs to remove from the artifacts, at most 1,000: then `ForgetBlobs` forgets them.

    They are those that no savepoint has named for `seconds`, and those that an earlier sweep returned.
    """

    seconds: float = UNNAMED_SECONDS

    def locks(self) -> Sequence[Lock]:
        """Return the lock of all blobs."""
        return (locks.BLOBS,)

    def reads(self) -> Sequence[Query]:
        """Return the query for those that are to go."""
        return (Query("list_unnamed_blobs", (self.seconds, MOST)),)

    def decide(self, answers: Answers, at: Moment) -> Decision[list[Blob]]:
        """Let nobody use them any more."""
        found = [Blob(number, owner, digest, bool(stored)) for number, owner, digest, stored in answers[0]]
        writes = [Write("condemn_blob", [(blob.number,) for blob in found])] if found else []
        return Decision(found, writes)


class ForgetBlobs(Command[None], frozen=True):
    """Forget blobs that were swept, once their objects are gone."""

    numbers: Sequence[int]

    def decide(self, answers: Answers, at: Moment) -> Decision[None]:
        """Remove their rows."""
        return Decision(None, [Write("delete_blob", [(number,) for number in self.numbers])])


def find_blobs(numbers: Collection[int]) -> Query:
    """Return the query that `name_blobs` takes the rows of."""
    return Query("count_blobs", (json.dumps(sorted(numbers)),))


def name_locks(numbers: Collection[int]) -> Sequence[Lock]:
    """Return the lock for a savepoint that names blobs; none if it names none."""
    return (locks.shared(locks.BLOBS),) if numbers else ()


def name_blobs(number: int, timestamp: int, numbers: Collection[int], counted: Rows) -> list[Write]:
    """Return how the savepoint of the run with this number comes to name blobs, which are stored.

    Raises `ArtifactsUnavailable` if some are swept: they were used more than an hour ago.
    """
    if not numbers:
        return []
    if counted[0][0] != len(numbers):
        raise ArtifactsUnavailable(reason="the files of a savepoint took more than an hour to be stored")
    named = json.dumps(sorted(numbers))
    return [write("name_blobs", number, timestamp, named), write("note_blobs_stored", named)]

"""The savepoint: the states of all entities at one timestamp; complete or absent."""

from collections.abc import Mapping

import msgspec

from perdure.state.codec import State, decode, encode

__all__ = ["Savepoint", "SavepointInfo"]

SCHEMA = 1


class Savepoint(msgspec.Struct, frozen=True, kw_only=True):
    """A complete savepoint.

    Attributes
    ----------
    timestamp
        Its time, in the run's own integer time.
    position
        How many entries of the step log its states include.
    entities
        Encoded state of each entity, by id.
    milestone
        Whether retention keeps it permanently, as a near start for forks.
    keep
        How many of the newest savepoints the run keeps when this one is written; None leaves that to the
        store.
    blobs
        The numbers of the blobs of artifacts that the states name, when it is written; the store keeps them.
    """

    timestamp: int
    position: int = 0
    entities: Mapping[str, bytes]
    milestone: bool = False
    keep: int | None = None
    blobs: frozenset[int] = frozenset()

    def to_blob(self) -> bytes:
        """Encode the states as one checked blob; the checksum covers timestamp and position too."""
        entities: dict[str, State] = {**self.entities}
        return encode([self.timestamp, self.position, entities], schema=SCHEMA)

    @classmethod
    def from_blob(cls, blob: bytes) -> "Savepoint":
        """Decode a blob that `to_blob` returned.

        Raise `CorruptBlob` or `NewerSchema` if that is impossible.
        """
        timestamp, position, entities = decode(blob, schema=SCHEMA)
        return cls(timestamp=timestamp, position=position, entities=entities)


class SavepointInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a store knows about a savepoint without decoding it."""

    timestamp: int
    position: int
    created: float
    size: int
    name: str | None = None
    pinned: bool = False
    milestone: bool = False

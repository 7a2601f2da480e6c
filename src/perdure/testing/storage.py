"""A storage of savepoints in memory, for tests of code that uses the state store."""

from perdure.errors import SavepointNotFound
from perdure.state.savepoint import Savepoint

__all__ = ["MemoryStorage"]


class MemoryStorage:
    """Keeps the newest savepoints of one run, encoded as in a real storage.

    Parameters
    ----------
    keep
        How many of the newest savepoints are kept.

    Attributes
    ----------
    blobs
        Encoded savepoints by timestamp; tests may damage them.
    """

    def __init__(self, keep: int = 2) -> None:
        self.keep = keep
        self.blobs: dict[int, bytes] = {}
        self._initialized = False

    def initialize(self) -> None:
        """Create the entry of the run."""
        self._initialized = True

    def initialized(self) -> bool:
        """Return whether the run has an entry."""
        return self._initialized

    def publish(self, savepoint: Savepoint) -> None:
        """Keep a savepoint and delete the oldest beyond `keep`."""
        self.blobs[savepoint.timestamp] = savepoint.to_blob()
        for timestamp in sorted(self.blobs)[: -self.keep]:
            del self.blobs[timestamp]

    def timestamps(self) -> list[int]:
        """Return the timestamps of all kept savepoints, ascending."""
        return sorted(self.blobs)

    def load(self, timestamp: int) -> Savepoint:
        """Return a savepoint; raise if it is missing or damaged."""
        if timestamp not in self.blobs:
            raise SavepointNotFound(run="of this storage", savepoint=timestamp)
        return Savepoint.from_blob(self.blobs[timestamp])

    def delete(self) -> None:
        """Delete the run."""
        self.blobs.clear()
        self._initialized = False

"""Usage: how many bytes are stored under each name of some file sets, read once and then kept up."""

from collections.abc import Callable, Mapping
from threading import Lock

__all__ = ["Usage"]


class Usage:
    """The sizes of file sets by name: read when they are first asked for, then kept up by who writes.

    Nobody but this process writes the sets of a store. To be used by any number of threads.

    Parameters
    ----------
    read
        Reads the sizes of all sets.
    """

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read
        self._lock = Lock()
        self._sizes: dict[str, int] | None = None

    def sizes(self) -> Mapping[str, int]:
        """Return the size of each set."""
        with self._lock:
            if self._sizes is None:
                self._sizes = dict(self._read())
            return dict(self._sizes)

    def note(self, name: str, size: int) -> None:
        """Take note of what is stored under a name from now on; call it after that was written."""
        with self._lock:
            if self._sizes is not None:
                self._sizes[name] = size
                if size == 0:
                    del self._sizes[name]

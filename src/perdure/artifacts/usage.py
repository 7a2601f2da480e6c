"""Usage: how many bytes are stored under each name of some file sets, read once and then kept up."""

from collections.abc import Callable, Mapping
from threading import Lock

__all__ = ["Usage"]


class Usage:
    """The sizes of file sets by name: read when they are first asked for, then kept up by who writes.

    Nobody but this process writes the sets of a store. To be used by any number of threads; those that write
    never wait for the reading.

    Parameters
    ----------
    read
        Reads the sizes of all sets.
    """

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read
        self._reading = Lock()
        self._lock = Lock()
        self._sizes: dict[str, int] = {}  # before the reading is done, those that were noted
        self._complete = False

    def sizes(self) -> Mapping[str, int]:
        """Return the size of each set."""
        if not self._complete:
            with self._reading:
                self._read_once()
        with self._lock:
            return {name: size for name, size in self._sizes.items() if size}

    def note(self, name: str, size: int) -> None:
        """Take note of what is stored under a name from now on; call it after that was written."""
        with self._lock:
            self._sizes[name] = size
            if self._complete and size == 0:
                del self._sizes[name]

    def _read_once(self) -> None:
        if not self._complete:
            found = self._read()
            with self._lock:
                # What was noted meanwhile is newer than what was read.
                self._sizes = {**found, **self._sizes}
                self._complete = True

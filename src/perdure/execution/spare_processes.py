"""Spare processes: those of engines that were closed, kept for the next engine of the same kind.

To start a process takes a hundred times as long as to make an engine in one that has imported its code. They
are kept as long as somebody needs them: `open` and `close` say who does, and the last one ends them.
"""

import threading
from collections import deque
from typing import Any
from weakref import WeakSet

from perdure.execution.engine_handle import EngineHandle

__all__ = ["SpareProcesses", "spares"]

_KEPT = 4


class SpareProcesses:
    """Processes without an engine; beyond a limit, the one that was put back first ends.

    Parameters
    ----------
    limit
        How many are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._users: WeakSet[Any] = WeakSet()  # a user that was never closed may be gone
        self._kept: deque[tuple[bytes, EngineHandle]] = deque()

    def open(self, user: object) -> None:
        """Keep processes until `close` is called for this user."""
        with self._lock:
            self._users.add(user)

    def close(self, user: object) -> None:
        """End all processes, if nobody else needs them."""
        with self._lock:
            self._users.discard(user)
            ended = [] if self._users else [*self._kept]
            if ended:
                self._kept.clear()
        for _, handle in ended:
            handle.end(kill=True)

    @property
    def needed(self) -> bool:
        """Whether somebody needs spare processes."""
        return bool(self._users)

    def put(self, key: bytes, handle: EngineHandle) -> None:
        """Take over a process whose engine was closed, and keep it for engines with the same key."""
        ended = [(key, handle)]
        with self._lock:
            if self._users:
                self._kept.append(ended.pop())
            while len(self._kept) > self._limit:
                ended.append(self._kept.popleft())
        for _, each in ended:
            each.end(kill=True)

    def take(self, key: bytes) -> EngineHandle | None:
        """Hand over a process for an engine with this key; None if there is none."""
        while True:
            with self._lock:
                found = next((each for each in self._kept if each[0] == key), None)
                if found is None:
                    return None
                self._kept.remove(found)
            if found[1].idle:
                return found[1]
            found[1].end(kill=True)


spares = SpareProcesses(_KEPT)

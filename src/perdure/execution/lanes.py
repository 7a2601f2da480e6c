"""The lanes: runs that wait for a slot, and whose turn it is.

Owners take turns, however many runs one of them has queued; an owner's own runs go in the order they came.
Short and long runs wait in lanes of their own, so that a slot can be kept for the short ones.
"""

from enum import IntEnum
from itertools import count

__all__ = ["Lane", "Lanes"]


class Lane(IntEnum):
    """Where a run waits."""

    SHORT = 0
    LONG = 1


class Lanes:
    """The runs that wait.

    Examples
    --------
    >>> lanes = Lanes()
    >>> for run, owner in [("a1", "ann"), ("a2", "ann"), ("b1", "bob")]:
    ...     lanes.push(run, owner, Lane.LONG)
    >>> [lanes.take(Lane.SHORT), lanes.take(), lanes.take(), lanes.take()]
    [None, 'a1', 'b1', 'a2']
    """

    def __init__(self) -> None:
        self._numbers = count()
        # Of each owner and lane, run → number, in the order they came.
        self._owners: dict[str, dict[Lane, dict[str, int]]] = {}
        self._places: dict[str, tuple[str, Lane]] = {}  # of each run: whose it is, and where it waits
        self._turns: dict[str, int] = {}  # when each owner had the last turn

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._places

    def push(self, run_id: str, owner: str, lane: Lane) -> None:
        """Let a run wait; harmless if it does already."""
        if run_id not in self._places:
            self._places[run_id] = owner, lane
            waiting = self._owners.setdefault(owner, {lane: {} for lane in Lane})
            waiting[lane][run_id] = next(self._numbers)

    def remove(self, run_id: str) -> None:
        """Let a run wait no longer; harmless if it doesn't."""
        if run_id in self._places:
            owner, lane = self._places.pop(run_id)
            del self._owners[owner][lane][run_id]

    def take(self, *lanes: Lane) -> str | None:
        """Return whose turn it is, in any of the given lanes, by default all; None if nobody waits there."""
        looked = lanes or tuple(Lane)
        owners = [owner for owner, waiting in self._owners.items() if any(waiting[lane] for lane in looked)]
        if not owners:
            return None
        owner = min(owners, key=lambda owner: self._turns.get(owner, -1))
        self._turns[owner] = next(self._numbers)
        waiting = self._owners[owner]
        first = min((next(iter(waiting[lane].items())) for lane in looked if waiting[lane]), key=_number)
        self.remove(first[0])
        return first[0]


def _number(waiting: tuple[str, int]) -> int:
    return waiting[1]

"""Lists the ways to divide all parts into polymers of a given set.

The first type with parts left occurs in some polymer: the search tries the polymers of this type in turn,
starting at the last one taken if it had the same type, so it finds every way once. Whether the rest can be
completed depends on little more than the parts left, so this is remembered. `counting` counts without
listing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from perdure.solvers.binding_networks.parts import Parts
from perdure.solvers.binding_networks.polymers import Polymer
from perdure.solvers.binding_networks.reduction import Column
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Cover", "Covers", "chained"]

Cover = tuple[int, ...]
"""One way: the indices of its polymers, in the order they were taken."""

State = tuple[int, int, int]
"""The parts left, the number of polymers to come, and the first polymer that may still be taken."""


class Covers:
    """The ways to divide parts into `size` polymers of a set.

    Parameters
    ----------
    counts
        How many parts each type has.
    order
        The types in the order they are covered.
    polymers
        The polymers of the set; a cover consists of indices into it.
    size
        How many polymers a cover has.
    slack
        How much all polymers of a cover together cost beyond their minimum.
    """

    def __init__(
        self, counts: Sequence[int], order: Sequence[int], polymers: Sequence[Polymer], size: int, slack: int
    ) -> None:
        self._parts = Parts(counts, order, polymers)
        self.polymers = self._parts.polymers
        self._size = size
        self._slack = slack
        self._dead: set[State] = set()

    def listed(self, after: Cover | None, *, watch: Watch) -> Iterator[Cover]:
        """Yield the covers in order, after a given cover or from the first.

        Raises
        ------
        TimeIsUp
            The search must end: see `Watch`.
        """
        if not self._parts.all:
            if not self._size and after is None:
                yield ()
            return
        frames = [self._frame((self._parts.all, self._size, 0), self._slack)]
        for index in after or ():
            frame = frames[-1]
            frame.skip_to(index)
            frame.found = True
            frames.append(
                self._frame(self._after(frame.state, index), frame.slack - self.polymers[index].excess)
            )
        if after:
            frames.pop()
        while frames:
            watch.step()
            frame = frames[-1]
            index = frame.next()
            if index < 0:
                frames.pop()
                if frames and frame.found:
                    frames[-1].found = True
                elif not frame.found:
                    self._dead.add(frame.state)
                continue
            slack = frame.slack - self.polymers[index].excess
            if slack < 0 or not self._parts.fits(frame.state[0], index):
                continue
            state = self._after(frame.state, index)
            if not state[0]:
                if not state[1]:
                    frame.found = True
                    yield (*(each.taken for each in frames[:-1]), index)
            elif state[1] and state not in self._dead:
                frames.append(self._frame(state, slack))

    def _after(self, state: State, index: int) -> State:
        """Return the parts left after taking a polymer."""
        left = state[0] - self._parts.packed[index]
        again = bool(left) and self._parts.first(left) == self._parts.first(state[0])
        return left, state[1] - 1, index if again else 0

    def _frame(self, state: State, slack: int) -> "_Frame":
        led = self._parts.led.get(self._parts.first(state[0]), range(0)) if state[0] else range(0)
        return _Frame(state, slack, led)


class _Frame:
    """A state in progress: the polymers still to be tried, the one taken, and what it led to."""

    def __init__(self, state: State, slack: int, led: range) -> None:
        self.state, self.slack, self._led = state, slack, led
        # The polymers of a type have consecutive numbers.
        self._at = max(0, state[2] - led[0]) if led else 0
        self.taken = -1
        self.found = False

    def next(self) -> int:
        if self._at >= len(self._led):
            return -1
        self.taken = self._led[self._at]
        self._at += 1
        return self.taken

    def skip_to(self, index: int) -> None:
        self.taken = index
        self._at = index - self._led[0] + 1


def chained(columns: Sequence[Column]) -> list[int]:
    """Return an order of types in which types that share rows are close to each other.

    It is the order of a breadth-first search over shared rows (Cuthill and McKee 1969): rows are completed
    early, so there are few different states to remember.
    """
    holders: dict[int, list[int]] = defaultdict(list)
    for which, column in enumerate(columns):
        for row, _ in column:
            holders[row].append(which)
    degree = Counter(
        {which: sum(len(holders[row]) for row, _ in column) for which, column in enumerate(columns)}
    )
    order: dict[int, None] = {}
    for first in sorted(range(len(columns)), key=lambda which: (degree[which], which)):
        waiting = [first]
        for which in waiting:
            if which not in order:
                order[which] = None
                near = {other for row, _ in columns[which] for other in holders[row]} - order.keys()
                waiting += sorted(near, key=lambda other: (degree[other], other))
    return list(order)

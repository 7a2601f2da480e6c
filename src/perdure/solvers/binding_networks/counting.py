"""Counts the ways to divide all parts into polymers of a given set, without listing them.

Parts are counted by kinds. Parts of a *plain* kind are indistinguishable; parts of a *labelled* kind differ
only in labels, so the choice among them affects only the number of ways. A division is thus described by the
number of polymers with each contents, in kinds. If m polymers have the same contents, with r parts of a
labelled kind each, they can be formed in

    product over labelled kinds of  left! / ((left - m r)! r!^m),  divided by m! if there is such a kind,

ways: polymers with labelled parts are all different, other polymers are all alike.

The first kind with parts left occurs in some polymer. The search goes through the contents with this kind in
order, and through the numbers of polymers with each. The result depends on the parts left, the number of
polymers to come, and the contents that may still come; it is remembered.
"""

from collections.abc import Iterator, Sequence
from math import comb

from perdure.solvers.binding_networks.parts import Parts
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["count_covers"]

State = tuple[int, int, int]
"""The parts left, the number of polymers to come, and the first contents that may still be taken."""


def count_covers(parts: Parts, labelled: Sequence[bool], size: int, slack: int, watch: Watch) -> int:
    """Return the number of divisions of all parts into `size` polymers.

    Parameters
    ----------
    labelled
        For each kind, whether its parts have labels.
    slack
        How much all polymers together cost beyond their minimum.

    Raises
    ------
    TimeIsUp
        The search must end: see `Watch`.
    """
    if not parts.all:
        return int(not size)
    walk = _Walk(parts, labelled, watch)
    first = (parts.all, size, 0)
    known: dict[State, int] = {}
    frames = [_Frame(first, 1, walk.options(first, slack))]
    while frames:
        watch.step()
        frame = frames[-1]
        option = next(frame.options, None)
        if option is None:
            known[frame.state] = frame.total
            frames.pop()
            if frames:
                frames[-1].total += frame.ways * frame.total
            continue
        state, slack, ways = option
        if not state[0]:
            frame.total += ways if not state[1] else 0
        elif state in known:
            frame.total += ways * known[state]
        elif state[1]:
            frames.append(_Frame(state, ways, walk.options(state, slack)))
    return known[first]


class _Frame:
    """A state in progress, the number of ways that led to it, and its total so far."""

    def __init__(self, state: State, ways: int, options: Iterator[tuple[State, int, int]]) -> None:
        self.state, self.ways, self.options = state, ways, options
        self.total = 0


class _Walk:
    """The successors of states."""

    def __init__(self, parts: Parts, labelled: Sequence[bool], watch: Watch) -> None:
        self._parts, self._watch = parts, watch
        self._excess = [polymer.excess for polymer in parts.polymers]
        self._labelled = [
            [(kind, number) for kind, number in polymer.contents if labelled[kind]]
            for polymer in parts.polymers
        ]

    def options(self, state: State, slack: int) -> Iterator[tuple[State, int, int]]:
        """Yield the states after polymers of the same contents, the slack left, and the number of ways."""
        parts, guard = self._parts, self._parts.guard
        left, size, earliest = state
        place = parts.first(left)
        led = parts.led.get(place, range(0))
        self._watch.step(len(led))
        for index in led[max(0, earliest - led.start) :] if led else led:
            excess, packed = self._excess[index], parts.packed[index]
            rest, polymers, spare, ways = left, size, slack, 1
            while polymers and excess <= spare and ((rest | guard) - packed) & guard == guard:
                polymers, spare = polymers - 1, spare - excess
                if self._labelled[index]:
                    for kind, number in self._labelled[index]:
                        ways *= comb(parts.number(rest, kind), number)
                    ways //= size - polymers
                rest -= packed
                if not rest or parts.first(rest) != place:
                    yield (rest, polymers, 0), spare, ways
                    break
                if index + 1 < led.stop:
                    yield (rest, polymers, index + 1), spare, ways

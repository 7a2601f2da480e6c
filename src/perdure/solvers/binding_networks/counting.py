"""How many ways there are to divide all parts into polymers of a given set; none of them is listed.

Parts are counted by kinds. Those of a *plain* kind can't be told apart; those of a *labelled* kind differ in
nothing but labels, so that it makes no difference which of them are taken, but for the number of ways to take
them. So a division is described by how many polymers there are of which contents in kinds, and if m polymers
have the same contents, r parts of a labelled kind each, they are one of

    product over labelled kinds of  left! / ((left - m r)! r!^m),  divided by m! if there is such a kind,

divisions: polymers with labelled parts are all different, others are all alike.

The first kind of which parts are left is in some polymer. The contents with it are gone through in order, and
with each the numbers of polymers that have it. What that comes to depends on the parts left, on how many
polymers there are to be, and on the contents that may still come; this is remembered.
"""

from collections.abc import Iterator, Sequence
from math import comb

from perdure.solvers.binding_networks.parts import Parts
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["count_covers"]

State = tuple[int, int, int]
"""Parts left, polymers still to be taken, and the first contents that may be taken."""


def count_covers(parts: Parts, labelled: Sequence[bool], size: int, slack: int, watch: Watch) -> int:
    """Return how many divisions of all parts into so many polymers there are.

    Parameters
    ----------
    labelled
        Of each kind, whether its parts can be told apart.
    slack
        How much all polymers cost beyond the least.

    Raises
    ------
    TimeIsUp
        The watch said so.
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
    """A state under way, in how many ways it was come to, and what there is of its total."""

    def __init__(self, state: State, ways: int, options: Iterator[tuple[State, int, int]]) -> None:
        self.state, self.ways, self.options = state, ways, options
        self.total = 0


class _Walk:
    """What may follow a state."""

    def __init__(self, parts: Parts, labelled: Sequence[bool], watch: Watch) -> None:
        self._parts, self._watch = parts, watch
        self._excess = [polymer.excess for polymer in parts.polymers]
        self._labelled = [
            [(kind, number) for kind, number in polymer.contents if labelled[kind]]
            for polymer in parts.polymers
        ]

    def options(self, state: State, slack: int) -> Iterator[tuple[State, int, int]]:
        """Yield the states that follow by some polymers of the same contents, with the slack left then, and
        in how many ways.
        """
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

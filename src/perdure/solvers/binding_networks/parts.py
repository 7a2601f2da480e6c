"""Numbers of parts of several types as one integer: whether a polymer fits into them is a subtraction.

Each type has a field of bits with a spare bit on top, which a subtraction from too few parts clears.
"""

from collections import defaultdict
from collections.abc import Sequence

from perdure.solvers.binding_networks.polymers import Polymer

__all__ = ["Parts"]


class Parts:
    """The parts that are to be covered, and the polymers there are for it.

    Parameters
    ----------
    counts
        How many parts each type has.
    order
        The types in the order they are covered.
    polymers
        Those there are.

    Attributes
    ----------
    all
        All parts.
    polymers
        By the first of their types in the order, then by what they cost.
    packed
        The parts of each polymer.
    led
        Of each type, by its place in the order, the polymers of which it is the first: a range of indices.
    """

    def __init__(self, counts: Sequence[int], order: Sequence[int], polymers: Sequence[Polymer]) -> None:
        shift, guard = 0, 0
        shifts = [0] * len(counts)
        self._place_at: dict[int, int] = {}
        for place, which in enumerate(order):
            shifts[which] = shift
            width = counts[which].bit_length() + 1
            self._place_at |= dict.fromkeys(range(shift, shift + width), place)
            shift += width
            guard |= 1 << (shift - 1)
        self.guard = guard
        self._fields = [
            (shifts[which], (1 << counts[which].bit_length()) - 1) for which in range(len(counts))
        ]
        rank = {which: number for number, which in enumerate(order)}
        first = {each: min(rank[which] for which, _ in each.contents) for each in polymers}
        self.polymers = sorted(polymers, key=lambda each: (first[each], each))
        self.packed = [sum(n << shifts[which] for which, n in each.contents) for each in self.polymers]
        self.all = sum(count << shifts[which] for which, count in enumerate(counts))
        led: dict[int, list[int]] = defaultdict(list)
        for index, polymer in enumerate(self.polymers):
            led[first[polymer]].append(index)
        self.led = {place: range(those[0], those[-1] + 1) for place, those in led.items()}

    def first(self, left: int) -> int:
        """Return the place of the first type of which parts are left."""
        return self._place_at[(left & -left).bit_length() - 1]

    def number(self, left: int, which: int) -> int:
        """Return how many parts of a type are left."""
        shift, mask = self._fields[which]
        return left >> shift & mask

    def fits(self, left: int, index: int) -> bool:
        """Return whether there are all parts of a polymer."""
        return ((left | self.guard) - self.packed[index]) & self.guard == self.guard

"""Numbers of parts of several types, packed into one integer: a subtraction checks if a polymer fits.

Each type has a field of bits with a spare bit on top; subtracting too many parts clears the spare bit.
"""

from collections import defaultdict
from collections.abc import Sequence

from perdure.solvers.binding_networks.polymers import Polymer

__all__ = ["Parts"]


class Parts:
    """The parts to cover, and the polymers to cover them with.

    Parameters
    ----------
    counts
        How many parts each type has.
    order
        The types in the order they are covered.
    polymers
        The polymers to choose from.

    Attributes
    ----------
    all
        All parts.
    polymers
        Sorted by the first of their types in the order, then by their cost.
    packed
        The parts of each polymer.
    led
        For each type, by its place in the order, the range of indices of the polymers that begin with it.
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
        """Return the place of the first type with parts left."""
        return self._place_at[(left & -left).bit_length() - 1]

    def number(self, left: int, which: int) -> int:
        """Return the number of parts left of a type."""
        shift, mask = self._fields[which]
        return left >> shift & mask

    def fits(self, left: int, index: int) -> bool:
        """Return whether all parts of a polymer are left."""
        return ((left | self.guard) - self.packed[index]) & self.guard == self.guard

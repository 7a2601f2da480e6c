"""A first division of a component, found without search: valid, and often close to the best.

Each limiting part in turn takes the part that leaves its rows least violated, until no row is violated. If no
such part is left, it joins polymers with slack; this ends, because all parts together satisfy all rows. Only
parts that must be apart can prevent it: then there is no first division.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice

from perdure.solvers.binding_networks.reduction import Types
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["quick_division"]

LOOKED_AT = 24  # the largest number of candidates for a place


def quick_division(types: Types, watch: Watch) -> list[list[int]] | None:
    """Return the parts of each polymer of some division, or None if none is found.

    Raises
    ------
    TimeIsUp
        The search must end: see `Watch`.
    """
    polymers = _Quick(types, watch).run()
    if polymers is None:
        return None
    waiting = [list(reversed(parts)) for parts in types.members]
    return [
        [waiting[which].pop() for which, number in sorted(polymer.items()) for _ in range(number)]
        for polymer in polymers
    ]


class _Quick:
    def __init__(self, types: Types, watch: Watch) -> None:
        self.types, self.watch = types, watch
        self.left = list(types.counts)
        self.lowering: dict[int, list[int]] = defaultdict(list)  # those that can be alone come last
        for which, column in enumerate(types.columns):
            for row, addend in column:
                if addend < 0:
                    self.lowering[row].append(which)

    def run(self) -> list[Counter[int]] | None:
        polymers: list[Counter[int]] = []
        stuck: list[int] = []
        for leader in range(self.types.limiting):
            while self.left[leader]:
                self.watch.step()
                polymer = self._polymer(leader)
                if polymer is None:
                    stuck += [leader] * self.left[leader]
                    self.left[leader] = 0
                    break
                # While parts last, the next part of the same type would do the same.
                times = min(self.left[which] // number for which, number in polymer.items())
                for which, number in polymer.items():
                    self.left[which] -= times * number
                polymers += [polymer.copy() for _ in range(times)]
        polymers += [Counter((which,)) for which, number in enumerate(self.left) for _ in range(number)]
        return _Joining(self.types, polymers, self.watch).run(stuck) if stuck else polymers

    def _polymer(self, leader: int) -> Counter[int] | None:
        """Return the parts that a part of a type would take, or None if not enough are left."""
        polymer = Counter((leader,))
        sums = Counter(dict(self.types.columns[leader]))
        while (row := next((row for row, total in sums.items() if total > 0), None)) is not None:
            self.watch.step()
            lowering = self.lowering[row]
            while lowering and not self.left[lowering[-1]]:
                lowering.pop()
            fitting = (which for which in reversed(lowering) if self._fits(which, polymer))
            which = min(islice(fitting, LOOKED_AT), key=lambda each: self._violated(sums, each), default=None)
            if which is None:
                return None
            polymer[which] += 1
            sums.update(dict(self.types.columns[which]))
        return polymer

    def _fits(self, which: int, polymer: Counter[int]) -> bool:
        return polymer[which] < self.left[which] and not _kept_apart(self.types, which, polymer)

    def _violated(self, sums: Counter[int], which: int) -> int:
        """Return how much more rows would be violated with another part."""
        column = self.types.columns[which]
        return sum(max(0, sums[row] + addend) - max(0, sums[row]) for row, addend in column)


class _Joining:
    """Polymers by the rows in which they have slack."""

    def __init__(self, types: Types, polymers: Iterable[Counter[int]], watch: Watch) -> None:
        self.types, self.watch = types, watch
        self.polymers: dict[int, Counter[int]] = {}
        self.sums: dict[int, Counter[int]] = {}
        self.sparing: dict[int, list[int]] = defaultdict(list)
        self.made = 0
        for each in polymers:
            self._add(each, self._sums_of(each))

    def run(self, stuck: Sequence[int]) -> list[Counter[int]] | None:
        single = [Counter((which,)) for which in stuck]
        for polymer in single:
            self._add(polymer, self._sums_of(polymer))
        # Merged polymers are valid, and come after these.
        for number in range(self.made - len(single), self.made):
            if number not in self.polymers:
                continue  # another one has taken it
            polymer, sums = self.polymers.pop(number), self.sums.pop(number)
            while (row := next((row for row, total in sums.items() if total > 0), None)) is not None:
                self.watch.step()
                joined = self._sparing(row, polymer)
                if joined is None:
                    return None
                polymer = _summed(polymer, self.polymers.pop(joined))
                sums = _summed(sums, self.sums.pop(joined))
            self._add(polymer, sums)
        return list(self.polymers.values())

    def _add(self, polymer: Counter[int], sums: Counter[int]) -> None:
        self.watch.step()
        self.polymers[self.made], self.sums[self.made] = polymer, sums
        for row, total in sums.items():
            if total < 0:
                self.sparing[row].append(self.made)
        self.made += 1

    def _sparing(self, row: int, polymer: Counter[int]) -> int | None:
        """Return the latest polymer that has slack in a row and that another may join."""
        sparing = self.sparing[row]
        passed: list[int] = []
        found = None
        while sparing and found is None:
            number = sparing.pop()
            if number not in self.polymers:
                continue
            if any(_kept_apart(self.types, which, self.polymers[number]) for which in polymer):
                passed.append(number)
            else:
                found = number
        sparing += reversed(passed)
        return found

    def _sums_of(self, polymer: Counter[int]) -> Counter[int]:
        sums: Counter[int] = Counter()
        for which, number in polymer.items():
            for row, addend in self.types.columns[which]:
                sums[row] += number * addend
        return sums


def _kept_apart(types: Types, which: int, polymer: Counter[int]) -> bool:
    return any(other in polymer for other in types.apart[which])


def _summed(one: Counter[int], other: Counter[int]) -> Counter[int]:
    """Merge the smaller polymer into the larger; both are removed."""
    large, small = (one, other) if len(one) >= len(other) else (other, one)
    for key, number in small.items():
        large[key] += number
    return large

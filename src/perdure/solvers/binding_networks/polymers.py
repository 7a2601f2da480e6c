"""Finds all polymers that configurations of a given size can have, by their prices.

The first type of a polymer leads it. Parts are added one at a time; while a row is violated, a part that
lowers it must be missing. Trying these parts in turn, each without those tried before, finds every polymer
once. A lower bound on the cost of a polymer ends a branch: from prices alone, and from prices with rows (see
`prices`), which includes waste: if no part is left that could raise a row, the amount by which it is below 0
is lost.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

import msgspec

from perdure.solvers.binding_networks.prices import Prices
from perdure.solvers.binding_networks.reduction import Types
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Contents", "Polymer", "in_finer_types", "polymers_within"]

Contents = tuple[tuple[int, int], ...]
"""Types with their numbers of parts, by ascending type."""


class Polymer(msgspec.Struct, frozen=True, order=True):
    """The cost of a polymer beyond the minimum, and its contents."""

    excess: int
    contents: Contents


def polymers_within(types: Types, prices: Prices, budget: int, watch: Watch) -> Iterator[Polymer]:
    """Yield every valid polymer that costs at most `budget` beyond the minimum.

    Raises
    ------
    TimeIsUp
        The search must end: see `Watch`.
    """
    for leader in range(len(types.columns)):
        yield from _Search(types, prices, leader, prices.least + budget, watch).run()


class _Search:
    """The polymers of one leader."""

    def __init__(self, types: Types, prices: Prices, leader: int, most: int, watch: Watch) -> None:
        self.types, self.prices, self.leader, self.watch = types, prices, leader, watch
        self.left = list(types.counts)
        self.weights = prices.weights[leader] if leader < types.limiting else {}
        worth = prices.weighted(types, leader)
        gained = sum(
            count * min(0, each) for each, count in zip(worth[leader:], self.left[leader:], strict=True)
        )
        self.worth = [max(0, each) for each in worth]
        self.most = most
        self.slack = most - worth[leader] - gained
        self.wasted = 0
        self.cheap = [which for which in range(leader, types.limiting) if prices.prices[which] < 0]
        self.sums: dict[int, int] = defaultdict(int)
        self.cost = 0
        self.barred = [0] * len(types.columns)  # the number of choices that exclude a type
        for which in (*range(leader), *types.apart[leader]):
            self.barred[which] += 1
        self.lowering: dict[int, list[int]] = defaultdict(list)
        self.raising: dict[int, list[int]] = defaultdict(list)
        for which in range(leader, len(types.columns)):
            for row, addend in types.columns[which]:
                (self.lowering if addend < 0 else self.raising)[row].append(which)
        self.chosen: Counter[int] = Counter()

    def run(self) -> Iterator[Polymer]:
        self._put(self.leader, 1)
        self.wasted = self._waste()
        stack = [_Branches(self._branches(), 0)]
        if (found := self._found()) is not None:
            yield found
        while stack:
            self.watch.step()
            top = stack[-1]
            if top.taken >= 0:
                # All polymers with this part are done: the next branches exclude it.
                self._take_back(top.taken)
                self.barred[top.taken] += 1
                top.tried.append(top.taken)
                top.taken = -1
                self.wasted = top.wasted
            which = next((each for each in top.waiting if self._fits(each)), -1)
            if which < 0:
                for each in top.tried:
                    self.barred[each] -= 1
                stack.pop()
                continue
            top.taken = which
            self._put(which, 1)
            self.slack -= self.worth[which]
            for other in self.types.apart[which]:
                self.barred[other] += 1
            self.wasted = self._waste()
            if self.wasted > self.slack or self.cost + self._saving() > self.most:
                stack.append(_Branches(iter(()), self.wasted))
                continue
            if (found := self._found()) is not None:
                yield found
            stack.append(_Branches(self._branches(), self.wasted))

    def _waste(self) -> int:
        """Return the worth of the waste: of rows below 0 that no part can raise any more."""
        return sum(
            -total * self.weights[row]
            for row, total in self.sums.items()
            if total < 0
            and row in self.weights
            and not any(self._fits(which) for which in self.raising.get(row, ()))
        )

    def _saving(self) -> int:
        """Return how much the remaining parts may lower the cost, as a negative number."""
        return sum(self.left[which] * self.prices.prices[which] for which in self.cheap if self._fits(which))

    def _fits(self, which: int) -> bool:
        affordable = self.worth[which] <= self.slack - self.wasted
        return affordable and not self.barred[which] and self.left[which] > 0

    def _put(self, which: int, number: int) -> None:
        self.left[which] -= number
        self.chosen[which] += number
        self.cost += number * self.prices.prices[which]
        for row, addend in self.types.columns[which]:
            self.sums[row] += number * addend

    def _take_back(self, which: int) -> None:
        self._put(which, -1)
        self.slack += self.worth[which]
        for other in self.types.apart[which]:
            self.barred[other] -= 1

    def _branches(self) -> Iterator[int]:
        """Yield types of which any larger polymer has more of at least one."""
        options: Sequence[int] | None = None
        for row, total in self.sums.items():
            if total <= 0:
                continue
            those = [which for which in self.lowering[row] if self._fits(which)]
            if options is None or len(those) < len(options):
                options = those
        if options is None and self.cost + self.prices.least > self.most:
            # The rest isn't a polymer by itself, which would cost too much: it raises a row below 0.
            low = [row for row, total in self.sums.items() if total < 0 and row in self.raising]
            options = sorted({which for row in low for which in self.raising[row] if self._fits(which)})
        yield from range(self.leader, len(self.left)) if options is None else options

    def _found(self) -> Polymer | None:
        if self.cost > self.most or any(total > 0 for total in self.sums.values()):
            return None
        contents = tuple(sorted((which, number) for which, number in self.chosen.items() if number))
        return Polymer(self.cost - self.prices.least, contents)


class _Branches:
    """A choice: the types still to be tried, those tried, the current one or -1, and the waste before."""

    def __init__(self, waiting: Iterator[int], wasted: int) -> None:
        self.waiting, self.wasted = waiting, wasted
        self.tried: list[int] = []
        self.taken = -1


def in_finer_types(
    polymer: Polymer, finer: Sequence[Sequence[tuple[int, int]]], watch: Watch
) -> Iterator[Polymer]:
    """Yield the expansions of a polymer into finer types.

    Parameters
    ----------
    finer
        For each type, its finer types and their numbers of parts.

    Raises
    ------
    TimeIsUp
        The search must end: see `Watch`.
    """
    ways = [list(_ways(number, finer[which])) for which, number in polymer.contents]
    for choice in product(*ways):
        watch.step()
        yield Polymer(polymer.excess, tuple(sorted(each for chosen in choice for each in chosen)))


def _ways(number: int, finer: Sequence[tuple[int, int]]) -> Iterator[Contents]:
    """Yield the ways to take `number` parts of some types."""
    if not finer:
        if not number:
            yield ()
        return
    (which, count), rest = finer[0], finer[1:]
    available = sum(each for _, each in rest)
    for taken in range(min(count, number), max(0, number - available) - 1, -1):
        for others in _ways(number - taken, rest):
            yield (((which, taken),) if taken else ()) + others

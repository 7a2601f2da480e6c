"""The divisions of a component, level by level: all of them, distinct, from the most polymers downwards.

A level's polymers are found by price among types merged as far as rows allow, then told apart by what a user
can tell apart, and put together in every way that uses all parts (`polymers`, `covers`). The first level is
the largest that has a division, counted down from the exact bound: what the optimum was before makes no
difference to it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from perdure.solvers.binding_networks.bonding import Bonding
from perdure.solvers.binding_networks.covers import Cover, Covers, chained
from perdure.solvers.binding_networks.optimum import Division, Question, held_together, priced
from perdure.solvers.binding_networks.polymers import Polymer, TimeIsUp, in_finer_types, polymers_within
from perdure.solvers.binding_networks.prices import Prices
from perdure.solvers.binding_networks.reduction import Problem, identity, reduce
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Levels"]


class Levels:
    """The distinct divisions of a component that has some, by their number of polymers.

    Parameters
    ----------
    state
        What `state` of an earlier object for the same question has returned: what was listed isn't searched
        again.
    """

    def __init__(self, question: Question, watch: Watch, state: Mapping[str, Any] | None = None) -> None:
        problem = reduce(question.network, question.monomers, question.demands)
        if problem is None:
            raise ValueError("a component whose demands contradict each other has no divisions")
        self._problem: Problem = problem
        self._question, self._watch = question, watch
        self._bonding = Bonding(question.network, question.monomers, question.demands)
        self._merged = problem.types(lambda part: 0)
        self._told_apart = problem.types(
            lambda part: tuple(
                sorted(repr(identity(question.network.monomers[index])) for index in problem.parts[part])
            )
        )
        type_of = {part: which for which, parts in enumerate(self._told_apart.members) for part in parts}
        self._finer = [
            tuple(sorted(Counter(type_of[part] for part in parts).items())) for parts in self._merged.members
        ]
        self._order = chained(self._told_apart.columns)
        self._holds: dict[tuple[tuple[int, int], ...], bool] = {}
        self._covers: dict[int, Covers] = {}
        self._listed: dict[int, list[Cover]] = {}
        self._done: set[int] = set()
        self._streams: dict[int, Iterator[Cover]] = {}
        state = state or {}
        if "prices" in state:
            weights = tuple(dict(each) for each in state["weights"])
            self._prices = Prices(tuple(state["prices"]), weights, state["least"])
        else:
            self._prices = priced(self._merged, watch, interior=True)
        self._most: int | None = state.get("most")
        for size, covers, done in state.get("listed", ()):
            self._listed[size] = [tuple(cover) for cover in covers]
            if done:
                self._done.add(size)

    @property
    def state(self) -> dict[str, Any]:
        """What was found so far, as plain data."""
        return {
            "prices": list(self._prices.prices),
            "weights": [[list(each) for each in weights.items()] for weights in self._prices.weights],
            "least": self._prices.least,
            "most": self._most,
            "listed": [
                [size, [list(cover) for cover in covers], size in self._done]
                for size, covers in self._listed.items()
            ],
        }

    def most(self) -> int:
        """Return the largest number of polymers of a division.

        Raises
        ------
        TimeIsUp
            The watch said so.
        """
        if self._most is None:
            alone = len(self._problem.alone)
            size = min(self._prices.bound(self._merged), len(self._problem.parts)) + alone
            while size > alone and self.get(size, 0) is None:
                size -= 1
            self._most = size
        return self._most

    def get(self, size: int, number: int) -> Division | None:
        """Return a division of so many polymers by its number from 0; None if there are no more.

        Raises
        ------
        TimeIsUp
            The watch said so.
        """
        listed = self._listed.setdefault(size, [])
        while number >= len(listed) and size not in self._done:
            if size not in self._streams:
                after = listed[-1] if listed else None
                self._streams[size] = self._at(size).listed(after, watch=self._watch)
            try:
                cover = next(self._streams[size], None)
            except TimeIsUp:
                del self._streams[size]  # it can't be asked again
                raise
            if cover is None:
                self._done.add(size)
            else:
                listed.append(cover)
        return self._division(size, listed[number]) if number < len(listed) else None

    def count(self, size: int) -> int:
        """Return how many divisions of so many polymers there are.

        Raises
        ------
        TimeIsUp
            The watch said so.
        """
        if size in self._done:
            return len(self._listed[size])
        return self._at(size).count(self._watch)

    def _at(self, size: int) -> Covers:
        if size not in self._covers:
            parts = size - len(self._problem.alone)
            slack = self._prices.cost(self._merged) - parts * self._prices.least
            polymers: list[Polymer] = []
            if slack >= 0 and parts >= min(1, len(self._problem.parts)):
                polymers = [
                    polymer
                    for merged in polymers_within(self._merged, self._prices, slack, self._watch)
                    for polymer in in_finer_types(merged, self._finer)
                    if self._holds_together(polymer)
                ]
            self._covers[size] = Covers(self._told_apart.counts, self._order, polymers, parts, slack)
        return self._covers[size]

    def _holds_together(self, polymer: Polymer) -> bool:
        if not self._question.connected:
            return True
        if polymer.contents not in self._holds:
            parts = [
                part
                for which, number in polymer.contents
                for part in self._told_apart.members[which][:number]
            ]
            monomers = self._problem.monomers_of(parts)
            self._holds[polymer.contents] = held_together(self._bonding, monomers)
        return self._holds[polymer.contents]

    def _division(self, size: int, cover: Cover) -> Division:
        """Return a cover as monomers: of each type the parts are taken in turn."""
        covers = self._at(size)
        waiting = [list(reversed(parts)) for parts in self._told_apart.members]
        polymers: list[tuple[int, ...]] = [(index,) for index in self._problem.alone]
        for index in cover:
            parts = [
                waiting[which].pop()
                for which, number in covers.polymers[index].contents
                for _ in range(number)
            ]
            polymers.append(self._problem.monomers_of(parts))
        return tuple(sorted(polymers))

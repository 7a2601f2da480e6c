"""The divisions of a component, level by level: all distinct divisions, from the most polymers downwards.

The polymers of a level are found by price, among types merged as far as rows allow, and combined in every way
that uses all parts (`polymers`, `covers`). To list divisions, each way is expanded into parts that a user
distinguishes (`naming`). To count them, parts are sorted into kinds, of which only numbers matter (`kinds`,
`counting`). The first level is the largest number of polymers with a division, counted down from the exact
bound; it doesn't depend on the optimum found before.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from perdure.solvers.binding_networks.bonding import Bonding
from perdure.solvers.binding_networks.counting import count_covers
from perdure.solvers.binding_networks.covers import Covers, chained
from perdure.solvers.binding_networks.kinds import Kinds
from perdure.solvers.binding_networks.listed import Cover, Listed
from perdure.solvers.binding_networks.naming import Naming
from perdure.solvers.binding_networks.optimum import Division, Question, held_together, priced
from perdure.solvers.binding_networks.parts import Parts
from perdure.solvers.binding_networks.polymers import Contents, Polymer, in_finer_types, polymers_within
from perdure.solvers.binding_networks.prices import Prices
from perdure.solvers.binding_networks.reduction import Problem, identity, reduce
from perdure.solvers.binding_networks.watch import TimeIsUp, Watch

__all__ = ["Levels"]


class Levels:
    """The distinct divisions of a component that has at least one, by their number of polymers.

    Parameters
    ----------
    state
        What `state` of an earlier object for the same question returned; listed divisions aren't searched
        again.
    """

    def __init__(self, question: Question, watch: Watch, state: Mapping[str, Any] | None = None) -> None:
        problem = reduce(question.network, question.monomers, question.demands)
        if problem is None:
            raise ValueError("a component whose demands contradict each other has no divisions")
        self._problem: Problem = problem
        self._question, self._watch = question, watch
        self._bonding = Bonding(question.network, question.monomers, question.demands)
        self._merged = problem.types()
        self._distinct = problem.types(
            lambda part: tuple(
                sorted(repr(identity(question.network.monomers[index])) for index in problem.parts[part])
            )
        )
        type_of = {part: which for which, parts in enumerate(self._distinct.members) for part in parts}
        self._finer = [
            tuple(sorted(Counter(type_of[part] for part in parts).items())) for parts in self._merged.members
        ]
        self._merged_of = {which: merged for merged, types in enumerate(self._finer) for which, _ in types}
        # Each merged type is one finer type, so a cover expands only into itself.
        self._single = all(
            types == ((merged, len(parts)),)
            for merged, (types, parts) in enumerate(zip(self._finer, self._merged.members, strict=True))
        )
        self._order = chained(self._distinct.columns)
        self._demanded = question.demands.monomers
        self._holds: dict[Contents, bool] = {}
        self._covers: dict[int, Covers] = {}
        self._streams: dict[int, Iterator[Cover]] = {}
        state = state or {}
        if "prices" in state:
            weights = tuple(dict(each) for each in state["weights"])
            self._prices = Prices(tuple(state["prices"]), weights, state["least"])
        else:
            self._prices = priced(self._merged, watch, interior=True)
        self._most: int | None = state.get("most")
        self._listed = {size: Listed(saved) for size, *saved in state.get("listed", ())}
        self._counted = {size: int(digits) for size, digits in state.get("counted", ())}

    @property
    def state(self) -> dict[str, Any]:
        """The results so far, as plain data."""
        return {
            "prices": list(self._prices.prices),
            "weights": [[list(each) for each in weights.items()] for weights in self._prices.weights],
            "least": self._prices.least,
            "most": self._most,
            "listed": [[size, *listed.state] for size, listed in self._listed.items()],
            "counted": [[size, str(number)] for size, number in self._counted.items()],
        }

    def most(self) -> int:
        """Return the largest number of polymers of a division.

        Raises
        ------
        TimeIsUp
            The search must end: see `Watch`.
        """
        if self._most is None:
            alone = len(self._problem.alone)
            size = min(self._prices.bound(self._merged), len(self._problem.parts)) + alone
            while size > alone and self.get(size, 0) is None:
                size -= 1
            self._most = size
        return self._most

    def get(self, size: int, number: int) -> Division | None:
        """Return a division into `size` polymers by its number from 0; None if there are no more.

        Raises
        ------
        TimeIsUp
            The search must end: see `Watch`.
        """
        listed = self._listed.setdefault(size, Listed())
        while number >= len(listed.covers) and not listed.done:
            if size not in self._streams:
                self._streams[size] = self._stream(size, listed.covers[-1] if listed.covers else None)
            try:
                cover = next(self._streams[size], None)
            except TimeIsUp:
                del self._streams[size]  # the generator can't be resumed
                raise
            if cover is None:
                listed.done = True
            else:
                listed.covers.append(cover)
        return self._division(listed.covers[number]) if number < len(listed.covers) else None

    def count(self, size: int) -> int:
        """Return the number of divisions into `size` polymers.

        Raises
        ------
        TimeIsUp
            The search must end: see `Watch`.
        """
        if size not in self._counted:
            listed = self._listed.get(size)
            done = listed is not None and listed.done
            self._counted[size] = len(listed.covers) if listed and done else self._count(size)
        return self._counted[size]

    def _stream(self, size: int, after: Cover | None) -> Iterator[Cover]:
        """Yield the covers with `size` polymers, expanded from merged types into distinguishable parts."""
        covers = self._at(size)
        numbers = {polymer.contents: index for index, polymer in enumerate(covers.polymers)}
        merged = None
        if after is not None:
            taken = [numbers[self._in_merged_types(contents)] for contents in after]
            merged = tuple(sorted(taken))
            yield from self._named(covers, merged, after)
        for following in covers.listed(merged, watch=self._watch):
            yield from self._named(covers, following, None)

    def _named(self, covers: Covers, merged: tuple[int, ...], after: Cover | None) -> Iterator[Cover]:
        if self._single:
            contents = tuple(covers.polymers[index].contents for index in merged)
            if after is None and all(map(self._holds_together, contents)):
                yield contents
            return
        copies = Counter(merged)
        kinds = [covers.polymers[index].contents for index in copies]
        if not kinds:
            yield from () if after is not None else ((),)
            return
        naming = Naming(kinds, list(copies.values()), self._finer, self._order, self._holds_together)
        number = {contents: kind for kind, contents in enumerate(kinds)}
        named = None
        if after is not None:
            named = tuple((number[self._in_merged_types(contents)], contents) for contents in after)
        for found in naming.listed(named, self._watch):
            yield tuple(contents for _, contents in found)

    def _in_merged_types(self, contents: Contents) -> Contents:
        merged: Counter[int] = Counter()
        for which, number in contents:
            merged[self._merged_of[which]] += number
        return tuple(sorted(merged.items()))

    def _at(self, size: int) -> Covers:
        """Return the covers with `size` polymers, in merged types."""
        if size not in self._covers:
            polymers, parts, slack = self._polymers(size)
            order = chained(self._merged.columns)
            self._covers[size] = Covers(self._merged.counts, order, polymers, parts, slack)
        return self._covers[size]

    def _count(self, size: int) -> int:
        """Count the divisions into `size` polymers by kinds of parts."""
        kinds = Kinds.of(self._finer, self._alike)
        polymers, number, slack = self._polymers(size)
        finer = [
            polymer
            for merged in polymers
            for polymer in in_finer_types(merged, kinds.of_merged, self._watch)
            if self._holds_together(kinds.example(polymer.contents))
        ]
        # Among kinds that share equally many rows, those that can be alone come first. If these are many with
        # few parts each, states differ only in the numbers of the others.
        columns = [self._merged.columns[merged] for merged in kinds.merged]
        order = [len(columns) - 1 - at for at in chained(columns[::-1])]
        parts = Parts(kinds.counts, order, finer)
        return count_covers(parts, kinds.labelled, number, slack, self._watch)

    def _alike(self, which: int) -> Hashable:
        """Return the key of parts of one merged type whose polymers are connected by bonds alike.

        If bonds must connect polymers, these are the sites; a monomer with a demand on it is unique.
        """
        if not self._question.connected:
            return None
        monomers = self._problem.parts[self._distinct.members[which][0]]
        if self._demanded.intersection(monomers):
            return monomers
        network = self._question.network
        return tuple(
            sorted(
                tuple(sorted((site.domain, site.starred) for site in network.monomers[index].sites))
                for index in monomers
            )
        )

    def _polymers(self, size: int) -> tuple[list[Polymer], int, int]:
        """Return the merged polymers that a cover can have, their number, and the budget for their cost."""
        parts = size - len(self._problem.alone)
        slack = self._prices.cost(self._merged) - parts * self._prices.least
        if slack < 0 or parts < min(1, len(self._problem.parts)):
            return [], parts, slack
        return list(polymers_within(self._merged, self._prices, slack, self._watch)), parts, slack

    def _holds_together(self, contents: Contents) -> bool:
        if not self._question.connected:
            return True
        if contents not in self._holds:
            parts = [part for which, number in contents for part in self._distinct.members[which][:number]]
            monomers = self._problem.monomers_of(parts)
            self._holds[contents] = held_together(self._bonding, monomers, self._watch)
        return self._holds[contents]

    def _division(self, cover: Cover) -> Division:
        """Return a cover as monomers; the parts of each type are taken in turn."""
        waiting = [list(reversed(parts)) for parts in self._distinct.members]
        polymers: list[tuple[int, ...]] = [(index,) for index in self._problem.alone]
        for contents in cover:
            parts = [waiting[which].pop() for which, number in contents for _ in range(number)]
            polymers.append(self._problem.monomers_of(parts))
        return tuple(sorted(polymers))

"""Expands a cover of interchangeable parts into covers of distinguishable parts.

A cover in merged types gives the number of polymers of each kind. This module builds each polymer from finer
types, in every distinct way, one at a time. The first finer type with parts left occurs in some polymer: the
search tries its kinds in turn, and then its other parts, starting at the last polymer taken if it had the
same type. So it finds every way once, and has no dead ends if no two parts are alike.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from perdure.solvers.binding_networks.polymers import Contents
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Named", "Naming"]

Named = tuple[tuple[int, Contents], ...]
"""A cover in finer types: for each polymer, in the order taken, the number of its kind and its contents."""


class Naming:
    """The distinct covers in finer types that one cover in merged types expands into.

    Parameters
    ----------
    kinds
        The distinct merged contents of the cover's polymers.
    copies
        The number of polymers of each kind.
    finer
        For each merged type, its finer types and their numbers of parts.
    order
        The finer types in the order they are covered.
    fits
        Returns whether contents in finer types are a polymer.
    """

    def __init__(
        self,
        kinds: Sequence[Contents],
        copies: Sequence[int],
        finer: Sequence[Sequence[tuple[int, int]]],
        order: Sequence[int],
        fits: Callable[[Contents], bool],
    ) -> None:
        self._kinds, self._order, self._fits = kinds, order, fits
        self._finer = [[which for which, _ in types] for types in finer]
        self._merged = {which: merged for merged, types in enumerate(finer) for which, _ in types}
        self._left = {which: count for types in finer for which, count in types}
        self._copies = list(copies)
        self._with: dict[int, list[int]] = {}
        for number, contents in enumerate(kinds):
            for merged, _ in contents:
                self._with.setdefault(merged, []).append(number)
        self._dead: set[object] = set()

    def listed(self, after: Named | None, watch: Watch) -> Iterator[Named]:
        """Yield the covers in order, after a given cover or from the first.

        Raises
        ------
        TimeIsUp
            The watch said so.
        """
        taken: list[tuple[int, Contents]] = []
        frames = [_Frame(self._state(0, None), self._options(0, None))]
        for each in after or ():
            frame = frames[-1]
            while next(frame.options) != each:
                watch.step()
            frame.found = True
            self._take(each, 1)
            taken.append(each)
            frames.append(self._following(frame.place, each))
        if after is not None and frames:
            frames.pop()
            self._take(taken.pop(), -1)
        while frames:
            watch.step(len(taken) + 1)
            frame = frames[-1]
            option = next(frame.options, None) if frame.place < len(self._order) else None
            if option is not None:
                self._take(option, 1)
                taken.append(option)
                following = self._following(frame.place, option)
                if following.place == len(self._order):
                    frame.found = True
                    yield tuple(taken)
                elif following.state not in self._dead:
                    frames.append(following)
                    continue
                self._take(taken.pop(), -1)
                continue
            frames.pop()
            if not frame.found:
                self._dead.add(frame.state)
            if frames:
                frames[-1].found |= frame.found
                self._take(taken.pop(), -1)

    def _take(self, polymer: tuple[int, Contents], sign: int) -> None:
        kind, contents = polymer
        self._copies[kind] -= sign
        for which, number in contents:
            self._left[which] -= sign * number

    def _following(self, place: int, last: tuple[int, Contents]) -> "_Frame":
        following = self._place(place)
        again = last if following == place else None
        return _Frame(self._state(following, again), self._options(following, again), following)

    def _place(self, place: int) -> int:
        while place < len(self._order) and not self._left[self._order[place]]:
            place += 1
        return place

    def _state(self, place: int, last: tuple[int, Contents] | None) -> object:
        left = tuple(self._left[which] for which in self._order[place:])
        return place, left, tuple(self._copies), last

    def _options(self, place: int, last: tuple[int, Contents] | None) -> Iterator[tuple[int, Contents]]:
        """Yield the polymers with the first type left, starting at the last one taken."""
        if place == len(self._order):
            return
        first = self._order[place]
        for kind in self._with.get(self._merged[first], ()):
            if not self._copies[kind] or (last is not None and kind < last[0]):
                continue
            earliest = self._rank(last[1], first) if last is not None and last[0] == kind else ()
            for contents in self._ways(self._kinds[kind], first):
                if self._rank(contents, first) >= earliest and self._fits(contents):
                    yield kind, contents

    def _rank(self, contents: Contents, first: int) -> tuple[object, ...]:
        """Return the key that orders contents of a kind as `_ways` yields them."""
        return tuple(sorted((self._merged[which], which != first, which, -some) for which, some in contents))

    def _ways(self, kind: Contents, first: int) -> Iterator[Contents]:
        """Yield the contents that a kind of polymer with a given part can have with the parts left.

        The contents are determined when the first is requested; their order is that of the choices.
        """
        left = {which: self._left[which] for merged, _ in kind for which in self._finer[merged]}
        chosen: Counter[int] = Counter()
        yield from self._choices(kind, 0, first, left, chosen)

    def _choices(
        self, kind: Contents, at: int, first: int, left: Mapping[int, int], chosen: Counter[int]
    ) -> Iterator[Contents]:
        if at == len(kind):
            yield tuple(sorted((which, number) for which, number in chosen.items() if number))
            return
        merged, number = kind[at]
        types = [which for which in self._finer[merged] if left[which]]
        if first in types:  # at least one of this type
            types = [first, *(which for which in types if which != first)]
        for ways in _shared(number, types, left):
            if self._merged[first] == merged and (not ways or ways[0][0] != first):
                return
            for which, some in ways:
                chosen[which] = some
            yield from self._choices(kind, at + 1, first, left, chosen)
            for which, _ in ways:
                chosen[which] = 0


class _Frame:
    """A state in progress: the polymers still to be tried, and what it led to."""

    def __init__(self, state: object, options: Iterator[tuple[int, Contents]], place: int = 0) -> None:
        self.state, self.options, self.place = state, options, place
        self.found = False


def _shared(number: int, types: Sequence[int], left: Mapping[int, int]) -> Iterator[Contents]:
    """Yield the ways to take a number of parts of types, with the most of the first types first."""
    rest = [0]
    for which in reversed(types):
        rest.append(rest[-1] + left[which])
    rest.reverse()  # rest[at] is the number of parts in types[at:]
    if rest[0] < number:
        return
    taken: list[int] = []  # taken of each type so far
    need = number
    while True:
        while need:
            which = types[len(taken)]
            some = min(need, left[which])
            taken.append(some)
            need -= some
        yield tuple((types[at], some) for at, some in enumerate(taken) if some)
        while taken:
            need += taken[-1]
            if taken[-1] and rest[len(taken)] >= need - taken[-1] + 1:
                taken[-1] -= 1
                need -= taken[-1]
                break
            taken.pop()
        else:
            return

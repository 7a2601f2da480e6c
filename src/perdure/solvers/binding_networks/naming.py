"""The ways to make a cover of interchangeable parts into one of parts that can be told apart.

A cover in merged types says how many polymers of each kind there are. Each is made of finer types here, in
every distinct way, one at a time: the first finer type of which parts are left is in some polymer, whose kind
is tried in turn, and then its other parts, from the polymer taken last on if that was of the same type. So
every way is met once, and where no two parts are alike none of them is a dead end.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from perdure.solvers.binding_networks.polymers import Contents
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Named", "Naming"]

Named = tuple[tuple[int, Contents], ...]
"""A cover in finer types: of each polymer the number of its kind, and its contents, in the order taken."""


class Naming:
    """The distinct covers in finer types that are one cover in merged types.

    Parameters
    ----------
    kinds
        The merged contents of the cover's polymers, each once.
    copies
        How many polymers of each kind it has.
    finer
        Of each merged type, the finer types it is made of and how many parts each has.
    order
        The finer types in the order they are covered.
    fits
        Whether contents in finer types are a polymer.
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
        """Yield the covers in order, those after a given one if there is one.

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
        """Yield the polymers that have the first type left, from the last one taken on."""
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
        """Return what orders contents of a kind as `_ways` yields them."""
        return tuple(sorted((self._merged[which], which != first, which, -some) for which, some in contents))

    def _ways(self, kind: Contents, first: int) -> Iterator[Contents]:
        """Yield the contents that a kind of polymer with a certain part can have, as far as parts last.

        Which they are is settled when the first is asked for; their order is that of the choices.
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
        if first in types:  # of it there is at least one
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
    """A state under way: the polymers still to be tried, and what came of it."""

    def __init__(self, state: object, options: Iterator[tuple[int, Contents]], place: int = 0) -> None:
        self.state, self.options, self.place = state, options, place
        self.found = False


def _shared(number: int, types: Sequence[int], left: Mapping[int, int]) -> Iterator[Contents]:
    """Yield the ways to take so many parts of types, as many as can be of the first ones at first."""
    rest = [0]
    for which in reversed(types):
        rest.append(rest[-1] + left[which])
    rest.reverse()  # rest[at] parts are left from types[at] on
    if rest[0] < number:
        return
    taken: list[int] = []  # of each type so far
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

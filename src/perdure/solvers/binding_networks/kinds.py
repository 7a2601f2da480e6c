"""Parts sorted into kinds, of which it is enough to count how many are taken."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

import msgspec

from perdure.solvers.binding_networks.polymers import Contents

__all__ = ["Kinds"]


class Kinds(msgspec.Struct, frozen=True):
    """The kinds of a component's parts.

    Attributes
    ----------
    merged
        Of each kind the merged type that its parts have.
    types
        Of each kind the finer types it is made of: one of a plain kind, of a labelled kind one for each part.
    counts
        How many parts each kind has.
    labelled
        Of each kind, whether its parts can be told apart.
    of_merged
        Of each merged type its kinds, and how many parts each has.
    """

    merged: tuple[int, ...]
    types: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...]
    labelled: tuple[bool, ...]
    of_merged: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, finer: Sequence[Sequence[tuple[int, int]]], alike: Callable[[int], Hashable]) -> "Kinds":
        """Sort parts into kinds.

        Parameters
        ----------
        finer
            Of each merged type the finer types it is made of, and how many parts each has. Types of a single
            part make labelled kinds; several parts of a type can't be told apart.
        alike
            Types of a kind have an equal key.
        """
        merged: list[int] = []
        types: list[tuple[int, ...]] = []
        counts: list[int] = []
        labelled: list[bool] = []
        of_merged: list[tuple[tuple[int, int], ...]] = []
        for number, those in enumerate(finer):
            single: dict[Hashable, list[int]] = defaultdict(list)
            for which, count in those:
                if count == 1:
                    single[alike(which)].append(which)
            several = [((which,), count, False) for which, count in those if count > 1]
            found = [(tuple(group), len(group), True) for group in single.values()] + several
            first = len(merged)
            of_merged.append(tuple((first + at, count) for at, (_, count, _) in enumerate(found)))
            for group, count, apart in found:
                merged.append(number)
                types.append(group)
                counts.append(count)
                labelled.append(apart)
        return cls(tuple(merged), tuple(types), tuple(counts), tuple(labelled), tuple(of_merged))

    def example(self, contents: Contents) -> Contents:
        """Return contents in finer types that are some of the contents in kinds."""
        return tuple(
            sorted(
                each
                for kind, number in contents
                for each in (
                    [(which, 1) for which in self.types[kind][:number]]
                    if self.labelled[kind]
                    else [(self.types[kind][0], number)]
                )
            )
        )

"""Parts sorted into kinds, for counting: only the number of parts taken of each kind matters."""

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
        For each kind, the merged type of its parts.
    types
        For each kind, its finer types: one for a plain kind, one for each part of a labelled kind.
    counts
        How many parts each kind has.
    labelled
        For each kind, whether its parts have labels.
    of_merged
        For each merged type, its kinds and their numbers of parts.
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
            For each merged type, its finer types and their numbers of parts. Types of a single part form
            labelled kinds; several parts of a type are indistinguishable.
        alike
            Returns the key of a type; types of one kind have equal keys.
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
        """Return an example of the contents in kinds, in finer types."""
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

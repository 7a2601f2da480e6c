"""All distinct configurations of a network, as divisions of its components: the most polymers first."""

from collections.abc import Callable, Iterator, Sequence

from perdure.solvers.binding_networks.enumeration import Levels
from perdure.solvers.binding_networks.optimum import Division

__all__ = ["Listing"]


class Listing:
    """The combined divisions of all components.

    Parameters
    ----------
    components
        The levels of each component.
    """

    def __init__(self, components: Sequence[Levels]) -> None:
        self._components = components

    def most(self) -> int:
        """Return the number of polymers of the best configurations."""
        return sum(each.most() for each in self._components)

    def at(self, depth: int) -> Iterator[tuple[Division, ...]]:
        """Yield the configurations with `depth` polymers fewer than the best ones."""
        tops = [each.most() for each in self._components]
        for drops in _shares(depth, [top - 1 for top in tops]):
            yield from self._product([top - drop for top, drop in zip(tops, drops, strict=True)])

    def count(self, depth: int, counted: Callable[[], None]) -> int:
        """Return the number of configurations with up to `depth` polymers fewer than the best ones.

        Parameters
        ----------
        counted
            Called after each level of a component.
        """
        totals = [1] + [0] * depth
        for each in self._components:
            top = each.most()
            own = []
            for drop in range(depth + 1):
                own.append(each.count(top - drop) if drop < top else 0)
                counted()
            totals = [
                sum(totals[drop - more] * own[more] for more in range(drop + 1)) for drop in range(depth + 1)
            ]
        return sum(totals)

    def _product(self, sizes: Sequence[int]) -> Iterator[tuple[Division, ...]]:
        """Yield all combinations of divisions of the components with given sizes; the last varies fastest."""
        chosen: list[Division] = []
        numbers = [0]
        while numbers:
            place = len(numbers) - 1
            division = self._components[place].get(sizes[place], numbers[place])
            if division is None:
                numbers.pop()
                if numbers:
                    chosen.pop()
                continue
            numbers[place] += 1
            if place + 1 < len(sizes):
                chosen.append(division)
                numbers.append(0)
            else:
                yield (*chosen, division)


def _shares(total: int, most: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the ways to split a total into shares that don't exceed their limits."""
    if not most:
        if not total:
            yield ()
        return
    if total > sum(most):
        return
    for first in range(min(total, most[0]) + 1):
        for others in _shares(total - first, most[1:]):
            yield (first, *others)

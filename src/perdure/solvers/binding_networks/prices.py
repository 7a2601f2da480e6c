"""Prices of parts: they bound the number of polymers, and restrict the polymers of best configurations.

If every polymer P costs at least `least`, a configuration of k polymers costs at least k * least. All
configurations cost the same, because each contains all parts; so k <= cost // least, and the polymers of a
configuration of k polymers together cost at most `cost - k * least` more than k * least. This is duality for
the linear program over all polymers (Gilmore and Gomory 1961).

Prices are computed in floating point, as duals of the summed-up integer program, and rounded to integers.
Then `least` is computed in integers: rows weighted by any m >= 0 add at most 0 to a valid polymer, so for its
leader t

    price(P) >= sum of (price + m v) over P >= price_t + m v_t + sum_u most_u min(0, price_u + m v_u).

The bound holds for any rounding (Neumaier and Shcherbina 2004).
"""

from collections.abc import Mapping

import msgspec

from perdure.solvers.binding_networks.integer_program import Program
from perdure.solvers.binding_networks.reduction import Types

__all__ = ["Prices", "even_prices", "prices_of"]

UNIT = 720720 * 64  # divisible by 1 to 16: prices of linear programs are often such fractions


class Prices(msgspec.Struct, frozen=True):
    """Prices of types, in integers.

    Attributes
    ----------
    prices
        The price of each type.
    weights
        For each limiting type, as a leader: the worth of a unit of each row.
    least
        The minimum cost of a polymer; positive.
    """

    prices: tuple[int, ...]
    weights: tuple[Mapping[int, int], ...]
    least: int

    def cost(self, types: Types) -> int:
        """Return the cost of all parts together."""
        return sum(price * len(parts) for price, parts in zip(self.prices, types.members, strict=True))

    def bound(self, types: Types) -> int:
        """Return an upper bound on the number of polymers."""
        return self.cost(types) // self.least

    def weighted(self, types: Types, leader: int) -> list[int]:
        """Return the least that a part of each type adds to the cost of a leader's polymer, with rows."""
        weights = self.weights[leader] if leader < types.limiting else {}
        return [
            price + sum(weights.get(row, 0) * addend for row, addend in column)
            for price, column in zip(self.prices, types.columns, strict=True)
        ]


def even_prices(types: Types) -> Prices:
    """Return equal prices: 1 for each part."""
    return Prices((1,) * len(types.columns), ({},) * types.limiting, 1)


def prices_of(types: Types, program: Program, duals: Mapping[int, float]) -> Prices:
    """Return prices from the duals of the rows of the summed-up program.

    If they prove nothing, which only rounding can cause, all prices are equal.
    """
    prices = []
    for which, row in enumerate(program.assignments):
        dual = 0.0 if row is None else duals[row]
        prices.append(_integer(dual) if which < types.limiting else UNIT + max(0, _integer(dual)))
    weights = tuple(
        {row: weight for row, made in slot.rows if (weight := _integer(duals[made])) > 0}
        for slot in program.slots
    )
    found = Prices(tuple(prices), weights, 1)
    least = [prices[which] for which in range(types.limiting, len(prices))]
    for slot in program.slots:
        worth = found.weighted(types, slot.leader)
        most = dict.fromkeys((which for which, _ in slot.contents), 0)
        for which in most:
            most[which] = len(types.members[which]) - (which == slot.leader)
        least.append(worth[slot.leader] + sum(most[which] * min(0, worth[which]) for which in most))
    if min(least) <= 0:
        return even_prices(types)
    return Prices(found.prices, weights, min(least))


def _integer(dual: float) -> int:
    return round(dual * UNIT)

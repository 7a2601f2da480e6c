"""Points: the graphical functions that `sd.lookup` reads.

Points are pairs of x and y. The function is linear between them and constant beyond the ends. If several
points have the same x, the function jumps there to the last of them.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from perdure.engines.numbers import finite
from perdure.errors import InvalidOverride, ModelError

__all__ = ["Points", "Table", "checked_points", "point_table"]

Points: TypeAlias = tuple[tuple[float, float], ...]
Table: TypeAlias = Callable[[float], float]


def parse_points(value: object) -> Points | str:
    """Return `value` as points sorted by x, or a phrase that says what is wrong with it."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) == 0:
        return "points are a list of at least one [x, y]"
    pairs: list[tuple[float, float]] = []
    for item in value:
        if isinstance(item, np.ndarray):
            item = item.tolist()
        if not isinstance(item, Sequence) or isinstance(item, str | bytes) or len(item) != 2:
            return f"each point is [x, y], not {item!r:.80}"
        x, y = finite(item[0]), finite(item[1])
        if x is None or y is None:
            return f"both numbers of a point must be finite, not {item!r:.80}"
        pairs.append((x, y))
    pairs.sort(key=lambda pair: pair[0])
    for (x0, y0), (x1, y1) in pairwise(pairs):
        if x1 > x0 and not (math.isfinite(x1 - x0) and math.isfinite((y1 - y0) / (x1 - x0))):
            return f"the slope between {[x0, y0]} and {[x1, y1]} is too large for a float"
    return tuple(pairs)


def filled(points: Mapping[str, object]) -> dict[str, object]:
    """Return points by name without empty tables, which a scenario may fill."""
    return {
        name: table
        for name, table in points.items()
        if not (isinstance(table, list | tuple | np.ndarray) and len(table) == 0)
    }


def checked_points(value: object, name: str | None = None) -> Points:
    """Return points of the model itself, sorted by x; raise `ModelError` if they aren't points."""
    points = parse_points(value)
    if isinstance(points, str):
        raise ModelError(f"The points{f' {name!r}' if name else ''} are wrong: {points}.")
    return points


def overriding_points(name: str, value: object) -> Points:
    """Return points that override those of the model; raise `InvalidOverride` if they aren't points."""
    points = parse_points(value)
    if isinstance(points, str):
        raise InvalidOverride(name=name, part="points", value=f"{value!r:.80}", reason=points)
    return points


def point_table(points: Points) -> Table:
    """Return the function that the sorted points describe."""
    xs = [x for x, _ in points]
    ys = [y for _, y in points]
    slopes = [
        (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i]) if xs[i + 1] > xs[i] else 0.0 for i in range(len(xs) - 1)
    ]
    first, last, low, high = xs[0], xs[-1], ys[0], ys[-1]

    def table(x: float) -> float:
        if x >= last:
            return high
        if x < first:
            return low
        if x != x:
            return x
        i = bisect_right(xs, x) - 1
        return ys[i] + slopes[i] * (x - xs[i])

    return table


def as_lists(points: Mapping[str, Points]) -> dict[str, list[list[float]]]:
    """Return points as plain lists, as a snapshot holds them."""
    return {name: [[x, y] for x, y in pairs] for name, pairs in points.items()}

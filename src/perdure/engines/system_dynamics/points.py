"""Points: the graphical functions that `sd.lookup` reads.

Points are pairs of x and y. The function is linear between them and constant beyond the ends. If several
points have the same x, the function jumps there to the last of them.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import numpy as np

from perdure.engines.numbers import finite
from perdure.errors import InvalidOverride, ModelError

__all__ = ["TABLE_KINDS", "Points", "Table", "TableKind", "checked_points", "point_table"]

Points: TypeAlias = tuple[tuple[float, float], ...]
Table: TypeAlias = Callable[[float], float]
TableKind: TypeAlias = Literal[
    "continuous", "extrapolate", "discrete", "next", "raw", "within", "inverse", "slope", "slope_extrapolate",
    "slope_within", "area",
]  # fmt: skip
"""How the points of a table are read.

``continuous`` is linear between the points and constant beyond the ends; ``extrapolate`` goes on with the
slope of the first and the last segment; ``discrete`` holds the last y at or before x, ``next`` the first at
or after x;
``raw`` is nan except at the points, ``within`` nan beyond the ends. ``inverse`` is the first x at which
``continuous`` has the value y, ``slope`` its slope, at a point the mean of those at both sides, and ``area``
its integral from the first point. Beyond the ends ``slope_extrapolate`` has the slope of the first and the
last segment, and ``slope_within`` is nan.
"""
TABLE_KINDS: tuple[TableKind, ...] = get_args(TableKind)


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
        raise InvalidOverride.of(name, value, points, part="points")
    return points


def point_table(points: Points, kind: TableKind = "continuous") -> Table:
    """Return the function that the sorted points describe."""
    return _continuous(points) if kind == "continuous" else _TABLES[kind](points)


def _continuous(points: Points) -> Table:
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


def _extrapolate(points: Points) -> Table:
    inside = _continuous(points)
    if len(points) < 2:
        return inside
    (x0, y0), (x1, y1) = points[:2]
    (x2, y2), (x3, y3) = points[-2:]
    low = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
    high = (y3 - y2) / (x3 - x2) if x3 > x2 else 0.0

    def table(x: float) -> float:
        if x < x0:
            return y0 + low * (x - x0)
        return y3 + high * (x - x3) if x > x3 else inside(x)

    return table


def _discrete(points: Points) -> Table:
    xs = [x for x, _ in points]

    def table(x: float) -> float:
        return x if x != x else points[max(0, bisect_right(xs, x) - 1)][1]

    return table


def _next(points: Points) -> Table:
    xs = [x for x, _ in points]

    def table(x: float) -> float:
        return x if x != x else points[min(len(xs) - 1, bisect_left(xs, x))][1]

    return table


def _raw(points: Points) -> Table:
    known = dict(points)
    # Times of a grid differ from those that were written by rounding errors.
    return lambda x: next((y for at, y in known.items() if math.isclose(at, x, rel_tol=1e-9)), math.nan)


def _inverse(points: Points) -> Table:
    def table(y: float) -> float:
        for (x0, y0), (x1, y1) in pairwise(points):
            if y0 != y1 and min(y0, y1) <= y <= max(y0, y1):
                return x0 + (y - y0) * (x1 - x0) / (y1 - y0)
        # Beyond all values, the x of the nearest one.
        return y if y != y else min(points, key=lambda point: abs(point[1] - y))[0]

    return table


def _slope(points: Points, beyond: tuple[float, float] = (0.0, 0.0)) -> Table:
    """The slope; at a point the mean of those before and after it, `beyond` the ends what is given."""
    xs = [x for x, _ in points]
    slopes = [(y1 - y0) / (x1 - x0) if x1 > x0 else math.nan for (x0, y0), (x1, y1) in pairwise(points)]

    def table(x: float) -> float:
        if x != x:
            return x
        after, before = bisect_right(xs, x), bisect_left(xs, x)
        if after == 0 or before == len(xs) or not slopes:
            return beyond[after != 0]
        inside = [slopes[i] for i in (before - 1, after - 1) if 0 <= i < len(slopes)]
        return sum(inside) / len(inside)

    return table


def _slope_extrapolate(points: Points) -> Table:
    slope = _slope(points)
    middles = [0.5 * (x0 + x1) for (x0, _), (x1, _) in pairwise(points)]
    return _slope(points, (slope(middles[0]), slope(middles[-1])) if middles else (0.0, 0.0))


def _within(points: Points) -> Table:
    inside = _continuous(points)
    return lambda x: inside(x) if points[0][0] <= x <= points[-1][0] else math.nan


def _area(points: Points) -> Table:
    inside = _continuous(points)
    xs = [x for x, _ in points]
    sums = [0.0]
    for (x0, y0), (x1, y1) in pairwise(points):
        sums.append(sums[-1] + 0.5 * (y0 + y1) * (x1 - x0))

    def table(x: float) -> float:
        if x <= xs[0]:
            return points[0][1] * (x - xs[0])
        i = bisect_right(xs, x) - 1
        return sums[i] + 0.5 * (points[i][1] + inside(x)) * (x - xs[i])

    return table


_TABLES: Mapping[str, Callable[[Points], Table]] = {
    "extrapolate": _extrapolate,
    "discrete": _discrete,
    "next": _next,
    "raw": _raw,
    "inverse": _inverse,
    "slope": _slope,
    "slope_extrapolate": _slope_extrapolate,
    "slope_within": lambda points: _slope(points, (math.nan, math.nan)),
    "within": _within,
    "area": _area,
}


def as_lists(points: Mapping[str, Points]) -> dict[str, list[list[float]]]:
    """Return points as plain lists, as a snapshot holds them."""
    return {name: [[x, y] for x, y in pairs] for name, pairs in points.items()}
